"""CSC to CSR, and back, in bounded memory.

The entries of each row are counted in one reading of the columns; then runs of rows are filled,
whose values fit a third of the memory limit: each by one more reading of the columns or, where runs
are many, from a temporary file that one reading writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import Any

import numpy as np

from lazymu.settings import settings
from lazymu.store.converted import ConvertedSource
from lazymu.store.dtypes import index_dtype
from lazymu.store.sources import MatrixSource, assemble_csr
from lazymu.store.spill import Spill, pays
from lazymu.typing import CSR, Int64s

COLUMN_VALUES = 1 << 20
"""Values at most of the columns that are read together."""
BYTES_PER_VALUE = 40
"""Peak bytes for each value of them: what was read, and its canonical form."""


class TransposedSource(ConvertedSource):
    """A CSC matrix on disk: turned into CSR in a temporary folder when it is first read.

    Parameters
    ----------
    columns
        The matrix transposed, whose rows are the columns of this one.
    """

    def __init__(self, columns: MatrixSource) -> None:
        shape = (columns.shape[1], columns.shape[0])
        super().__init__(shape, columns.dtype, columns.origin._replace(encoding="csc_matrix"))
        self.columns = columns

    def convert(self, folder: str) -> MatrixSource:
        blocks = swap_axes(lambda: runs_of(self.columns), self.columns.shape, self.dtype)
        return self.written(folder, blocks, int(self.columns.indptr[-1]))


def runs_of(source: MatrixSource) -> Iterator[CSR]:
    """Yield the rows of a source in runs that take up to a third of the memory limit."""
    n_values = min(COLUMN_VALUES, settings.memory_limit // (3 * BYTES_PER_VALUE))
    for start, stop in runs(source.indptr, n_values):
        yield source.read(start, stop)


def runs(offsets: Int64s, n_values: int) -> Iterator[tuple[int, int]]:
    """Yield runs of rows that hold up to ``n_values``, or of a single row that holds more.

    Examples
    --------
    >>> import numpy as np
    >>> list(runs(np.array([0, 2, 4, 20, 21]), 5))
    [(0, 2), (2, 3), (3, 4)]
    """
    start, n_rows = 0, len(offsets) - 1
    while start < n_rows:
        last = int(np.searchsorted(offsets, offsets[start] + n_values, side="right")) - 1
        stop = max(start + 1, min(last, n_rows))
        yield start, stop
        start = stop


def swap_axes(
    blocks: Callable[[], Iterable[CSR]], shape: tuple[int, int], dtype: np.dtype[Any]
) -> Iterator[CSR]:
    """Yield the transpose of a matrix as runs of its rows, in canonical CSR.

    Parameters
    ----------
    blocks
        Yields the matrix from its first row to its last, canonical, as often as it is called.
    shape
        Shape of the matrix.
    dtype
        Type of its values.
    """
    from lazymu.kernels.transpose import transpose_counts

    n_rows, n_cols = shape
    counts = np.zeros(n_cols, dtype=np.int64)
    for X in blocks():
        transpose_counts(X.indices, counts)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    bytes_per_value = dtype.itemsize + index_dtype(0, n_rows).itemsize
    spans = list(runs(offsets, settings.memory_limit // (3 * bytes_per_value)))
    if pays(shape, int(offsets[-1]), len(spans), dtype):
        yield from _swap_on_disk(blocks, offsets, spans, shape, dtype)
        return
    for start, stop in spans:
        yield _fill(blocks, offsets[start : stop + 1] - offsets[start], start, n_rows, dtype)


def _swap_on_disk(
    blocks: Callable[[], Iterable[CSR]],
    offsets: Int64s,
    spans: list[tuple[int, int]],
    shape: tuple[int, int],
    dtype: np.dtype[Any],
) -> Iterator[CSR]:
    """Yield runs of rows of the transpose, each from its part of a file that one reading writes."""
    bounds = np.array([0, *(stop for _, stop in spans)], np.int64)
    with closing(Spill(shape, dtype, bounds)) as spill:
        row = 0
        for X in blocks():
            spill.add(X, row)
            row += X.shape[0]
        for number, (start, stop) in enumerate(spans):
            own = offsets[start : stop + 1] - offsets[start]
            yield _fill(spill.columns(number).blocks, own, 0, shape[0], dtype)


def _fill(
    blocks: Callable[[], Iterable[CSR]],
    offsets: Int64s,
    first: int,
    n_cols: int,
    dtype: np.dtype[Any],
) -> CSR:
    """Return a run of rows of the transpose, which starts with row ``first``."""
    from lazymu.kernels.transpose import transpose_fill

    n_values = int(offsets[-1])
    wide = index_dtype(n_values, n_cols)
    data, indices = np.empty(n_values, dtype), np.empty(n_values, wide)
    cursor, position = offsets[:-1].copy(), 0
    for X in blocks():
        transpose_fill(X.data, X.indices, X.indptr, position, first, cursor, data, indices)
        position += X.shape[0]
    return assemble_csr(data, indices, offsets.astype(wide), (len(cursor), n_cols))
