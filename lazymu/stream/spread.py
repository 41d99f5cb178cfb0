"""Rows of arrays in memory, in runs: in threads of this process, or as tasks on a cluster."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from lazymu.stream.cluster import Workers, workers
from lazymu.stream.compute import held, recovering, task
from lazymu.stream.threads import for_row_blocks
from lazymu.typing import Array

T = TypeVar("T")
logger = logging.getLogger(__name__)

TASKS_PER_SLOT = 4
"""Tasks for each that runs at a time, where there are rows enough: workers end together."""


class Shared(Generic[T]):
    """Arrays that tasks of several calls take: sent to a cluster once.

    Workers hand them on to each other. One that has let a copy go between two calls, as Dask's
    memory manager asks it to after some seconds, is handed another.
    """

    def __init__(self, value: T) -> None:
        self.value = value
        self._held: Any = None

    def on_workers(self) -> Any:
        """Return what tasks take in place of the value."""
        if self._held is None:
            (self._held,) = held([self.value])
        return self._held

    def send_again(self) -> None:
        """Let the value be sent anew: it may be lost with a worker."""
        self._held = None

    @property
    def n_bytes(self) -> int:
        """Bytes of the arrays."""
        arrays = self.value if isinstance(self.value, tuple) else (self.value,)
        return sum(getattr(array, "nbytes", 0) for array in arrays)


def over_rows(
    work: Callable[..., T],
    own: Sequence[Array],
    shared: Sequence[Shared[Any]],
    *,
    block_rows: int,
    label: str,
) -> list[T]:
    """Return ``work(*own rows, *shared values)`` of runs of the rows of ``own``, in order.

    In threads a run has ``block_rows`` rows; on a cluster each worker is handed the shared values
    and a task has its own rows, ``block_rows`` of them at least. Where workers have no room for
    what is shared, threads of this process work. ``work`` is a function of a module, and changes
    nothing that it is given.
    """
    n_rows = len(own[0])
    crew = workers()
    if not crew.are_remote or not _has_room(crew, shared, label):
        values = [one.value for one in shared]

        def in_place(start: int, stop: int) -> T:
            return work(*(array[start:stop] for array in own), *values)

        return for_row_blocks(in_place, 0, n_rows, block_rows)
    step = max(block_rows, -(-n_rows // (TASKS_PER_SLOT * crew.n_tasks)))

    def tasks() -> list[Any]:
        sent = [one.on_workers() for one in shared]
        return [
            task(label, work, *(array[start : start + step] for array in own), *sent)
            for start in range(0, n_rows, step)
        ]

    def send_again() -> None:
        for one in shared:
            one.send_again()

    return list(recovering(tasks, send_again))


def _has_room(crew: Workers, shared: Sequence[Shared[Any]], label: str) -> bool:
    needed = sum(one.n_bytes for one in shared)
    if needed <= crew.memory_limit:
        return True
    told = "%s: workers with room for %s bytes cannot hold %s; this process works instead"
    logger.warning(told, label, f"{crew.memory_limit:,}", f"{needed:,}")
    return False
