"""A Dask cluster of real processes on this machine: a scheduler, and workers that may be killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.conftest import REPOSITORY

WAIT_SECONDS = 60


class Cluster:
    """A scheduler and its workers; each is a process group of its own.

    Parameters
    ----------
    folder
        Where logs, spilled results and the scheduler's file go.
    preload
        A module that each worker imports first, to go wrong when told to.
    config
        Environment variables of all processes, such as ``DASK_DISTRIBUTED__...``.
    host
        The address at which the scheduler listens.
    """

    def __init__(
        self,
        folder: Path,
        *,
        preload: Path | None = None,
        config: dict[str, str] | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.folder, self.preload = folder, preload
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONWARNINGS": "ignore",
            **(config or {}),
        }
        self.file = folder / "scheduler.json"
        self.workers: list[subprocess.Popen[bytes]] = []
        self.scheduler = self._start(
            *("scheduler", "--host", host, "--port", "0", "--no-dashboard"),
            *("--no-show", "--scheduler-file", str(self.file)),
        )

    def add_worker(
        self,
        *,
        threads: int = 1,
        memory: str = "2GB",
        nanny: bool = True,
        within: Sequence[str] = (),
        config: dict[str, str] | None = None,
    ) -> None:
        """Start a worker; with a nanny it comes back when it dies.

        ``within`` are the words before its command, ``config`` variables of its own.
        """
        name = f"w{len(self.workers)}"
        arguments = ["worker", "--scheduler-file", str(self.file), "--no-dashboard"]
        arguments += ["--nthreads", str(threads), "--memory-limit", memory, "--name", name]
        arguments += ["--local-directory", str(self.folder), "--nanny" if nanny else "--no-nanny"]
        if self.preload is not None:
            arguments += ["--preload", str(self.preload)]
        self.workers.append(self._start(*arguments, within=within, config=config))

    def _start(
        self, *arguments: str, within: Sequence[str] = (), config: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        with open(self.folder / f"{arguments[0]}.log", "ab") as log:
            return subprocess.Popen(
                [*within, sys.executable, "-m", "dask", *arguments],
                env=self.environment | (config or {}),
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def client(self, n_workers: int) -> Any:
        """Return a client that is nobody's default, when so many workers have joined."""
        from distributed import Client

        deadline = time.monotonic() + WAIT_SECONDS
        while not self.file.exists():
            assert time.monotonic() < deadline, "the scheduler has not started"
            time.sleep(0.05)
        options: dict[str, Any] = {"timeout": WAIT_SECONDS, "set_as_default": False}
        client = Client(scheduler_file=str(self.file), **options)
        client.wait_for_workers(n_workers, timeout=WAIT_SECONDS)
        return client

    def close(self) -> None:
        """Kill all processes."""
        for process in (*self.workers, self.scheduler):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def running(
    folder: Path, n_workers: int = 2, *, memory: str = "2GB", **options: Any
) -> Iterator[tuple[Cluster, Any]]:
    """Give a cluster of ``n_workers`` workers with a thread each, and its client."""
    cluster = Cluster(folder, **options)
    try:
        for _ in range(n_workers):
            cluster.add_worker(memory=memory)
        with cluster.client(n_workers) as client:
            yield cluster, client
    finally:
        cluster.close()
