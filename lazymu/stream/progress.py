"""Progress of passes and of sweeps over files: who watches, and what is told meanwhile.

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
from lazymu.stream.stages import stage_name


@dataclass
class Tick:
    """State of a running pass, or of a sweep, whose values are the bytes of its file.

    How many blocks a file has shows at its end: ``n_blocks`` is then None.
    """

    label: str
    n_blocks: int | None
    n_values: int
    done_blocks: int = 0
    done_values: int = 0
    stage: str = field(default_factory=stage_name)
    """The stage of a workflow that it belongs to; empty outside of any."""
    started: float = field(default_factory=time.monotonic)

    @property
    def share(self) -> float:
        """The part that is done, 0 to 1."""
        if self.n_blocks is None:
            return min(self.done_values / max(self.n_values, 1), 1.0)
        return self.done_blocks / max(self.n_blocks, 1)

    @property
    def place(self) -> str:
        """How far it is, in blocks or MB."""
        if self.n_blocks is None:
            return f"{self.done_values / 1e6:.0f} of {self.n_values / 1e6:.0f} MB"
        return f"block {self.done_blocks} of {self.n_blocks}"

    @property
    def rate(self) -> str:
        """How fast it goes."""
        unit = "MB" if self.n_blocks is None else "M values"
        return f"{self.values_per_second / 1e6:.1f} {unit}/s"

    @property
    def values_per_second(self) -> float:
        """Nonzeros or bytes handled in a second so far."""
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
def reporting(token: str, label: str, n_blocks: int | None, n_values: int) -> Iterator[None]:
    """Announce a pass, or a sweep over bytes (no ``n_blocks``), under ``token`` while it runs."""
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
            tick.done_blocks += tick.n_blocks is None or tick.done_blocks < tick.n_blocks
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
    bar = "#" * int(24 * tick.share)
    pace = f"{tick.rate} {tick.seconds_left:.0f} s left" if tick.done_blocks else ""
    name = f"{tick.stage}: {tick.label}" if tick.stage else tick.label
    sys.stderr.write(f"\r{name:<24} [{bar:<24}] {tick.place} {pace}   ")
    sys.stderr.flush()
