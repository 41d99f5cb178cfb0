"""Zarr arrays in shards of whole rows: the chunks that a read needs come in one request a shard.

zarr-python asks for them one after the other, which over a network takes longer than the reading.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from lazymu.store.chunks import CHECKSUM_BYTES, Decoder, decode_chunk, decoder_of, has_whole_rows
from lazymu.store.whole import lost
from lazymu.typing import Array

ABSENT = np.iinfo(np.uint64).max
"""Offset of a chunk that is all fill value."""
KEPT_INDEXES = 1024
N_REQUESTS = 8
"""Shards of a read that are asked for side by side, where each is a request."""
ENTRY_BYTES = 16
INDEX_CODECS = ["bytes", "crc32c"]


class Objects(Protocol):
    """Where shards are read from, by key."""

    is_remote: bool
    location: str
    """Shown in errors."""

    def tail(self, key: str, n_bytes: int) -> Any:
        """Return the last bytes of an object."""
        ...

    def ranges(self, key: str, starts: Sequence[int], stops: Sequence[int]) -> list[Any]:
        """Return ranges of bytes of an object."""
        ...


class FolderObjects:
    """Shards in files of a folder."""

    is_remote = False

    def __init__(self, folder: str) -> None:
        self._folder, self.location = Path(folder), folder

    def tail(self, key: str, n_bytes: int) -> bytes:
        with open(self._folder / key, "rb") as file:
            file.seek(max(0, file.seek(0, 2) - n_bytes))
            return file.read()

    def ranges(self, key: str, starts: Sequence[int], stops: Sequence[int]) -> list[bytes]:
        found = []
        with open(self._folder / key, "rb") as file:
            for start, stop in zip(starts, stops, strict=True):
                file.seek(start)
                found.append(file.read(stop - start))
        return found


class ShardedRows:
    """A vector, or a matrix in chunks of whole rows, in shards with their index at the end.

    Parameters
    ----------
    array
        The Zarr array.
    objects
        Where its shards are.
    decode
        Decoder of a chunk.
    is_whole
        Whether every chunk was written, so that one that is absent was lost.
    """

    def __init__(
        self, array: Any, objects: Objects, decode: Decoder, *, is_whole: bool = False
    ) -> None:
        self._objects, self._decode, self._path = objects, decode, array.path
        self._is_whole = is_whole
        self._width = int(array.shape[1]) if len(array.shape) == 2 else None
        per_row = self._width or 1
        self._length = int(array.shape[0]) * per_row
        self._chunk, self._shard = int(array.chunks[0]) * per_row, int(array.shards[0]) * per_row
        self._dtype, self._fill = np.dtype(array.dtype), array.fill_value or 0
        self._encode_key = array.metadata.encode_chunk_key
        self._indexes: dict[int, Array] = {}
        self._lock = threading.Lock()

    def read(self, start: int, stop: int) -> Array:
        """Return the values, or rows, from ``start`` to ``stop``."""
        if self._width is None:
            return self._read(start, stop)
        return self._read(start * self._width, stop * self._width).reshape(-1, self._width)

    def _read(self, start: int, stop: int) -> Array:
        stop = min(stop, self._length)
        out = np.empty(max(stop - start, 0), self._dtype)

        def fill(number: int) -> None:
            first = number * self._shard
            lo, hi = max(start, first), min(stop, first + self._shard)
            self._read_shard(number, lo - first, hi - first, out[lo - start : hi - start])

        numbers = range(start // self._shard, -(-stop // self._shard) if len(out) else 0)
        if len(numbers) > 1 and self._objects.is_remote:
            with ThreadPoolExecutor(max_workers=N_REQUESTS) as pool:
                list(pool.map(fill, numbers))
        else:
            for number in numbers:
                fill(number)
        return out

    def _read_shard(self, number: int, start: int, stop: int, out: Array) -> None:
        """Fill ``out`` with a run of a shard's values."""
        chunks = np.arange(start // self._chunk, -(-stop // self._chunk))
        entries = self._index(number)[chunks]
        there = entries[:, 0] != ABSENT
        offsets, ends = entries[there, 0].tolist(), entries[there].sum(axis=1).tolist()
        encoded = iter(self._ranges(number, offsets, ends) if offsets else ())
        for chunk, is_there in zip(chunks.tolist(), there.tolist(), strict=True):
            first = chunk * self._chunk
            place = number * self._shard + first
            lo, hi = max(start, first), min(stop, first + self._chunk)
            part = out[lo - start : hi - start]
            if not is_there:
                if self._is_whole:
                    raise ValueError(f"shard {self._key(number)} holds no chunk {chunk}")
                part[:] = self._fill
            elif hi - lo == self._chunk:
                decode_chunk(self._decode, bytes(next(encoded)), part, place)
            else:
                whole = np.empty(self._chunk, self._dtype)
                decode_chunk(self._decode, bytes(next(encoded)), whole, place)
                part[:] = whole[lo - first : hi - first]

    def _ranges(self, number: int, starts: list[int], stops: list[int]) -> list[Any]:
        try:
            return self._objects.ranges(self._key(number), starts, stops)
        except FileNotFoundError:  # whose index was read before
            raise lost(self._key(number), self._objects.location) from None

    def _key(self, number: int) -> str:
        place = (number,) if self._width is None else (number, 0)
        return f"{self._path}/{self._encode_key(place)}"

    def _index(self, number: int) -> Array:
        """Return the offsets and lengths of a shard's chunks (chunks, 2)."""
        with self._lock:
            if number in self._indexes:
                return self._indexes[number]
        index = self._read_index(number)
        with self._lock:
            if len(self._indexes) >= KEPT_INDEXES:
                self._indexes.clear()
            self._indexes[number] = index
        return index

    def _read_index(self, number: int) -> Array:
        n_chunks = self._shard // self._chunk
        n_bytes = ENTRY_BYTES * n_chunks + CHECKSUM_BYTES
        try:
            tail = bytes(self._objects.tail(self._key(number), n_bytes))
        except FileNotFoundError:
            if self._is_whole:
                raise lost(self._key(number), self._objects.location) from None
            return np.full((n_chunks, 2), ABSENT)
        return _checked(tail, n_bytes)


def _checked(tail: bytes, n_bytes: int) -> Array:
    from google_crc32c import value

    entries, checksum = tail[:-CHECKSUM_BYTES], tail[-CHECKSUM_BYTES:]
    if len(tail) != n_bytes or value(entries) != int.from_bytes(checksum, "little"):
        raise ValueError("the index of a shard is damaged or cut short")
    return np.frombuffer(entries, "<u8").reshape(-1, 2)


def sharded_rows(array: Any, objects: Objects, *, is_whole: bool = False) -> ShardedRows | None:
    """Return the reader of an array in shards; None of what zarr-python has to read."""
    metadata = getattr(array, "metadata", None)
    if metadata is None or metadata.zarr_format != 3 or not has_whole_rows(array):
        return None
    dtype = np.dtype(array.dtype)
    if dtype.kind not in "iuf" or not dtype.isnative or len(metadata.codecs) != 1:
        return None
    codec = metadata.codecs[0].to_dict()
    if codec["name"] != "sharding_indexed":
        return None
    found = codec["configuration"]
    names = [_plain(one)["name"] for one in found["index_codecs"]]
    if names != INDEX_CODECS or _plain_text(found["index_location"]) != "end":
        return None
    decode = decoder_of([_plain(one) for one in found["codecs"]])
    return None if decode is None else ShardedRows(array, objects, decode, is_whole=is_whole)


def _plain(codec: Any) -> Any:
    return codec.to_dict() if hasattr(codec, "to_dict") else codec


def _plain_text(value: Any) -> str:
    return str(getattr(value, "value", value))
