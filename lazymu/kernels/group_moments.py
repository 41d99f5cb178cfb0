"""Number, sum and squared deviations of the nonzero values of each feature in groups of cells.

``groups`` names the group of each row, 0 to g - 1. Zeros are known by number only: they are merged
once at the end (:func:`with_zeros`), so that a block costs only what it holds. Positions are
unsigned, as numba would check the sign of others.
"""

from __future__ import annotations

import numpy as np

from lazymu.kernels.jit import kernel
from lazymu.typing import Array, Float64s, Int64s, Ints


@kernel
def add_group_moments(
    data: Array,
    indices: Ints,
    indptr: Ints,
    groups: Int64s,
    nnz: Float64s,
    total: Float64s,
    m2: Float64s,
) -> None:
    """Add the nonzero values of a block to ``nnz``, ``total`` and ``m2``, each (g, p).

    The next of ``n + 1`` values adds ``(n x - total)^2 / (n (n + 1))`` to the squared deviations
    (Youngs and Cramer, Technometrics 1971): nothing cancels, and sums of whole numbers are exact.
    An ``m2`` without rows is left alone.
    """
    with_squares = len(m2) > 0
    for i in range(len(indptr) - 1):
        g = np.uint64(groups[i])
        counts, sums = nnz[g], total[g]
        for k in range(np.uint64(indptr[i]), np.uint64(indptr[i + 1])):
            j, x = np.uint64(indices[k]), np.float64(data[k])
            if x == 0:
                continue
            n = counts[j]
            if with_squares and n > 0:
                d = n * x - sums[j]
                m2[g, j] += d * d / (n * (n + 1))
            counts[j] = n + 1
            sums[j] += x


@kernel
def merge_group_moments(
    nnz: Float64s,
    total: Float64s,
    m2: Float64s,
    other_nnz: Float64s,
    other_total: Float64s,
    other_m2: Float64s,
) -> None:
    """Merge the moments of other cells into ``nnz``, ``total`` and ``m2``, each (g, p).

    ``m2 = m2_a + m2_b + (mean_b - mean_a)^2 n_a n_b / n`` (Chan, Golub and LeVeque, 1983).
    """
    with_squares = len(m2) > 0
    for g in range(len(nnz)):
        for j in range(nnz.shape[1]):
            n_a, n_b = nnz[g, j], other_nnz[g, j]
            if n_b == 0:
                continue
            if with_squares:
                m2[g, j] += other_m2[g, j]
                if n_a > 0:
                    d = other_total[g, j] / n_b - total[g, j] / n_a
                    m2[g, j] += d * d * n_a * (n_b / (n_a + n_b))
            nnz[g, j] = n_a + n_b
            total[g, j] += other_total[g, j]


def with_zeros(
    nnz: Float64s, total: Float64s, m2: Float64s, n_cells: Float64s
) -> tuple[Float64s, Float64s]:
    """Return ``mean`` and ``m2`` (g, p) over all cells from what the nonzero values add up to.

    ``n_cells`` is (g, 1). The zeros are ``n - nnz`` values without deviation:
    ``mean = total / n`` and ``m2' = m2 + (total / nnz)^2 nnz (n - nnz) / n``. Groups without cells
    have 0. Infinite values give means that are not finite.
    """
    n = np.maximum(n_cells, 1)
    with np.errstate(invalid="ignore", over="ignore"):
        mean = total / n
        squares = m2 + mean * (total / np.maximum(nnz, 1)) * (n_cells - nnz)
    return mean, squares
