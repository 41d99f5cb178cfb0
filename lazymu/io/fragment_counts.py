"""Fragments counted in features: sorted runs of counts on disk, merged by cells.

One sweep over the file. Overlaps are summed in memory up to some number, and written as a run of
(cell, feature, count) by cell; then cells are merged group by group, as many as fit in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from lazymu.io.fragments import FragmentBlock, FragmentFile, require_memory
from lazymu.settings import settings
from lazymu.store.converted import ConvertedSource
from lazymu.store.sources import INT32_LIMIT, MatrixSource, Origin
from lazymu.store.transpose import runs
from lazymu.stream.plan import working_bytes
from lazymu.typing import CSR, Array, Int64s, Ints

if TYPE_CHECKING:
    from lazymu.kernels.intervals import Intervals

RUN_OVERLAPS = 1 << 21
"""Overlaps of fragments and features that are summed in memory before they are written."""
MAX_GROUPS = 1024
"""Groups of neighbouring cells whose places in a run are known."""
BYTES_PER_OVERLAP = 100
"""Peak bytes for each overlap that is summed or merged."""
BYTES_PER_FEATURE = 128
ENTRY = np.dtype([("cell", np.int32), ("feature", np.int32), ("count", np.int64)])


def overlaps(
    block: FragmentBlock, intervals: Intervals, cursor: Int64s, size: int
) -> Iterator[tuple[Ints, Ints]]:
    """Yield positions of fragments and of intervals that they overlap, up to ``size`` at once.

    Fragments of unknown cells or chromosomes are left out. ``cursor`` (0 for each layer at first)
    is where the search of the next block begins. ``size`` is at least the number of intervals.
    """
    from lazymu.kernels.intervals import find_overlaps

    first, n_fragments = 0, block.values.shape[1]
    fragment, interval = np.empty(size, np.int32), np.empty(size, np.int32)
    tables = (intervals.start, intervals.end, intervals.layers, intervals.chromosomes)
    while first < n_fragments:
        n, first = find_overlaps(block.values, first, *tables, cursor, fragment, interval)
        if n:
            yield fragment[:n], interval[:n]


class FragmentCounts(ConvertedSource):
    """Cells by features: how many fragments of a cell overlap a feature.

    Parameters
    ----------
    fragments
        The file, with barcodes and chromosomes to look for.
    intervals
        The features.
    shape
        Cells and features.
    count_reads
        Sum the reads of the fragments instead of counting each once.
    """

    def __init__(
        self,
        fragments: FragmentFile,
        intervals: Intervals,
        shape: tuple[int, int],
        *,
        count_reads: bool,
    ) -> None:
        dtype = np.dtype(np.int64 if count_reads else np.int32)
        super().__init__(shape, dtype, Origin(str(dtype), "csr_matrix"))
        self._fragments, self._intervals, self._count_reads = fragments, intervals, count_reads
        self._size = max(RUN_OVERLAPS, shape[1])
        require_memory(BYTES_PER_OVERLAP * self._size + BYTES_PER_FEATURE * shape[1])

    def convert(self, folder: str) -> MatrixSource:
        group_cells = max(1, -(-self.shape[0] // MAX_GROUPS))
        path, places = Path(folder) / "entries", [np.zeros(1, np.int64)]
        with open(path, "wb") as file:
            for counts in self._runs():
                places.append(_append(file, counts, group_cells))
        n_values = int(places[-1][-1])
        source = self.written(folder, self._merged(path, places[1:], group_cells), n_values)
        path.unlink()
        return source

    def _runs(self) -> Iterator[CSR]:
        """Yield sums of overlaps, of so many fragments as fit in memory."""
        pending: list[tuple[Ints, Ints, Ints]] = []
        n_pending = 0
        cursor = self._intervals.layers[:-1].copy()
        for block in self._fragments.blocks(label="counting fragments"):
            for fragment, interval in overlaps(block, self._intervals, cursor, self._size):
                if n_pending + len(fragment) > self._size:
                    yield self._summed(pending)
                    pending, n_pending = [], 0
                count = block.count[fragment] if self._count_reads else np.ones(len(fragment), "i4")
                pending.append((block.cell[fragment], self._intervals.feature[interval], count))
                n_pending += len(fragment)
        if pending:
            yield self._summed(pending)

    def _summed(self, parts: list[tuple[Ints, Ints, Ints]]) -> CSR:
        cell, feature, count = (np.concatenate(part) for part in zip(*parts, strict=True))
        return _sums(cell, feature, count.astype(np.int64), self.shape)

    def _merged(self, path: Path, places: list[Int64s], group_cells: int) -> Iterator[CSR]:
        """Yield all cells in order: of each run the entries of the same groups."""
        n_groups = -(-self.shape[0] // group_cells)
        total = np.sum([np.diff(place) for place in places], axis=0, dtype=np.int64)
        offsets = np.concatenate([[0], np.cumsum(total)]) if places else np.zeros(n_groups + 1, int)
        room = working_bytes(settings.memory_limit) // (2 * BYTES_PER_OVERLAP)
        with open(path, "rb") as file:
            for start, stop in runs(offsets, min(room, RUN_OVERLAPS)):
                parts = [_entries(file, place[start], place[stop]) for place in places]
                entries = np.concatenate([np.empty(0, ENTRY), *parts])
                first = start * group_cells
                last = min(stop * group_cells, self.shape[0])
                yield _sums(
                    entries["cell"] - np.int32(first),
                    entries["feature"],
                    entries["count"],
                    (last - first, self.shape[1]),
                ).astype(self.dtype)


def _sums(cell: Ints, feature: Ints, count: Ints, shape: tuple[int, int]) -> CSR:
    """Return sums of counts of the same cell and feature, canonical."""
    index = np.int32 if max(*shape, len(cell)) <= INT32_LIMIT else np.int64
    places: Any = (cell.astype(index), feature.astype(index))
    counts: CSR = sp.coo_matrix((count, places), shape=shape).tocsr()
    counts.sum_duplicates()
    counts.eliminate_zeros()
    return counts


def _append(file: IO[bytes], counts: CSR, group_cells: int) -> Int64s:
    """Append a run to a file; return where each group of cells begins in it, and its end."""
    begin = file.tell() // ENTRY.itemsize
    entries: Array = np.empty(counts.nnz, ENTRY)
    n_cells = counts.shape[0]
    entries["cell"] = np.repeat(np.arange(n_cells, dtype=np.int32), np.diff(counts.indptr))
    entries["feature"], entries["count"] = counts.indices, counts.data
    entries.tofile(file)
    bounds = np.minimum(np.arange(0, n_cells + group_cells, group_cells), n_cells)
    return begin + counts.indptr[bounds].astype(np.int64)


def _entries(file: IO[bytes], start: int, stop: int) -> Array:
    file.seek(int(start) * ENTRY.itemsize)
    return np.fromfile(file, ENTRY, int(stop - start))
