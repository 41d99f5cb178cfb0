"""Matrices of a store: offsets, columns and order, and sums of what is stored, window by window."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from lazymu.errors import DamagedFileError
from lazymu.io.integrity.chunks import (
    Check,
    ahead,
    check_array,
    chunk_shape,
    file_of,
    is_absent,
    read_run,
    rows_text,
)
from lazymu.io.integrity.findings import NOTE
from lazymu.store.dtypes import INT32_VALUES
from lazymu.store.roots import Root
from lazymu.store.sources import native_dtype
from lazymu.stream.progress import advance
from lazymu.stream.sums import CellSums, Extremes, FeatureSums, MatrixSums
from lazymu.typing import Array, Int64s

NAMED = 5
"""Rows that a finding names one by one."""


@dataclass
class Totals:
    """Sums of the rows and columns of a matrix as it is stored."""

    shape: tuple[int, int]
    is_complete: bool = True
    row_total: Any = field(init=False)
    row_nnz: Any = field(init=False)
    column_total: Any = field(init=False)
    column_nnz: Any = field(init=False)
    extremes: Extremes = field(
        default_factory=lambda: Extremes(0.0, 0.0, all_finite=True, all_integer=True)
    )

    def __post_init__(self) -> None:
        self.row_total, self.row_nnz = (np.zeros(self.shape[0], t) for t in (float, np.int64))
        self.column_total, self.column_nnz = (np.zeros(self.shape[1], t) for t in (float, np.int64))

    def add(self, first: int, data: Array, indices: Array, offsets: Int64s) -> None:
        """Add a run of values, which begin in row ``first`` and may begin and end within rows."""
        from lazymu.kernels import sums

        values = np.ascontiguousarray(data, dtype=native_dtype(data.dtype))
        rows = slice(first, first + len(offsets) - 1)
        self.row_total[rows] += sums.row_sums(values, offsets)
        self.row_nnz[rows] += sums.row_nnz(values, offsets)
        sums.add_col_sums(self.column_total, values, indices)
        sums.add_col_nnz(self.column_nnz, values, indices)
        if len(values):
            low, high, finite, integer = sums.extremes(values)
            found = Extremes(float(low), float(high), bool(finite), bool(integer))
            self.extremes = self.extremes.merge(found)

    def sums(self) -> MatrixSums:
        """Return them as they are stored."""
        return MatrixSums(
            CellSums(self.row_total, self.row_nnz),
            FeatureSums(self.column_total, self.column_nnz),
            self.extremes,
        )


class Window(NamedTuple):
    """A run of the values of a sparse matrix."""

    start: int
    data: Array | None
    indices: Array | None


def check_sparse(check: Check, name: str, *, is_ours: bool) -> Totals | None:
    """Check a CSR or CSC matrix; return its sums by stored row and column, None without them.

    ``is_ours`` says that lazymu wrote it: then rows are sorted, and no value is 0.
    """
    root = check.root
    shape = _sparse_shape(root, name)
    parts = {part: root.find(f"{name}/{part}") for part in ("data", "indices", "indptr")}
    absent = [part for part, node in parts.items() if node is None]
    if absent or shape is None:
        lost = [*absent, *(["shape"] if shape is None else [])]
        check.damaged(name, f"it is without {', '.join(lost)}")
        for part in set(parts) - set(absent):
            check_array(check, f"{name}/{part}")
        return None
    before = len(check.findings.all)
    n_values = min(parts["data"].shape[0], parts["indices"].shape[0])
    if parts["data"].shape != parts["indices"].shape:
        lengths = f"{parts['data'].shape[0]:,} data and {parts['indices'].shape[0]:,} indices"
        check.damaged(name, f"it has {lengths}")
    indptr = _checked_indptr(check, name, shape[0], n_values)
    if indptr is None or len(check.findings.all) > before:
        for part in ("data", "indices"):
            check_array(check, f"{name}/{part}")
        return None
    return _check_windows(check, name, shape, indptr, is_ours=is_ours)


def _sparse_shape(root: Root, name: str) -> tuple[int, int] | None:
    """Return stored rows and columns."""
    attrs = root.node(name).attrs
    shape = attrs.get("shape", attrs.get("h5sparse_shape"))
    if shape is None or len(shape) != 2:
        return None
    kind = str(attrs.get("encoding-type", attrs.get("h5sparse_format", "")))
    first, second = int(shape[0]), int(shape[1])
    return (second, first) if "csc" in kind else (first, second)


def _checked_indptr(check: Check, name: str, n_rows: int, n_values: int) -> Int64s | None:
    path = f"{name}/indptr"
    check_array(check, path)
    if check.findings.about(check.root, path):
        return None
    try:
        indptr: Int64s = np.asarray(check.root.node(path)[:]).astype(np.int64)
    except (DamagedFileError, ValueError):
        return None
    if len(indptr) != n_rows + 1:
        check.damaged(path, f"it has {len(indptr):,} entries for {n_rows:,} rows")
        return None
    falling = np.flatnonzero(np.diff(indptr) < 0)
    if len(falling):
        row = int(falling[0])
        found = f"it falls from {indptr[row]:,} to {indptr[row + 1]:,}"
        file = file_of(check, check.root.node(path), (row + 1,))
        check.damaged(path, found, rows=rows_text(row, row + 1), file=file)
        return None
    if indptr[0] != 0 or indptr[-1] != n_values:
        ends = f"it goes from {indptr[0]:,} to {indptr[-1]:,}"
        check.damaged(path, f"{ends}, and there are {n_values:,} values")
        return None
    return indptr


def _check_windows(
    check: Check, name: str, shape: tuple[int, int], indptr: Int64s, *, is_ours: bool
) -> Totals:
    node = check.root.node(f"{name}/data")
    step, n_values = chunk_shape(node)[0], int(indptr[-1])
    totals = Totals(shape)

    def rows(start: int, stop: int) -> str:
        return rows_text(*_row_span(indptr, start, min(stop, n_values)))

    def read(start: int) -> Window:
        stop = min(start + step, n_values)
        parts = (
            read_run(check, f"{name}/{part}", start, stop, rows) for part in ("data", "indices")
        )
        return Window(start, *parts)

    order = Order(check, name, shape[1], indptr, is_ours=is_ours)
    item_bytes = step * (node.dtype.itemsize + check.root.node(f"{name}/indices").dtype.itemsize)
    for window in ahead(read, range(0, n_values, step), item_bytes):
        stop = min(window.start + step, n_values)
        _check_absent(check, name, window.start, rows(window.start, stop))
        if window.data is None or window.indices is None:
            totals.is_complete = False
            order.skip()
        elif order.check(window.start, window.data, window.indices):
            first, last = _row_span(indptr, window.start, stop)
            offsets = np.clip(indptr[first : last + 1], window.start, stop) - window.start
            totals.add(first, window.data, window.indices, offsets)
        else:
            totals.is_complete = False
        advance(check.token, 2 * (stop - window.start))
        check.findings.checked["chunks"] += 2
    return totals


def _check_absent(check: Check, name: str, start: int, rows: str) -> None:
    """Find chunks of a sparse matrix that are not there and read as zeros."""
    for part in ("data", "indices"):
        node = check.root.node(f"{name}/{part}")
        file = file_of(check, node, (start,))
        if is_absent(check, file):
            found = "it is not there, and reads as zeros"
            check.damaged(f"{name}/{part}", found, rows=rows, file=file)


def _row_span(indptr: Int64s, start: int, stop: int) -> tuple[int, int]:
    """Return the first row that holds values from ``start`` on, and the one after the last."""
    first = int(np.searchsorted(indptr, start, side="right")) - 1
    return first, max(first + 1, int(np.searchsorted(indptr, stop, side="left")))


class Order:
    """Whether the columns of all rows are in range, in order, and each there once."""

    def __init__(
        self, check: Check, name: str, n_columns: int, indptr: Int64s, *, is_ours: bool
    ) -> None:
        self._check, self._name, self._indptr = check, f"{name}/indices", indptr
        self._n_columns, self._is_ours = n_columns, is_ours
        self._last: int | None = None

    def skip(self) -> None:
        """Pass over a window that could not be read."""
        self._last = None

    def check(self, start: int, data: Array, indices: Array) -> bool:
        """Look at a window; return whether all columns are in range."""
        if not len(indices):
            return True
        outside = np.flatnonzero((indices < 0) | (indices >= self._n_columns))
        if len(outside):
            column = int(indices[outside[0]])
            rule = f"where there are {self._n_columns:,} columns"
            self._tell(start + outside, f"column {column:,}, {rule}")
            self._last = None
            return False
        falls = 1 + np.flatnonzero(indices[1:] <= indices[:-1])
        if self._last is not None and indices[0] <= self._last:
            falls = np.concatenate([[0], falls])
        places = start + falls
        inside = places[self._indptr[np.searchsorted(self._indptr, places)] != places]
        if len(inside):
            self._tell_order(inside, start, indices)
        if self._is_ours and (zeros := np.flatnonzero(data == 0)).size:
            self._tell(start + zeros, "values are 0, which lazymu does not store", part="data")
        self._last = int(indices[-1])
        return True

    def _tell_order(self, places: Int64s, start: int, indices: Array) -> None:
        inner = places[places > start] - start
        repeated = places[places > start][indices[inner] == indices[inner - 1]]
        if self._is_ours or len(repeated):
            where = repeated if len(repeated) and not self._is_ours else places
            self._tell(where, "columns of a row are not in order, or repeated")
            return
        found = "columns of a row are not in order, which is legal: lazymu sorts what it reads"
        fix = "nothing need be done; converting it sorts it for good"
        self._check.findings.add(self._check.root, self._name, found, fix, kind=NOTE)

    def _tell(self, places: Int64s, found: str, part: str = "indices") -> None:
        rows = np.unique(np.searchsorted(self._indptr, places, side="right") - 1)
        path = f"{self._name.rpartition('/')[0]}/{part}"
        file = file_of(self._check, self._check.root.node(path), (int(places[0]),))
        self._check.damaged(path, found, rows=named(rows), file=file)


def named(rows: Int64s, what: str = "row") -> str:
    """Return some rows in words.

    Examples
    --------
    >>> named(np.array([3])), named(np.arange(1000, 1007), "column")
    ('row 3', 'columns 1,000, 1,001, 1,002, 1,003, 1,004 and 2 more')
    """
    shown = ", ".join(f"{row:,}" for row in rows[:NAMED].tolist())
    more = f" and {len(rows) - NAMED:,} more" if len(rows) > NAMED else ""
    return f"{what} {shown}" if len(rows) == 1 else f"{what}s {shown}{more}"


def check_dense(check: Check, name: str) -> Totals | None:
    """Read a dense matrix by rows and return its sums; None where it is too wide for that."""
    node = check.root.node(name)
    is_matrix = len(node.shape) == 2 and np.dtype(node.dtype).kind in "biuf"
    step = chunk_shape(node)[0] if node.shape else 1
    if not is_matrix or 0 in node.shape or step * node.shape[1] > INT32_VALUES // 32:
        check_array(check, name)
        return None
    n_rows, n_columns = node.shape
    totals = Totals((n_rows, n_columns))

    def read(start: int) -> tuple[int, Array | None]:
        return start, read_run(check, name, start, min(start + step, n_rows))

    for start, values in ahead(read, range(0, n_rows, step), step * n_columns * 16):
        if values is None:
            totals.is_complete = False
        else:
            columns = np.tile(np.arange(n_columns, dtype=np.int32), len(values))
            offsets = np.arange(len(values) + 1, dtype=np.int64) * n_columns
            totals.add(start, values.ravel(), columns, offsets)
        advance(check.token, step * n_columns)
        check.findings.checked["chunks"] += -(-n_columns // max(1, chunk_shape(node)[1]))
    return totals
