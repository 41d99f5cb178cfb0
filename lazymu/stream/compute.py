"""The one place where Dask computes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import dask.base
from threadpoolctl import ThreadpoolController

from lazymu.settings import settings


@lru_cache(maxsize=1)
def _native_threads() -> ThreadpoolController:
    return ThreadpoolController()


def compute(tasks: Sequence[Any]) -> tuple[Any, ...]:
    """Return the results of delayed tasks or Dask collections.

    They run on the scheduler that is set: an active `dask.distributed.Client`, one set by
    `dask.config`, else threads. BLAS and OpenMP keep to one thread meanwhile, since the blocks
    are what runs in parallel.
    """
    with _native_threads().limit(limits=1):
        results: tuple[Any, ...] = dask.base.compute(*tasks, **_threads_or_nothing())
    return results


def _threads_or_nothing() -> dict[str, Any]:
    """Return the thread pool's size where no other scheduler has been chosen."""
    if dask.base.get_scheduler() is not None:
        return {}
    return {"scheduler": "threads", "num_workers": settings.n_threads}
