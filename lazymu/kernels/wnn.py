"""Weighted nearest neighbours: shared-neighbour bandwidths, predictions, affinities.

The loops of Seurat's and muon's methods over runs of cells. A modality's cells stand in the order
of all cells; ``row_of[c]`` is the modality's row of cell ``c``, -1 where it has none, and
``cells[i]`` the cell of its row ``i``. Row ``i`` is the vector ``scale[i] * X[i]``.

Sources: Hao et al. 2021, https://doi.org/10.1016/j.cell.2021.04.048; Swanson et al. 2021,
https://doi.org/10.7554/eLife.63632.
"""

from __future__ import annotations

import numpy as np

from lazymu.kernels.jit import kernel
from lazymu.kernels.neighbors import replace_farthest, squared_distance
from lazymu.kernels.top import select_largest
from lazymu.typing import Float64s, Floats, Int64s, Ints


@kernel
def reverse_lists(lists: Ints) -> tuple[Int64s, Ints]:
    """Return ``indptr`` and ``rows``: the rows in whose lists each row is, ascending.

    A negative entry stands for none.
    """
    indptr = np.zeros(len(lists) + 1, np.int64)
    for i in range(len(lists)):
        for t in range(lists.shape[1]):
            if lists[i, t] >= 0:
                indptr[lists[i, t] + 1] += 1
    for i in range(len(lists)):
        indptr[i + 1] += indptr[i]
    ends = indptr[:-1].copy()
    rows = np.empty(indptr[-1], lists.dtype)
    for i in range(len(lists)):
        for t in range(lists.shape[1]):
            j = lists[i, t]
            if j >= 0:
                rows[ends[j]] = i
                ends[j] += 1
    return indptr, rows


@kernel
def count_shared(
    counts: Ints, met: Ints, i: int, lists: Ints, indptr: Int64s, rows: Ints, n_self: int
) -> int:
    """Count the neighbours that each row shares with row ``i``, by way of each neighbour.

    ``counts`` comes all 0. The rows met are put into ``met`` and their number returned. With
    ``n_self = 1`` every row counts as its own neighbour too, with 0 it does not.
    """
    n = 0
    k = lists.shape[1]
    for t in range(k + n_self):
        j = lists[i, t] if t < k else i
        if j < 0:
            continue
        for s in range(indptr[j], indptr[j + 1] + n_self):
            m = rows[s] if s < indptr[j + 1] else j
            if counts[m] == 0:
                met[n] = m
                n += 1
            counts[m] += 1
    return n


@kernel
def fewest_shared(tally: Int64s, counts: Ints, met: Ints, n_met: int, n_wanted: int) -> int:
    """Return the least ``limit`` such that ``n_wanted`` rows met share at most that many.

    Where fewer rows were met it is the largest number there can be, ``len(tally) - 1``.
    """
    tally[:] = 0
    for t in range(n_met):
        # More than there can be only where a list names a row twice.
        tally[min(counts[met[t]], len(tally) - 1)] += 1
    total = 0
    for shared in range(1, len(tally)):
        total += tally[shared]
        if total >= n_wanted:
            return shared
    return len(tally) - 1


@kernel
def seurat_bandwidths(
    out: Float64s,
    asked: Ints,
    X: Floats,
    scale: Float64s,
    lists: Ints,
    indptr: Int64s,
    rows: Ints,
    offset: Float64s,
    n_wanted: int,
) -> None:
    """Write the bandwidths of the rows ``asked`` as Seurat defines them.

    A row is its own neighbour. Of the rows with the least Jaccard index above 0 (it ascends with
    the number of shared neighbours, all lists being equally long), ``n_wanted`` and every tie with
    the last: the mean of the ``n_wanted`` largest ``max(0, distance - offset[i])``.
    """
    n, k = lists.shape
    counts, met = np.zeros(n, np.int32), np.empty(n, np.int32)
    tally, excess = np.empty(k + 2, np.int64), np.empty(n, np.float64)
    for at in range(len(asked)):
        i = asked[at]
        n_met = count_shared(counts, met, i, lists, indptr, rows, 1)
        limit = fewest_shared(tally, counts, met, n_met, n_wanted)
        n_taken = 0
        for t in range(n_met):
            m = met[t]
            if counts[m] <= limit:
                distance = np.sqrt(squared_distance(X, scale, i, m))
                excess[n_taken] = max(0.0, distance - offset[i])
                n_taken += 1
            counts[m] = 0
        n_kept = min(n_wanted, n_taken)
        select_largest(excess, n_taken, n_kept)
        total = 0.0
        for t in range(n_kept):
            total += excess[t]
        out[at] = total / n_kept


@kernel
def muon_bandwidths(
    out: Float64s,
    asked: Ints,
    X: Floats,
    scale: Float64s,
    lists: Ints,
    indptr: Int64s,
    rows: Ints,
    n_wanted: int,
) -> None:
    """Write the bandwidths of the rows ``asked`` as muon means them.

    A row is no neighbour of its own. The mean distance of the ``n_wanted`` others with the least
    Jaccard index above 0, of equal ones the farthest; 0 where no other shares a neighbour.
    """
    n, k = lists.shape
    counts, met = np.zeros(n, np.int32), np.empty(n, np.int32)
    tally, tied = np.empty(k + 1, np.int64), np.empty(n, np.float64)
    for at in range(len(asked)):
        i = asked[at]
        n_met = count_shared(counts, met, i, lists, indptr, rows, 0)
        # Row i shares all its neighbours with itself, and is not meant.
        counts[i] = 0
        limit = fewest_shared(tally, counts, met, n_met, n_wanted)
        total, n_less, n_tied = 0.0, 0, 0
        for t in range(n_met):
            m = met[t]
            if m != i and counts[m] <= limit:
                distance = np.sqrt(squared_distance(X, scale, i, m))
                if counts[m] == limit:
                    tied[n_tied] = distance
                    n_tied += 1
                else:
                    total += distance
                    n_less += 1
            counts[m] = 0
        n_kept = min(n_wanted - n_less, n_tied)
        select_largest(tied, n_tied, n_kept)
        for t in range(n_kept):
            total += tied[t]
        out[at] = total / max(1, n_less + n_kept)


@kernel
def prediction_errors(
    out: Float64s,
    asked: Ints,
    lists: Ints,
    X: Floats,
    scale: Float64s,
    row_of: Ints,
    cells: Ints,
) -> None:
    """Write ``|x_c - p_c|`` of the cells ``asked``, ``p_c`` the mean of ``X`` over their lists.

    The lists are of rows of a second modality, ``cells`` the cells of its rows. Neighbours without
    a row in ``X`` are left out of the mean; cells without a row, or without such neighbours, keep
    their value.
    """
    d = X.shape[1]
    mean = np.empty(d, np.float64)
    for at in range(len(asked)):
        i = row_of[asked[at]]
        if i < 0:
            continue
        mean[:] = 0.0
        n = 0
        for t in range(lists.shape[1]):
            j = row_of[cells[lists[at, t]]]
            if j >= 0:
                n += 1
                for c in range(d):
                    mean[c] += scale[j] * X[j, c]
        if n > 0:
            total = 0.0
            for c in range(d):
                total += (scale[i] * X[i, c] - mean[c] / n) ** 2
            out[at] = np.sqrt(total)


@kernel
def drop_repeated(candidates: Ints) -> None:
    """Put -1 in the place of a cell that stands in its row before."""
    size = 16
    while size < 2 * candidates.shape[1]:
        size *= 2
    # An open-addressed table of the row's cells; Knuth's multiplier spreads runs of numbers.
    table, mask = np.empty(size, candidates.dtype), size - 1
    for a in range(len(candidates)):
        table[:] = -1
        for b in range(candidates.shape[1]):
            j = candidates[a, b]
            if j < 0:
                continue
            at = (np.int64(j) * 2654435761 >> 16) & mask
            while table[at] >= 0 and table[at] != j:
                at = (at + 1) & mask
            if table[at] == j:
                candidates[a, b] = -1
            else:
                table[at] = j


@kernel
def add_affinities(
    affinities: Float64s,
    candidates: Ints,
    cells: Ints,
    X: Floats,
    scale: Float64s,
    row_of: Ints,
    weight: Float64s,
    offset: Float64s,
    sigma: Float64s,
) -> None:
    """Add ``w_i exp(-max(0, d_ij - offset_i) / sigma_i)`` of one modality to pairs of cells.

    ``candidates`` holds a row of cells for each of ``cells``, negative for none; ``weight``,
    ``offset`` and ``sigma`` are theirs. Cells without a row add nothing.
    """
    squares = np.empty(candidates.shape[1])
    for a in range(len(cells)):
        i = row_of[cells[a]]
        if i < 0:
            continue
        # Distances first: loads of several rows are then under way at once.
        for b in range(candidates.shape[1]):
            j = row_of[candidates[a, b]] if candidates[a, b] >= 0 else -1
            squares[b] = squared_distance(X, scale, i, j) if j >= 0 else np.inf
        for b in range(candidates.shape[1]):
            excess = max(0.0, np.sqrt(squares[b]) - offset[a])
            affinities[a, b] += weight[a] * np.exp(-excess / sigma[a])


@kernel
def keep_largest(distances: Float64s, ids: Ints, candidates: Ints, affinities: Float64s) -> None:
    """Fill heaps with the candidates of the largest affinities.

    The heaps hold ``-affinity`` in place of a distance, so that equal ones are ordered by cell.
    """
    k = ids.shape[1]
    for a in range(len(candidates)):
        for b in range(candidates.shape[1]):
            j, distance = candidates[a, b], -affinities[a, b]
            if j >= 0 and (
                distance < distances[a, 0] or (distance == distances[a, 0] and j < ids[a, 0])
            ):
                replace_farthest(distances[a], ids[a], k, distance, j)


@kernel
def jaccard_rows(
    asked: Ints,
    lists: Ints,
    sizes: Ints,
    indptr: Int64s,
    rows: Ints,
    least: float,
    lengths: Int64s,
    columns: Ints,
    values: Floats,
) -> int:
    """Write the Jaccard indices of the lists of the rows ``asked``; return their number.

    ``o / (k_i + k_m - o)`` of every row ``m`` that shares ``o`` neighbours, ``i`` itself included,
    where it is at least ``least``; ``sizes`` holds ``k``, and ``lengths`` takes how many indices
    each row asked has. What does not fit is counted alone.
    """
    n = len(lists)
    counts, met = np.zeros(n, np.int32), np.empty(n, np.int32)
    at = 0
    for number in range(len(asked)):
        i = asked[number]
        n_met = count_shared(counts, met, i, lists, indptr, rows, 0)
        before = at
        met[:n_met].sort()
        for t in range(n_met):
            m = met[t]
            index = counts[m] / (sizes[i] + sizes[m] - counts[m])
            counts[m] = 0
            if index >= least:
                if at < len(values):
                    columns[at], values[at] = m, index
                at += 1
        lengths[number] = at - before
    return at
