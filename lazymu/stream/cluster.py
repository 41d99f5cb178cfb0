"""Where tasks run: this process, or the workers of an active Dask cluster."""

from __future__ import annotations

import logging
import sys
import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

import dask.base
import dask.config

from lazymu.settings import settings
from lazymu.stream import progress
from lazymu.stream.lost import telling_of_a_lost_cluster

logger = logging.getLogger(__name__)

WORKING_SHARE = 0.6
"""Of a worker's memory limit, what passes plan with: beyond it Dask writes results to disk."""
_heard: weakref.WeakSet[Any] = weakref.WeakSet()


class Workers(NamedTuple):
    """The processes that run tasks."""

    n_tasks: int
    """Tasks that run at the same time, in all."""
    n_threads: int
    """Tasks that run at the same time in one process, at most."""
    memory_limit: int
    """Bytes that one process may take."""
    are_remote: bool
    """Whether they are a cluster's, which may lose one."""


def workers() -> Workers:
    """Return the processes that tasks go to now.

    Every process keeps ``settings.memory_limit``; a cluster's workers also `WORKING_SHARE` of their
    own limits.
    """
    client = active_client()
    here = Workers(settings.n_threads, settings.n_threads, settings.memory_limit, are_remote=False)
    if client is None:
        return here
    known = known_workers(client)
    if not known:
        logger.warning("the cluster has no workers yet: tasks wait until one joins")
        return here._replace(are_remote=True)
    threads = [int(worker["nthreads"]) for worker in known]
    limits = [int(WORKING_SHARE * worker["memory_limit"]) for worker in known]
    limit = min([settings.memory_limit, *(limit for limit in limits if limit > 0)])
    return Workers(sum(threads), max(threads), limit, are_remote=True)


def known_workers(client: Any) -> list[dict[str, Any]]:
    """Return what the scheduler knows of its workers.

    ``client.scheduler_info`` would at times say that there are none: what it returns is also set,
    every other second, by a question that leaves the workers out.

    Raises
    ------
    ClusterLostError
        If the scheduler is gone.
    """
    with telling_of_a_lost_cluster(client):
        if client.scheduler is None:
            raise ConnectionError(f"the client is {client.status}")
        identity = client.sync(client.scheduler.identity, n_workers=-1)
    return list(identity["workers"].values())


def active_client() -> Any:
    """Return the client of the active cluster, None where tasks run on this machine."""
    if not scheduler_is_set():
        return None
    # One set by dask.config goes before a client that is there: it is asked who computes.
    client = getattr(dask.base.get_scheduler(), "__self__", None)
    if client is None:
        return None
    from distributed import Client

    if not isinstance(client, Client):
        return None
    _hear(client)
    return client


def scheduler_is_set() -> bool:
    """Return whether a scheduler is set or a client active; who has one has imported its package.

    To ask Dask alone would import distributed, which takes longer than a pass over small data.
    """
    if "distributed" not in sys.modules and dask.config.get("scheduler", None) is None:
        return False
    return dask.base.get_scheduler() is not None


def _hear(client: Any) -> None:
    """Let the bars of this process move with the blocks that the client's workers have done."""
    if client not in _heard and not client.asynchronous:
        _heard.add(client)
        client.subscribe_topic(progress.TOPIC, _advance)


def _advance(event: tuple[float, Sequence[Any]]) -> None:
    token, n_values = event[1]
    progress.advance(token, n_values)
