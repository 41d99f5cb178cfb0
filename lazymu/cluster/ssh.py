"""Workers on machines that SSH reaches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dask.config

from lazymu.cluster.worker import connected, nanny_settings, package, worker_of
from lazymu.errors import ArgumentError, explain


def ssh(
    hosts: Sequence[str],
    *,
    threads: int = 4,
    memory: int | float | str = "8GB",
    connect_options: Mapping[str, Any] | None = None,
    local_directory: str = "/tmp",
    remote_python: str | None = None,
) -> Any:
    """Start a worker on each of several machines over SSH and return a client of them.

    The first host runs the scheduler, each further one a worker with a nanny. All need the same
    versions of Python, lazymu and Dask, and see the store at the same path or URL. BLAS has one
    thread in a worker, as each of its threads works on a block.

    Parameters
    ----------
    hosts
        The scheduler's, then the workers'; name one several times for several workers.
    threads
        Threads of each worker. They share its operands: four of them take less memory than four
        workers of one thread.
    memory
        Memory of each worker, in bytes or as ``"8GB"``; passes plan with 60 % of it, and with
        ``lazymu.settings.memory_limit`` where that is less.
    connect_options
        What ``asyncssh.connect`` takes: ``username``, ``port``, ``client_keys``, ...
    local_directory
        A folder on each worker's own disk, for results beyond its memory.
    remote_python
        Python on the machines; by default the path of this one.

    Returns
    -------
    A ``distributed.Client``, which lazymu uses from now on. ``client.shutdown()`` ends the workers.

    Raises
    ------
    ArgumentError
        If there is no host for a worker, or a worker has too little memory for its threads.
    MissingPackageError
        If asyncssh is not installed.

    Examples
    --------
    >>> import lazymu
    >>> client = lazymu.cluster.ssh(["head", "node1", "node2"], threads=8)  # doctest: +SKIP
    """
    worker = worker_of(threads, memory)
    if isinstance(hosts, str) or len(hosts) < 2:
        rule = "it takes one for the scheduler and one for each worker"
        fix = 'pass e.g. ["head", "node1", "node2"]; a host may come twice'
        raise ArgumentError(explain("hosts", repr(hosts), rule, fix))
    package("asyncssh", "ssh", "asyncssh")
    from distributed import SSHCluster

    # The settings of this process at the start are those of the processes started.
    with dask.config.set(nanny_settings()):
        cluster = SSHCluster(
            list(hosts),
            connect_options=dict(connect_options or {}),
            worker_options={
                "nthreads": worker.threads,
                "memory_limit": worker.memory,
                "local_directory": local_directory,
            },
            scheduler_options={"port": 0, "dashboard_address": ":0"},
            remote_python=remote_python,
        )
    return connected(cluster)
