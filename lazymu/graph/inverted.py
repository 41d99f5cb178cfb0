"""Approximate Euclidean neighbours through an inverted file: each cell scans the clusters near it.

Cells are divided into some thousand clusters and stored one cluster after the other. The cells of
a cluster are compared with those of the clusters whose centres are near its own, by products of
whole tiles. How far clusters are scanned, in units of a cluster's own radius, is measured on a
sample, so that the wanted part of the neighbours is found.
"""

from __future__ import annotations

import numpy as np

from lazymu.errors import MemoryLimitError, explain
from lazymu.graph.partition import ASSIGNED_ROWS, frame, partition, standardized
from lazymu.graph.scan import Asked, Stored, chosen, scan
from lazymu.graph.search import ExactSearch, Near, NeighborLists, Search
from lazymu.settings import settings
from lazymu.stream.threads import for_row_blocks
from lazymu.typing import Float64s, Floats, Ints

RECALL = 0.99
"""Part of a sample's neighbours that must lie in the clusters scanned."""
SAMPLE_CELLS = 512
TILE_ROWS = 256


class InvertedSearch(Search):
    """Approximate Euclidean neighbours of ``scale[i] * X[i]``, for its seed the same.

    Distances are computed in float64 of those that float32 products say are nearest. Memory is one
    float32 copy of ``X`` and tables of clusters, some ``4 d + 100`` bytes a cell.
    """

    def __init__(self, X: Floats, scale: Float64s, random_state: int | None) -> None:
        _require_memory(len(X), self.n_bytes(X))
        self._X, self._scale = X, scale
        rng = np.random.default_rng(random_state)
        center, unit = frame(X, scale)
        self._partition = partition(X, scale, center, unit, rng)
        self._place = np.empty(len(X), np.int32)
        self._place[self._partition.cells] = np.arange(len(X), dtype=np.int32)
        sizes = np.diff(self._partition.bounds)
        self._home = np.repeat(np.arange(len(sizes)), sizes)
        self._vectors = self._stored(center, unit)
        self._apart = self._separations()
        self._sample = np.sort(rng.choice(len(X), min(SAMPLE_CELLS, len(X)), replace=False))
        self._reach: dict[int, float] = {}

    @staticmethod
    def n_bytes(X: Floats) -> int:
        """Return the peak memory of a search: vectors, places, homes, and tables of clusters."""
        n_cells, d = len(X), X.shape[1]
        return int(n_cells * (4 * (d + 1) + 56))

    @property
    def order(self) -> Ints:
        """The cells in the order in which they are best asked for."""
        return self._partition.cells

    def _stored(self, center: Float64s, unit: float) -> Floats:
        """Return the vectors ``f`` in the order of clusters, with ``-|f|^2 / 2`` as last column.

        Their product with ``(f_i, 1)`` is the higher the nearer they are.
        """
        n, d = self._X.shape
        vectors = np.empty((n, d + 1), np.float32)

        def fill(first: int, last: int) -> None:
            cells = self._partition.cells[first:last]
            vectors[first:last, :d] = standardized(self._X, self._scale, cells, center, unit)
            part = vectors[first:last, :d]
            vectors[first:last, d] = -0.5 * np.einsum("ij,ij->i", part, part)

        for_row_blocks(fill, 0, n, ASSIGNED_ROWS)
        return vectors

    def _separations(self) -> Float64s:
        """Return how far each cluster's centre is from each other's, (C, C).

        Squared distances over the first cluster's mean square distance from its own centre, and
        below 0 for the cluster itself.
        """
        centers = self._partition.centers.astype(np.float64)
        squares = np.einsum("ij,ij->i", centers, centers)
        apart = np.maximum(squares[:, None] + squares - 2 * centers @ centers.T, 0)
        # The mean of -|f|^2 / 2 less that of the mean vector's.
        bounds = self._partition.bounds
        radii = -2 * np.add.reduceat(self._vectors[:, -1], bounds[:-1], dtype=np.float64)
        radii = np.maximum(radii / np.diff(bounds) - squares, 1e-12)
        np.fill_diagonal(apart, -np.inf)
        scaled: Float64s = apart / radii[:, None]
        return scaled

    def reach(self, k: int) -> float:
        """Return up to which separation clusters are scanned for ``k`` neighbours."""
        if k not in self._reach:
            nearest = ExactSearch(self._X, self._scale).nearest(self._sample, k).indices
            homes, clusters = (
                self._home[self._place[self._sample]],
                self._home[self._place[nearest]],
            )
            needed = self._apart[homes[:, None], clusters]
            self._reach[k] = float(np.quantile(needed, RECALL, method="higher"))
        return self._reach[k]

    def nearest(self, rows: Ints, k: int) -> NeighborLists:
        """Return about the ``k`` nearest cells of each of the cells ``rows``."""
        return self.near(rows, k, 0).lists

    def near(self, rows: Ints, k: int, n_candidates: int) -> Near:
        """Return about the ``k`` nearest cells of each of the cells ``rows``, and candidates.

        Those beyond the first ``k`` are chosen by float32 products alone.
        """
        reach = self.reach(max(k, n_candidates))
        distances, ids = np.empty((len(rows), k)), np.empty((len(rows), k), np.int32)
        candidates = np.empty((len(rows), n_candidates), np.int32)
        by_place = np.argsort(self._place[rows], kind="stable")
        groups = self._groups(self._place[rows[by_place]])

        def search(first: int, last: int) -> None:
            for start, stop in groups[first:last]:
                out = by_place[start:stop]
                found = self._scan(rows[out], k, n_candidates, reach)
                (ids[out], distances[out]), candidates[out] = found

        for_row_blocks(search, 0, len(groups), 1)
        return Near(NeighborLists(ids, distances), candidates)

    def _groups(self, places: Ints) -> list[tuple[int, int]]:
        """Return the runs of sorted places that lie in one cluster, none longer than a tile."""
        ends = np.searchsorted(places, self._partition.bounds)
        return [
            (start, min(start + TILE_ROWS, int(ends[c + 1])))
            for c in np.flatnonzero(np.diff(ends)).tolist()
            for start in range(int(ends[c]), int(ends[c + 1]), TILE_ROWS)
        ]

    def _scanned(self, home: int, reach: float, n_wanted: int) -> list[int]:
        """Return the clusters to scan from one, nearest first; they hold ``n_wanted`` cells."""
        order = np.argsort(self._apart[home], kind="stable")
        n_cells = np.cumsum(np.diff(self._partition.bounds)[order])
        n_near = np.searchsorted(self._apart[home, order], reach, side="right")
        n_enough = np.searchsorted(n_cells, min(n_wanted, n_cells[-1])) + 1
        nearest: list[int] = order[: max(n_near, n_enough)].tolist()
        return nearest

    def _scan(self, rows: Ints, k: int, n_candidates: int, reach: float) -> Near:
        """Return what cells of one cluster find in those near it."""
        home = int(self._home[self._place[rows[0]]])
        stored = Stored(
            *(self._vectors, self._X, self._scale),
            *(self._partition.cells, self._partition.cells, self._partition.bounds),
        )
        clusters = self._scanned(home, reach, max(k, n_candidates) + 1)
        found = scan(self._asked(rows), stored, clusters, k, n_candidates)
        return chosen(found, n_candidates)

    def _asked(self, rows: Ints) -> Asked:
        vectors = self._vectors[self._place[rows]]
        vectors[:, -1] = 1
        names = rows.astype(np.int32)
        return Asked(vectors, self._X, self._scale, names, names)


def _require_memory(n_cells: int, needed: int) -> None:
    if needed > settings.memory_limit:
        rule = f"an approximate search takes {needed:,} of {settings.memory_limit:,} bytes allowed"
        fix = f"set lazymu.settings.memory_limit to {needed:,} or more"
        raise MemoryLimitError(explain("X", f"{n_cells:,} cells", rule, fix))
