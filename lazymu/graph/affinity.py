"""The joint neighbours of cells: those with the largest weighted mean of kernels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from lazymu.graph.aligned import Fitted, Vectors
from lazymu.graph.bandwidth import Flavor, nearest_distances
from lazymu.graph.search import NeighborLists, empty_heaps
from lazymu.settings import settings
from lazymu.stream.cluster import workers
from lazymu.stream.plan import working_bytes
from lazymu.stream.progress import advance, reporting
from lazymu.stream.spread import over_rows
from lazymu.typing import Float64s, Ints

BLOCK_CELLS = 1 << 13
"""Cells whose candidates are held at a time, for each task that runs at a time on a cluster: 13 MB
with 200 in each of two modalities."""
THREAD_CELLS = 128
NONE = -1


def most_similar(
    fits: Sequence[Fitted], weights: Float64s, n_kept: int, flavor: Flavor
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
    flavor
        As above.

    Returns
    -------
    Shape (N, n_kept), most similar first. A cell with fewer candidates has -1 for the rest, at the
    distance of its last neighbour.
    """
    n_cells = len(weights)
    distances, ids = empty_heaps(n_cells, n_kept, n_cells)
    offsets = [
        nearest_distances(fit.lists) if flavor == "seurat" else np.zeros(len(fit.view.X))
        for fit in fits
    ]
    order = _asking_order(fits, n_cells)
    at_once = _cells_at_once(sum(fit.candidates.k for fit in fits))
    starts = range(0, n_cells, at_once)
    token = f"joint neighbours {id(ids)}"
    with reporting(token, "joint neighbours", len(starts), n_cells * n_kept):
        for start in starts:
            cells = order[start : start + at_once]
            found = over_rows(
                partial(_best, n_kept),
                (cells, _candidates(fits, cells), *_kernels(fits, cells, weights, offsets)),
                [fit.view.shared for fit in fits],
                block_rows=THREAD_CELLS,
                label="joint neighbours",
            )
            ids[cells] = np.concatenate([own for own, _ in found])
            distances[cells] = np.concatenate([own for _, own in found])
            advance(token, len(cells) * n_kept)
    return _finished(ids, distances)


def _cells_at_once(n_candidates: int) -> int:
    """Return how many cells' candidates are held: on a cluster, enough for all workers if it can.

    There they are a sixteenth of the memory limit at most, as they are in the tasks too.
    """
    crew = workers()
    if not crew.are_remote:
        return BLOCK_CELLS
    room = working_bytes(settings.memory_limit) // (16 * 4 * n_candidates)
    return max(BLOCK_CELLS, min(BLOCK_CELLS * crew.n_tasks, room))


def _asking_order(fits: Sequence[Fitted], n_cells: int) -> Ints:
    """Return all cells, those near each other in the first modality together."""
    view, candidates, _, _ = fits[0]
    first: Ints = view.cells[candidates.order]
    absent = np.flatnonzero(view.row_of < 0)
    return np.concatenate([first, absent]) if len(first) < n_cells else first


def _candidates(fits: Sequence[Fitted], cells: Ints) -> Ints:
    """Return the cells that are near each of some cells in any modality, -1 where there is none."""
    columns = []
    for view, candidates, _, _ in fits:
        rows = view.row_of[cells]
        near = np.full((len(cells), candidates.k), NONE, np.int32)
        own = candidates.read(rows[rows >= 0])
        near[rows >= 0] = np.where(own >= 0, view.cells[own], NONE)
        columns.append(near)
    return np.concatenate(columns, axis=1)


def _kernels(
    fits: Sequence[Fitted], cells: Ints, weights: Float64s, offsets: Sequence[Float64s]
) -> Sequence[Float64s]:
    """Return weights, offsets and widths of some cells, each of shape (n, M)."""
    rows = [fit.view.row_of[cells] for fit in fits]  # -1, where there is none, is not looked at
    offset = [own[at] for own, at in zip(offsets, rows, strict=True)]
    sigma = [fit.sigma[at] for fit, at in zip(fits, rows, strict=True)]
    return weights[cells], np.column_stack(offset), np.column_stack(sigma)


def _best(
    n_kept: int,
    cells: Ints,
    candidates: Ints,
    weights: Float64s,
    offsets: Float64s,
    sigma: Float64s,
    *modalities: Vectors,
) -> tuple[Ints, Float64s]:
    """Return the best candidates of some cells and their negative affinities, best first."""
    from lazymu.kernels.neighbors import sort_heaps
    from lazymu.kernels.wnn import add_affinities, drop_repeated, keep_largest

    distances, ids = empty_heaps(len(cells), n_kept, len(modalities[0].row_of))
    candidates = candidates.copy()
    drop_repeated(candidates)
    affinities = np.zeros(candidates.shape)
    for column, (X, scale, _, row_of) in enumerate(modalities):
        add_affinities(
            *(affinities, candidates, cells, X, scale, row_of),
            *(weights[:, column], offsets[:, column], sigma[:, column]),
        )
    keep_largest(distances, ids, candidates, affinities)
    sort_heaps(distances, ids)
    return ids, distances


def _finished(ids: Ints, affinities: Float64s) -> NeighborLists:
    """Return lists of distances from lists of negative affinities, absent entries marked."""
    n_found = np.isfinite(affinities).sum(axis=1)
    absent = np.arange(ids.shape[1]) >= n_found[:, None]
    distances = np.sqrt(np.clip((1 + affinities) / 2, 0, 1, where=~absent, out=affinities))
    last = distances[np.arange(len(ids)), np.maximum(n_found - 1, 0)]
    distances[absent] = np.broadcast_to(last[:, None], distances.shape)[absent]
    ids[absent] = NONE
    return NeighborLists(ids, distances)
