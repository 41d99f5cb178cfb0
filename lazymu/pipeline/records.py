"""What a run did: time and memory by stage, and the summary at its end."""

from __future__ import annotations

import resource
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lazymu.report.distributions import Distribution
from lazymu.stream import recorded_passes

_SAMPLE_SECONDS = 0.02
_STATM = Path("/proc/self/statm")


@dataclass
class StageRecord:
    """Time and memory of one stage."""

    label: str
    seconds: float = 0.0
    peak_bytes: int = 0
    """Largest resident memory of the process while the stage ran."""
    n_passes: int = 0
    """Times that a modality's matrix was read."""
    n_values: int = 0
    """Nonzeros read in them."""
    resumed: bool = False
    """Whether the stage is one of an earlier run that this one went on with."""


@dataclass(frozen=True)
class ModalityRecord:
    """Cells and features of a modality before and after the filters."""

    name: str
    before: tuple[int, int]
    after: tuple[int, int]


@dataclass(frozen=True)
class FilterRecord:
    """Cells or features of a modality before and after one filter."""

    modality: str
    axis: str
    """``"cells"`` or ``"features"``."""
    rule: str
    """What was kept, in words."""
    before: int
    after: int


@dataclass(frozen=True)
class Clustering:
    """Clusters at one resolution."""

    key: str
    resolution: float
    n_clusters: int
    ari: float | None
    """Adjusted Rand index with the known labels, where there are any."""


@dataclass
class RunSummary:
    """What a run found and wrote."""

    source: str
    store: Path
    figures: list[Path] = field(default_factory=list)
    report: Path | None = None
    """The page of the result."""
    n_cells: int = 0
    """Cells present in all modalities after the filters."""
    modalities: list[ModalityRecord] = field(default_factory=list)
    filters: list[FilterRecord] = field(default_factory=list)
    quality: dict[str, dict[str, Distribution]] = field(default_factory=dict)
    """Of each modality's quality columns, before the filters."""
    clusterings: list[Clustering] = field(default_factory=list)
    truth: str | None = None
    notes: list[str] = field(default_factory=list)
    stages: list[StageRecord] = field(default_factory=list)
    resumption: list[str] = field(default_factory=list)
    """What was taken over from an earlier run, and why not more; the store does not keep it."""

    @property
    def seconds(self) -> float:
        """Time of all stages, also of those of an earlier run."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def peak_bytes(self) -> int:
        """Largest resident memory in any stage."""
        return max((stage.peak_bytes for stage in self.stages), default=0)


def resident_bytes() -> int:
    """Return the resident memory of this process; outside Linux its peak so far."""
    if _STATM.exists():
        return int(_STATM.read_text().split()[1]) * resource.getpagesize()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@contextmanager
def measured(record: StageRecord) -> Iterator[None]:
    """Fill a record with a ``with`` block's passes, time and peak memory (by sampling)."""
    finished = threading.Event()

    def sample() -> None:
        while True:
            record.peak_bytes = max(record.peak_bytes, resident_bytes())
            if finished.wait(_SAMPLE_SECONDS):
                return

    sampler = threading.Thread(target=sample, daemon=True)
    started = time.monotonic()
    sampler.start()
    try:
        with recorded_passes() as passes:
            yield
    finally:
        record.n_passes = len(passes)
        record.n_values = sum(entry.n_values for entry in passes)
        record.seconds = time.monotonic() - started
        finished.set()
        sampler.join()
        record.peak_bytes = max(record.peak_bytes, resident_bytes())
