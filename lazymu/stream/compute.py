"""The one place where Dask computes."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import dask.base
import dask.config
import dask.threaded
from dask.delayed import delayed

from lazymu.errors import ClusterLostError
from lazymu.settings import settings
from lazymu.stream.cluster import active_client, scheduler_is_set
from lazymu.stream.lost import telling_of_a_lost_cluster
from lazymu.stream.memory import use_one_arena
from lazymu.stream.stages import stage_name
from lazymu.stream.threads import one_native_thread

ATTEMPTS = 4
"""Times that work is done over whose operands were lost with a worker."""


def compute(tasks: Sequence[Any]) -> tuple[Any, ...]:
    """Return the results of delayed tasks or Dask collections.

    They run on the scheduler that is set: an active `dask.distributed.Client`, one set by
    `dask.config`, else threads.

    Raises
    ------
    ClusterLostError
        If the scheduler is gone, or a task has taken several workers down.
    """
    use_one_arena()
    if (client := active_client()) is not None:
        return _compute_remotely(client, tasks)
    with one_native_thread():
        results: tuple[Any, ...] = dask.base.compute(*tasks, **_threads_or_nothing())
    return results


def _compute_remotely(client: Any, tasks: Sequence[Any]) -> tuple[Any, ...]:
    # An operand in the graph is kept by the scheduler, which sends it again where a worker is lost.
    quiet = {"distributed.admin.large-graph-warning-threshold": "4GB"}
    with telling_of_a_lost_cluster(client), dask.config.set(quiet):
        results: tuple[Any, ...] = dask.base.compute(*tasks)
    return results


def recovering(build: Callable[[], Sequence[Any]], restore: Callable[[], None]) -> tuple[Any, ...]:
    """Return the results of the tasks that ``build`` makes of values that workers hold.

    Where some of these were lost with a worker, ``restore`` sends them again, and all is done anew.
    """
    for _ in range(ATTEMPTS - 1):
        try:
            return compute(build())
        except ClusterLostError:
            client = active_client()
            if client is None or client.status != "running":
                raise
            restore()
    return compute(build())


def task(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Return the delayed result of a function; its key is the stage, ``name`` and a number."""
    words = re.sub(r"[\W_]+", "-", f"{stage_name()} {name}").strip("-")
    return delayed(function)(*arguments, dask_key_name=f"{words}-{uuid.uuid4().hex}")


def operand(value: Any) -> Any:
    """Return a value that many tasks of one `compute` take: it goes to each worker once."""
    return delayed(value, traverse=False, pure=False)


def in_threads() -> bool:
    """Return whether tasks run in threads of this process: they may write to one file."""
    return not scheduler_is_set() or dask.base.get_scheduler() is dask.threaded.get


def held(values: Sequence[Any]) -> list[Any]:
    """Return large values that tasks of several `compute` take: on a cluster, its workers' own.

    What a worker holds is lost with it: make such tasks within :func:`recovering`.
    """
    client = active_client()
    if client is None:
        return [operand(value) for value in values]
    with telling_of_a_lost_cluster(client):
        futures: list[Any] = client.scatter(list(values), hash=False)
    return futures


def _threads_or_nothing() -> dict[str, Any]:
    """Return the thread pool's size where no other scheduler has been chosen."""
    if scheduler_is_set():
        return {}
    # By its name Dask would look for a client first, and import distributed for it.
    return {"scheduler": dask.threaded.get, "num_workers": settings.n_threads}
