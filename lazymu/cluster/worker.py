"""How a worker is set up for passes: its memory, threads, environment and Dask's settings."""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

from lazymu.errors import ArgumentError, MissingPackageError, explain
from lazymu.settings import parse_bytes
from lazymu.stream.cluster import WORKING_SHARE
from lazymu.stream.plan import RUNTIME_BYTES

ROOM_PER_THREAD = 64 << 20
"""Bytes at least for the blocks and partial results of a thread, beside what a process takes."""
BESIDE_WORKER = 256 << 20
"""Bytes of the nanny that watches a worker, which batch systems and pods count too."""

CONFIG: dict[str, Any] = {
    # Passes plan with this share, so that results on disk mean that the plan did not hold.
    "distributed.worker.memory.target": WORKING_SHARE,
    "distributed.worker.memory.spill": 0.7,
    # What a paused worker waits for is memory that none of its tasks gives back: it would wait for
    # ever. Killed, its tasks are done again elsewhere, or the pass ends with an error that says so.
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
    # Kernels let go of the interpreter: a worker at work is heard, silence means that it is lost.
    "distributed.scheduler.worker-ttl": "60s",
    "distributed.comm.timeouts.connect": "30s",
    "distributed.comm.timeouts.tcp": "30s",
    "distributed.comm.retry.count": 2,
}
"""Settings of Dask for scheduler and workers."""

ENVIRONMENT = {
    # The threads of a worker each take a block; those of BLAS would stand in their way.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    # What a block leaves behind in one thread's arena is of use to no other.
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_TRIM_THRESHOLD_": "65536",
}
"""Variables of the workers' processes."""


class Worker(NamedTuple):
    """What one worker may take."""

    threads: int
    memory: int
    """Bytes; passes plan with `WORKING_SHARE` of them."""


def worker_of(threads: int, memory: int | float | str) -> Worker:
    """Return the size of a worker, if passes can work in it.

    Raises
    ------
    ArgumentError
        If there are no threads, or too little memory for them.
    """
    if threads < 1:
        raise ArgumentError(explain("threads", threads, "a worker needs one", "pass threads=4"))
    size = parse_bytes(memory)
    least = int((RUNTIME_BYTES + threads * ROOM_PER_THREAD) / WORKING_SHARE)
    if size < least:
        rule = (
            f"a worker of {threads} threads needs {least:,} bytes: {RUNTIME_BYTES:,} for its "
            f"process and {ROOM_PER_THREAD:,} a thread, in {WORKING_SHARE:.0%} of it"
        )
        fix = "give it more memory (1 GB a thread, 2 GB at least, is good), or fewer threads"
        raise ArgumentError(explain("memory", f"{size:,} bytes", rule, fix))
    return Worker(threads, size)


def variables() -> dict[str, str]:
    """Return variables that set up a process: `ENVIRONMENT`, and `CONFIG` as Dask reads it.

    Examples
    --------
    >>> variables()["DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE"]
    'False'
    """
    named = {
        "DASK_" + name.upper().replace(".", "__").replace("-", "_"): str(value)
        for name, value in CONFIG.items()
    }
    return ENVIRONMENT | named


def nanny_settings() -> dict[str, Any]:
    """Return `CONFIG` with the variables that a nanny sets before it starts its worker."""
    return CONFIG | {"distributed.nanny.pre-spawn-environ": dict(ENVIRONMENT)}


def package(module: str, needed_by: str, install: str) -> Any:
    """Return an optional package's module.

    Raises
    ------
    MissingPackageError
        Saying how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        rule = f"lazymu.cluster.{needed_by} needs it"
        fix = f"pip install {install}"
        raise MissingPackageError(explain(install, "not installed", rule, fix)) from error


def connected(cluster: Any) -> Any:
    """Return a client of a cluster, once a worker has joined: passes are planned by its size."""
    from distributed import Client

    client: Any = Client(cluster)  # type: ignore[no-untyped-call] # distributed's is not annotated
    client.wait_for_workers(1)
    return client
