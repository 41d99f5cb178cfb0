"""Widths of the cells' kernels in one modality, from the neighbours that cells share."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from lazymu.graph.aligned import Aligned
from lazymu.graph.search import NeighborLists
from lazymu.stream.threads import for_row_blocks
from lazymu.typing import Float64s, Ints

Flavor: TypeAlias = Literal["seurat", "muon"]
BLOCK_ROWS = 1024
SMALLEST = 1e-10
"""Least bandwidth, in lengths of a typical vector: among equal cells all distances are 0."""


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
    from lazymu.kernels.wnn import muon_bandwidths, reverse_lists, seurat_bandwidths

    out = np.zeros(len(view.X))
    indptr, rows = reverse_lists(lists.indices)
    graph = (view.X, view.scale, lists.indices, indptr, rows)
    offset = nearest_distances(lists)

    def measure(start: int, stop: int) -> None:
        if flavor == "seurat":
            seurat_bandwidths(out, start, stop, order, *graph, offset, n_wanted)
        else:
            muon_bandwidths(out, start, stop, order, *graph, n_wanted)

    for_row_blocks(measure, 0, len(out), BLOCK_ROWS)
    return np.maximum(out, least_bandwidth(view))


def nearest_distances(lists: NeighborLists) -> Float64s:
    """Return each row's distance to its nearest neighbour, float64 and contiguous."""
    return np.array(lists.distances[:, 0], np.float64)


def least_bandwidth(view: Aligned) -> float:
    """Return the least bandwidth that an embedding's scale allows."""
    squares = np.einsum("ij,ij->i", view.X, view.X, dtype=np.float64) * view.scale**2
    return SMALLEST * float(np.sqrt(squares.mean())) or SMALLEST
