"""Mean and sum of squared deviations of each feature within groups of cells."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from lazymu.kernels.jit import kernel
from lazymu.typing import Array, Float64s, Int64s, Ints

Moments: TypeAlias = tuple[Float64s, Float64s, Float64s]


@kernel
def group_moments(
    data: Array, indices: Ints, indptr: Ints, groups: Int64s, n_groups: int, n_vars: int
) -> Moments:
    """Return ``n`` (g,), ``mean`` (g, p) and ``m2 = sum((x - mean)^2)`` (g, p) of each group.

    ``groups`` names the group of each row; rows with a negative one are left out. Two sweeps: the
    means, then the deviations; the ``n - nnz`` implicit zeros add ``(n - nnz) * mean^2``. Positions
    are unsigned, as numba would check the sign of others.
    """
    n = np.zeros(n_groups, np.float64)
    mean = np.zeros((n_groups, n_vars), np.float64)
    zeros = np.zeros((n_groups, n_vars), np.float64)
    m2 = np.zeros((n_groups, n_vars), np.float64)
    for i in range(len(indptr) - 1):
        g = groups[i]
        if g < 0:
            continue
        n[g] += 1
        total, absent = mean[g], zeros[g]
        for k in range(np.uint64(indptr[i]), np.uint64(indptr[i + 1])):
            j = np.uint64(indices[k])
            total[j] += data[k]
            absent[j] -= 1
    for g in range(n_groups):
        if n[g] > 0:
            mean[g] /= n[g]
        for column in range(n_vars):
            zeros[g, column] += n[g]
            m2[g, column] = zeros[g, column] * mean[g, column] ** 2
    for i in range(len(indptr) - 1):
        g = groups[i]
        if g < 0:
            continue
        center, squares = mean[g], m2[g]
        for k in range(np.uint64(indptr[i]), np.uint64(indptr[i + 1])):
            j = np.uint64(indices[k])
            squares[j] += (data[k] - center[j]) ** 2
    return n, mean, m2


def merge_moments(
    n_a: Float64s,
    mean_a: Float64s,
    m2_a: Float64s,
    n_b: Float64s,
    mean_b: Float64s,
    m2_b: Float64s,
) -> Moments:
    """Return the moments of two disjoint sets of cells taken together.

    With ``d = mean_b - mean_a`` and ``n = n_a + n_b``: ``mean = mean_a + d n_b / n`` and
    ``m2 = m2_a + m2_b + d^2 n_a n_b / n`` (Chan, Golub and LeVeque, 1983).
    """
    n = n_a + n_b
    share = (n_b / np.maximum(n, 1))[:, None]
    delta = mean_b - mean_a
    mean = mean_a + delta * share
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is told later
        m2 = m2_a + m2_b + delta**2 * (n_a[:, None] * share)
    return n, mean, m2


@kernel
def clipped_sums(
    data: Array, indices: Ints, indptr: Ints, groups: Int64s, clip: Float64s
) -> tuple[Float64s, Float64s]:
    """Return the sums of ``y`` and ``y^2`` with ``y = min(x, clip[group, feature])``, both (g, p).

    ``clip`` is not negative, so implicit zeros add nothing. Negative groups are left out.
    """
    total = np.zeros(clip.shape, np.float64)
    squares = np.zeros(clip.shape, np.float64)
    for i in range(len(indptr) - 1):
        g = groups[i]
        if g < 0:
            continue
        for k in range(indptr[i], indptr[i + 1]):
            j = indices[k]
            y = min(np.float64(data[k]), clip[g, j])
            total[g, j] += y
            squares[g, j] += y * y
    return total, squares
