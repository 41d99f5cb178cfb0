"""Lists of the nearest cells out of tiles of products, for an inverted-file search.

A cell's candidates go into a buffer of twice as many as are kept; when it is full, the better half
is selected, so that a candidate costs a comparison and seldom more.
"""

from __future__ import annotations

import numpy as np

from lazymu.kernels.jit import kernel
from lazymu.kernels.neighbors import RUN, replace_farthest, square_between
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
def keep_best(scores: Floats, found: Ints, sizes: Ints, n_first: int) -> None:
    """Reduce full buffers to half; their ``n_first`` best come first."""
    n_kept = scores.shape[1] // 2
    for a in range(len(sizes)):
        if sizes[a] > n_kept:
            select_best(scores[a], found[a], sizes[a], n_kept)
            sizes[a] = n_kept
        if sizes[a] > n_first:
            select_best(scores[a], found[a], sizes[a], n_first)


@kernel
def nearest_found(
    distances: Float64s,
    ids: Ints,
    found: Ints,
    sizes: Ints,
    n_first: int,
    asked: tuple[Floats, Float64s, Ints, Ints],
    stored: tuple[Floats, Float64s, Ints, Ints],
) -> None:
    """Fill heaps with the nearest of the first places found, by exact squared distances.

    ``asked`` and ``stored`` are vectors, their factors, and for each asking cell, and each place,
    its row of these and its name. A cell is not in its own list.
    """
    X, scale, rows, names = asked
    Y, other_scale, other_rows, other_names = stored
    k = ids.shape[1]
    for a in range(len(found)):
        i = rows[a]
        for t in range(min(sizes[a], n_first)):
            j, name = other_rows[found[a, t]], other_names[found[a, t]]
            if name == names[a]:
                continue
            distance = square_between(X, i, scale[i], Y, j, other_scale[j])
            if distance < distances[a, 0] or (distance == distances[a, 0] and name < ids[a, 0]):
                replace_farthest(distances[a], ids[a], k, distance, name)


@kernel
def name_found(found: Ints, scores: Floats, sizes: Ints, own: Ints, names: Ints) -> None:
    """Put the cells' names in the place of places; -1, of no score, for a cell itself and none."""
    for a in range(len(found)):
        for t in range(found.shape[1]):
            name = names[found[a, t]] if t < sizes[a] else own[a]
            if name == own[a]:
                scores[a, t] = -np.inf
                name = -1
            found[a, t] = name


@kernel
def fill_candidates(candidates: Ints, lists: Ints, names: Ints) -> None:
    """Write the cells of the lists, then the others named, each once; -1 where there are no more.

    A negative name stands for none.
    """
    width = candidates.shape[1]
    n_listed = min(lists.shape[1], width)
    for a in range(len(names)):
        candidates[a, :n_listed] = lists[a, :n_listed]
        n = n_listed
        for t in range(names.shape[1]):
            if n == width:
                break
            listed = names[a, t] < 0
            for s in range(n_listed):
                listed |= names[a, t] == lists[a, s]
            if not listed:
                candidates[a, n] = names[a, t]
                n += 1
        candidates[a, n:] = -1
