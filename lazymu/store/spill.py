"""A matrix cut into runs of columns, in one temporary file: written once, then read run by run.

Blocks of rows are cut as they come; each cut is compressed and appended. The file has no name, so
that it is gone with the process that holds it, however that ends.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Iterator
from errno import ENOSPC
from typing import Any, NamedTuple

import numpy as np

from lazymu.errors import DiskSpaceError, explain
from lazymu.store.dtypes import index_dtype
from lazymu.store.sources import Origin, assemble_csr
from lazymu.typing import CSR, Array, Int64s

READINGS = 4
"""Readings of a matrix that take no longer than to write it by runs of columns and to read that."""


class Cut(NamedTuple):
    """Where one run of columns of one block of rows is in the file."""

    row: int
    """First row."""
    n_rows: int
    n_values: int
    begin: int
    """Of three buffers: lengths of the rows, columns, values."""
    sizes: tuple[int, ...]


class Spill:
    """Blocks of rows in a temporary file, apart by runs of columns.

    Parameters
    ----------
    shape
        Shape of the matrix.
    dtype
        Type of its values.
    bounds
        Where each run of columns begins, and the number of columns.

    Notes
    -----
    The file is where :func:`tempfile.gettempdir` says (set `TMPDIR`). Blocks may be added by
    several threads, in any order.
    """

    def __init__(self, shape: tuple[int, int], dtype: np.dtype[Any], bounds: Int64s) -> None:
        self.shape, self.dtype, self.bounds = shape, dtype, bounds
        self._file = tempfile.TemporaryFile(prefix="lazymu-")  # noqa: SIM115 - `close` closes it
        self._lock = threading.Lock()
        self._cuts: list[list[Cut]] = [[] for _ in range(len(bounds) - 1)]
        widest = int(np.diff(bounds).max(initial=0))
        # Narrow columns are packed and read faster.
        self._columns = np.dtype(np.uint16) if widest <= 1 << 16 else index_dtype(0, widest)

    def add(self, X: CSR, row: int) -> None:
        """Add a canonical block of rows that begins with ``row``."""
        from lazymu.kernels.split import take_until

        cursor, ends = X.indptr[:-1].astype(np.int64), X.indptr[1:]
        data, columns = np.empty(X.nnz, self.dtype), np.empty(X.nnz, self._columns)
        lengths = np.empty(X.shape[0], np.int32)
        for number, cuts in enumerate(self._cuts):
            first, stop = self.bounds[number], self.bounds[number + 1]
            n = take_until(*(X.data, X.indices, cursor, ends, first, stop), data, columns, lengths)
            begin, sizes = self._append(lengths, columns[:n], data[:n])
            cuts.append(Cut(row, X.shape[0], n, begin, sizes))

    def _append(self, *arrays: Array) -> tuple[int, tuple[int, ...]]:
        from numcodecs.blosc import SHUFFLE, compress

        buffers = [compress(array, b"lz4", 1, SHUFFLE) if len(array) else b"" for array in arrays]
        try:
            with self._lock:
                begin = self._file.seek(0, 2)
                for buffer in buffers:
                    self._file.write(buffer)
        except OSError as error:
            if error.errno != ENOSPC:
                raise
            rule = "its disk became full while a matrix was written there by feature"
            fix = "name a folder with more room"
            raise DiskSpaceError(explain("TMPDIR", tempfile.gettempdir(), rule, fix)) from error
        return begin, tuple(map(len, buffers))

    def columns(self, number: int) -> SpilledColumns:
        """Return one run of columns; all blocks have been added."""
        width = int(self.bounds[number + 1] - self.bounds[number])
        return SpilledColumns(self, sorted(self._cuts[number]), width)

    def lengths(self, cut: Cut) -> Array:
        """Return how many values each row of a cut has."""
        return self._load(cut, 0, np.dtype(np.int32), cut.n_rows)

    def load(self, cut: Cut, width: int) -> CSR:
        """Return the rows of a cut, ``width`` columns."""
        index = index_dtype(cut.n_values, width)
        offsets = np.zeros(cut.n_rows + 1, index)
        np.cumsum(self.lengths(cut), out=offsets[1:])
        columns = self._load(cut, 1, self._columns, cut.n_values).astype(index)
        data = self._load(cut, 2, self.dtype, cut.n_values)
        return assemble_csr(data, columns, offsets, (cut.n_rows, width))

    def _load(self, cut: Cut, number: int, dtype: np.dtype[Any], length: int) -> Array:
        from numcodecs.blosc import decompress

        out = np.empty(length, dtype)
        if length:
            with self._lock:
                self._file.seek(cut.begin + sum(cut.sizes[:number]))
                buffer = self._file.read(cut.sizes[number])
            decompress(buffer, out)
        return out

    def close(self) -> None:
        """Remove the file."""
        self._file.close()


class SpilledColumns:
    """The source of one run of columns of a :class:`Spill`."""

    is_dense = False

    def __init__(self, spill: Spill, cuts: list[Cut], width: int) -> None:
        self._spill, self._cuts = spill, cuts
        self.shape, self.dtype = (spill.shape[0], width), spill.dtype
        self.origin = Origin(str(spill.dtype), "csr_matrix")
        self._rows = np.array([cut.row for cut in cuts], np.int64)
        self._indptr: Int64s | None = None

    @property
    def indptr(self) -> Int64s:
        if self._indptr is None:
            lengths = [np.zeros(1, np.int64), *map(self._spill.lengths, self._cuts)]
            self._indptr = np.cumsum(np.concatenate(lengths), dtype=np.int64)
        return self._indptr

    def read(self, start: int, stop: int) -> CSR:
        offsets = self.indptr[start : stop + 1] - self.indptr[start]
        n_values = int(offsets[-1])
        index = index_dtype(n_values, self.shape[1])
        data, columns = np.empty(n_values, self.dtype), np.empty(n_values, index)
        first, last = np.searchsorted(self._rows, (start, stop), side="right")
        at = 0
        for cut in self._cuts[max(int(first) - 1, 0) : int(last)]:
            X = self._spill.load(cut, self.shape[1])
            begin, end = max(start - cut.row, 0), min(stop - cut.row, cut.n_rows)
            span = slice(X.indptr[begin], X.indptr[end])
            n = int(span.stop - span.start)
            data[at : at + n], columns[at : at + n] = X.data[span], X.indices[span]
            at += n
        return assemble_csr(data, columns, offsets.astype(index), (stop - start, self.shape[1]))

    def blocks(self) -> Iterator[CSR]:
        """Yield all rows in order, in the blocks in which they were added."""
        return (self._spill.load(cut, self.shape[1]) for cut in self._cuts)


def pays(shape: tuple[int, int], n_values: int, n_runs: int, dtype: np.dtype[Any]) -> bool:
    """Return whether a spill is better than to read a matrix for each run of its columns.

    It is where these are more than `READINGS`, and the folder of temporary files has room for it
    even if nothing can be compressed.
    """
    if n_runs <= READINGS:
        return False
    n_bytes = n_values * (dtype.itemsize + 4) + 4 * n_runs * shape[0]
    return shutil.disk_usage(tempfile.gettempdir()).free > n_bytes
