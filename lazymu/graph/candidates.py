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

PAGED_ROWS = 256
"""Lists read from a file at a time: Linux maps up to 64 kB around each, 16 MB in all."""


class Candidates:
    """The ``k`` nearest cells of each of ``n`` cells, int32.

    Where they take more than a sixteenth of the memory limit they are in a temporary file, of which
    no more is held than the rows at hand.
    """

    def __init__(self, n: int, k: int, order: Ints) -> None:
        # An order of the cells in which those near each other are together: as they are written,
        # so that no more pages are at hand than what is written takes.
        self.order, self.k = order, k
        self._place = np.empty(n, np.int32)
        self._place[order] = np.arange(n, dtype=np.int32)
        self._paged: PagedArray | None = None
        if 4 * n * k <= working_bytes(settings.memory_limit) // 16:
            self._lists = np.empty((n, k), np.int32)
        else:
            self._paged = PagedArray((n, k), np.int32)
            self._lists = self._paged.values

    def write(self, rows: Ints, lists: Ints) -> None:
        """Keep the lists of some cells."""
        self._lists[self._place[rows]] = lists
        if self._paged is not None:
            self._paged.let_go()

    def read(self, rows: Ints) -> Ints:
        """Return the lists of some cells."""
        places = self._place[rows]
        if self._paged is None:
            return np.asarray(self._lists[places])
        lists = np.empty((len(rows), self.k), np.int32)
        for start in range(0, len(rows), PAGED_ROWS):
            some = slice(start, start + PAGED_ROWS)
            lists[some] = self._lists[places[some]]
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
    for rows, found in search_blocks(search, n_cells, k, label, n_candidates):
        indices[rows], distances[rows] = found.lists
        candidates.write(rows, found.candidates)
    return Found(candidates, NeighborLists(indices, distances))
