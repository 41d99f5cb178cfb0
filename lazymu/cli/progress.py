"""The progress of a command on standard error: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from contextlib import ExitStack
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from lazymu.cli.text import duration
from lazymu.stream.progress import Tick, watching


class ProgressDisplay:
    """Shows stages (by calling it) and the passes within them (by watching them).

    A pass is shown as ``block n of m``, a sweep over a file by its megabytes, both with their pace
    and the time left.
    """

    def __init__(self, *, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._exit = ExitStack()
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("", total=None, detail="")
        self._stage, self._started = "", 0.0

    def __enter__(self) -> ProgressDisplay:
        self._exit.enter_context(self._bar)
        self._exit.enter_context(watching(self._on_tick))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self._finish_stage()
        self._exit.close()

    def __call__(self, label: str, number: int, total: int) -> None:
        """Begin a stage."""
        self._finish_stage()
        place = f"{number:>2}/{total}" if total else f"{number:>2}"
        self._stage, self._started = f"{place:<5} {label}", time.monotonic()
        self._bar.reset(self._task, description=self._stage, total=None, detail="")

    def refresh(self) -> None:
        """Draw the bar now."""
        self._bar.refresh()

    def _finish_stage(self) -> None:
        if self._stage:
            seconds = duration(time.monotonic() - self._started)
            self._console.print(f"{self._stage:<28} {seconds:>8}", highlight=False)
            self._stage = ""

    def _on_tick(self, tick: Tick) -> None:
        detail = f"{tick.label}: {tick.place}"
        if tick.done_blocks:
            detail += f", {tick.rate}, {duration(tick.seconds_left)} left"
        self._bar.update(
            self._task, completed=tick.done_values, total=max(tick.n_values, 1), detail=detail
        )
