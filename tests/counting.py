"""Witnesses of what a function under test does: Dask computations, and chunks read from a store."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import dask
from dask.threaded import get as threaded_get
from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import WrapperStore


class CountingScheduler:
    """A threaded Dask scheduler that counts its calls and refuses more than ``max_computes``."""

    def __init__(self, max_computes: int | None = None) -> None:
        self.max_computes = max_computes
        self.n_computes = 0

    def __call__(self, graph: Any, keys: Any, **kwargs: Any) -> Any:
        self.n_computes += 1
        if self.max_computes is not None and self.n_computes > self.max_computes:
            raise AssertionError(
                f"Dask computed {self.n_computes} times, allowed are {self.max_computes}"
            )
        return threaded_get(graph, keys, **kwargs)


@contextmanager
def counting_scheduler() -> Iterator[CountingScheduler]:
    """Count the Dask computations of a ``with`` block: ``scheduler.n_computes``."""
    scheduler = CountingScheduler()
    with dask.config.set(scheduler=scheduler):
        yield scheduler


@contextmanager
def raise_if_dask_computes(max_computes: int = 0) -> Iterator[None]:
    """Fail where a ``with`` block computes more often than ``max_computes`` times."""
    with dask.config.set(scheduler=CountingScheduler(max_computes)):
        yield


class CountingStore(WrapperStore[Store]):
    """A Zarr store that counts how often each key is read, whichever way zarr asks for it.

    Examples
    --------
    ``CountingStore(LocalStore(path, read_only=True)).chunk_reads("mod/rna/X/data")``
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.reads: Counter[str] = Counter()

    def with_read_only(self, read_only: bool = False) -> CountingStore:
        same = CountingStore(self._store.with_read_only(read_only))
        same.reads = self.reads
        return same

    def chunk_reads(self, prefix: str = "") -> dict[str, int]:
        """Return the reads of every chunk (metadata documents apart) below a path of the store."""
        metadata = ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")
        return {
            key: n
            for key, n in self.reads.items()
            if key.startswith(prefix) and not key.endswith(metadata)
        }

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        self.reads[key] += 1
        return await super().get(key, prototype, byte_range)

    def get_sync(self, key: str, **kwargs: Any) -> Buffer | None:
        self.reads[key] += 1
        return self._store.get_sync(key, **kwargs)

    async def get_partial_values(
        self,
        prototype: BufferPrototype,
        key_ranges: Iterable[tuple[str, ByteRequest | None]],
    ) -> list[Buffer | None]:
        wanted = list(key_ranges)
        self.reads.update(key for key, _ in wanted)
        return await super().get_partial_values(prototype, wanted)

    async def get_ranges(
        self, key: str, byte_ranges: Sequence[ByteRequest | None], **kwargs: Any
    ) -> AsyncIterator[Sequence[tuple[int, Buffer | None]]]:
        self.reads[key] += 1
        async for group in self._store.get_ranges(key, byte_ranges, **kwargs):
            yield group
