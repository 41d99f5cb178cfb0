"""Where the rows of one matrix come from: CSR or dense, on disk or in memory.

A source knows its shape, its dtype and where its rows begin; ``read(start, stop)`` brings a run
of rows as canonical CSR (sorted indices, no duplicates, no explicit zeros). Sources can be
pickled, so that a task on another machine opens the file again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import numpy as np
import scipy.sparse as sp

from lazymu.errors import ArgumentError, DamagedFileError, explain
from lazymu.store.roots import Place
from lazymu.store.whole import fix_of
from lazymu.typing import CSR, Array, Int64s, Ints

INT32_LIMIT = np.iinfo(np.int32).max


class ArrayHandle(Protocol):
    """What a source needs of an array on disk: h5py's and zarr's common part."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> Any: ...
    def __getitem__(self, key: Any) -> Any: ...


class Origin(NamedTuple):
    """How a matrix was stored in the file that it first came from, for export to restore."""

    dtype: str
    encoding: str
    """``"csr_matrix"``, ``"csc_matrix"`` or ``"array"``."""


class MatrixSource(Protocol):
    """Raw rows of one matrix."""

    origin: Origin

    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def is_dense(self) -> bool:
        """Whether the matrix is stored as a dense array."""
        ...

    @property
    def indptr(self) -> Int64s:
        """Offsets of the rows in stored values, length n_obs + 1 (an upper bound where dense)."""
        ...

    def read(self, start: int, stop: int) -> CSR:
        """Return rows ``start`` to ``stop`` as canonical CSR in the source's own dtype."""
        ...


def native_dtype(dtype: Any) -> np.dtype[Any]:
    """Return the dtype that values of ``dtype`` are handled in: native, not bool or float16."""
    dtype = np.dtype(dtype).newbyteorder("=")
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    if dtype.kind not in "iuf":
        raise ArgumentError(
            explain("X", f"an array of {dtype}", "it must hold real numbers", "convert it first")
        )
    if dtype.itemsize < 4 and dtype.kind == "f":
        return np.dtype(np.float32)
    return dtype if dtype.itemsize <= 8 else np.dtype(np.float64)


def canonical_csr(
    data: Array,
    indices: Array,
    indptr: Array,
    shape: tuple[int, int],
    *,
    expect_canonical: bool = False,
) -> CSR:
    """Return CSR with sorted, unique indices of the narrowest signed type and no explicit zeros.

    Raises
    ------
    DamagedFileError
        If columns are out of range or, with ``expect_canonical``, the pieces are not so already.
    """
    from lazymu.kernels.select import canonical

    wide = max(shape[1], len(data)) > INT32_LIMIT
    index_dtype = np.int64 if wide else np.int32
    if len(indices) and (indices.min() < 0 or indices.max() >= shape[1]):
        got = f"{indices.min()} to {indices.max()}"
        raise DamagedFileError(
            explain("indices", got, f"they must lie in 0..{shape[1] - 1}", "write the file again")
        )
    values = np.ascontiguousarray(data, dtype=native_dtype(data.dtype))
    given: Ints = indices.astype(index_dtype, copy=False)
    values, columns, offsets = canonical(values, given, indptr.astype(index_dtype, copy=False))
    if expect_canonical and columns is not given:
        rule = "lazymu wrote them sorted, each once, and no zeros"
        got = "not in order, repeated, or of values that are 0"
        raise DamagedFileError(explain("indices", got, rule, "write the file again"))
    return assemble_csr(values, columns, offsets, shape)


def assemble_csr(data: Array, indices: Array, indptr: Array, shape: tuple[int, int]) -> CSR:
    """Return a CSR matrix of arrays known to be canonical, without scipy's checks and copies."""
    matrix = sp.csr_matrix(shape, dtype=data.dtype)
    matrix.data, matrix.indices, matrix.indptr = data, indices, indptr
    matrix.has_sorted_indices = True
    matrix.has_canonical_format = True
    return matrix


def dense_to_csr(X: Array) -> CSR:
    """Return a dense block as canonical CSR."""
    matrix: CSR = sp.csr_matrix(np.ascontiguousarray(X, dtype=native_dtype(X.dtype)))
    return matrix


def name_of(handle: ArrayHandle, otherwise: str) -> str:
    """Return the path of an array in its file, where it stands in one."""
    return str(getattr(handle, "name", otherwise)).strip("/")


def _fix_of(handle: ArrayHandle) -> str:
    root = getattr(handle, "root", None)
    return "write the file again" if root is None else fix_of(root)


@contextmanager
def _in_rows(handle: ArrayHandle, start: int, stop: int) -> Iterator[None]:
    """Say of damage in which rows of which matrix of which file it was met."""
    try:
        yield
    except DamagedFileError as error:
        root = getattr(handle, "root", None)
        if root is None:
            raise
        said = str(error).replace("`indices` is", f"`{name_of(handle, '')}` is", 1)
        said = said.replace("write the file again.", f"{fix_of(root)}.")
        where = f"rows {start:,} to {stop:,} of {root}"
        raise DamagedFileError(f"{said} It was met in {where}.") from error


class CSRSource:
    """CSR on disk: three one-dimensional arrays; only ``indptr`` is held in memory.

    ``place`` says where lazymu wrote it, None of matrices that others wrote.
    """

    is_dense = False

    def __init__(
        self,
        data: ArrayHandle,
        indices: ArrayHandle,
        indptr: ArrayHandle,
        shape: tuple[int, int],
        origin: Origin | None = None,
    ) -> None:
        self._data, self._indices, self._indptr_handle = data, indices, indptr
        self.shape = (int(shape[0]), int(shape[1]))
        self.dtype = native_dtype(data.dtype)
        self.origin = origin or Origin(str(np.dtype(data.dtype)), "csr_matrix")
        self.place: Place | None = None
        self.is_canonical = False
        """Whether lazymu wrote it, so that what is not in canonical form is damaged."""
        self._indptr: Int64s | None = None
        self._first = 0

    @property
    def indptr(self) -> Int64s:
        if self._indptr is None:
            self._indptr = self._checked_indptr()
        return self._indptr

    def _checked_indptr(self) -> Int64s:
        stored = tuple(self._indptr_handle.shape)
        if stored != (self.shape[0] + 1,):  # before anything is allocated for it
            rule = f"it must rise from 0 over {self.shape[0] + 1} entries"
            got = f"of shape {stored}"
            raise DamagedFileError(explain("indptr", got, rule, "write the file again"))
        indptr = np.asarray(self._indptr_handle[:]).astype(np.int64, copy=False)
        n_values = min(self._data.shape[0], self._indices.shape[0])
        name, fix = name_of(self._indptr_handle, "indptr"), _fix_of(self._indptr_handle)
        if len(indptr) != self.shape[0] + 1 or indptr[0] != 0 or np.any(np.diff(indptr) < 0):
            rule = f"it must rise from 0 over {self.shape[0] + 1} entries"
            got = f"{len(indptr)} entries from {indptr[:1]}"
            raise DamagedFileError(explain(name, got, rule, fix))
        is_short = self.is_canonical and indptr[-1] < n_values
        if indptr[-1] > n_values or self._data.shape != self._indices.shape or is_short:
            got = f"{self._data.shape[0]} data and {self._indices.shape[0]} indices"
            rule = f"`{name}` asks for {indptr[-1]} of each"
            raise DamagedFileError(explain(name.rpartition("/")[0] or "X", got, rule, fix))
        return indptr

    def window(self, first: int, stop: int) -> CSRSource:
        """Return the rows ``first`` to ``stop``, with their offsets alone."""
        shape = (stop - first, self.shape[1])
        part = CSRSource(self._data, self._indices, self._indptr_handle, shape, self.origin)
        part._indptr, part.is_canonical = self.indptr[first : stop + 1], self.is_canonical
        part._first = self._first + first
        return part

    def read(self, start: int, stop: int) -> CSR:
        lo, hi = int(self.indptr[start]), int(self.indptr[stop])
        with _in_rows(self._indices, self._first + start, self._first + stop):
            return canonical_csr(
                np.asarray(self._data[lo:hi]),
                np.asarray(self._indices[lo:hi]),
                self.indptr[start : stop + 1] - lo,
                (stop - start, self.shape[1]),
                expect_canonical=self.is_canonical,
            )


class DenseSource:
    """A dense array on disk, (obs, var); ``place`` is that of :class:`CSRSource`."""

    is_dense = True

    def __init__(self, array: ArrayHandle, origin: Origin | None = None) -> None:
        self._array = array
        self.shape = (int(array.shape[0]), int(array.shape[1]))
        self.dtype = native_dtype(array.dtype)
        self.origin = origin or Origin(str(np.dtype(array.dtype)), "array")
        self.place: Place | None = None

    @property
    def indptr(self) -> Int64s:
        return np.arange(self.shape[0] + 1, dtype=np.int64) * self.shape[1]

    def read(self, start: int, stop: int) -> CSR:
        with _in_rows(self._array, start, stop):
            return dense_to_csr(np.asarray(self._array[start:stop]))


class MemorySource:
    """A matrix that is in memory already: dense, or sparse of any format.

    Its values are copied, so that whoever gave it may change it in place.
    """

    def __init__(self, X: Any) -> None:
        self.is_dense = not sp.issparse(X)
        encoding = "array"
        if self.is_dense:
            self._X: Any = np.array(X)
            if self._X.ndim != 2:
                got = f"{self._X.ndim}-dimensional"
                raise ArgumentError(
                    explain("X", got, "it must be (obs, var)", "reshape it to two dimensions")
                )
        else:
            csr = sp.csr_matrix(X)
            encoding = "csc_matrix" if X.format == "csc" else "csr_matrix"
            self._X = canonical_csr(csr.data, csr.indices, csr.indptr, csr.shape)
            for part in ("data", "indices", "indptr"):
                if np.may_share_memory(getattr(self._X, part), getattr(X, part, None)):
                    setattr(self._X, part, getattr(self._X, part).copy())
        self.shape = (int(self._X.shape[0]), int(self._X.shape[1]))
        self.dtype = native_dtype(self._X.dtype)
        self.origin = Origin(str(np.asarray(X).dtype if self.is_dense else X.dtype), encoding)

    @property
    def indptr(self) -> Int64s:
        if self.is_dense:
            return np.arange(self.shape[0] + 1, dtype=np.int64) * self.shape[1]
        offsets: Int64s = self._X.indptr.astype(np.int64)
        return offsets

    @property
    def values(self) -> Array:
        """Values that are held, in one row."""
        held: Array = np.ravel(self._X) if self.is_dense else self._X.data
        return held

    def window(self, first: int, stop: int) -> MemorySource:
        """Return the rows ``first`` to ``stop``."""
        part = MemorySource(self._X[first:stop])
        part.origin = self.origin
        return part

    def read(self, start: int, stop: int) -> CSR:
        if self.is_dense:
            return dense_to_csr(self._X[start:stop])
        lo, hi = self._X.indptr[start], self._X.indptr[stop]
        offsets = self._X.indptr[start : stop + 1] - lo
        return assemble_csr(
            self._X.data[lo:hi], self._X.indices[lo:hi], offsets, (stop - start, self.shape[1])
        )


class Window:
    """A run of rows of a source."""

    def __init__(self, source: MatrixSource, first: int, stop: int) -> None:
        self._source, self._first = source, first
        self.shape = (stop - first, source.shape[1])
        self.dtype, self.is_dense, self.origin = source.dtype, source.is_dense, source.origin

    @property
    def indptr(self) -> Int64s:
        return self._source.indptr[self._first : self._first + self.shape[0] + 1]

    def read(self, start: int, stop: int) -> CSR:
        return self._source.read(self._first + start, self._first + stop)


def run_of(rows: Int64s) -> tuple[int, int]:
    """Return the first of some rows, and the one after the last."""
    return (int(rows.min()), int(rows.max()) + 1) if len(rows) else (0, 0)


def window(source: MatrixSource, first: int, stop: int) -> MatrixSource:
    """Return the rows ``first`` to ``stop`` of a source, small when pickled.

    Sources that hold something for each of their rows have a `window` of their own.
    """
    own = getattr(source, "window", None)
    return Window(source, first, stop) if own is None else own(first, stop)
