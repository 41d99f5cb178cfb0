"""Widths of the cells' kernels in one modality, from the neighbours that cells share."""

from __future__ import annotations

from functools import partial
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from lazymu.graph.aligned import Aligned, Vectors
from lazymu.graph.search import NeighborLists
from lazymu.stream.spread import Shared, over_rows
from lazymu.typing import Float64s, Int64s, Ints

Flavor: TypeAlias = Literal["seurat", "muon"]
BLOCK_ROWS = 1024
SMALLEST = 1e-10
"""Least bandwidth, in lengths of a typical vector: among equal cells all distances are 0."""


class Sharing(NamedTuple):
    """Which rows have which neighbours."""

    lists: Ints
    indptr: Int64s
    rows: Ints
    """The reverse lists, with their offsets."""
    offset: Float64s
    """Distance of each row's nearest neighbour."""


def bandwidths(
    view: Aligned, lists: NeighborLists, n_wanted: int, flavor: Flavor, order: Ints
) -> Float64s:
    """Return the bandwidth of each row, from the cells that share its fewest neighbours.

    Such cells are two steps away in the neighbour graph, and found by walking the lists and their
    reverse: ``O(n k^2)`` time, ``O(n)`` memory a thread, no product of n x n matrices.

    Parameters
    ----------
    view
        The embedding.
    lists
        Neighbours within it, shape (n, k).
    n_wanted
        Cells to average over.
    flavor
        The definitions differ in which cells count and what is averaged: see
        :func:`lazymu.kernels.wnn.seurat_bandwidths` and
        :func:`lazymu.kernels.wnn.muon_bandwidths`.
    order
        All rows, those near each other together: what one loads, the next finds in the cache.
    """
    from lazymu.kernels.wnn import reverse_lists

    indptr, rows = reverse_lists(lists.indices)
    sharing = Shared(Sharing(lists.indices, indptr, rows, nearest_distances(lists)))
    work = _seurat if flavor == "seurat" else _muon
    found = over_rows(
        partial(work, n_wanted=n_wanted),
        (order,),
        (view.shared, sharing),
        block_rows=BLOCK_ROWS,
        label="bandwidths",
    )
    out = np.empty(len(view.X))
    out[order] = np.concatenate(found)
    return np.maximum(out, least_bandwidth(view))


def _seurat(asked: Ints, vectors: Vectors, sharing: Sharing, *, n_wanted: int) -> Float64s:
    from lazymu.kernels.wnn import seurat_bandwidths

    out = np.zeros(len(asked))
    seurat_bandwidths(out, asked, vectors.X, vectors.scale, *sharing, n_wanted)
    return out


def _muon(asked: Ints, vectors: Vectors, sharing: Sharing, *, n_wanted: int) -> Float64s:
    from lazymu.kernels.wnn import muon_bandwidths

    out = np.zeros(len(asked))
    graph = (sharing.lists, sharing.indptr, sharing.rows)
    muon_bandwidths(out, asked, vectors.X, vectors.scale, *graph, n_wanted)
    return out


def nearest_distances(lists: NeighborLists) -> Float64s:
    """Return each row's distance to its nearest neighbour, float64 and contiguous."""
    return np.array(lists.distances[:, 0], np.float64)


def least_bandwidth(view: Aligned) -> float:
    """Return the least bandwidth that an embedding's scale allows."""
    squares = np.einsum("ij,ij->i", view.X, view.X, dtype=np.float64) * view.scale**2
    return SMALLEST * float(np.sqrt(squares.mean())) or SMALLEST
