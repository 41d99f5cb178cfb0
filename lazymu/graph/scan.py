"""What cells of a cluster find when they scan other clusters, all of them or a shard's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lazymu.graph.search import Near, NeighborLists, empty_heaps
from lazymu.typing import Float64s, Floats, Int64s, Ints

SPARE = 16
"""Candidates kept beyond the neighbours wanted, whose order float32 may have wrong."""
NOBODY = np.iinfo(np.int32).max


class Stored(NamedTuple):
    """Cells of some clusters, one cluster after the other: what is scanned."""

    vectors: Floats
    """float32, shape (m, d + 1): ``f`` and ``-|f|^2 / 2``."""
    X: Floats
    scale: Float64s
    rows: Ints
    """Shape (m,): the row of ``X`` that stands in each place."""
    cells: Ints
    """Shape (m,): the cell."""
    bounds: Int64s
    """Shape (C + 1,): where each cluster begins and ends."""


class Asked(NamedTuple):
    """Cells of one cluster whose neighbours are wanted."""

    vectors: Floats
    """float32, shape (q, d + 1): ``f`` and 1."""
    X: Floats
    scale: Float64s
    rows: Ints
    """Shape (q,): each one's row of ``X``."""
    cells: Ints


class Scanned(NamedTuple):
    """What cells that ask have found so far."""

    distances: Float64s
    """Squared, shape (q, k), ascending; infinite where there are no more."""
    ids: Ints
    """int32, shape (q, k)."""
    names: Ints
    """int32, shape (q, m): cells of high scores, the lists' among them; -1 for none."""
    scores: Floats
    """float32, shape (q, m)."""


def scan(
    asked: Asked, stored: Stored, clusters: Sequence[int], k: int, n_candidates: int
) -> Scanned:
    """Return the nearest cells in some clusters of cells that ask."""
    from lazymu.kernels import inverted
    from lazymu.kernels.neighbors import sort_heaps

    n_asked, n_first = len(asked.cells), k + SPARE
    n_kept = max(n_first, n_candidates + 1)  # a cell finds itself too
    scores = np.empty((n_asked, 2 * n_kept), np.float32)
    found = np.empty(scores.shape, np.int32)
    sizes, bars = np.zeros(n_asked, np.int32), np.full(n_asked, -np.inf, np.float32)
    for cluster in clusters:
        start, stop = stored.bounds[cluster : cluster + 2].tolist()
        products = asked.vectors @ stored.vectors[start:stop].T
        inverted.offer_scores(scores, found, sizes, bars, products, start)
    inverted.keep_best(scores, found, sizes, n_first)
    distances, ids = empty_heaps(n_asked, k, NOBODY)
    inverted.nearest_found(distances, ids, found, sizes, n_first, asked[1:], stored[1:5])
    sort_heaps(distances, ids)
    inverted.name_found(found, scores, sizes, asked.cells, stored.cells)
    return Scanned(distances, ids, found[:, :n_kept], scores[:, :n_kept])


def merge(parts: Sequence[Scanned]) -> Scanned:
    """Return what the same cells found in several shards, as if they had scanned them in one."""
    arrays = zip(*parts, strict=True)
    distances, ids, names, scores = (np.concatenate(array, axis=1) for array in arrays)
    k, n_kept = parts[0].ids.shape[1], parts[0].names.shape[1]
    order = np.lexsort((ids, distances), axis=1)[:, :k]
    best = np.argpartition(-scores, n_kept - 1, axis=1)[:, :n_kept]
    return Scanned(
        *(np.take_along_axis(array, order, axis=1) for array in (distances, ids)),
        *(np.take_along_axis(array, best, axis=1) for array in (names, scores)),
    )


def chosen(found: Scanned, n_candidates: int) -> Near:
    """Return the lists, and of the rest the candidates of the highest scores."""
    from lazymu.kernels.inverted import fill_candidates

    distances, ids, names, scores = found
    if n_candidates + 1 < names.shape[1]:
        best = np.argpartition(-scores, n_candidates, axis=1)[:, : n_candidates + 1]
        names = np.take_along_axis(names, best, axis=1)
    candidates = np.empty((len(ids), n_candidates), np.int32)
    fill_candidates(candidates, ids, names)
    return Near(NeighborLists(ids, np.sqrt(distances)), candidates)
