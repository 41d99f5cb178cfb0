"""Ways to find the nearest cells of a run of cells: exact, exact in any metric, approximate."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np

from lazymu.graph.threads import for_row_blocks
from lazymu.settings import settings
from lazymu.typing import Float64s, Floats, Ints

TILE_ROWS = 128
TILE_COLS = 4096
"""A tile of products, 2 MB, and the rows that it is of stay in a core's cache."""
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
    """Approximate neighbours by nearest-neighbour descent (pynndescent).

    The lists of ``n_built`` neighbours are those of the index; longer ones are queried in it.
    Euclidean distances are computed anew in float64. A cell of which the index did not find enough
    neighbours (as among many equal cells) is searched exactly.
    """

    def __init__(
        self, X: Floats, scale: Float64s, metric: str, n_built: int, random_state: int | None
    ) -> None:
        from pynndescent import NNDescent

        self._X, self._scale, self._metric, self._n_built = X, scale, metric, n_built
        self._vectors = np.ascontiguousarray(X * scale[:, None], np.float32)
        n = len(X)
        self._index = NNDescent(
            self._vectors,
            metric=metric,
            n_neighbors=n_built + 1,
            n_trees=min(64, 5 + round(n**0.5 / 20)),
            n_iters=max(5, round(np.log2(n))),
            random_state=random_state,
            n_jobs=settings.n_threads,
            parallel_batch_queries=settings.n_threads > 1,
        )

    def nearest(self, start: int, stop: int, k: int) -> NeighborLists:
        """Return about the ``k`` nearest cells of each of the cells ``start`` to ``stop``."""
        from lazymu.kernels.neighbors import drop_self, order_by_distance

        found, found_distances = self._found(start, stop, k)
        ids = np.zeros((stop - start, k), np.int32)
        distances = np.zeros(ids.shape)
        counts = drop_self(distances, ids, found, found_distances, start)
        for row in np.flatnonzero(counts < k).tolist():
            exact = self._exact().nearest(start + row, start + row + 1, k)
            ids[row], distances[row] = exact.indices[0], exact.distances[0]
        if self._metric == "euclidean":
            order_by_distance(distances, ids, self._X, self._scale, start)
            np.sqrt(distances, out=distances)
        return NeighborLists(ids, distances)

    def _found(self, start: int, stop: int, k: int) -> tuple[Ints, Floats]:
        if k <= self._n_built:
            indices, distances = self._index.neighbor_graph
            return indices[start:stop], distances[start:stop]
        found: tuple[Any, Any] = self._index.query(self._vectors[start:stop], k + 1)
        return found

    def _exact(self) -> Search:
        if self._metric == "euclidean":
            return ExactSearch(self._X, self._scale)
        return MetricSearch(self._vectors, self._metric)
