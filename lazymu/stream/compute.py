"""The one place where Dask computes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dask.base

from lazymu.settings import settings
from lazymu.stream.threads import one_native_thread


def compute(tasks: Sequence[Any]) -> tuple[Any, ...]:
    """Return the results of delayed tasks or Dask collections.

    They run on the scheduler that is set: an active `dask.distributed.Client`, one set by
    `dask.config`, else threads.
    """
    with one_native_thread():
        results: tuple[Any, ...] = dask.base.compute(*tasks, **_threads_or_nothing())
    return results


def n_parallel() -> int:
    """Return how many tasks run at the same time, on the cluster or in this process."""
    if dask.base.get_scheduler() is None:
        return settings.n_threads
    from distributed import get_client

    try:
        return sum(get_client().nthreads().values())
    except ValueError:  # a scheduler set by dask.config, without a cluster
        return settings.n_threads


def _threads_or_nothing() -> dict[str, Any]:
    """Return the thread pool's size where no other scheduler has been chosen."""
    if dask.base.get_scheduler() is not None:
        return {}
    return {"scheduler": "threads", "num_workers": settings.n_threads}
