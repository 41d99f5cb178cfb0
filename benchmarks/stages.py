"""Wall time, processor time and peak memory of the stages of the process that runs them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, process_time
from typing import NamedTuple


class Stage(NamedTuple):
    """What one stage took."""

    label: str
    seconds: float
    cpu_seconds: float
    """Of all threads."""
    peak_bytes: int
    """Largest resident memory while the stage ran, what was held before it included."""


IMPORT = "import"
"""Label of the stage that loads packages; it is not counted in totals."""
FIRST = "a first run on few cells"
"""Label of a stage that loads and compiles what the measured one needs; not counted either."""


class Stages:
    """Writes a line to a file when a stage ends, so that those of a process that is stopped stay.

    The peak is VmHWM of the process's status, reset when a stage begins. ``ru_maxrss`` would not
    do: a process inherits it from the one that started it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._begun: tuple[str, float, float] | None = None

    def begin(self, label: str) -> None:
        """End the stage before, if any, and begin another."""
        self.end()
        Path("/proc/self/clear_refs").write_text("5")
        self._begun = (label, perf_counter(), process_time())

    def end(self) -> None:
        """End the stage and write its line."""
        if self._begun is None:
            return
        label, wall, cpu = self._begun
        stage = Stage(label, perf_counter() - wall, process_time() - cpu, peak_bytes())
        with self._path.open("a") as file:
            file.write(json.dumps(stage) + "\n")
        self._begun = None

    @contextmanager
    def __call__(self, label: str) -> Iterator[None]:
        self.begin(label)
        yield
        self.end()


def peak_bytes() -> int:
    """Return the peak resident memory of this process since it was last reset."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])


def read_stages(path: Path) -> list[Stage]:
    """Return the stages that ended."""
    if not path.exists():
        return []
    return [Stage(*json.loads(line)) for line in path.read_text().splitlines()]


def total(stages: list[Stage]) -> Stage:
    """Return the sum of all stages but the import, with the largest peak of any."""
    counted = [stage for stage in stages if stage.label not in (IMPORT, FIRST)]
    return Stage(
        "total",
        sum(stage.seconds for stage in counted),
        sum(stage.cpu_seconds for stage in counted),
        max((stage.peak_bytes for stage in stages), default=0),
    )
