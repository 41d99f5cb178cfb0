"""Sparse matrices with one row added to all rows: centring and scaling without a dense copy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lazymu.decomposition.reducers import Moments
from lazymu.decomposition.tall import cross, subtract_product
from lazymu.stream import LazyMatrix
from lazymu.stream.steps import Standardize
from lazymu.typing import Float64s, Floats


def sparse_part(matrix: LazyMatrix) -> tuple[LazyMatrix, Float64s]:
    """Return sparse ``C`` and ``m`` (var,) with ``matrix = C - 1 m'``.

    Standardizing as the last step sends every implicit zero of a feature to one value, its
    ``-m``: what is stored beside it stays as sparse as it was, clipping included.
    """
    last = matrix.steps[-1] if matrix.steps else None
    if not isinstance(last, Standardize):
        return matrix, np.zeros(matrix.shape[1])
    sparse = matrix.counts.with_steps(*matrix.steps[:-1], last.without_offset())
    return sparse, -last.of_zero


class Shift(NamedTuple):
    """What turns products with ``C`` into products with ``B = C - 1 m'``."""

    n: float
    mean: Float64s
    """Mean of each feature of ``C``."""
    m: Float64s
    """The row that is taken off: ``mean`` itself where ``B`` is centred."""

    def gram_dot(self, W: Float64s, Q: Floats) -> Float64s:
        """Make ``W = C'(C Q)`` into ``B'(B Q)``: minus ``n (mean m' + m mean' - m m') Q``."""
        rows = np.stack([self.mean, self.m], axis=1)
        of_mean, of_m = cross(rows, Q)
        subtract_product(W, rows, self.n * np.stack([of_m, of_mean - of_m]))
        return W

    def gram(self, G: Float64s) -> Float64s:
        """Return ``B'B`` of ``G = C'C``."""
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is told later
            cross = np.outer(self.mean, self.m)
            return G - self.n * (cross + cross.T - np.outer(self.m, self.m))


def shift_of(moments: Moments | None, m: Float64s | None) -> Shift:
    """Return the shift by ``m``, by the means where it is None; without moments, ``m`` is 0."""
    if moments is None:
        assert m is not None
        assert not m.any(), "a shift needs the features' means"
        return Shift(0.0, m, m)
    return Shift(moments.n, moments.mean, moments.mean if m is None else m)
