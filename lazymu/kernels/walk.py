"""Longer neighbour lists from short ones: a walk over the neighbour graph from each cell.

The graph's edges are taken both ways, so that cells in nobody's list are found as well.
"""

from __future__ import annotations

import numpy as np

from lazymu.kernels.jit import kernel
from lazymu.kernels.neighbors import squared_distance
from lazymu.typing import Bools, Float64s, Floats, Int64s, Ints

MAX_REVERSE = 64
"""Cells in whose list a cell is that the walk goes on to: some are in thousands of lists."""


@kernel
def insert_sorted(
    distances: Float64s, ids: Ints, expanded: Bools, size: int, distance: float, j: int
) -> int:
    """Insert ``(distance, j)`` into a list kept in order, its last entry falling out where full.

    ``size`` entries are there. Returns the place, or the list's length where it is too far.
    """
    k = len(ids)
    if size == k and (
        distance > distances[k - 1] or (distance == distances[k - 1] and j > ids[k - 1])
    ):
        return k
    at = min(size, k - 1)
    while at > 0 and (
        distances[at - 1] > distance or (distances[at - 1] == distance and ids[at - 1] > j)
    ):
        distances[at] = distances[at - 1]
        ids[at] = ids[at - 1]
        expanded[at] = expanded[at - 1]
        at -= 1
    distances[at] = distance
    ids[at] = j
    expanded[at] = False
    return at


@kernel
def walk(
    distances: Float64s,
    ids: Ints,
    first_row: int,
    X: Floats,
    scale: Float64s,
    lists: Ints,
    indptr: Int64s,
    rows: Ints,
) -> Int64s:
    """Fill lists of squared distances with the nearest cells that a walk from each cell meets.

    From cell ``first_row + a`` the walk goes on from the nearest cell not yet gone on from, to its
    neighbours (``lists``) and to cells that it is a neighbour of (``indptr``, ``rows``), until
    none of the ``k`` nearest found is left. Returns how many each row found.
    """
    k = ids.shape[1]
    seen = np.full(len(lists), -1, np.int32)
    expanded = np.empty(k, np.bool_)
    counts = np.zeros(len(ids), np.int64)
    for a in range(len(ids)):
        i = first_row + a
        seen[i] = a
        size, nearest, here = 0, 0, i
        while True:
            n_reverse = min(indptr[here + 1] - indptr[here], MAX_REVERSE)
            for t in range(lists.shape[1] + n_reverse):
                if t < lists.shape[1]:
                    j = lists[here, t]
                else:
                    j = rows[indptr[here] + t - lists.shape[1]]
                if seen[j] == a:
                    continue
                seen[j] = a
                distance = squared_distance(X, scale, i, j)
                at = insert_sorted(distances[a], ids[a], expanded, size, distance, j)
                if at < k:
                    size = min(size + 1, k)
                    nearest = min(nearest, at)
            while nearest < size and expanded[nearest]:
                nearest += 1
            if nearest == size:
                break
            expanded[nearest] = True
            here = ids[a, nearest]
        counts[a] = size
    return counts
