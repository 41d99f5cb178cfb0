"""Leading eigenpairs of a symmetric matrix that is held, or known by its products with vectors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.linalg

from lazymu.errors import ArgumentError, explain
from lazymu.stream.threads import one_native_thread
from lazymu.typing import Array, Float64s

DENSE_SIDE = 1000
"""Up to this side a matrix is diagonalised directly."""
TOLERANCE = 1e-10
"""ARPACK's: residual relative to the eigenvalue."""


def leading_of_matrix(G: Float64s, k: int, rng: np.random.Generator) -> tuple[Float64s, Float64s]:
    """Return the ``k`` largest eigenvalues of ``G``, negative ones as 0, and their vectors."""
    if not np.isfinite(G).all():
        rule = "sums of squares over all cells must be finite"
        got = "with NaN, infinite or too large values"
        raise ArgumentError(explain("X", got, rule, "drop these cells or features, or scale X"))
    side = len(G)
    if side > DENSE_SIDE and 4 * k < side:
        return leading_of_product(lambda x: G @ x, side, k, rng)
    with one_native_thread():
        theta, vectors = scipy.linalg.eigh(G, subset_by_index=[side - k, side - 1])
    return descending(theta, vectors)


def leading_of_product(
    product: Callable[[Float64s], Float64s], side: int, k: int, rng: np.random.Generator
) -> tuple[Float64s, Float64s]:
    """Return the same for a matrix (side, side) by implicitly restarted Lanczos iteration."""
    from scipy.sparse.linalg import LinearOperator, eigsh

    def matvec(x: Array) -> Float64s:
        return product(x.ravel())

    with one_native_thread():
        theta, vectors = eigsh(
            LinearOperator((side, side), matvec=matvec, dtype=np.float64),
            k=k,
            ncv=min(side, 2 * k + 20),
            v0=rng.standard_normal(side),
            tol=TOLERANCE,
        )
    return descending(theta, vectors)


def descending(theta: Float64s, vectors: Float64s) -> tuple[Float64s, Float64s]:
    """Return eigenpairs with the largest first, eigenvalues that rounding made negative as 0."""
    order = np.argsort(theta)[::-1]
    return np.maximum(theta[order], 0), vectors[:, order]


def inverse(values: Float64s, floor: float = 0.0) -> Float64s:
    """Return ``1 / values``, and 0 for those that are not above ``floor``."""
    known = values > floor
    return np.where(known, 1 / np.where(known, values, 1), 0)
