"""Arrays of a matrix in a Zarr store that several tasks write, each its own chunks or shards.

The arrays are there, in their full lengths, before the tasks begin: these take them along, and
share nothing else. A range ends where a chunk (or shard) does, so that no two tasks write one file,
and a task that is run again writes the same.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lazymu.errors import MissingFileError, explain
from lazymu.store.arrays import (
    Layout,
    UnitWriter,
    create_array,
    held_bytes,
    unit_bytes,
    unit_rows,
)
from lazymu.store.dtypes import index_dtype, narrowest, wider
from lazymu.store.locations import scheme_of
from lazymu.store.writers import close_csr, close_dense
from lazymu.typing import CSR, Int64s


class MatrixArrays(NamedTuple):
    """The arrays of a matrix that is being written."""

    values: Any
    indices: Any | None
    """None where the matrix is stored dense."""

    @property
    def unit(self) -> int:
        """Length of what is written at once: a shard, or a chunk."""
        return unit_rows(self.values)

    @property
    def held_bytes(self) -> int:
        """Peak bytes of what fills chunks or shards while a task writes, blocks apart."""
        return held_bytes(*(unit_bytes(array) for array in self if array is not None))


def is_shared(group: Any) -> bool:
    """Return whether other processes may write to a group: in a folder, or behind a URL."""
    from zarr.storage import LocalStore

    store: Any = getattr(group, "store", None)
    if getattr(store, "is_remote", False):
        return scheme_of(store.location) != "memory"
    return isinstance(store, LocalStore)


def create_arrays(
    group: Any,
    name: str,
    shape: tuple[int, int],
    offsets: Int64s | None,
    dtype: np.dtype[Any],
    layout: Layout,
) -> MatrixArrays:
    """Create the arrays of a matrix, dense where there are no ``offsets`` of its rows."""
    if offsets is None:
        arrays = MatrixArrays(create_array(group, name, *shape, dtype, layout), None)
    else:
        parent, n_values = group.create_group(name), int(offsets[-1])
        values = create_array(parent, "data", n_values, None, dtype, layout)
        of_columns = index_dtype(n_values, shape[1])
        arrays = MatrixArrays(
            values, create_array(parent, "indices", n_values, None, of_columns, layout)
        )
    if getattr(group.store, "is_remote", False):
        for array in arrays:
            group.store.expect(_keys(array))
    return arrays


def _keys(array: Any) -> list[str]:
    """Return the keys of an array's chunks or shards."""
    if array is None:
        return []
    pieces = zip(array.shape, array.shards or array.chunks, strict=True)
    grid = product(*(range(-(-length // piece)) for length, piece in pieces))
    return [f"{array.path}/{array.metadata.encode_chunk_key(place)}" for place in grid]


def close_arrays(
    group: Any, name: str, arrays: MatrixArrays, offsets: Int64s | None, n_vars: int, layout: Layout
) -> None:
    """Write what makes a matrix visible, once its tasks have ended."""
    for array in arrays:
        _remove_unfinished(array)
    if offsets is None or arrays.indices is None:
        close_dense(group[name])
    else:
        close_csr(group[name], offsets, n_vars, arrays.indices.dtype, layout)


def _remove_unfinished(array: Any) -> None:
    """Remove what zarr had not yet given its name when a worker was killed."""
    root = getattr(getattr(array, "store", None), "root", None)
    if isinstance(root, Path):
        for path in (root / array.path).rglob("*.partial"):
            with suppress(FileNotFoundError):  # its writer was thought dead, and has ended now
                path.unlink()


class RangeWriter:
    """Cuts a range of a matrix's arrays out of the rows that cover it, and writes that.

    What does not have the type of the arrays, or the expected lengths of rows, is not written: the
    matrix is written again, by what is known then.

    Parameters
    ----------
    arrays
        The matrix's.
    start, stop
        Ends of the range: values, of a dense matrix rows.
    """

    def __init__(self, arrays: MatrixArrays, start: int, stop: int) -> None:
        self._start, self._stop, self._fits = start, stop, True
        self._values = UnitWriter(arrays.values, start)
        self._indices = None if arrays.indices is None else UnitWriter(arrays.indices, start)
        self._dtype = arrays.values.dtype

    def append(self, X: CSR, positions: Int64s) -> None:
        """Write what is the range's of some rows, given where each begins along the arrays."""
        check_there(self._values.array)
        lo, hi = np.clip([self._start, self._stop], positions[0], positions[-1]) - positions[0]
        self._fits &= wider(self._dtype, narrowest(X.data)) == self._dtype
        if self._indices is None:
            self._append_dense(X, int(lo), int(hi))
            return
        self._fits &= np.array_equal(np.diff(X.indptr), np.diff(positions))
        if self._fits:
            self._values.append(X.data[lo:hi])
            self._indices.append(X.indices[lo:hi])

    def _append_dense(self, X: CSR, start: int, stop: int) -> None:
        step = unit_rows(self._values.array)
        for first in range(start, stop if self._fits else start, step):
            self._values.append(X[first : min(first + step, stop)].toarray())

    def close(self) -> None:
        """Write what is pending."""
        if self._fits:
            for writer in (self._values, self._indices):
                if writer is not None:
                    writer.flush()


def check_there(array: Any) -> None:
    """Raise where a local array is not there: zarr would make its folder.

    A worker may not see it, or its pass has failed, so that what was written is removed.
    """
    root = getattr(array.store, "root", None)
    if isinstance(root, Path):
        name = "zarr.json" if array.metadata.zarr_format == 3 else ".zarray"
        if not (root / array.path / name).exists():
            got = f"{str(root)!r}, which a worker of the cluster does not find"
            fix = "write to a folder that all of them share, or to a URL"
            raise MissingFileError(explain("path", got, "workers write to it", fix))
