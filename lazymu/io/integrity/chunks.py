"""Arrays chunk by chunk: each is read and decoded once, and one that cannot be is named."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from lazymu.errors import DamagedFileError
from lazymu.io.integrity.documents import Keys
from lazymu.io.integrity.findings import Findings
from lazymu.settings import settings
from lazymu.store.roots import Root, StoredArray, ZarrRoot, reading
from lazymu.stream.plan import working_bytes
from lazymu.stream.progress import advance
from lazymu.typing import Array

T = TypeVar("T")
COPIES = 4
"""How often a window is in memory while it is decoded and looked at."""
HDF5_VALUES = 1 << 20
"""Values of a window of an HDF5 array that has no chunks."""


@dataclass
class Check:
    """A check of one store under way."""

    root: Root
    keys: Keys | None
    findings: Findings
    token: str

    def damaged(self, array: str, found: str, **more: Any) -> None:
        self.findings.add(self.root, array, found, **more)


def chunk_shape(node: Any) -> tuple[int, ...]:
    """Return the shape of an array's chunks; of HDF5 without chunks that of a window."""
    if node.chunks is not None:
        return tuple(node.chunks)
    rest = int(np.prod(node.shape[1:], dtype=np.int64))
    return (max(1, HDF5_VALUES // max(1, rest)), *node.shape[1:]) if node.shape else ()


def file_of(check: Check, node: Any, place: tuple[int, ...]) -> str:
    """Return the file of the chunk or shard in which a value stands, ``""`` in HDF5."""
    if not isinstance(check.root, ZarrRoot):
        return ""
    sizes = node.shards or node.chunks
    numbers = tuple(at // size for at, size in zip(place, sizes, strict=True))
    return f"{node.path}/{node.metadata.encode_chunk_key(numbers)}".lstrip("/")


def is_absent(check: Check, file: str) -> bool:
    """Return whether a chunk's file is known not to be there."""
    return bool(file) and check.keys is not None and file not in check.keys.names


def rows_text(start: int, stop: int) -> str:
    """Return a run of rows in words."""
    return f"row {start:,}" if stop == start + 1 else f"rows {start:,} to {stop:,}"


def n_windows(node: Any) -> int:
    """Return how many windows an array is read in."""
    chunks = chunk_shape(node)
    return math.prod(-(-n // max(1, c)) for n, c in zip(node.shape, chunks, strict=True))


def read_run(
    check: Check, name: str, start: int, stop: int, rows: Callable[[int, int], str] = rows_text
) -> Array | None:
    """Return a run of an array's first axis; None, and a finding for each chunk, where damaged."""
    stored = StoredArray(check.root, name)
    try:
        return stored[start:stop]
    except DamagedFileError as error:
        chunks, shape = chunk_shape(stored.node), stored.shape
        first = range(start - start % chunks[0], stop, chunks[0])
        rest = [range(0, n, c) for n, c in zip(shape[1:], chunks[1:], strict=True)]
        for at in itertools.product(first, *rest):
            if any(len(numbers) > 1 for numbers in rest):
                read_chunk(check, name, at)
                continue
            last = min(at[0] + chunks[0], shape[0])
            try:
                stored[at[0] : last]
            except DamagedFileError as one:
                _tell(check, name, one, at, rows(at[0], last))
        if not check.findings.about(check.root, name):
            _tell(check, name, error, (start, *[0] * (len(shape) - 1)), rows(start, stop))
        return None


def read_chunk(check: Check, name: str, at: tuple[int, ...]) -> Array | None:
    """Return the chunk that begins at a place of an array of any shape, None where damaged."""
    node = check.root.node(name)
    chunks = chunk_shape(node)
    part = tuple(slice(a, min(a + c, n)) for a, c, n in zip(at, chunks, node.shape, strict=True))
    try:
        with reading(check.root, name):
            return np.asarray(node[part] if part else node[()])
    except (DamagedFileError, KeyError) as error:
        rows = rows_text(part[0].start, part[0].stop) if part else ""
        _tell(check, name, error, at, rows)
        return None


def _tell(check: Check, name: str, error: Exception, at: tuple[int, ...], rows: str) -> None:
    text = str(error)
    start = text.find("but ") + 4
    said = text[start : text.rfind("; copy it")] if start > 3 else text
    file = file_of(check, check.root.node(name), at)
    if is_absent(check, file):
        said = "it is not there, and lazymu wrote all chunks"
    check.damaged(name, said, rows=rows, file=file)


def check_array(check: Check, name: str) -> None:
    """Read every chunk of an array that is no matrix."""
    node = check.root.node(name)
    if 0 in node.shape:
        return
    axes = [range(0, n, max(1, c)) for n, c in zip(node.shape, chunk_shape(node), strict=True)]
    whole_rows = len(node.shape) == 1 or (
        len(node.shape) == 2 and chunk_shape(node)[1] == node.shape[1]
    )
    for at in itertools.product(*axes):
        if whole_rows:
            stop = min(at[0] + chunk_shape(node)[0], node.shape[0])
            read_run(check, name, at[0], stop)
        else:
            read_chunk(check, name, at)
        advance(check.token, math.prod(chunk_shape(node)))
        check.findings.checked["chunks"] += 1


def ahead(read: Callable[[T], Any], items: Iterable[T], item_bytes: int) -> Iterator[Any]:
    """Yield what is read of each item, in order; threads read as far ahead as memory allows."""
    room = working_bytes(settings.memory_limit) // max(1, COPIES * item_bytes)
    n_threads = int(max(1, min(settings.n_threads, room - 1)))
    with ThreadPoolExecutor(max_workers=n_threads) as pool:
        pending: deque[Any] = deque()
        for item in items:
            pending.append(pool.submit(read, item))
            if len(pending) > n_threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
