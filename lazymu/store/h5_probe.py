"""An HDF5 file read in a process of its own first, as a damaged one may crash or hang the library.

HDF5 believes what is in a file: a bit that is flipped in a heap of texts makes it loop for ever,
others end the process. A fork costs some milliseconds, and dies alone.
"""

from __future__ import annotations

import faulthandler
import os
import resource
import time
import warnings
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL, SIGXCPU
from typing import Any

import h5py

from lazymu.errors import DamagedFileError, explain
from lazymu.store.bounds import check_h5

CPU_SECONDS = 5
"""A process that computes for longer hangs."""
SECONDS = 30.0
"""Of one that waits for longer nothing is known: a slow disk, a lock that came with the fork."""
READING_SECONDS = 2.0
"""How long it goes on to read what a file holds."""
PIECE = 1 << 17
"""Values that are read at once, and of numbers at all."""

_sound: set[tuple[str, int, int]] = set()


def probe(path: str) -> None:
    """Raise where HDF5 crashes or hangs on a file; a file that stays as it is is tried once.

    Raises
    ------
    DamagedFileError
        If it does.
    """
    if not hasattr(os, "fork"):
        return
    found = Path(path).stat()
    key = (path, found.st_size, found.st_mtime_ns)
    if key in _sound:
        return
    if said := _end_of(_started(path)):
        rule = f"the HDF5 library {said} on it"
        raise DamagedFileError(explain("path", repr(path), rule, "copy or write it again"))
    _sound.add(key)


def _started(path: str) -> int:
    with warnings.catch_warnings():
        # Of threads, whose locks a fork takes along: h5py's are made for it, others are not used.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child:
        return child
    try:
        faulthandler.disable()
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        with suppress(Exception):  # which the reader meets again, and tells
            _read(path)
    finally:
        os._exit(0)


def _end_of(child: int) -> str:
    """Return how a process failed, ``""`` if it did not."""
    began, pause = time.monotonic(), 0.001
    with suppress(ChildProcessError):  # someone else has waited for it
        while True:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                signal = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
                if signal in (SIGXCPU, SIGKILL):
                    return "does not come to an end"
                return f"crashes (signal {signal})" if signal else ""
            if time.monotonic() - began > SECONDS:
                os.kill(child, SIGKILL)
                os.waitpid(child, 0)
                return ""
            time.sleep(pause)
            pause = min(2 * pause, 0.05)
    return ""


def _read(path: str) -> None:
    """Read headers and attributes, then texts and what is small."""
    until = time.monotonic() + READING_SECONDS
    with h5py.File(path, "r") as file:
        check_h5(file)
        nodes: list[Any] = [file]
        with suppress(Exception):
            file.visititems(lambda _, node: nodes.append(node))
        for node in nodes:
            for key in node.attrs:
                with suppress(Exception):
                    node.attrs[key]
        for node in nodes:
            with suppress(Exception):
                _read_values(node, until)


def _read_values(node: Any, until: float) -> None:
    if not node.shape:
        node[()]
    elif node.dtype.hasobject or node.size <= PIECE:
        rows = max(1, PIECE // max(1, node.size // node.shape[0]))
        for first in range(0, node.shape[0], rows):
            if time.monotonic() > until:
                return
            node[first : first + rows]
