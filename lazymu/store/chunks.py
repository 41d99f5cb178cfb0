"""Vectors and rows of Zarr arrays in a local folder: chunks are decoded straight into place.

zarr-python decodes a chunk into memory of its own, copies it, and hands work between threads; for
the long vectors of a CSR matrix that takes longer than the decoding.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from lazymu.typing import Array

Decoder: TypeAlias = Callable[[Any, Array], None]
"""Writes what a chunk's file holds into an array (chunk,)."""

KEPT_VALUES = 1 << 22
"""A chunk that a read ends in is kept for the read that goes on from there, up to this length."""
BLOSC_HEADER = struct.Struct("<4xI4xI")
"""Lengths in bytes, decoded and encoded."""
CHECKSUM_BYTES = 4


class ChunkFiles:
    """A vector, or a matrix in chunks of whole rows, whose chunks are files of a folder.

    Parameters
    ----------
    array
        The Zarr array.
    files
        The array's folder.
    decode
        Decoder of its chunks.
    is_whole
        Whether every chunk was written, so that one that is absent was lost.
    """

    def __init__(self, array: Any, files: Path, decode: Decoder, *, is_whole: bool = False) -> None:
        self._files, self._decode, self._is_whole = files, decode, is_whole
        self._width = int(array.shape[1]) if len(array.shape) == 2 else None
        per_row = self._width or 1
        self._length, self._chunk = int(array.shape[0]) * per_row, int(array.chunks[0]) * per_row
        self._dtype, self._fill = np.dtype(array.dtype), array.fill_value or 0
        self._encode_key = array.metadata.encode_chunk_key
        self._last = threading.local()

    def read(self, start: int, stop: int) -> Array:
        """Return the values, or rows, from ``start`` to ``stop``."""
        if self._width is None:
            return self._read(start, stop)
        return self._read(start * self._width, stop * self._width).reshape(-1, self._width)

    def _read(self, start: int, stop: int) -> Array:
        stop = min(stop, self._length)
        out = np.empty(max(stop - start, 0), self._dtype)
        at = start
        while at < stop:
            number, offset = divmod(at, self._chunk)
            n = min(self._chunk - offset, stop - at)
            part = out[at - start : at - start + n]
            if n == self._chunk:
                self._read_chunk(number, part)
            else:
                part[:] = self._part_of(number)[offset : offset + n]
            at += n
        return out

    def _part_of(self, number: int) -> Array:
        """Return a chunk of which only a part is asked for; this thread's last one is at hand."""
        if getattr(self._last, "number", None) == number:
            kept: Array = self._last.values
            return kept
        values = np.empty(self._chunk, self._dtype)
        self._read_chunk(number, values)
        if self._chunk <= KEPT_VALUES:
            self._last.number, self._last.values = number, values
        return values

    def _read_chunk(self, number: int, out: Array) -> None:
        key = self._encode_key((number,) if self._width is None else (number, 0))
        try:
            encoded = (self._files / key).read_bytes()
        except FileNotFoundError:
            if self._is_whole:
                raise FileNotFoundError(f"its chunk {key} is not there") from None
            out[:] = self._fill  # what is absent from a Zarr array has its fill value
            return
        decode_chunk(self._decode, encoded, out, number * self._chunk)


def decode_chunk(decode: Decoder, encoded: bytes, out: Array, first: int) -> None:
    """Decode the chunk of values from ``first`` into ``out``; an error says which chunk it was."""
    try:
        decode(encoded, out)
    except Exception as error:  # decoders raise many kinds
        error.add_note(f"in the chunk of values {first:,} to {first + len(out):,}")
        raise


def chunk_files(array: Any, folder: str, *, is_whole: bool = False) -> ChunkFiles | None:
    """Return the reader of an array of a Zarr folder; None of one that zarr-python has to read."""
    metadata = getattr(array, "metadata", None)
    if metadata is None or not has_whole_rows(array) or np.dtype(array.dtype).kind not in "iuf":
        return None
    if metadata.zarr_format == 2:
        decode = _decoder_2(metadata)
    else:
        decode = decoder_of([codec.to_dict() for codec in metadata.codecs])
    if decode is None or not np.dtype(array.dtype).isnative:
        return None
    return ChunkFiles(array, Path(folder) / array.path, decode, is_whole=is_whole)


def has_whole_rows(array: Any) -> bool:
    """Return whether an array is a vector, or a matrix in chunks of whole rows."""
    if len(array.shape) == 1:
        return True
    rest = tuple(array.shape[1:])
    return len(rest) == 1 and rest[0] > 0 and tuple(array.chunks[1:]) == rest


def _decoder_2(metadata: Any) -> Decoder | None:
    if metadata.filters or metadata.order != "C":
        return None
    return _raw if metadata.compressor is None else _decoder(metadata.compressor.codec_id)


def decoder_of(codecs: Sequence[Any]) -> Decoder | None:
    """Return the decoder of format 3's codecs, None of those that zarr-python has to decode."""
    first, *others = codecs
    little = (first.get("configuration") or {}).get("endian", "little") == "little"
    if others and others[-1]["name"] == "crc32c":
        inner = decoder_of(codecs[:-1])
        return None if inner is None else partial(_checked, inner)
    if first["name"] != "bytes" or not little or len(others) > 1:
        return None
    return _decoder(others[0]["name"]) if others else _raw


def _checked(decode: Decoder, encoded: bytes, out: Array) -> None:
    """Decode what stands before a checksum, where that is right."""
    from google_crc32c import value

    content, found = np.frombuffer(encoded, np.uint8)[:-CHECKSUM_BYTES], encoded[-CHECKSUM_BYTES:]
    if len(found) < CHECKSUM_BYTES or value(content) != int.from_bytes(found, "little"):
        raise ValueError("its checksum does not fit its content")
    decode(content, out)


def _decoder(name: str) -> Decoder | None:
    """Return the decoder of a compressor by the name that both formats give it."""
    from numcodecs import GZip, Zstd

    if name == "blosc":
        return _blosc
    if name in ("zstd", "gzip"):
        codec = Zstd() if name == "zstd" else GZip()
        return lambda encoded, out: _raw(codec.decode(encoded), out)
    return None


def _blosc(encoded: bytes, out: Array) -> None:
    from numcodecs.blosc import decompress

    whole = len(encoded) >= BLOSC_HEADER.size
    n_bytes, n_encoded = BLOSC_HEADER.unpack_from(encoded) if whole else (0, 0)
    _check_length(n_bytes if n_encoded == len(encoded) else 0, out)
    decompress(encoded, out)


def _raw(encoded: Any, out: Array) -> None:
    decoded = np.frombuffer(encoded, np.uint8)
    _check_length(len(decoded), out)
    out[:] = decoded.view(out.dtype)


def _check_length(n_bytes: int, out: Array) -> None:
    if n_bytes != out.nbytes:
        got = f"holds {n_bytes:,} bytes" if n_bytes else "is cut short"
        raise ValueError(f"it {got}, where chunks have {out.nbytes:,}")
