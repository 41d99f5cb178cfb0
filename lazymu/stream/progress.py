"""Progress of passes: who watches, and what a running pass tells.

A watcher (a progress bar, a log, a test) is called with a :class:`Tick` after each block. Dask's
workers tell of their blocks under `TOPIC`, to which :mod:`lazymu.stream.cluster` listens.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from lazymu.settings import settings


@dataclass
class Tick:
    """State of a running pass."""

    label: str
    n_blocks: int
    n_values: int
    done_blocks: int = 0
    done_values: int = 0
    started: float = field(default_factory=time.monotonic)

    @property
    def values_per_second(self) -> float:
        """Nonzeros handled in a second so far."""
        return self.done_values / max(time.monotonic() - self.started, 1e-9)

    @property
    def seconds_left(self) -> float:
        """Seconds to the end at the rate so far."""
        return (self.n_values - self.done_values) / max(self.values_per_second, 1e-9)


TOPIC = "lazymu-blocks"
Watcher = Callable[[Tick], None]
_watchers: list[Watcher] = []
_running: dict[str, Tick] = {}
_lock = threading.Lock()


@contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """Call ``watcher`` on every block of every pass, instead of drawing the plain bar."""
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)


@contextmanager
def reporting(token: str, label: str, n_blocks: int, n_values: int) -> Iterator[None]:
    """Announce a pass under ``token`` while it runs."""
    tick = Tick(label, n_blocks, n_values)
    with _lock:
        _running[token] = tick
    _tell(tick)
    try:
        yield
    finally:
        with _lock:
            del _running[token]
        if not _watchers and _shows_bar():
            sys.stderr.write("\n")


def advance(token: str, n_values: int) -> None:
    """Note one block done; a worker tells the process where the pass was announced."""
    with _lock:
        tick = _running.get(token)
        if tick is not None:
            # What was lost with a worker is done twice.
            tick.done_blocks = min(tick.done_blocks + 1, tick.n_blocks)
            tick.done_values = min(tick.done_values + n_values, tick.n_values)
            _tell(tick)
            return
    if "distributed.worker" in sys.modules:
        _tell_client(token, n_values)


def _tell_client(token: str, n_values: int) -> None:
    from distributed import get_worker

    try:
        worker = get_worker()
    except ValueError:  # not within a task: what is announced here has ended
        return
    worker.log_event(TOPIC, (token, n_values))


def _shows_bar() -> bool:
    return sys.stderr.isatty() if settings.progress is None else settings.progress


def _tell(tick: Tick) -> None:
    for watcher in _watchers:
        watcher(tick)
    if not _watchers and _shows_bar():
        _write_bar(tick)


def _write_bar(tick: Tick) -> None:
    share = tick.done_blocks / max(tick.n_blocks, 1)
    bar = "#" * int(24 * share)
    rate = f"{tick.values_per_second / 1e6:.1f} M values/s" if tick.done_blocks else ""
    left = f"{tick.seconds_left:.0f} s left" if tick.done_blocks else ""
    sys.stderr.write(
        f"\r{tick.label:<24} [{bar:<24}] block {tick.done_blocks}/{tick.n_blocks} {rate} {left}   "
    )
    sys.stderr.flush()
