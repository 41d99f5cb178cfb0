"""The joint neighbours of cells: those with the largest weighted mean of kernels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lazymu.graph.aligned import Fitted
from lazymu.graph.bandwidth import Flavor, nearest_distances
from lazymu.graph.search import NeighborLists
from lazymu.stream.progress import advance, reporting
from lazymu.stream.threads import for_row_blocks
from lazymu.typing import Float64s, Ints

BLOCK_CELLS = 4096
"""Cells whose candidates are held at a time: 20 MB with 200 in each of two modalities."""
THREAD_CELLS = 128
NONE = -1


def most_similar(
    fits: Sequence[Fitted], weights: Float64s, n_kept: int, n_candidates: int, flavor: Flavor
) -> NeighborLists:
    """Return the cells with the largest affinity to each cell, among candidates.

    ``a_ij = sum_r w^r_i exp(-max(0, |x^r_i - x^r_j| - d^r_{1i}) / sigma^r_i)``, with ``d1 = 0`` for
    muon; the distance is ``sqrt((1 - a) / 2)``.

    Parameters
    ----------
    fits
        The M modalities.
    weights
        Shape (N, M).
    n_kept
        Neighbours of each cell.
    n_candidates
        Nearest cells in each modality that are candidates.
    flavor
        As above.

    Returns
    -------
    Shape (N, n_kept), most similar first. A cell with fewer candidates has -1 for the rest, at the
    distance of its last neighbour.
    """
    n_cells = len(weights)
    ids = np.full((n_cells, n_kept), n_cells, np.int32)
    distances = np.full((n_cells, n_kept), np.inf)
    offsets = [
        nearest_distances(fit.lists) if flavor == "seurat" else np.zeros(len(fit.view.X))
        for fit in fits
    ]
    starts = range(0, n_cells, BLOCK_CELLS)
    token = f"joint neighbours {id(ids)}"
    with reporting(token, "joint neighbours", len(starts), n_cells * n_candidates):
        for start in starts:
            block = slice(start, min(start + BLOCK_CELLS, n_cells))
            candidates = _candidates(fits, block, n_candidates)
            _keep_best(ids[block], distances[block], candidates, fits, offsets, weights, start)
            advance(token, (block.stop - block.start) * n_candidates)
    return _finished(ids, distances)


def _candidates(fits: Sequence[Fitted], block: slice, n_candidates: int) -> Ints:
    """Return the cells that are near each of some cells in any modality, once each, else -1."""
    columns = []
    for view, search, _, _ in fits:
        start, stop = np.searchsorted(view.cells, (block.start, block.stop))
        k = min(n_candidates, len(view.X) - 1)
        near = np.full((block.stop - block.start, k), NONE, np.int32)
        found = search.nearest(int(start), int(stop), k).indices
        near[view.cells[start:stop] - block.start] = view.cells[found]
        columns.append(near)
    candidates = np.sort(np.concatenate(columns, axis=1), axis=1)
    repeated = candidates[:, 1:] == candidates[:, :-1]
    candidates[:, 1:][repeated] = NONE
    return candidates


def _keep_best(
    ids: Ints,
    distances: Float64s,
    candidates: Ints,
    fits: Sequence[Fitted],
    offsets: Sequence[Float64s],
    weights: Float64s,
    first_cell: int,
) -> None:
    """Fill a block's lists, of ids and negative affinities, with its best candidates."""
    from lazymu.kernels.neighbors import sort_heaps
    from lazymu.kernels.wnn import add_affinities, keep_largest

    affinities = np.zeros(candidates.shape)

    def work(start: int, stop: int) -> None:
        for column, (view, _, _, sigma) in enumerate(fits):
            add_affinities(
                *(affinities, start, stop, candidates, first_cell),
                *(view.X, view.scale, view.row_of),
                *(weights[:, column], offsets[column], sigma),
            )
        keep_largest(distances, ids, start, stop, candidates, affinities)
        sort_heaps(distances[start:stop], ids[start:stop])

    for_row_blocks(work, 0, len(candidates), THREAD_CELLS)


def _finished(ids: Ints, affinities: Float64s) -> NeighborLists:
    """Return lists of distances from lists of negative affinities, absent entries marked."""
    n_found = np.isfinite(affinities).sum(axis=1)
    absent = np.arange(ids.shape[1]) >= n_found[:, None]
    distances = np.sqrt(np.clip((1 + affinities) / 2, 0, 1, where=~absent, out=affinities))
    last = distances[np.arange(len(ids)), np.maximum(n_found - 1, 0)]
    distances[absent] = np.broadcast_to(last[:, None], distances.shape)[absent]
    ids[absent] = NONE
    return NeighborLists(ids, distances)
