"""Workers on this machine."""

from __future__ import annotations

import math
from typing import Any

import dask.config

from lazymu.cluster.worker import connected, nanny_settings, worker_of
from lazymu.settings import settings
from lazymu.stream.cluster import WORKING_SHARE


def local(
    n_workers: int = 2, *, threads: int | None = None, memory: int | float | str | None = None
) -> Any:
    """Start workers on this machine and return a client of them.

    One process with as many threads needs less memory and sends nothing: take a cluster on one
    machine to try a script, or where steps hold the interpreter. All workers together take what
    one process would:

    ``threads = n_threads / n_workers``, ``memory = memory_limit / n_workers / 0.6``

    Each is a process with a nanny, which kills it when it exceeds its memory; its tasks are then
    done again. BLAS has one thread in it, as each thread works on a block.

    Parameters
    ----------
    n_workers
        Processes.
    threads
        Threads of each; by default the processors of ``lazymu.settings.n_threads``, shared out.
    memory
        Memory of each, in bytes or as ``"4GB"``, of which passes plan with 60 %; by default
        ``lazymu.settings.memory_limit`` is what passes plan with in all workers together.

    Returns
    -------
    A ``distributed.Client``, which lazymu uses from now on. ``client.shutdown()`` ends the workers.

    Raises
    ------
    ArgumentError
        If a worker has no threads, or too little memory for them.

    Examples
    --------
    >>> import lazymu
    >>> client = lazymu.cluster.local(2, threads=1, memory="2GB")
    >>> len(client.nthreads())
    2
    >>> client.shutdown()
    """
    if threads is None:
        threads = max(settings.n_threads // n_workers, 1)
    if memory is None:
        memory = math.ceil(settings.memory_limit / n_workers / WORKING_SHARE)
    worker = worker_of(threads, memory)
    from distributed import LocalCluster

    with dask.config.set(nanny_settings()):
        cluster = LocalCluster(  # type: ignore[no-untyped-call] # distributed's is not annotated
            n_workers=n_workers,
            threads_per_worker=worker.threads,
            memory_limit=worker.memory,
            processes=True,
            dashboard_address=":0",
        )
    return connected(cluster)
