"""Similarity network fusion on pairs of cells that are chosen beforehand.

Affinities of one modality, the strongest neighbours of its cells, the pairs that two steps lead to,
and the entries of ``S Q S'`` at these pairs. Rows of ``S`` and of the pairs are CSR.

Source: Wang et al. 2014, https://doi.org/10.1038/nmeth.2810.
"""

from __future__ import annotations

import numpy as np

from lazymu.kernels.fuzzy import next_of
from lazymu.kernels.jit import kernel
from lazymu.kernels.neighbors import replace_farthest, sort_heaps, squared_distance
from lazymu.typing import Array, Bools, Float64s, Floats, Int64s, Ints


@kernel
def affinity_at(square: float, a: float, b: float, sigma: float, eps: float) -> float:
    """Return the affinity of two cells at a squared distance, whose means are ``a`` and ``b``.

    The normal density of ``d`` with the deviation ``sigma u``, ``u = (a + b + d) / 3``, without
    the factor ``1 / (sigma sqrt(2 pi))``, which no normalised affinity has.
    """
    distance = np.sqrt(square)
    width = (a + b + distance) / 3 + eps
    ratio = distance / (sigma * width)
    affinity: float = np.exp(-0.5 * ratio * ratio) / width
    return affinity


@kernel
def near_sums(
    out: Float64s,
    start: int,
    stop: int,
    lists: Ints,
    distances: Float64s,
    means: Float64s,
    weights: Float64s,
    sigma: float,
    eps: float,
) -> None:
    """Write ``sum_j W_ij weights_j`` over the cells in the lists of rows ``start`` to ``stop``."""
    for i in range(start, stop):
        out[i] = 0.0
        for t in range(lists.shape[1]):
            j, square = lists[i, t], distances[i, t] * distances[i, t]
            out[i] += weights[j] * affinity_at(square, means[i], means[j], sigma, eps)


@kernel
def far_sums(
    sums: Float64s,
    weighted: Float64s,
    rows: Ints,
    squares: Floats,
    sample: Ints,
    lists: Ints,
    means: Float64s,
    weights: Float64s,
    sigma: float,
    eps: float,
) -> None:
    """Write about ``sum_j W_ij`` and ``sum_j W_ij weights_j`` over the cells not in rows' lists.

    Those of the sample that are not listed stand for them. ``squares`` holds the squared distances
    of the rows from the sample, ``weights`` those of the sample.
    """
    n, k = lists.shape
    near = np.full(n, -1, np.int32)
    for a in range(len(rows)):
        i = rows[a]
        near[i] = i
        for t in range(k):
            near[lists[i, t]] = i
        total, weighted_total, n_far = 0.0, 0.0, 0
        for b in range(len(sample)):
            if near[sample[b]] != i:
                affinity = affinity_at(squares[a, b], means[i], means[sample[b]], sigma, eps)
                total += affinity
                weighted_total += weights[b] * affinity
                n_far += 1
        share = (n - 1 - k) / max(1, n_far)
        sums[a], weighted[a] = total * share, weighted_total * share


@kernel
def offer_similar(distances: Float64s, ids: Ints, k: int, similarity: float, j: int) -> None:
    """Offer a cell to a heap of the ``k`` most similar ones, which holds ``-similarity``."""
    if -similarity < distances[0] or (-similarity == distances[0] and j < ids[0]):
        replace_farthest(distances, ids, k, -similarity, j)


@kernel
def most_affine(
    affinities: Float64s,
    ids: Ints,
    start: int,
    X: Floats,
    scale: Float64s,
    lists: Ints,
    indptr: Int64s,
    rows: Ints,
    means: Float64s,
    g: Float64s,
    sigma: float,
    eps: float,
) -> None:
    """Fill heaps with the largest ``W_ij (g_i + g_j) / 2`` of rows, largest first, negated.

    Candidates are the cells in a row's list and those in whose lists it is (``indptr``, ``rows``).
    """
    k = ids.shape[1]
    seen = np.full(len(lists), -1, np.int32)
    for a in range(len(ids)):
        i = start + a
        n_listed = lists.shape[1]
        for t in range(n_listed + indptr[i + 1] - indptr[i]):
            j = lists[i, t] if t < n_listed else rows[indptr[i] + t - n_listed]
            if seen[j] == i:
                continue
            seen[j] = i
            square = squared_distance(X, scale, i, j)
            similarity = affinity_at(square, means[i], means[j], sigma, eps) * (g[i] + g[j]) / 2
            offer_similar(affinities[a], ids[a], k, similarity, j)
    sort_heaps(affinities, ids)


@kernel
def strongest_pairs(
    ids: Ints,
    start: int,
    indptr: Ints,
    indices: Ints,
    data: Floats,
    t_indptr: Ints,
    t_indices: Ints,
    t_data: Floats,
) -> None:
    """Write the largest entries of ``B B'`` of rows, the diagonal apart; -1 where there are fewer.

    ``B`` is CSR, and so is its transpose ``t``.
    """
    n, width = len(indptr) - 1, ids.shape[1]
    totals, met = np.zeros(n, np.float64), np.empty(n, np.int32)
    heap, heap_ids = np.empty(width, np.float64), np.empty(width, np.int32)
    for a in range(len(ids)):
        i = start + a
        n_met = 0
        for t in range(indptr[i], indptr[i + 1]):
            column = indices[t]
            for s in range(t_indptr[column], t_indptr[column + 1]):
                j, product = t_indices[s], data[t] * t_data[s]
                # A cell whose products are all 0 would be met again and again.
                if product > 0 and totals[j] == 0.0:
                    met[n_met] = j
                    n_met += 1
                totals[j] += product
        heap[:], heap_ids[:] = np.inf, n
        for t in range(n_met):
            j = met[t]
            if j != i:
                offer_similar(heap, heap_ids, width, totals[j], j)
            totals[j] = 0.0
        for t in range(width):
            ids[a, t] = heap_ids[t] if heap_ids[t] < n else -1


@kernel
def union_columns(
    out: Ints, starts: Int64s, indptr: Ints, indices: Ints, t_indptr: Ints, t_indices: Ints
) -> None:
    """Write the columns of ``A + A'``, row by row from ``starts`` on; columns of a row ascend."""
    for i in range(len(indptr) - 1):
        a, b = indptr[i], t_indptr[i]
        for at in range(starts[i], starts[i + 1]):
            left, right = next_of(indices, a, indptr[i + 1], t_indices, b, t_indptr[i + 1])
            out[at] = indices[a] if left else t_indices[b]
            a += left
            b += right


@kernel
def pair_affinities(
    out: Floats,
    start: int,
    stop: int,
    indptr: Int64s,
    cols: Ints,
    X: Floats,
    scale: Float64s,
    row_of: Ints,
    means: Float64s,
    g: Float64s,
    sigma: float,
    eps: float,
) -> None:
    """Write ``W_ij (g_i + g_j) / 2`` of the pairs of rows; 0 where the modality lacks a cell."""
    for i in range(start, stop):
        a = row_of[i]
        for at in range(indptr[i], indptr[i + 1]):
            b = row_of[cols[at]]
            out[at] = 0.0
            if a >= 0 and b >= 0:
                square = squared_distance(X, scale, a, b)
                out[at] = affinity_at(square, means[a], means[b], sigma, eps) * (g[a] + g[b]) / 2


@kernel
def mean_of_pairs(
    out: Floats,
    start: int,
    stop: int,
    indptr: Int64s,
    cols: Ints,
    P: Floats,
    present: Bools,
    left_out: int,
) -> None:
    """Write the mean over the modalities that have both cells of a pair, but for ``left_out``.

    Where no other has both it is the value of ``left_out``; where none has, 0.
    """
    for i in range(start, stop):
        for at in range(indptr[i], indptr[i + 1]):
            total, n = 0.0, 0
            for s in range(len(P)):
                if s != left_out and present[s, i] and present[s, cols[at]]:
                    total += P[s, at]
                    n += 1
            if n == 0 and left_out >= 0:
                out[at] = P[left_out, at]
            else:
                out[at] = total / n if n > 0 else 0.0


@kernel
def row_products(
    out: Float64s,
    start: int,
    stop: int,
    indptr: Int64s,
    cols: Ints,
    values: Floats,
    vector: Float64s,
) -> None:
    """Write the products of rows with a vector, in float64."""
    for i in range(start, stop):
        total = 0.0
        for at in range(indptr[i], indptr[i + 1]):
            total += values[at] * vector[cols[at]]
        out[i] = total


@kernel
def listed_sum(y: Float64s, j: np.uint64, indptr: Ints, indices: Ints, data: Float64s) -> float:
    """Return the product of row ``j``, a CSR matrix's, with ``y``; all positions are unsigned."""
    total = 0.0
    for t in range(indptr[j], indptr[j + np.uint64(1)]):
        total += data[t] * y[indices[t]]
    return total


@kernel
def diffused_rows(
    out: Floats,
    diagonal: Float64s,
    start: int,
    stop: int,
    indptr: Ints,
    cols: Ints,
    Q: Floats,
    s_indptr: Ints,
    s_indices: Ints,
    s_data: Float64s,
) -> None:
    """Write the entries of ``S (Q + I / 2) S'`` at the pairs of rows, and at the diagonal.

    Row by row: ``y = S_i (Q + I / 2)``, spread over all cells, then ``S_j y`` of each pair.
    Positions and columns come unsigned: checks of signs would double the time.
    """
    y = np.zeros(len(indptr) - 1, np.float64)
    one = np.uint64(1)
    for i in range(np.uint64(start), np.uint64(stop)):
        for t in range(s_indptr[i], s_indptr[i + one]):
            a, s = np.uint64(s_indices[t]), s_data[t]
            y[a] += 0.5 * s
            for at in range(indptr[a], indptr[a + one]):
                y[cols[at]] += s * Q[at]
        for at in range(indptr[i], indptr[i + one]):
            out[at] = listed_sum(y, np.uint64(cols[at]), s_indptr, s_indices, s_data)
        diagonal[i] = listed_sum(y, np.uint64(i), s_indptr, s_indices, s_data)
        for t in range(s_indptr[i], s_indptr[i + one]):
            a = np.uint64(s_indices[t])
            y[a] = 0.0
            for at in range(indptr[a], indptr[a + one]):
                y[cols[at]] = 0.0


@kernel
def scale_pairs(
    values: Floats, start: int, stop: int, indptr: Int64s, cols: Ints, g: Float64s
) -> None:
    """Multiply the values of pairs of rows by ``(g_i + g_j) / 2``."""
    for i in range(start, stop):
        for at in range(indptr[i], indptr[i + 1]):
            values[at] *= (g[i] + g[cols[at]]) / 2


@kernel
def largest_pairs(
    similarities: Float64s, ids: Ints, start: int, indptr: Int64s, cols: Ints, values: Array
) -> None:
    """Fill heaps with the largest values of pairs of rows, largest first, negated."""
    k = ids.shape[1]
    for a in range(len(ids)):
        for at in range(indptr[start + a], indptr[start + a + 1]):
            if values[at] > 0:
                offer_similar(similarities[a], ids[a], k, values[at], cols[at])
    sort_heaps(similarities, ids)
