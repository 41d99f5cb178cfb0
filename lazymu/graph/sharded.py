"""The inverted-file search on a cluster: shards of neighbouring clusters, asked by Dask tasks.

Each shard is a run of clusters side by side, a worker's own. The cells of a shard ask those shards
alone in which they scan a cluster; what a cell finds in several is merged on a worker too. Lists
are those of :class:`lazymu.graph.inverted.InvertedSearch`, and only they come back.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from lazymu.graph.inverted import InvertedSearch
from lazymu.graph.scan import NOBODY, Asked, Scanned, Stored, chosen, merge, scan
from lazymu.graph.search import BLOCK_CELLS, Near, NeighborLists
from lazymu.stream.cluster import workers
from lazymu.stream.compute import held, recovering, task
from lazymu.typing import Float64s, Floats, Ints

SHARDS_PER_TASK_SLOT = 2
"""Shards for each task that runs at a time: who is done early takes another."""
SMALLEST_SHARD = 2048
"""Cells at least of a shard: of fewer, sending takes longer than scanning."""


class Group(NamedTuple):
    """Cells of one cluster, and what they scan in one shard."""

    first: int
    last: int
    """Where they stand among the cells that ask."""
    clusters: list[int]
    """Counted within the shard."""


class ShardedSearch(InvertedSearch):
    """Approximate Euclidean neighbours of ``scale[i] * X[i]``, found by the tasks of a cluster.

    Memory here is that of the inverted file and one more copy of ``X``; a worker's, of its shards,
    ``4 d`` bytes a cell and the rows of ``X``. Shards that are lost with a worker are sent again.
    """

    def __init__(self, X: Floats, scale: Float64s, random_state: int | None) -> None:
        super().__init__(X, scale, random_state)
        bounds = self._partition.bounds
        n_shards = SHARDS_PER_TASK_SLOT * workers().n_tasks
        n_shards = max(1, min(n_shards, len(X) // SMALLEST_SHARD, len(bounds) - 1))
        marks = np.linspace(0, len(X), n_shards + 1)
        self._edges = np.unique(np.searchsorted(bounds, marks))
        """The clusters at which shards begin and end."""
        self._shards: list[Any] = []
        self._send()

    @staticmethod
    def n_bytes(X: Floats) -> int:
        """Return the memory that a search takes at its peak: ``X`` once more, by shards."""
        return InvertedSearch.n_bytes(X) + X.nbytes

    def _send(self) -> None:
        """Give the workers their shards, anew where one was lost with its worker."""
        edges = self._edges.tolist()
        self._shards = held([self._shard(*ends) for ends in itertools.pairwise(edges)])

    def _shard(self, first: int, last: int) -> Stored:
        bounds = self._partition.bounds[first : last + 1]
        places = slice(int(bounds[0]), int(bounds[-1]))
        cells = self._partition.cells[places]
        rows = np.arange(len(cells), dtype=np.int32)
        scale = self._scale[cells]
        return Stored(self._vectors[places], self._X[cells], scale, rows, cells, bounds - bounds[0])

    def blocks(self) -> Iterator[Ints]:
        """Yield the cells, some of every shard at a time, so that all workers are asked."""
        n_blocks = -(-len(self._X) // (BLOCK_CELLS * workers().n_tasks))
        ends = self._partition.bounds[self._edges]
        shards = np.split(self._partition.cells, ends[1:-1])
        parts = [np.array_split(cells, n_blocks) for cells in shards]
        for block in zip(*parts, strict=True):
            yield np.concatenate(block)

    def near(self, rows: Ints, k: int, n_candidates: int) -> Near:
        """Return about the ``k`` nearest cells of each of the cells ``rows``, and candidates."""
        reach = self.reach(max(k, n_candidates))
        rows = np.asarray(rows)
        by_place = np.argsort(self._place[rows], kind="stable")
        places = self._place[rows[by_place]]
        lists = NeighborLists(np.empty((len(rows), k), np.int32), np.empty((len(rows), k)))
        candidates = np.empty((len(rows), n_candidates), np.int32)
        cuts = np.searchsorted(places, self._partition.bounds[self._edges])
        asking = [slice(*cut) for cut in itertools.pairwise(cuts.tolist()) if cut[0] < cut[1]]

        def tasks() -> list[Any]:
            sent = held([self._sent(rows[by_place[mine]]) for mine in asking])
            return [
                self._tasks(asked, places[mine], k, n_candidates, reach)
                for asked, mine in zip(sent, asking, strict=True)
            ]

        for mine, found in zip(asking, recovering(tasks, self._send), strict=True):
            out = by_place[mine]
            (lists.indices[out], lists.distances[out]), candidates[out] = found
        return Near(lists, candidates)

    def _tasks(self, asked: Any, places: Ints, k: int, n_candidates: int, reach: float) -> Any:
        """Return the delayed result of cells that stand in ascending places."""
        groups: list[list[Group]] = [[] for _ in self._shards]
        for first, last in self._groups(places):
            home = int(self._home[places[first]])
            scanned = np.array(self._scanned(home, reach, max(k, n_candidates) + 1))
            of = np.searchsorted(self._edges, scanned, side="right") - 1
            for shard in np.unique(of).tolist():
                own = scanned[of == shard] - self._edges[shard]
                groups[shard].append(Group(first, last, own.tolist()))
        parts = [
            task("search", ask, shard, asked, own, k, n_candidates)
            for shard, own in zip(self._shards, groups, strict=True)
            if own
        ]
        return task("search merge", join, parts, n_candidates)

    def _sent(self, rows: Ints) -> Asked:
        """Return what a worker needs to know of cells that ask."""
        asked = self._asked(rows)
        own = np.arange(len(rows), dtype=np.int32)
        return Asked(asked.vectors, self._X[rows], self._scale[rows], own, asked.cells)


def ask(
    stored: Stored, asked: Asked, groups: Sequence[Group], k: int, n_candidates: int
) -> tuple[Ints, Scanned]:
    """Return what the cells of some groups find in a shard, and where they stand."""
    found = []
    for first, last, clusters in groups:
        own = slice(first, last)
        some = Asked(asked.vectors[own], asked.X, asked.scale, asked.rows[own], asked.cells[own])
        found.append(scan(some, stored, clusters, k, n_candidates))
    rows = np.concatenate([np.arange(first, last) for first, last, _ in groups])
    return rows, Scanned(*(np.concatenate(arrays) for arrays in zip(*found, strict=True)))


def join(parts: Sequence[tuple[Ints, Scanned]], n_candidates: int) -> Near:
    """Return what cells found in all shards."""
    n_asked = 1 + max(int(rows[-1]) for rows, _ in parts)
    whole = [_among(n_asked, rows, found) for rows, found in parts]
    return chosen(merge(whole), n_candidates)


def _among(n_asked: int, rows: Ints, found: Scanned) -> Scanned:
    """Return what some cells found among all that ask: the others have found nothing."""
    if len(rows) == n_asked:
        return found
    nothing = (np.inf, NOBODY, -1, -np.inf)
    arrays = []
    for array, empty in zip(found, nothing, strict=True):
        full = np.full((n_asked, array.shape[1]), empty, array.dtype)
        full[rows] = array
        arrays.append(full)
    return Scanned(*arrays)
