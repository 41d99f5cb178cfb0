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

from lazymu.errors import ClusterLostError, WorkerKilledError, explain
from lazymu.settings import settings
from lazymu.stream.cluster import active_client, scheduler_is_set
from lazymu.stream.lost import first_line, telling_of_a_lost_cluster
from lazymu.stream.memory import use_one_arena
from lazymu.stream.stages import stage_name
from lazymu.stream.threads import one_native_thread
from lazymu.stream.worker_losses import crew, why_killed, why_lost

ATTEMPTS = 4
"""Times that work is done over whose operands were lost with a worker."""


def compute(tasks: Sequence[Any]) -> tuple[Any, ...]:
    """Return the results of delayed tasks or Dask collections.

    They run on the scheduler that is set: an active `dask.distributed.Client`, one set by
    `dask.config`, else threads.

    Raises
    ------
    ClusterLostError
        If the scheduler is gone.
    WorkerKilledError
        If a task has taken several workers down.
    """
    use_one_arena()
    if (client := active_client()) is not None:
        return _compute_remotely(client, tasks)
    with one_native_thread():
        results: tuple[Any, ...] = dask.base.compute(*tasks, **_threads_or_nothing())
    return results


def _compute_remotely(client: Any, tasks: Sequence[Any]) -> tuple[Any, ...]:
    from distributed import KilledWorker

    # An operand in the graph is kept by the scheduler, which sends it again where a worker is lost.
    quiet = {"distributed.admin.large-graph-warning-threshold": "4GB"}
    with telling_of_a_lost_cluster(client), dask.config.set(quiet):
        try:
            results: tuple[Any, ...] = dask.base.compute(*tasks)
        except KilledWorker as error:
            raise WorkerKilledError(why_killed(error)) from error
    return results


def recovering(build: Callable[[], Sequence[Any]], restore: Callable[[], None]) -> tuple[Any, ...]:
    """Return the results of the tasks that ``build`` makes of values that workers hold.

    Where some of these were lost with a worker, ``restore`` sends them again, and all is done anew.
    Each time tasks are new, so that the scheduler does not count how many workers they took down.

    Raises
    ------
    WorkerKilledError
        If workers were lost in each of `ATTEMPTS`, or one task has taken several down in one.
    """
    before = crew()
    for attempt in range(ATTEMPTS):
        if attempt:
            restore()
        try:
            return compute(build())
        except WorkerKilledError:
            raise  # it would take down those that are left
        except ClusterLostError as error:
            client = active_client()
            if client is None or client.status != "running":
                raise
            lost = error
    raise WorkerKilledError(why_lost(ATTEMPTS, before)) from lost


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
        for _ in range(ATTEMPTS):
            # A worker that is cut off is asked, too, until the scheduler knows that it is lost.
            try:
                return list(client.scatter(list(values), hash=False))
            except OSError as error:
                if client.status != "running":
                    raise
                unreached = error
    rule = f"a worker cannot be reached ({first_line(unreached)})"
    fix = "restart it, or wait until the scheduler has dropped it, and repeat the step"
    raise ClusterLostError(explain("client", "a cluster's", rule, fix)) from unreached


def _threads_or_nothing() -> dict[str, Any]:
    """Return the thread pool's size where no other scheduler has been chosen."""
    if scheduler_is_set():
        return {}
    # By its name Dask would look for a client first, and import distributed for it.
    return {"scheduler": dask.threaded.get, "num_workers": settings.n_threads}
