"""Ways to find the nearest cells of a run of cells: exact, exact in any metric, approximate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np

from lazymu.errors import MemoryLimitError, explain
from lazymu.settings import settings
from lazymu.stream.threads import for_row_blocks
from lazymu.typing import Float64s, Floats, Ints

BLOCK_CELLS = 1 << 14
"""Cells that are asked for at a time."""
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


class Near(NamedTuple):
    """The nearest cells of some cells, in order, and more cells that are near."""

    lists: NeighborLists
    candidates: Ints
    """int32, with those of the lists, in no order."""


class Search(Protocol):
    """A search among the rows of an embedding."""

    @property
    def order(self) -> Ints:
        """All cells in the order in which they are best asked for."""

    def nearest(self, rows: Ints, k: int) -> NeighborLists:
        """Return the ``k`` nearest cells of each of the cells ``rows``."""

    def blocks(self) -> Iterator[Ints]:
        """Yield all cells, so many as are asked for at a time."""
        for start in range(0, len(self.order), BLOCK_CELLS):
            yield self.order[start : start + BLOCK_CELLS]

    def near(self, rows: Ints, k: int, n_candidates: int) -> Near:
        """Return the ``k`` nearest cells of each of the cells ``rows``, and candidates."""
        found = self.nearest(rows, max(k, n_candidates))
        lists = NeighborLists(found.indices[:, :k], found.distances[:, :k])
        return Near(lists, found.indices[:, :n_candidates])


def empty_heaps(n_rows: int, k: int, n_cells: int) -> tuple[Float64s, Ints]:
    """Return heaps of distances and ids that any cell enters."""
    return np.full((n_rows, k), np.inf), np.full((n_rows, k), n_cells, np.int32)


class ExactSearch(Search):
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
        # Vectors and, as last column, -length / 2: one product gives what is compared.
        self._vectors = np.empty((len(X), X.shape[1] + 1), np.float32)
        self._lengths = np.empty(len(X))
        # With u = 2^-24, |f.g - |g|^2 / 2| is off by at most (d + 1) u (|f||g| + |g|^2 / 2), and
        # rounding to f adds 2 u (|f|^2 + |g|^2).
        slack = (X.shape[1] + 8) * 2.0**-23
        for i in range(0, len(X), TILE_COLS):
            rows = slice(i, i + TILE_COLS)
            vectors = (X[rows] * scale[rows, None] - mean) / self._unit
            self._vectors[rows, :-1] = vectors
            self._lengths[rows] = (vectors**2).sum(axis=1) * (1 - slack) - 1e-30
            self._vectors[rows, -1] = -0.5 * self._lengths[rows]

    @property
    def order(self) -> Ints:
        """The cells as they stand."""
        return np.arange(len(self._X))

    def nearest(self, rows: Ints, k: int) -> NeighborLists:
        """Return the ``k`` nearest cells of each of the cells ``rows``."""
        from lazymu.kernels.neighbors import offer_products, sort_heaps

        distances, ids = empty_heaps(len(rows), k, len(self._X))

        def search(first: int, last: int) -> None:
            mine, asked = slice(first, last), rows[first:last]
            vectors = self._vectors[asked]
            vectors[:, -1] = 1
            for col in range(0, len(self._X), TILE_COLS):
                products = vectors @ self._vectors[col : col + TILE_COLS].T
                offer_products(
                    *(distances[mine], ids[mine], products, asked, col),
                    *(self._X, self._scale, self._lengths, self._unit),
                )
            sort_heaps(distances[mine], ids[mine])

        for_row_blocks(search, 0, len(rows), TILE_ROWS)
        return NeighborLists(ids, np.sqrt(distances))


class MetricSearch(Search):
    """The exact neighbours in any metric that scikit-learn knows, by full rows of distances."""

    def __init__(self, X: Floats, metric: str) -> None:
        self._X, self._metric = X, metric

    @property
    def order(self) -> Ints:
        """The cells as they stand."""
        return np.arange(len(self._X))

    def nearest(self, rows: Ints, k: int) -> NeighborLists:
        """Return the ``k`` nearest cells of each of the cells ``rows``."""
        from sklearn.metrics import pairwise_distances

        from lazymu.kernels.neighbors import offer_distances, sort_heaps

        distances, ids = empty_heaps(len(rows), k, len(self._X))
        block_rows = max(1, BLOCK_BYTES // (8 * len(self._X)))
        for first in range(0, len(rows), block_rows):
            asked = rows[first : first + block_rows]
            matrix = pairwise_distances(self._X[asked], self._X, metric=self._metric)
            mine = slice(first, first + len(asked))
            offer_distances(distances[mine], ids[mine], matrix, asked)
        sort_heaps(distances, ids)
        return NeighborLists(ids, distances)


class DescentSearch(Search):
    """Approximate neighbours by nearest-neighbour descent (pynndescent), for its seed the same.

    Lists of ``n_built`` neighbours, the most that can be asked for, are built at once, and the
    index let go. Euclidean distances are computed anew in float64.
    """

    def __init__(
        self, X: Floats, scale: Float64s, metric: str, n_built: int, random_state: int | None
    ) -> None:
        from lazymu.kernels.neighbors import drop_self, order_by_distance

        found, found_distances = descend(X, scale, metric, n_built, random_state)
        ids = np.zeros((len(X), n_built), np.int32)
        distances = np.zeros(ids.shape)
        counts = drop_self(distances, ids, found, found_distances)
        exact: Search = ExactSearch(X, scale) if metric == "euclidean" else MetricSearch(X, metric)
        short = np.flatnonzero(counts < n_built)
        ids[short], distances[short] = exact.nearest(short, n_built)
        if metric == "euclidean":
            order_by_distance(distances, ids, X, scale)
            np.sqrt(distances, out=distances)
        self._lists = NeighborLists(ids, distances)

    @property
    def order(self) -> Ints:
        """The cells as they stand."""
        return np.arange(len(self._lists.indices))

    def nearest(self, rows: Ints, k: int) -> NeighborLists:
        """Return about the ``k`` nearest cells of each of the cells ``rows``."""
        indices, distances = self._lists
        return NeighborLists(indices[rows, :k], distances[rows, :k])


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
