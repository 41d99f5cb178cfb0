"""The one place where Dask computes."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import dask.base
import dask.config
import dask.threaded
from dask.delayed import delayed

from lazymu.settings import settings
from lazymu.stream.lost import telling_of_a_lost_cluster
from lazymu.stream.memory import use_one_arena
from lazymu.stream.threads import one_native_thread


@telling_of_a_lost_cluster()
def compute(tasks: Sequence[Any]) -> tuple[Any, ...]:
    """Return the results of delayed tasks or Dask collections.

    They run on the scheduler that is set: an active `dask.distributed.Client`, one set by
    `dask.config`, else threads.
    """
    use_one_arena()
    with one_native_thread():
        results: tuple[Any, ...] = dask.base.compute(*tasks, **_threads_or_nothing())
    return results


def task(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Return the delayed result of a function; the task is called by ``name`` and a number."""
    key = f"{name.replace(' ', '-')}-{uuid.uuid4().hex}"
    return delayed(function)(*arguments, dask_key_name=key)


@telling_of_a_lost_cluster()
def n_parallel() -> int:
    """Return how many tasks run at the same time, on the cluster or in this process."""
    client = _client()
    return settings.n_threads if client is None else sum(client.nthreads().values())


@telling_of_a_lost_cluster()
def held(values: Sequence[Any]) -> list[Any]:
    """Return large values as tasks take them: those of a cluster are sent to its workers, once."""
    client = _client()
    if client is None:
        return [delayed(value, traverse=False, pure=False) for value in values]
    futures: list[Any] = client.scatter(list(values), hash=False)
    return futures


def _client() -> Any:
    """Return the client of the active cluster, None where tasks run on this machine."""
    if not _scheduler_is_set():
        return None
    from distributed import get_client

    try:
        return get_client()
    except ValueError:  # a scheduler set by dask.config, without a cluster
        return None


def _threads_or_nothing() -> dict[str, Any]:
    """Return the thread pool's size where no other scheduler has been chosen."""
    if _scheduler_is_set():
        return {}
    # By its name Dask would look for a client first, and import distributed for it.
    return {"scheduler": dask.threaded.get, "num_workers": settings.n_threads}


def _scheduler_is_set() -> bool:
    """Return whether a scheduler is set or a client active; who has one has imported its package.

    To ask Dask alone would import distributed, which takes longer than a pass over small data.
    """
    if "distributed" not in sys.modules and dask.config.get("scheduler", None) is None:
        return False
    return dask.base.get_scheduler() is not None
