"""Many nearest cells of each cell, candidates to be its joint neighbours: in memory or a file."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lazymu.graph.knn import search_blocks
from lazymu.graph.search import NeighborLists, Search
from lazymu.settings import settings
from lazymu.stream.paged import PagedArray
from lazymu.stream.plan import working_bytes
from lazymu.typing import Ints


class Candidates:
    """The ``k`` nearest cells of each of ``n`` cells, int32.

    Where they take more than an eighth of the memory limit they are in a temporary file, of which
    no more is held than the rows at hand.
    """

    def __init__(self, n: int, k: int, order: Ints) -> None:
        # An order of the cells in which those near each other are together.
        self.order, self.k = order, k
        self._paged: PagedArray | None = None
        if 4 * n * k <= working_bytes(settings.memory_limit) // 8:
            self._lists = np.empty((n, k), np.int32)
        else:
            self._paged = PagedArray((n, k), np.int32)
            self._lists = self._paged.values

    def write(self, rows: Ints, lists: Ints) -> None:
        """Keep the lists of some cells."""
        self._lists[rows] = lists
        if self._paged is not None:
            self._paged.let_go()

    def read(self, rows: Ints) -> Ints:
        """Return the lists of some cells."""
        lists: Ints = np.asarray(self._lists[rows])
        if self._paged is not None:
            self._paged.let_go()
        return lists


class Found(NamedTuple):
    """What one search of all cells gave."""

    candidates: Candidates
    lists: NeighborLists
    """The nearest of them, with distances."""


def find_candidates(search: Search, n_cells: int, k: int, n_candidates: int, label: str) -> Found:
    """Search the ``n_candidates`` nearest cells of all; return them, and the first ``k`` apart."""
    indices, distances = np.empty((n_cells, k), np.int32), np.empty((n_cells, k))
    candidates = Candidates(n_cells, n_candidates, search.order)
    for rows, found in search_blocks(search, n_cells, max(k, n_candidates), label):
        indices[rows], distances[rows] = found.indices[:, :k], found.distances[:, :k]
        candidates.write(rows, found.indices[:, :n_candidates])
    return Found(candidates, NeighborLists(indices, distances))
