"""Approximate Euclidean neighbours through an inverted file: each cell scans the clusters near it.

Cells are divided into some thousand clusters and stored one cluster after the other. The cells of
a cluster are compared with those of the clusters whose centres are near its own, by products of
whole tiles. How far clusters are scanned, in units of a cluster's own radius, is measured on a
sample, so that the wanted part of the neighbours is found.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np

from lazymu.errors import MemoryLimitError, explain
from lazymu.graph.search import ExactSearch, Near, NeighborLists, empty_heaps
from lazymu.settings import settings
from lazymu.stream.threads import for_row_blocks, one_native_thread
from lazymu.typing import Float64s, Floats, Int64s, Ints

RECALL = 0.99
"""Part of a sample's neighbours that must lie in the clusters scanned."""
SAMPLE_CELLS = 512
TRAINING_CELLS = 64
"""Cells a cluster that the centres are fitted to."""
TRAINING_ROUNDS = 10
LARGEST = 4
"""Clusters of more than so many times the mean size are divided into pieces of one centre."""
ASSIGNED_ROWS = 4096
TILE_ROWS = 256
SPARE = 16
"""Candidates kept beyond the neighbours wanted, whose order float32 may have wrong."""


class Partition(NamedTuple):
    """Cells in clusters."""

    centers: Floats
    """Shape (C, d)."""
    cells: Ints
    """int32, shape (n,): the cells, one cluster after the other."""
    bounds: Int64s
    """Shape (C + 1,): where each cluster begins and ends among them."""


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


def scan(asked: Asked, stored: Stored, clusters: list[int], k: int, n_candidates: int) -> Near:
    """Return the nearest cells in some clusters of cells that ask.

    Lists hold squared distances, infinite where there are no more cells; candidates -1.
    """
    from lazymu.kernels import inverted
    from lazymu.kernels.neighbors import sort_heaps

    n_asked, n_first = len(asked.cells), k + SPARE
    # A cell finds itself too.
    n_kept = max(n_first, n_candidates + 1)
    scores = np.empty((n_asked, 2 * n_kept), np.float32)
    found = np.empty(scores.shape, np.int32)
    sizes, bars = np.zeros(n_asked, np.int32), np.full(n_asked, -np.inf, np.float32)
    for cluster in clusters:
        start, stop = stored.bounds[cluster : cluster + 2].tolist()
        products = asked.vectors @ stored.vectors[start:stop].T
        inverted.offer_scores(scores, found, sizes, bars, products, start)
    inverted.keep_best(scores, found, sizes, n_first)
    distances, ids = empty_heaps(n_asked, k, np.iinfo(np.int32).max)
    inverted.nearest_found(distances, ids, found, sizes, n_first, asked[1:], stored[1:5])
    sort_heaps(distances, ids)
    candidates = np.empty((n_asked, n_candidates), np.int32)
    inverted.keep_best(scores, found, sizes, min(n_candidates + 1, n_kept))
    inverted.fill_candidates(candidates, ids, found, sizes, asked.cells, stored.cells)
    return Near(NeighborLists(ids, distances), candidates)


class InvertedSearch:
    """Approximate Euclidean neighbours of ``scale[i] * X[i]``, for its seed the same.

    Distances are computed in float64 of those that float32 products say are nearest. Memory is one
    float32 copy of ``X`` and tables of clusters, some ``4 d + 100`` bytes a cell.
    """

    def __init__(self, X: Floats, scale: Float64s, random_state: int | None) -> None:
        _require_memory(len(X), X.shape[1])
        self._X, self._scale = X, scale
        rng = np.random.default_rng(random_state)
        center, unit = _frame(X, scale)
        self._partition = partition(X, scale, center, unit, rng)
        self._place = np.empty(len(X), np.int32)
        self._place[self._partition.cells] = np.arange(len(X), dtype=np.int32)
        sizes = np.diff(self._partition.bounds)
        self._home = np.repeat(np.arange(len(sizes)), sizes)
        self._vectors = self._stored(center, unit)
        self._apart = self._separations()
        self._sample = np.sort(rng.choice(len(X), min(SAMPLE_CELLS, len(X)), replace=False))
        self._reach: dict[int, float] = {}

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
            vectors[first:last, :d] = _standard(self._X, self._scale, cells, center, unit)
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
        return Near(NeighborLists(ids, np.sqrt(distances, out=distances)), candidates)

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
        """Return what cells of one cluster find in those near it; distances are squared."""
        places = self._place[rows]
        home = self._home[places[0]]
        vectors = self._vectors[places]
        vectors[:, -1] = 1
        cells = self._partition.cells
        asked = Asked(vectors, self._X, self._scale, rows.astype(np.int32), rows.astype(np.int32))
        stored = Stored(self._vectors, self._X, self._scale, cells, cells, self._partition.bounds)
        clusters = self._scanned(home, reach, max(k, n_candidates) + 1)
        return scan(asked, stored, clusters, k, n_candidates)


def _standard(X: Floats, scale: Float64s, rows: Ints, center: Float64s, unit: float) -> Floats:
    """Return the vectors of some cells, centred and in units of the largest entry."""
    vectors = (X[rows] * scale[rows, None] - center) / unit
    return vectors.astype(np.float32)


def _frame(X: Floats, scale: Float64s) -> tuple[Float64s, float]:
    """Return the mean vector and the largest entry of a difference to it: no product overflows."""
    center = (scale @ X) / len(X)
    extremes = [
        np.abs(X[i : i + ASSIGNED_ROWS] * scale[i : i + ASSIGNED_ROWS, None] - center).max()
        for i in range(0, len(X), ASSIGNED_ROWS)
    ]
    return center, float(max(extremes)) or 1.0


def partition(
    X: Floats, scale: Float64s, center: Float64s, unit: float, rng: np.random.Generator
) -> Partition:
    """Divide cells into about ``sqrt(n)`` clusters by k-means on a sample."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    n = len(X)
    n_clusters = max(1, round(n**0.5))
    chosen = np.sort(rng.choice(n, min(n, TRAINING_CELLS * n_clusters), replace=False))
    fit = KMeans(
        n_clusters,
        init="random",
        n_init=1,
        max_iter=TRAINING_ROUNDS,
        random_state=int(rng.integers(2**31)),
    )
    with one_native_thread(), warnings.catch_warnings():
        # Equal cells can be fewer than the clusters; empty ones do no harm.
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit.fit(_standard(X, scale, chosen, center, unit))
    centers = np.asarray(fit.cluster_centers_, np.float32)
    labels = _nearest_centers(X, scale, center, unit, centers)
    return _divided(centers, labels, LARGEST * -(-n // n_clusters))


def _nearest_centers(
    X: Floats, scale: Float64s, center: Float64s, unit: float, centers: Floats
) -> Ints:
    labels = np.empty(len(X), np.int32)
    half = 0.5 * np.einsum("ij,ij->i", centers, centers)

    def assign(first: int, last: int) -> None:
        rows = np.arange(first, last)
        products = _standard(X, scale, rows, center, unit) @ centers.T
        labels[first:last] = np.argmax(np.subtract(products, half, out=products), axis=1)

    for_row_blocks(assign, 0, len(X), ASSIGNED_ROWS)
    return labels


def _divided(centers: Floats, labels: Ints, largest: int) -> Partition:
    """Return the partition of these labels, large clusters in pieces that share a centre."""
    cells = np.argsort(labels, kind="stable").astype(np.int32)
    sizes = np.bincount(labels, minlength=len(centers))
    pieces = [
        (cluster, min(largest, int(size) - start))
        for cluster, size in enumerate(sizes.tolist())
        for start in range(0, size, largest)
    ]
    owners = np.array([cluster for cluster, _ in pieces])
    bounds = np.cumsum([0, *(size for _, size in pieces)])
    return Partition(centers[owners], cells, bounds)


def inverted_bytes(n_cells: int, d: int) -> int:
    """Return the peak memory of a search: the vectors, places, homes, and tables of clusters."""
    n_clusters = n_cells**0.5
    return int(n_cells * (4 * (d + 1) + 16) + 40 * n_clusters**2)


def _require_memory(n_cells: int, d: int) -> None:
    needed = inverted_bytes(n_cells, d)
    if needed > settings.memory_limit:
        rule = f"an approximate search takes {needed:,} of {settings.memory_limit:,} bytes allowed"
        fix = f"set lazymu.settings.memory_limit to {needed:,} or more"
        raise MemoryLimitError(explain("X", f"{n_cells:,} cells", rule, fix))
