"""Arrays on disk that grow by rows: how they are cut, compressed, appended to and widened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from lazymu.errors import ArgumentError, explain
from lazymu.keys import WHOLE
from lazymu.typing import Array

H5_CHUNK_VALUES = 1 << 17
"""HDF5 caches chunks of up to about a megabyte."""
BATCH_CHUNKS = 4
"""Chunks that are handed to the file at once, so that they are compressed in parallel; of shards
one is, whose chunks are."""
SHARD_COPIES = 5
"""How much of its size a shard takes, by measurement, while it is encoded and written."""


@dataclass(frozen=True)
class Layout:
    """How the arrays of matrices are cut and compressed.

    Parameters
    ----------
    chunk_values
        Values of a chunk.
    shard_values
        Values of a shard (a file of several chunks, Zarr format 3), None for a file per chunk.
        A shard of each array is held in memory while it is written.
    compression
        HDF5 filter; Zarr arrays are compressed by Blosc (lz4, bytes shuffled).
    checksums
        Keep a CRC-32C of each compressed chunk (Zarr format 3).
    """

    chunk_values: int = 1 << 20
    shard_values: int | None = None
    compression: str | None = "gzip"
    checksums: bool = False

    def __post_init__(self) -> None:
        if self.chunk_values < 1:
            rule = "a chunk holds at least one value"
            raise ArgumentError(explain("chunk_values", self.chunk_values, rule, "pass 1 << 20"))
        shards = self.shard_values
        if shards is not None and (shards < 1 or shards % self.chunk_values):
            rule = f"a shard holds whole chunks of {self.chunk_values} values"
            fix = f"pass a multiple, e.g. {64 * self.chunk_values}"
            raise ArgumentError(explain("shards", shards, rule, fix))


def held_bytes(*units: int) -> int:
    """Return what a chunk or shard of each array takes, and the largest as it is written.

    Parameters
    ----------
    units
        Bytes of a unit of each array.
    """
    return sum(units) + (SHARD_COPIES - 1) * max(units)


def is_h5(group: Any) -> bool:
    """Return whether a group is of an HDF5 file rather than of a Zarr store."""
    return isinstance(group, h5py.Group)


def rows_of(values: int, width: int | None) -> int:
    """Return how many rows of an array of some width hold about so many values."""
    return max(1, values // max(1, width or 1))


def create_array(
    group: Any, name: str, n_rows: int, width: int | None, dtype: Any, layout: Layout
) -> Any:
    """Create an array (n_rows,) or (n_rows, width) that can be resized by rows."""
    shape = (n_rows,) if width is None else (n_rows, width)
    if is_h5(group):
        return _create_h5(group, name, shape, dtype, layout)
    chunks, shards = chunks_of(width, layout)
    return group.create_array(
        name,
        shape=shape,
        dtype=dtype,
        chunks=chunks,
        shards=shards,
        compressors=compressors(
            blosc(group.metadata.zarr_format, np.dtype(dtype).itemsize), layout.checksums
        ),
        fill_value=0,
        # Every chunk is written, so that a chunk that is absent later is known to be lost.
        attributes={WHOLE: True},
        config={"write_empty_chunks": True},
    )


def chunks_of(width: int | None, layout: Layout) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
    """Return the shapes of a Zarr array's chunks, and of its shards where it has them."""
    chunks = _chunk_shape(width, layout.chunk_values)
    if layout.shard_values is None:
        return chunks, None
    return chunks, (chunks[0] * (layout.shard_values // layout.chunk_values), *chunks[1:])


def _chunk_shape(width: int | None, n_values: int) -> tuple[int, ...]:
    """Return whole rows that hold about so many values, or part of one where rows are longer."""
    rows = rows_of(n_values, width)
    return (rows,) if width is None else (rows, max(1, min(width, n_values)))


def _create_h5(group: Any, name: str, shape: tuple[int, ...], dtype: Any, layout: Layout) -> Any:
    if 0 in shape[1:]:
        return group.create_dataset(name, shape=shape, dtype=dtype)
    width = shape[1] if len(shape) > 1 else None
    chunks = _chunk_shape(width, min(H5_CHUNK_VALUES, layout.chunk_values))
    filters: dict[str, Any] = {"compression": layout.compression}
    if layout.compression is not None:
        filters["shuffle"] = True
    if layout.compression == "gzip":
        filters["compression_opts"] = 1  # a third faster than 4, for a tenth more space
    maxshape = (None, *shape[1:])
    return group.create_dataset(
        name, shape=shape, maxshape=maxshape, dtype=dtype, chunks=chunks, **filters
    )


def blosc(zarr_format: int, itemsize: int) -> Any:
    """Return the compressor of matrices: Blosc lz4 with shuffled bytes, the fastest to read."""
    if zarr_format == 2:
        from numcodecs import Blosc

        return Blosc(cname="lz4", clevel=5, shuffle=Blosc.SHUFFLE)
    from zarr.codecs import BloscCodec

    return BloscCodec(cname="lz4", clevel=5, shuffle="shuffle", typesize=itemsize)


def compressors(compressor: Any, checksums: bool) -> Any:  # noqa: FBT001 - of a layout
    """Return a compressor alone or, of format 3, with a checksum of each chunk behind it."""
    if not checksums:
        return compressor
    from zarr.codecs import Crc32cCodec

    return [compressor, Crc32cCodec()]


def has_checksums(array: Any) -> bool:
    """Return whether a Zarr array keeps a checksum of each chunk."""
    codecs = getattr(array, "compressors", None) or ()
    return any(type(codec).__name__ == "Crc32cCodec" for codec in codecs)


class UnitWriter:
    """Rows written one after the other into an array that is there, by whole chunks or shards.

    Parameters
    ----------
    array
        The array, of HDF5 or Zarr; it may be exchanged for one of the same chunks and shards.
    start
        Row at which a chunk or shard begins, and what is written.
    """

    def __init__(self, array: Any, start: int = 0) -> None:
        self.array, self.position = array, start
        self._pending: list[Array] = []
        self._n_pending = 0
        self._unit = unit_rows(array)
        sharded = getattr(array, "shards", None) is not None
        self._batch = self._unit * (1 if sharded else BATCH_CHUNKS)

    def append(self, rows: Array) -> None:
        """Write the next rows; they are cast to the array's type."""
        if self._n_pending:
            head = rows[: self._unit - self._n_pending]
            self._hold(head)
            rows = rows[len(head) :]
            if self._n_pending == self._unit:
                self.flush()
        whole = len(rows) - len(rows) % self._unit
        for start in range(0, whole, self._batch):
            self._write(rows[start : min(start + self._batch, whole)])
        if whole < len(rows):
            self._hold(rows[whole:])

    def _hold(self, rows: Array) -> None:
        """Keep rows until they fill a unit: a copy, which does not hold on to their block."""
        self._pending.append(rows.copy())
        self._n_pending += len(rows)

    def flush(self) -> None:
        """Write what is pending."""
        if self._pending:
            rows = np.concatenate(self._pending, dtype=self.array.dtype, casting="unsafe")
            self._pending, self._n_pending = [], 0
            self._write(rows)

    def _write(self, rows: Array) -> None:
        stop = self.position + len(rows)
        self.array[self.position : stop] = rows.astype(self.array.dtype, copy=False)
        self.position = stop


class Appender:
    """An array on disk that rows are appended to; whole chunks or shards are written at once.

    Parameters
    ----------
    group, name
        Where the array is created.
    width
        Columns of a two-dimensional array, None for a vector.
    dtype
        Type of the values; :meth:`widen` changes it.
    layout
        Chunks and shards.
    capacity
        Rows at most.
    """

    def __init__(
        self, group: Any, name: str, width: int | None, dtype: Any, layout: Layout, capacity: int
    ) -> None:
        self._group, self._name, self._width = group, name, width
        self._layout, self._capacity = layout, capacity
        self.dtype = np.dtype(dtype)
        self._writer = UnitWriter(self._create(name))

    @property
    def shard_bytes(self) -> int:
        """Bytes of a shard's values, which are held until it is full; 0 without shards."""
        return 0 if self._layout.shard_values is None else unit_bytes(self._writer.array)

    def append(self, rows: Array) -> None:
        """Append rows; they are cast to the array's type."""
        self._writer.append(rows)

    def widen(self, dtype: Any) -> None:
        """Change the type of what was written and of what follows; pending rows are kept."""
        old, self.dtype = self._writer.array, np.dtype(dtype)
        if not self._writer.position:
            del self._group[self._name]
            self._writer.array = self._create(self._name)
            return
        # Zarr cannot rename an array: the wider copy is made beside the old one, and brought back.
        beside = f"{self._name}-wider"
        wider = self._create(beside)
        self._copy(old, wider)
        del self._group[self._name]
        self._writer.array = self._create(self._name)
        self._copy(wider, self._writer.array)
        del self._group[beside]

    def _create(self, name: str) -> Any:
        return create_array(
            self._group, name, self._capacity, self._width, self.dtype, self._layout
        )

    def _copy(self, old: Any, new: Any) -> None:
        unit, length = unit_rows(new), self._writer.position
        for start in range(0, length, unit):
            rows = slice(start, min(start + unit, length))
            new[rows] = np.asarray(old[rows]).astype(self.dtype)

    def close(self) -> Any:
        """Write what is pending, cut the array to its length, and return it."""
        self._writer.flush()
        array, length = self._writer.array, self._writer.position
        if length != self._capacity:
            array.resize((length, *array.shape[1:]))
        return array


def unit_rows(array: Any) -> int:
    """Return the rows that are written at once: those of a shard, or of a chunk."""
    pieces = getattr(array, "shards", None) or array.chunks or array.shape
    return max(1, int(pieces[0]))


def unit_bytes(array: Any) -> int:
    """Return the bytes of a chunk or shard of whole rows."""
    width = int(np.prod(array.shape[1:], dtype=np.int64))
    return unit_rows(array) * width * int(array.dtype.itemsize)
