"""The one place where Dask computes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import dask.base
import dask.config
import dask.threaded

from lazymu.settings import settings
from lazymu.stream.memory import use_one_arena
from lazymu.stream.threads import one_native_thread


def compute(tasks: Sequence[Any]) -> tuple[Any, ...]:
    """Return the results of delayed tasks or Dask collections.

    They run on the scheduler that is set: an active `dask.distributed.Client`, one set by
    `dask.config`, else threads.
    """
    use_one_arena()
    with one_native_thread():
        results: tuple[Any, ...] = dask.base.compute(*tasks, **_threads_or_nothing())
    return results


def n_parallel() -> int:
    """Return how many tasks run at the same time, on the cluster or in this process."""
    if not _scheduler_is_set():
        return settings.n_threads
    from distributed import get_client

    try:
        return sum(get_client().nthreads().values())
    except ValueError:  # a scheduler set by dask.config, without a cluster
        return settings.n_threads


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
