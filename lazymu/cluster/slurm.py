"""Workers as jobs of SLURM."""

from __future__ import annotations

from typing import Any

import dask.config

from lazymu.cluster.worker import BESIDE_WORKER, CONFIG, connected, package, variables, worker_of

MIB = 1 << 20


def slurm(
    n_workers: int,
    *,
    queue: str | None = None,
    account: str | None = None,
    walltime: str = "04:00:00",
    threads: int = 4,
    memory: int | float | str = "8GB",
    interface: str | None = None,
    local_directory: str = "${TMPDIR:-/tmp}",
) -> Any:
    """Submit workers as jobs of SLURM and return a client of them, once the first has started.

    The scheduler runs here: on a login node, or in a job of its own. A job is one worker with a
    nanny, so that SLURM starts it wherever one fits. The job asks for 256 MiB beyond the worker's
    memory, which the nanny takes: a worker that exceeds its memory is started anew by its nanny
    before SLURM kills the job. BLAS has one thread in it, as each thread works on a block. Jobs end
    by themselves a minute after the scheduler.

    Parameters
    ----------
    n_workers
        Jobs.
    queue
        SLURM's partition.
    account
        SLURM's account.
    walltime
        After which SLURM ends a job; its tasks are done again by others. Steps that are to be
        finished need no more than a pass of it.
    threads
        Threads of each worker. They share its operands: four of them take less memory than four
        workers of one thread.
    memory
        Memory of each worker, in bytes or as ``"8GB"``; passes plan with 60 % of it, and with
        ``lazymu.settings.memory_limit`` where that is less.
    interface
        The network interface between nodes, such as ``"ib0"``.
    local_directory
        A folder on the nodes' own disks, for results beyond memory; the job's shell expands it.

    Returns
    -------
    A ``distributed.Client``, which lazymu uses from now on. ``client.shutdown()`` ends the jobs.

    Raises
    ------
    ArgumentError
        If a worker has no threads, or too little memory for them.
    MissingPackageError
        If dask-jobqueue is not installed.

    Examples
    --------
    >>> import lazymu
    >>> client = lazymu.cluster.slurm(16, queue="short", memory="16GB")  # doctest: +SKIP
    """
    worker = worker_of(threads, memory)
    jobqueue = package("dask_jobqueue", "slurm", "dask-jobqueue")
    with dask.config.set(CONFIG):  # the scheduler is in this process
        cluster = jobqueue.SLURMCluster(
            queue=queue,
            account=account,
            walltime=walltime,
            cores=worker.threads,
            processes=1,
            memory=f"{worker.memory}B",
            job_mem=f"{-(-(worker.memory + BESIDE_WORKER) // MIB)}M",
            interface=interface,
            scheduler_options={"dashboard_address": ":0"},
            local_directory=local_directory,
            death_timeout=60,
            job_script_prologue=[f"export {name}={value}" for name, value in variables().items()],
        )
    cluster.scale(n_workers)
    return connected(cluster)
