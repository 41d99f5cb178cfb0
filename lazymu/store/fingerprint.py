"""Whether a matrix on disk is still the one that something was recorded about."""

from __future__ import annotations

import math
import zlib
from typing import Any

import numpy as np

from lazymu.store.elements import is_array
from lazymu.typing import Array

HEAD_VALUES = 1 << 16

Fingerprint = dict[str, Any]


def fingerprint(node: Any) -> Fingerprint:
    """Return what tells a matrix: type, shape, stored values, chunks, and a checksum.

    The checksum is the CRC-32 of `indptr` and of the first and last stored values, whatever the
    chunks, so that a copy of the matrix with other chunks has it too.
    """
    return {**_metadata(node), "crc": _checksum(node)}


def fingerprint_of_values(values: Array) -> Fingerprint:
    """Return the number of stored values in memory, and the checksum of the first and last."""
    crc = 0
    for ends in (values[:HEAD_VALUES], values[-HEAD_VALUES:]):
        crc = zlib.crc32(np.ascontiguousarray(ends).tobytes(), crc)
    return {"n_values": len(values), "crc": crc}


def still_holds(record: Fingerprint, node: Any, *, read: bool) -> bool:
    """Return whether a matrix has a fingerprint.

    Parameters
    ----------
    record
        The fingerprint as it was.
    node
        The matrix, a group or an array.
    read
        Compute the checksum in any case; else only where the matrix was written with other chunks.
    """
    found = _metadata(node)
    if any(found[key] != record.get(key) for key in ("dtype", "shape", "n_values")):
        return False
    if not read and found["chunks"] == record.get("chunks"):
        return True
    return _checksum(node) == record.get("crc")


def _metadata(node: Any) -> Fingerprint:
    values = node if is_array(node) else node["data"]
    shape = node.shape if is_array(node) else node.attrs["shape"]
    return {
        "dtype": str(np.dtype(values.dtype)),
        "shape": [int(n) for n in shape],
        "n_values": int(np.prod(values.shape, dtype=np.int64)),
        "chunks": [int(n) for n in values.chunks or ()],
    }


def _checksum(node: Any) -> int:
    values, crc = node, 0
    if not is_array(node):
        values = node["data"]
        crc = zlib.crc32(np.asarray(node["indptr"][:]).astype("<i8").tobytes())
    width = int(np.prod(values.shape[1:], dtype=np.int64))
    rows = max(1, HEAD_VALUES // max(1, width))
    for ends in (values[:rows], values[max(0, values.shape[0] - rows) :]):
        crc = zlib.crc32(np.ascontiguousarray(ends).tobytes(), crc)
    return crc


def absent_files(node: Any) -> int:
    """Return how many chunks or shards of a Zarr matrix are not there; they would read as zeros."""
    arrays = [node] if is_array(node) else [node[part] for part in ("data", "indices", "indptr")]
    return sum(_absent(array) for array in arrays)


def _absent(array: Any) -> int:
    files = array.shards or array.chunks
    expected: int = math.prod(-(-n // file) for n, file in zip(array.shape, files, strict=True))
    per_file: int = math.prod(file // n for file, n in zip(files, array.chunks, strict=True))
    return expected - int(array.nchunks_initialized) // per_file
