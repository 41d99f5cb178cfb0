"""Matrices of a Zarr store that several tasks write, each its own chunks or shards.

The arrays are there, in their full lengths, before the tasks begin: these open them by the store's
location, and share nothing. A part is a run of whole chunks (or shards), so that no two tasks
write one file, and a task that is run again writes the same.
"""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np

from lazymu.errors import MissingFileError, explain
from lazymu.store.arrays import Layout, UnitWriter, copy_rows, create_array, rows_of
from lazymu.store.dtypes import index_dtype, narrowest, wider
from lazymu.store.writers import close_csr, close_dense
from lazymu.typing import CSR, Array, Int64s

COPIES = 3
"""Of a chunk or shard that is written: rows that wait to fill it, these in one, and compressed."""
_opening = threading.Lock()


@dataclass(frozen=True)
class Target:
    """A matrix that is to be written, by location.

    Parameters
    ----------
    location
        Folder or URL of the store.
    folder, name
        Group of the store, and the matrix's name in it.
    shape
        Of the matrix.
    offsets
        Of each row, the stored values before it; None where the matrix is stored dense.
    dtype
        Type of the values, such as a sample of them needs.
    widest
        Type that holds all values; those of a part from the first on that ``dtype`` does not hold
        are written in it, beside the others.
    layout
        Chunks and shards.
    """

    location: str
    folder: str
    name: str
    shape: tuple[int, int]
    offsets: Int64s | None
    dtype: np.dtype[Any]
    widest: np.dtype[Any]
    layout: Layout
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    """Tells this target from others that a process has opened at the same place."""

    @property
    def is_dense(self) -> bool:
        return self.offsets is None

    @cached_property
    def positions(self) -> Int64s:
        """Where each row begins along the arrays: in values, of a dense matrix in rows."""
        if self.offsets is None:
            return np.arange(self.shape[0] + 1, dtype=np.int64)
        return self.offsets

    @property
    def length(self) -> int:
        """Length of the arrays."""
        return int(self.positions[-1])

    @property
    def width(self) -> int | None:
        return self.shape[1] if self.is_dense else None

    @property
    def unit(self) -> int:
        """Length of what is written at once: a shard, or a chunk."""
        values = self.layout.shard_values or self.layout.chunk_values
        if self.width is None:
            return values
        per_shard = values // self.layout.chunk_values
        return rows_of(self.layout.chunk_values, self.width) * per_shard

    @property
    def n_units(self) -> int:
        return -(-self.length // self.unit)

    @property
    def index_dtype(self) -> np.dtype[Any]:
        return index_dtype(self.length, self.shape[1])

    @property
    def part_bytes(self) -> int:
        """Peak bytes of a part while it is written, blocks apart."""
        n = min(self.unit, self.length)
        if self.width is not None:
            return COPIES * n * self.width * self.widest.itemsize
        return COPIES * n * (self.widest.itemsize + self.index_dtype.itemsize)

    # --- arrays, by their names in the group -----------------------------------------------------

    @property
    def values(self) -> str:
        """Name of the values."""
        return self.name if self.is_dense else f"{self.name}/data"

    @property
    def beside(self) -> str:
        """Name of values that the type of the others does not hold."""
        return f"{self.values}-wider"

    @property
    def indices(self) -> str:
        return f"{self.name}/indices"

    # --- what the caller does --------------------------------------------------------------------

    def create(self, group: Any) -> None:
        """Create the arrays in their group."""
        if not self.is_dense:
            group.create_group(self.name)
            self._create(group, self.indices, self.index_dtype)
        self._create(group, self.values, self.dtype)
        if self.widest != self.dtype:
            self._create(group, self.beside, self.widest)

    def _create(self, group: Any, name: str, dtype: np.dtype[Any]) -> None:
        create_array(group, name, self.length, self.width, dtype, self.layout)

    def recreate(self, group: Any, dtype: np.dtype[Any]) -> Target:
        """Return the target whose values have another type; those that were written are gone."""
        del group[self.values]
        self._create(group, self.values, dtype)
        return replace(self, dtype=dtype).renewed()

    def renewed(self) -> Target:
        """Return the target such that its arrays are opened anew."""
        return replace(self, token=uuid.uuid4().hex)

    def close(self, group: Any) -> None:
        """Write what makes the matrix visible."""
        if self.beside in group:
            del group[self.beside]
        if self.offsets is None:
            close_dense(group[self.name])
        else:
            indices = self.index_dtype
            close_csr(group[self.name], self.offsets, self.shape[1], indices, self.layout)

    def remove(self, group: Any) -> None:
        """Remove what was written."""
        for name in (self.name, self.beside) if self.is_dense else (self.name,):
            if name in group:
                del group[name]


class Part(NamedTuple):
    """What has been written of a part, by positions along the arrays."""

    start: int
    widened: int
    """Where values begin that are written beside the others, in the widest type."""
    stop: int
    dtype: np.dtype[Any]
    """Type that all values need."""
    fits: bool
    """Whether rows have the lengths that were expected; if not, what was written is void."""


class PartWriter:
    """Rows of a matrix from which a run of units is cut and written.

    Parameters
    ----------
    target
        The matrix.
    first, last
        Its units: from the first up to, not including, the last.
    """

    def __init__(self, target: Target, first: int, last: int) -> None:
        self._target = target
        self._start = first * target.unit
        self._stop = min(last * target.unit, target.length)
        self._dtype, self._fits = target.dtype, True
        self._widened: int | None = None
        self._values = UnitWriter(opened(target, target.values), self._start, batch=1)
        if not target.is_dense:
            self._indices = UnitWriter(opened(target, target.indices), self._start, batch=1)

    def append(self, X: CSR, row: int) -> None:
        """Write what is the part's of a block whose first row is ``row`` of the matrix."""
        positions = self._target.positions[row : row + X.shape[0] + 1]
        if not self._target.is_dense and not np.array_equal(X.indptr, positions - positions[0]):
            self._fits = False
        start = int(np.clip(self._start - positions[0], 0, positions[-1] - positions[0]))
        stop = int(np.clip(self._stop - positions[0], 0, positions[-1] - positions[0]))
        if not self._fits:
            self._dtype = wider(self._dtype, narrowest(X.data))
        elif self._target.is_dense:
            self._append_rows(X, start, stop)
        elif start < stop:
            self._widen(X.data[start:stop])
            self._values.append(X.data[start:stop])
            self._indices.append(X.indices[start:stop])

    def _append_rows(self, X: CSR, start: int, stop: int) -> None:
        self._widen(X.data[X.indptr[start] : X.indptr[stop]])
        step = rows_of(self._target.layout.chunk_values, X.shape[1])
        for first in range(start, stop, step):  # a sparse block may be large as dense
            self._values.append(X[first : min(first + step, stop)].toarray())

    def _widen(self, values: Array) -> None:
        """Have values written beside the others where their type does not hold these."""
        self._dtype = wider(self._dtype, narrowest(values))
        if self._dtype != self._target.dtype and self._widened is None:
            self._widened = self._values.position
            self._values.array = opened(self._target, self._target.beside)

    def close(self) -> Part:
        """Write what is pending and return what was written."""
        if self._fits:
            self._values.flush()
            if not self._target.is_dense:
                self._indices.flush()
        widened = self._stop if self._widened is None else self._widened
        return Part(self._start, widened, self._stop, self._dtype, self._fits)


def set_beside(target: Target, part: Part) -> None:
    """Copy a part's values to those that are written in the widest type."""
    old, new = opened(target, target.values), opened(target, target.beside)
    copy_rows(old, new, part.start, part.widened)


def bring_back(target: Target, part: Part) -> None:
    """Copy a part's values in the widest type to their place, in the type that they need."""
    old, new = opened(target, target.beside), opened(target, target.values)
    copy_rows(old, new, part.start, part.stop)


def opened(target: Target, name: str) -> Any:
    """Return an array of a target's store, opened once in a process."""
    with _opening:
        return _opened(target.location, f"{target.folder}/{name}".lstrip("/"), target.token)


@lru_cache(maxsize=64)
def _opened(location: str, path: str, token: str) -> Any:
    import zarr

    try:
        # Every chunk is written, as `create_array` says; Zarr does not keep that with the array.
        with zarr.config.set({"array.write_empty_chunks": True}):
            return zarr.open_array(location, path=path, mode="r+")
    except FileNotFoundError as error:
        got, rule = (
            repr(f"{location}/{path}"),
            "the process that is to write there does not find it",
        )
        fix = "write to a folder that all workers of the cluster share, or to a URL"
        raise MissingFileError(explain("path", got, rule, fix)) from error
