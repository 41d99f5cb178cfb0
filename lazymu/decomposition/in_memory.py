"""Singular triplets of a matrix in memory, all to about 1e-9: for data that fit."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from lazymu.decomposition.eigen import DENSE_SIDE, inverse, leading_of_matrix, leading_of_product
from lazymu.decomposition.reducers import ColumnMoments, Gram, Moments
from lazymu.decomposition.shifted import Shift, shift_of
from lazymu.settings import settings
from lazymu.stream import Block, LazyMatrix
from lazymu.stream.plan import working_bytes
from lazymu.typing import CSR, Float64s

MAX_VALUES = 16_000_000
"""Above this number of nonzeros a few passes are faster than iterating to convergence."""
BYTES_PER_VALUE = 32
"""The matrix, the pieces that it was put together from, and room for the iteration."""
RANK_TOLERANCE = 1e-7
"""Singular values below this share of the first are rounding errors of the Gram matrix."""


class Pairs(NamedTuple):
    """Leading triplets of a matrix in memory, and the moments of its features."""

    U: Float64s
    S: Float64s
    Vt: Float64s
    residuals: Float64s
    moments: Moments


def fits_in_memory(matrix: LazyMatrix) -> bool:
    """Return whether a matrix is small enough to be held and iterated on."""
    n_values = matrix.n_values_at_most
    return (
        n_values <= MAX_VALUES
        and n_values * BYTES_PER_VALUE <= working_bytes(settings.memory_limit) // 2
    )


class Operator:
    """``B = X - 1 m'`` for sparse ``X`` in memory; rows are split over threads."""

    def __init__(self, X: CSR, shift: Shift) -> None:
        self.parts = (X.data, X.indices, X.indptr)
        self.shape, self.shift = X.shape, shift
        shares = np.linspace(0, X.nnz, settings.n_threads + 1)[1:-1]
        bounds = [0, *np.searchsorted(X.indptr, shares).tolist(), X.shape[0]]
        self.runs = list(pairwise(bounds))

    def _sum_over_runs(self, pool: ThreadPoolExecutor, kernel: Any, x: Float64s) -> Float64s:
        """Return the sum of what ``kernel`` adds up over each run of rows (var,)."""

        def over_run(run: tuple[int, int]) -> Float64s:
            out = np.zeros(self.shape[1])
            kernel(*self.parts, *run, x, out)
            return out

        total: Float64s = np.sum(list(pool.map(over_run, self.runs)), axis=0)
        return total

    def on_features(self, pool: ThreadPoolExecutor, x: Float64s) -> Float64s:
        """Return ``B'B x``, ``x`` (var,)."""
        from lazymu.kernels.products import gram_dot_vector_add

        W = self._sum_over_runs(pool, gram_dot_vector_add, x)
        return self.shift.gram_dot(W[:, None], x[:, None])[:, 0]

    def on_cells(self, pool: ThreadPoolExecutor, y: Float64s) -> Float64s:
        """Return ``B B' y``, ``y`` (obs,)."""
        from lazymu.kernels.products import dot_vector, t_dot_vector_add

        x = self._sum_over_runs(pool, t_dot_vector_add, y) - self.shift.m * y.sum()
        out = np.empty(self.shape[0])
        list(pool.map(lambda run: dot_vector(*self.parts, run[0], run[1], x, out), self.runs))
        product: Float64s = out - self.shift.m @ x
        return product

    def dot(self, V: Float64s) -> Float64s:
        """Return ``B V``."""
        from lazymu.kernels.products import dot

        Y = np.empty((self.shape[0], V.shape[1]))
        dot(*self.parts, np.ascontiguousarray(V), Y)
        return Y - self.shift.m @ V

    def t_dot(self, U: Float64s) -> Float64s:
        """Return ``B' U``."""
        from lazymu.kernels.products import t_dot_add

        W = np.zeros((self.shape[1], U.shape[1]))
        t_dot_add(*self.parts, np.ascontiguousarray(U), W)
        return W - np.outer(self.shift.m, U.sum(axis=0))


def leading_pairs(X: CSR, m: Float64s | None, k: int, rng: np.random.Generator) -> Pairs:
    """Return the ``k`` leading triplets of ``B = X - 1 m'``; with ``m`` None, of ``X`` centred.

    The smaller of ``B'B`` and ``B B'`` is diagonalised, the other side follows from ``B V = U S``.
    """
    reducer = ColumnMoments(X.shape[1])
    moments = reducer.chunk(reducer.init(), Block(X, slice(0, X.shape[0])))
    shift = shift_of(moments, m)
    B = Operator(X, shift)
    if X.shape[1] <= X.shape[0]:
        V, S = leading_eigenvectors(B, X, k, rng)
        U = B.dot(V) * inverse(S)
        error = B.t_dot(U) * S - V * S**2
    else:
        U, S = leading_eigenvectors(B, X, k, rng)
        V = B.t_dot(U) * inverse(S)
        error = B.dot(V) * S - U * S**2
    residuals = np.linalg.norm(error, axis=0) * inverse(S) ** 2
    return Pairs(U, S, V.T, residuals, moments)


def leading_eigenvectors(
    B: Operator, X: CSR, k: int, rng: np.random.Generator
) -> tuple[Float64s, Float64s]:
    """Return leading eigenvectors of the smaller of ``B'B`` and ``BB'``, and singular values."""
    side = min(X.shape)
    if side <= DENSE_SIDE:
        theta, vectors = leading_of_matrix(small_gram(X, B.shift), k, rng)
    else:
        product = B.on_features if X.shape[1] <= X.shape[0] else B.on_cells
        with ThreadPoolExecutor(settings.n_threads) as pool:
            theta, vectors = leading_of_product(partial(product, pool), side, k, rng)
    singular = np.sqrt(theta)
    singular[singular <= RANK_TOLERANCE * singular[0]] = 0
    return vectors, singular


def small_gram(X: CSR, shift: Shift) -> Float64s:
    """Return ``B'B`` or ``B B'``, whichever is smaller."""
    by_features = X.shape[1] <= X.shape[0]
    A = X if by_features else X.T.tocsr()
    reducer = Gram(A.shape[1])
    G = reducer.finalize(reducer.chunk(reducer.init(), Block(A, slice(0, A.shape[0]))))
    if by_features:
        return shift.gram(G)
    cross: Float64s = (X @ shift.m)[:, None]
    of_cells: Float64s = G - cross - cross.T + shift.m @ shift.m
    return of_cells
