"""Ways to find the nearest cells of a run of cells: exact, exact in any metric, approximate."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np

from lazymu.errors import MemoryLimitError, explain
from lazymu.settings import settings
from lazymu.stream.threads import for_row_blocks
from lazymu.typing import Float64s, Floats, Int64s, Ints

TILE_ROWS = 128
TILE_COLS = 4096
"""A tile of products, 2 MB, and the rows that it is of stay in a core's cache."""
WALK_ROWS = 512
BLOCK_BYTES = 64 << 20
"""Bytes of a block of rows of a full distance matrix, in metrics other than the Euclidean."""


class NeighborLists(NamedTuple):
    """The nearest cells of each cell, nearest first, never the cell itself."""

    indices: Ints
    """int32, shape (n, k)."""
    distances: Float64s
    """Shape (n, k)."""


class Search(Protocol):
    """A search among the rows of an embedding."""

    def nearest(self, start: int, stop: int, k: int) -> NeighborLists:
        """Return the ``k`` nearest cells of each of the cells ``start`` to ``stop``."""


def _empty_heaps(n_rows: int, k: int, n_cells: int) -> tuple[Float64s, Ints]:
    """Return heaps of distances and ids that any cell enters."""
    return np.full((n_rows, k), np.inf), np.full((n_rows, k), n_cells, np.int32)


class ExactSearch:
    """The exact Euclidean neighbours of ``scale[i] * X[i]``.

    Tiles of float32 products say which pairs are too far; the distances of the others are
    computed in float64. Time ``O(n d)`` for a cell, memory one float32 copy of ``X``.
    """

    def __init__(self, X: Floats, scale: Float64s) -> None:
        self._X, self._scale = X, scale
        # Centred and in units of the largest entry: no product overflows, few pairs pass by error.
        mean = (scale @ X) / len(X)
        extremes = [
            np.abs(X[i : i + TILE_COLS] * scale[i : i + TILE_COLS, None] - mean).max(initial=0.0)
            for i in range(0, len(X), TILE_COLS)
        ]
        self._unit = float(max(extremes)) or 1.0
        self._vectors = np.empty(X.shape, np.float32)
        self._lengths = np.empty(len(X))
        # |f.g| is off by at most d u |f||g|, rounding to f adds 4 u (|f|^2 + |g|^2); u = 2^-24.
        slack = (X.shape[1] + 8) * 2.0**-23
        for i in range(0, len(X), TILE_COLS):
            rows = slice(i, i + TILE_COLS)
            vectors = (X[rows] * scale[rows, None] - mean) / self._unit
            self._vectors[rows] = vectors
            self._lengths[rows] = (vectors**2).sum(axis=1) * (1 - slack) - 1e-30

    def nearest(self, start: int, stop: int, k: int) -> NeighborLists:
        """Return the ``k`` nearest cells of each of the cells ``start`` to ``stop``."""
        from lazymu.kernels.neighbors import offer_products, sort_heaps

        distances, ids = _empty_heaps(stop - start, k, len(self._X))

        def search(first: int, last: int) -> None:
            mine = slice(first - start, last - start)
            for col in range(0, len(self._X), TILE_COLS):
                products = self._vectors[first:last] @ self._vectors[col : col + TILE_COLS].T
                offer_products(
                    *(distances[mine], ids[mine], products, first, col),
                    *(self._X, self._scale, self._lengths, self._unit),
                )
            sort_heaps(distances[mine], ids[mine])

        for_row_blocks(search, start, stop, TILE_ROWS)
        return NeighborLists(ids, np.sqrt(distances))


class MetricSearch:
    """The exact neighbours in any metric that scikit-learn knows, by full rows of distances."""

    def __init__(self, X: Floats, metric: str) -> None:
        self._X, self._metric = X, metric

    def nearest(self, start: int, stop: int, k: int) -> NeighborLists:
        """Return the ``k`` nearest cells of each of the cells ``start`` to ``stop``."""
        from sklearn.metrics import pairwise_distances

        from lazymu.kernels.neighbors import offer_distances, sort_heaps

        distances, ids = _empty_heaps(stop - start, k, len(self._X))
        block_rows = max(1, BLOCK_BYTES // (8 * len(self._X)))
        for first in range(start, stop, block_rows):
            last = min(first + block_rows, stop)
            matrix = pairwise_distances(self._X[first:last], self._X, metric=self._metric)
            mine = slice(first - start, last - start)
            offer_distances(distances[mine], ids[mine], matrix, first)
        sort_heaps(distances, ids)
        return NeighborLists(ids, distances)


class DescentSearch:
    """Approximate neighbours by nearest-neighbour descent (pynndescent), for its seed the same.

    Lists of ``n_built`` neighbours are built at once, and the index let go. Longer ones, Euclidean
    only, come from a walk over their graph that starts at each cell. Euclidean distances are
    computed anew in float64.
    """

    def __init__(
        self, X: Floats, scale: Float64s, metric: str, n_built: int, random_state: int | None
    ) -> None:
        from lazymu.kernels.neighbors import drop_self, order_by_distance

        self._X, self._scale = X, scale
        found, found_distances = descend(X, scale, metric, n_built, random_state)
        ids = np.zeros((len(X), n_built), np.int32)
        distances = np.zeros(ids.shape)
        counts = drop_self(distances, ids, found, found_distances)
        exact: Search = ExactSearch(X, scale) if metric == "euclidean" else MetricSearch(X, metric)
        for row in np.flatnonzero(counts < n_built).tolist():
            ids[row], distances[row] = (part[0] for part in exact.nearest(row, row + 1, n_built))
        if metric == "euclidean":
            order_by_distance(distances, ids, X, scale)
            np.sqrt(distances, out=distances)
        self._lists = NeighborLists(ids, distances)

    @cached_property
    def _reverse(self) -> tuple[Int64s, Ints]:
        from lazymu.kernels.wnn import reverse_lists

        return reverse_lists(self._lists.indices)

    def nearest(self, start: int, stop: int, k: int) -> NeighborLists:
        """Return about the ``k`` nearest cells of each of the cells ``start`` to ``stop``."""
        from lazymu.kernels.walk import walk

        lists = self._lists
        if k <= lists.indices.shape[1]:
            return NeighborLists(lists.indices[start:stop, :k], lists.distances[start:stop, :k])
        distances, ids = _empty_heaps(stop - start, k, len(self._X))
        counts = np.zeros(stop - start, np.int64)

        def search(first: int, last: int) -> None:
            mine = slice(first - start, last - start)
            indptr, rows = self._reverse
            out, cells = distances[mine], (self._X, self._scale)
            counts[mine] = walk(out, ids[mine], first, *cells, lists.indices, indptr, rows)

        for_row_blocks(search, start, stop, WALK_ROWS)
        if counts.min() < k:
            exact = ExactSearch(self._X, self._scale)
            for row in np.flatnonzero(counts < k).tolist():
                found = exact.nearest(start + row, start + row + 1, k)
                ids[row], distances[row] = found.indices[0], found.distances[0] ** 2
        return NeighborLists(ids, np.sqrt(distances))


def descent_bytes(n_cells: int, d: int, n_built: int, n_trees: int) -> int:
    """Return the peak memory of a descent: a copy of the vectors, lists, candidates and trees.

    Of each neighbour 9 bytes are its heap's, 24 those of candidates, 8 the reverse edges'; updates
    of 16,384 cells are held at a time. For 200,000 cells of 30 dimensions and 30 neighbours that is
    605 MB; the process, of some 250 MB before, peaked at 718.
    """
    degree = n_built + 1
    updates = 18 * min(degree, 60) ** 2 * min(n_cells, 16_384)
    return n_cells * (4 * d + 41 * degree + 8 * n_trees) + updates


def _require_memory(n_cells: int, d: int, n_built: int, n_trees: int) -> None:
    needed = descent_bytes(n_cells, d, n_built, n_trees)
    if needed > settings.memory_limit:
        rule = f"an approximate search takes {needed:,} of {settings.memory_limit:,} bytes allowed"
        fix = f"set lazymu.settings.memory_limit to {needed:,} or more, or search exactly"
        raise MemoryLimitError(explain("X", f"{n_cells:,} cells", rule, fix))


def descend(
    X: Floats, scale: Float64s, metric: str, n_built: int, random_state: int | None
) -> tuple[Ints, Floats]:
    """Return pynndescent's lists, shape (n, n_built + 1), with the cells themselves.

    It draws candidates by thread: in one thread, which takes little longer than two, the lists do
    not depend on the machine.

    Raises
    ------
    MemoryLimitError
        If its graph and candidates would take more than `settings.memory_limit`.
    """
    n_trees = min(64, 5 + round(len(X) ** 0.5 / 20))
    _require_memory(len(X), X.shape[1], n_built, n_trees)
    from pynndescent import NNDescent

    index = NNDescent(
        np.ascontiguousarray(X * scale[:, None], np.float32),
        metric=metric,
        n_neighbors=n_built + 1,
        n_trees=n_trees,
        n_iters=max(5, round(np.log2(len(X)))),
        random_state=random_state,
        n_jobs=1,
    )
    lists: tuple[Ints, Floats] = index.neighbor_graph
    return lists
