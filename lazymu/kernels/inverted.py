"""Lists of the nearest cells out of tiles of products, for an inverted-file search.

A cell's candidates go into a buffer of twice as many as are kept; when it is full, the better half
is selected, so that a candidate costs a comparison and seldom more.
"""

from __future__ import annotations

from lazymu.kernels.jit import kernel
from lazymu.kernels.neighbors import RUN, replace_farthest, squared_distance
from lazymu.kernels.panels import any_above
from lazymu.typing import Float64s, Floats, Ints


@kernel
def select_best(scores: Floats, ids: Ints, n: int, k: int) -> None:
    """Reorder the first ``n`` pairs so that the ``k`` of highest score come first (quickselect)."""
    low, high = 0, n - 1
    while low < high:
        pivot = scores[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while scores[i] > pivot:
                i += 1
            while scores[j] < pivot:
                j -= 1
            if i <= j:
                scores[i], scores[j] = scores[j], scores[i]
                ids[i], ids[j] = ids[j], ids[i]
                i += 1
                j -= 1
        if k - 1 <= j:
            high = j
        elif k - 1 >= i:
            low = i
        else:
            return


@kernel
def offer_scores(
    scores: Floats, ids: Ints, sizes: Ints, bars: Floats, products: Floats, first: int
) -> None:
    """Offer cells ``first`` and on, the columns of a tile of scores, to the buffers of its rows.

    Buffers hold ``sizes`` pairs each; a score that is not above the row's bar is passed over.
    """
    capacity = scores.shape[1]
    n_kept = capacity // 2
    for a in range(products.shape[0]):
        bar, size = bars[a], sizes[a]
        for run in range(0, products.shape[1], RUN):
            stop = min(run + RUN, products.shape[1])
            if stop == run + RUN and not any_above(products, a, run, RUN, bar):
                continue
            for b in range(run, stop):
                if products[a, b] > bar:
                    scores[a, size] = products[a, b]
                    ids[a, size] = first + b
                    size += 1
                    if size == capacity:
                        select_best(scores[a], ids[a], size, n_kept)
                        size = n_kept
                        bar = scores[a, :n_kept].min()
        bars[a], sizes[a] = bar, size


@kernel
def finish_lists(
    distances: Float64s,
    ids: Ints,
    rows: Ints,
    scores: Floats,
    found: Ints,
    sizes: Ints,
    cells: Ints,
    X: Floats,
    scale: Float64s,
) -> None:
    """Fill the heaps of cells ``rows`` with the best of their buffers, by exact squared distances.

    ``found`` holds places; ``cells`` are the cells that stand there. A cell is not in its own list.
    """
    k = ids.shape[1]
    n_kept = scores.shape[1] // 2
    for a in range(len(rows)):
        n = sizes[a]
        if n > n_kept:
            select_best(scores[a], found[a], n, n_kept)
            n = n_kept
        for t in range(n):
            j = cells[found[a, t]]
            if j == rows[a]:
                continue
            distance = squared_distance(X, scale, rows[a], j)
            if distance < distances[a, 0] or (distance == distances[a, 0] and j < ids[a, 0]):
                replace_farthest(distances[a], ids[a], k, distance, j)
