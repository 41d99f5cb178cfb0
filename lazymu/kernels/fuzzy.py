"""Strengths of the edges from each cell to its neighbours, as UMAP defines them.

Source: McInnes, Healy & Melville 2018, https://arxiv.org/abs/1802.03426, section 3.1.
"""

from __future__ import annotations

import numpy as np

from lazymu.kernels.jit import kernel
from lazymu.typing import Float64s, Floats, Ints

TOLERANCE = 1e-5
STEPS = 64
LEAST_SHARE = 1e-3
"""Least width, in mean distances: of a cell's own, or of all where its neighbours are at 0."""


@kernel
def width_of(distances: Float64s, nearest: float, first: int, target: float) -> float:
    """Return ``s`` with ``sum_{t >= first} exp(-max(0, d_t - nearest) / s) = target``.

    Doubling from 1, then bisection.
    """
    low, high, s = 0.0, np.inf, 1.0
    for _ in range(STEPS):
        total = 0.0
        for t in range(first, len(distances)):
            total += np.exp(-max(0.0, distances[t] - nearest) / s)
        if abs(total - target) < TOLERANCE:
            break
        if total > target:
            high = s
        else:
            low = s
        s = (low + high) / 2 if high < np.inf else 2 * s
    return s


@kernel
def edge_strengths(distances: Float64s, first: int, n_counted: int, mean: float) -> Floats:
    """Return ``p_it = exp(-max(0, d_it - rho_i) / s_i)``, float32, of lists in ascending order.

    ``rho_i`` is the least distance above 0. ``s_i`` is such that the strengths from column
    ``first`` on sum to ``log2(n_counted)``, within limits; means are over ``n_counted`` distances,
    those that are not in the list being 0, and ``mean`` is that of all lists.
    """
    n, k = distances.shape
    strengths = np.empty((n, k), np.float32)
    target = np.log2(n_counted)
    for i in range(n):
        nearest, total = 0.0, 0.0
        for t in range(k - 1, -1, -1):
            total += distances[i, t]
            nearest = distances[i, t] if distances[i, t] > 0 else nearest
        s = width_of(distances[i], nearest, first, target)
        s = max(s, LEAST_SHARE * (total / n_counted if nearest > 0 else mean))
        for t in range(k):
            excess = distances[i, t] - nearest
            strengths[i, t] = np.exp(-excess / s) if excess > 0 and s > 0 else 1.0
    return strengths


@kernel
def next_of(x: Ints, a: int, x_end: int, y: Ints, b: int, y_end: int) -> tuple[bool, bool]:
    """Return whether the least of ``x[a:x_end]`` and ``y[b:y_end]``, which ascend, is in each."""
    left = a < x_end and (b >= y_end or x[a] <= y[b])
    right = b < y_end and (a >= x_end or y[b] <= x[a])
    return left, right


@kernel
def count_union(indices: Ints, indptr: Ints, t_indices: Ints, t_indptr: Ints) -> Ints:
    """Return where each row of ``A + A'`` begins, (n + 1,); columns of all rows ascend."""
    n = len(indptr) - 1
    starts = np.zeros(n + 1, np.int64)
    for i in range(n):
        a, b, count = indptr[i], t_indptr[i], 0
        while a < indptr[i + 1] or b < t_indptr[i + 1]:
            left, right = next_of(indices, a, indptr[i + 1], t_indices, b, t_indptr[i + 1])
            a += left
            b += right
            count += 1
        starts[i + 1] = starts[i] + count
    return starts


@kernel
def fuzzy_union(
    data: Floats,
    indices: Ints,
    indptr: Ints,
    t_data: Floats,
    t_indices: Ints,
    t_indptr: Ints,
    starts: Ints,
    out: Floats,
    out_indices: Ints,
) -> None:
    """Write ``w_ij = p_ij + p_ji - p_ij p_ji`` of ``A`` and its transpose, row by row."""
    for i in range(len(indptr) - 1):
        a, b = indptr[i], t_indptr[i]
        for at in range(starts[i], starts[i + 1]):
            left, right = next_of(indices, a, indptr[i + 1], t_indices, b, t_indptr[i + 1])
            out_indices[at] = indices[a] if left else t_indices[b]
            p = data[a] if left else np.float32(0)
            q = t_data[b] if right else np.float32(0)
            out[at] = p + q - p * q
            a += left
            b += right
