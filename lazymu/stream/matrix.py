"""The lazy matrix: a source, selected rows and columns, and the steps on its values."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from lazymu.errors import ArgumentError, MemoryLimitError, explain
from lazymu.settings import settings
from lazymu.store.sources import (
    MatrixSource,
    MemorySource,
    assemble_csr,
    dense_to_csr,
    run_of,
    window,
)
from lazymu.stream.axis_reducers import axis_extreme, axis_sum
from lazymu.stream.cache import SumsCache
from lazymu.stream.columns import ColumnPicker
from lazymu.stream.passes import gather, gather_dense
from lazymu.stream.plan import bytes_per_value
from lazymu.stream.steps import Step
from lazymu.typing import CSR, Array, Int64s

if TYPE_CHECKING:
    import dask.array as da

    from lazymu.stream.sums import MatrixSums


class LazyMatrix:
    """A matrix (obs, var) that is read in blocks when somebody needs its values.

    Parameters
    ----------
    source
        Where raw rows come from, or a matrix in memory.
    rows, cols
        Selected rows and columns of the source; all where None.
    steps
        Elementwise transforms, with vectors aligned to the selection.
    sums
        Returns the sums of the whole raw source where they are known without reading it, else None.

    Notes
    -----
    Building, slicing and transforming read nothing. ``sum``, ``mean``, ``min`` and ``max`` are
    one pass; ``to_memory`` and ``numpy.asarray`` hold the result and raise where it exceeds the
    memory limit.

    Examples
    --------
    >>> import numpy as np, lazymu
    >>> X = lazymu.LazyMatrix(np.array([[1, 0], [2, 3]]))
    >>> X[[True, False]].sum(axis=1)
    AxisSums([1.])
    """

    ndim = 2

    def __init__(
        self,
        source: MatrixSource | Any,
        rows: Int64s | None = None,
        cols: Int64s | None = None,
        steps: tuple[Step, ...] = (),
        *,
        sums: Callable[[], MatrixSums | None] | None = None,
        _cache: SumsCache | None = None,
    ) -> None:
        self.source: MatrixSource = source if hasattr(source, "read") else MemorySource(source)
        self.rows, self.cols, self.steps = rows, cols, tuple(steps)
        self.cache = _cache if _cache is not None else SumsCache(loader=sums)
        self._token = uuid.uuid4().hex

    # --- what it is ------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, int]:
        n_obs, n_vars = self.source.shape
        return (
            n_obs if self.rows is None else len(self.rows),
            n_vars if self.cols is None else len(self.cols),
        )

    @property
    def dtype(self) -> np.dtype[Any]:
        dtype = self.source.dtype
        for step in self.steps:
            dtype = step.output_dtype(dtype)
        return dtype

    @property
    def size(self) -> int:
        return self.shape[0] * self.shape[1]

    @property
    def is_dense(self) -> bool:
        """Whether values in memory are a dense array: stored so, or made so by a step."""
        return self.source.is_dense or not all(step.keeps_zeros for step in self.steps)

    @cached_property
    def row_values(self) -> Int64s:
        """Values of each selected row that reading makes: over all columns of the source."""
        stored = np.diff(self.source.indptr)
        values: Int64s = stored if self.rows is None else stored[self.rows]
        if all(step.keeps_zeros for step in self.steps):
            return values
        return np.maximum(values, self.shape[1])  # a step makes every value of a block

    @property
    def n_values_at_most(self) -> int:
        """A bound on the stored values of the selection, from what is known without reading."""
        bound = min(int(self.row_values.sum()), self.size)
        features = self.cache.feature_bounds()
        if features is not None and all(step.keeps_zeros for step in self.steps):
            bound = min(bound, int(features.sum()))
        return bound

    @property
    def value_bytes(self) -> int:
        """Peak bytes for each of `row_values` of a block that is read and transformed."""
        return bytes_per_value(self.source.dtype, self.dtype)

    @property
    def counts(self) -> LazyMatrix:
        """The same selection without steps: the raw counts."""
        return LazyMatrix(self.source, self.rows, self.cols, (), _cache=self.cache)

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[LazyMatrix]:
        return (self[i] for i in range(self.shape[0]))

    def __repr__(self) -> str:
        steps = " -> ".join(type(step).__name__ for step in self.steps) or "as stored"
        kind = "dense" if self.is_dense else "CSR"
        return f"LazyMatrix {self.shape[0]} × {self.shape[1]}, {kind} {self.dtype}, {steps}"

    def __dask_tokenize__(self) -> str:
        return self._token

    def __reduce__(self) -> tuple[Any, ...]:
        return (LazyMatrix, (self.source, self.rows, self.cols, self.steps))

    # --- new matrices ----------------------------------------------------------------------------

    def with_steps(self, *steps: Step) -> LazyMatrix:
        """Return the matrix with further steps on its values."""
        return LazyMatrix(self.source, self.rows, self.cols, self.steps + steps, _cache=self.cache)

    def copy(self) -> LazyMatrix:
        """Return the matrix itself: it cannot be changed, so that a copy of it is never needed."""
        return self

    def __getitem__(self, key: Any) -> LazyMatrix:
        row_key, col_key = key if isinstance(key, tuple) else (key, slice(None))
        rows = as_positions(row_key, self.shape[0], axis=0)
        cols = as_positions(col_key, self.shape[1], axis=1)
        if rows is None and cols is None:
            return self
        steps = self.steps
        if rows is not None:
            steps = tuple(step.take_rows(rows) for step in steps)
        if cols is not None:
            if len(np.unique(cols)) < len(cols):
                rule = "a feature can be selected only once"
                raise ArgumentError(
                    explain("index", "with repeated features", rule, "drop the repeats")
                )
            steps = tuple(step.take_cols(cols) for step in steps)
        return LazyMatrix(
            self.source,
            compose(self.rows, rows),
            compose(self.cols, cols),
            steps,
            _cache=SumsCache(parent=self.cache, rows=rows, cols=cols),
        )

    def part(self, start: int, stop: int) -> LazyMatrix:
        """Return rows ``start`` to ``stop``, with what is needed to read these alone."""
        rows = None if self.rows is None else self.rows[start:stop]
        first, last = (start, stop) if rows is None else run_of(rows)
        if rows is not None:
            rows = None if np.array_equal(rows, np.arange(first, last)) else rows - first
        steps = tuple(step.take_rows(slice(start, stop)) for step in self.steps)
        return LazyMatrix(window(self.source, first, last), rows, self.cols, steps)

    # --- values ----------------------------------------------------------------------------------

    def load(self, start: int, stop: int) -> CSR:
        """Read rows ``start`` to ``stop`` and apply the steps; every block is made here."""
        rows = slice(start, stop)
        X = self._read_rows(start, stop)
        if self.column_picker is not None:
            X = self.column_picker(X)
        if not self.steps:
            return X
        values = X.data.astype(self.dtype)  # a copy: blocks of a matrix in memory are views
        X = _like(X, values)
        for step in self.steps:
            if step.keeps_zeros:
                step.apply(X, rows)
            else:
                X = dense_to_csr(step.apply_dense(X.toarray(), rows).astype(self.dtype))
        return X

    def _read_rows(self, start: int, stop: int) -> CSR:
        if self.rows is None:
            return self.source.read(start, stop)
        return read_scattered(self.source, self.rows[start:stop])

    @cached_property
    def column_picker(self) -> ColumnPicker | None:
        """What takes the selected columns of a block of the source; None where all are."""
        return None if self.cols is None else ColumnPicker(self.cols, self.source.shape[1])

    def sum(self, axis: int | None = None) -> Any:
        """Return the sum over all, by column (``axis=0``) or by row (1), in float64. One pass."""
        return axis_sum(self, check_axis(axis))

    def mean(self, axis: int | None = None) -> Any:
        """Return the mean over all, by column (``axis=0``) or by row (1), in float64. One pass."""
        axis = check_axis(axis)
        n = self.size if axis is None else self.shape[axis]
        return self.sum(axis) / n

    def min(self, axis: int | None = None) -> Any:
        """Return the smallest value of all, by column (``axis=0``) or by row (1). One pass."""
        return axis_extreme(self, check_axis(axis), np.minimum)

    def max(self, axis: int | None = None) -> Any:
        """Return the largest value of all, by column (``axis=0``) or by row (1). One pass."""
        return axis_extreme(self, check_axis(axis), np.maximum)

    def to_dask(self) -> da.Array:
        """Return a Dask array whose blocks are CSR matrices of whole rows (nothing is computed)."""
        from lazymu.stream.dask_array import to_dask  # imports dask.array, which is slow

        return to_dask(self)

    def to_memory(self) -> CSR | Array:
        """Return the values as CSR, or a dense array where :attr:`is_dense`. One pass.

        Raises
        ------
        MemoryLimitError
            If the result exceeds the memory limit.
        """
        if self.is_dense:
            return self.toarray()
        self._check_room(self.n_values_at_most * (self.dtype.itemsize + 4), "as CSR")
        return gather(self)

    def toarray(self) -> Array:
        """Return the values as a dense array. One pass, or of selected columns kept by feature.

        Raises
        ------
        MemoryLimitError
            If the result exceeds the memory limit.
        """
        from lazymu.stream.by_feature import picked  # which makes lazy matrices

        self._check_room(self.size * self.dtype.itemsize, "as a dense array")
        return gather_dense(picked(self))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:  # noqa: FBT001 - NumPy's
        values = self.toarray()
        return values if dtype is None else values.astype(dtype, copy=False)

    def _check_room(self, needed: int, what: str) -> None:
        if needed > settings.memory_limit:
            raise MemoryLimitError(
                explain(
                    "X",
                    f"{self.shape[0]} × {self.shape[1]}",
                    f"{what} it takes {needed:,} bytes, and the memory limit is "
                    f"{settings.memory_limit:,}",
                    "select fewer cells or features, or raise lazymu.settings.memory_limit",
                )
            )


def check_axis(axis: int | None) -> int | None:
    """Return ``axis`` as None, 0 or 1."""
    if axis not in (None, 0, 1, -1, -2):
        raise ArgumentError(explain("axis", axis, "a matrix has axes 0 and 1", "pass 0, 1 or None"))
    return None if axis is None else axis % 2


def as_positions(key: Any, length: int, *, axis: int) -> Int64s | None:
    """Return the positions that an index selects, None for all.

    ``key`` is a slice, a boolean mask (array, list or Series), whole numbers, or one of them.
    """
    if isinstance(key, slice):
        if key == slice(None) or key.indices(length) == (0, length, 1):
            return None
        return np.arange(*key.indices(length), dtype=np.int64)
    index = np.atleast_1d(np.asarray(key))
    if index.dtype == bool:
        if len(index) != length:
            rule = f"a mask of axis {axis} must have {length} entries"
            raise ArgumentError(explain("index", f"{len(index)} long", rule, "align it first"))
        return np.flatnonzero(index).astype(np.int64)
    if index.size == 0:
        return np.zeros(0, dtype=np.int64)
    if index.dtype.kind not in "iu" or index.ndim != 1:
        rule = "it must be a slice, a mask or whole numbers"
        raise ArgumentError(explain("index", repr(key), rule, "use names on the modality itself"))
    positions = index.astype(np.int64)
    if positions.min() < -length or positions.max() >= length:
        got = f"{positions.min()} to {positions.max()}"
        raise ArgumentError(
            explain("index", got, f"axis {axis} has {length} entries", "stay within them")
        )
    return np.where(positions < 0, positions + length, positions)


def compose(outer: Int64s | None, inner: Int64s | None) -> Int64s | None:
    """Return the source positions of a selection made of a selection."""
    if outer is None or inner is None:
        return inner if outer is None else outer
    return outer[inner]


def read_scattered(source: MatrixSource, rows: Int64s) -> CSR:
    """Read rows of a source at any positions, in spans that bound what is read beside them."""
    if len(rows) == 0:
        return source.read(0, 0)
    order = None
    if np.any(np.diff(rows) < 0):
        order = np.argsort(rows, kind="stable")
        rows = rows[order]
    pieces = []
    for first, last in spans(source.indptr[rows], source.indptr[rows + 1]):
        run = rows[first:last]
        span = source.read(int(run[0]), int(run[-1]) + 1)
        consecutive = bool(np.all(np.diff(run) == 1))
        pieces.append(span if consecutive else span[run - run[0]])
    X: CSR = pieces[0] if len(pieces) == 1 else sp.vstack(pieces, format="csr")
    if order is not None:
        X = X[np.argsort(order, kind="stable")]
    X.has_canonical_format = True
    return X


SPAN_VALUES = 1 << 21
"""Stored values that are read at once where fewer than half are asked for: about a chunk."""


def spans(starts: Int64s, stops: Int64s) -> Iterator[tuple[int, int]]:
    """Yield runs of ascending rows that are read together, given their offsets in stored values.

    Nothing is read across a gap of `SPAN_VALUES`. Where at least half of the values between two
    such gaps are asked for, they are read at once, else in spans of at most `SPAN_VALUES`.
    """
    gaps = np.flatnonzero(starts[1:] - stops[:-1] > SPAN_VALUES) + 1
    bounds = [0, *gaps.tolist(), len(starts)]
    for first, end in pairwise(bounds):
        asked = int(np.sum(stops[first:end] - starts[first:end]))
        sparse = stops[end - 1] - starts[first] > 2 * asked
        while first < end:
            reach = starts[first] + SPAN_VALUES
            last = int(np.searchsorted(stops[:end], reach, side="right")) if sparse else end
            last = max(last, first + 1)
            yield first, last
            first = last


def _like(X: CSR, data: Array) -> CSR:
    return assemble_csr(data, X.indices, X.indptr, X.shape)
