"""A lock that says who works on a target, and is void once they are gone."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lazymu.errors import RunningError, explain
from lazymu.store.replace import is_running

BEAT_SECONDS = 30.0
SILENT_SECONDS = 900.0
"""A process of another machine that has been silent for so long is taken to be gone."""

Holder = dict[str, Any]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file for the length of a ``with`` block.

    It names the process and its machine. A lock whose process is gone is taken over: on this
    machine that is known at once; on another, by the silence of the lock file, which its holder
    touches every half minute.

    Raises
    ------
    RunningError
        If the holder of the lock still works.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    me = {"host": socket.gethostname(), "pid": os.getpid(), "started": _started(os.getpid())}
    with _alone(path):
        holder = _holder(path)
        if holder is not None and _works(holder, path):
            got = f"process {holder['pid']} on {holder['host']}"
            rule = f"it is still at work (it holds {path})"
            raise RunningError(
                explain("out", f"being written by {got}", rule, "wait for it, or end it first")
            )
        path.write_text(json.dumps(me))
    finished = threading.Event()
    beat = threading.Thread(target=_beat, args=(path, finished), daemon=True)
    beat.start()
    try:
        yield
    finally:
        finished.set()
        beat.join()
        with _alone(path):
            if _holder(path) == me:
                path.unlink()


def is_locked(path: Path) -> bool:
    """Return whether somebody at work holds a lock file."""
    holder = _holder(path)
    return holder is not None and _works(holder, path)


def _beat(path: Path, finished: threading.Event) -> None:
    while not finished.wait(BEAT_SECONDS):
        with suppress(OSError):
            os.utime(path)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep other processes from looking at the lock file while this one does."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.fstat(descriptor).st_ino == path.stat().st_ino:
                break
        os.close(descriptor)  # who held it has removed it meanwhile
    try:
        yield
    finally:
        os.close(descriptor)


def _holder(path: Path) -> Holder | None:
    """Return who holds the lock, None where the file is empty or its writing was cut short."""
    try:
        holder = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return holder if isinstance(holder, dict) and {"host", "pid"} <= set(holder) else None


def _works(holder: Holder, path: Path) -> bool:
    if holder["host"] != socket.gethostname():
        return time.time() - path.stat().st_mtime < SILENT_SECONDS
    if not is_running(int(holder["pid"])):
        return False
    # Another process may have got the number since.
    return bool(_started(int(holder["pid"])) == holder.get("started"))


def _started(pid: int) -> str | None:
    """Return when a process started, in the system's own count; None where that is not told."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
