"""The state of a run, and how its stages are declared."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from lazymu import keys
from lazymu.containers import Modality, MuData
from lazymu.pipeline.forecast import Reading, StageForecast, of_readings
from lazymu.pipeline.params import RunParams
from lazymu.pipeline.pl import write_figure
from lazymu.pipeline.records import FilterRecord, RunSummary
from lazymu.store.locations import split_query

logger = logging.getLogger(__name__)

KINDS = {keys.RNA: keys.RNA_ALIASES, keys.ATAC: keys.ATAC_ALIASES, keys.PROT: keys.PROT_ALIASES}
WNN = "wnn"
Reads = Callable[["Run", Modality], Iterator[Reading]]


def is_store(source: str) -> bool:
    """Return whether a path is that of a Zarr store, which is worked on as it is."""
    return split_query(source)[0].rstrip("/").endswith(".zarr")


@dataclass
class Run:
    """One run of the workflow while its stages work on it."""

    params: RunParams
    summary: RunSummary
    figures: Path
    """Folder of the pictures."""
    mdata: MuData
    working: Path | None = None
    """Folder for what is needed only while the run lasts."""
    before: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Cells and features of each modality before the filters."""
    found: dict[str, Any] = field(default_factory=dict)
    """What tells the modalities as they were opened, for the history."""

    def present(self) -> dict[str, str]:
        """Return the kinds (`rna`, `atac`, `prot`) that there are, with their modalities' names."""
        found: dict[str, str] = {}
        for kind, names in KINDS.items():
            for name in names:
                if name in self.mdata.mod:
                    found.setdefault(kind, name)
        return found

    @property
    def starts_from_store(self) -> bool:
        """Whether the source needs no conversion."""
        return is_store(self.summary.source)

    @property
    def target(self) -> MuData | Modality:
        """What is clustered: the MuData, or its modality where only one is known."""
        present = self.present()
        return self.mdata if len(present) > 1 else self.mdata.mod[next(iter(present.values()))]

    @property
    def graph_key(self) -> str | None:
        """Key of the graph that is clustered: `wnn`, or scanpy's default for one modality."""
        return WNN if isinstance(self.target, MuData) else None

    def cluster_key(self, resolution: float) -> str:
        """Return the column of the clusters: the first resolution has the plain name."""
        plain = f"{keys.LEIDEN}_{WNN}" if self.graph_key else keys.LEIDEN
        first = resolution == self.params.joint.resolution[0]
        return plain if first else f"{plain}_{resolution:g}"

    def main_clusters(self) -> pd.Series[Any]:
        """Return the clusters at the first resolution, by cell name."""
        return self.target.obs[self.cluster_key(self.params.joint.resolution[0])]

    def save(self, figure: object, name: str) -> None:
        """Write a figure as PNG into the folder of pictures."""
        path = self.figures / name
        write_figure(figure, path)
        self.summary.figures.append(path)

    @contextmanager
    def filtering(self, name: str, axis: str, rule: str) -> Iterator[None]:
        """Record how many cells or features a modality loses in a ``with`` block."""
        modality = self.mdata.mod[name]
        along = 0 if axis == "cells" else 1
        before = modality.shape[along]
        yield
        record = FilterRecord(name, axis, rule, before, modality.shape[along])
        self.summary.filters.append(record)

    def note(self, text: str) -> None:
        """Keep a remark for the summary, and log it."""
        logger.info(text)
        self.summary.notes.append(text)


class Stage(Protocol):
    """One step of the workflow."""

    label: str

    @property
    def applies(self) -> Callable[[Run], bool]:
        """Whether a run has what the stage works on."""

    @property
    def work(self) -> Callable[[Run], None]:
        """The step itself."""

    @property
    def forecast(self) -> Callable[[Run], StageForecast]:
        """What it would read, hold and take."""


class JointStage:
    """A step over all modalities; it may apply only to some runs."""

    def __init__(
        self,
        label: str,
        function: Callable[[Run], None],
        *,
        when: Callable[[Run], bool] = lambda run: True,
        reads: Mapping[str, Reads] | None = None,
        seconds_per_cell: float = 0.0,
    ) -> None:
        self.label, self.work, self.applies = label, function, when
        self.reads, self.seconds_per_cell = reads or {}, seconds_per_cell

    def forecast(self, run: Run) -> StageForecast:
        """Return what it would read of the modality of each kind, and take for all cells."""
        readings = [
            reading
            for kind, name in run.present().items()
            if kind in self.reads
            for reading in self.reads[kind](run, run.mdata.mod[name])
        ]
        return of_readings(self.label, readings, self.seconds_per_cell * run.target.n_obs)


class ModalityStage:
    """A step on the modality of one kind, given to the function with its name."""

    def __init__(
        self,
        label: str,
        function: Callable[[Run, str, Modality], None],
        kind: str,
        reads: Reads,
    ) -> None:
        self.label, self.function, self.kind, self.reads = label, function, kind, reads

    def applies(self, run: Run) -> bool:
        """Whether the run has a modality of the kind."""
        return self.kind in run.present()

    def work(self, run: Run) -> None:
        """Do it."""
        name = run.present()[self.kind]
        self.function(run, name, run.mdata.mod[name])

    def forecast(self, run: Run) -> StageForecast:
        """Return what it would read and take."""
        modality = run.mdata.mod[run.present()[self.kind]]
        return of_readings(self.label, self.reads(run, modality))


class StageWatcher(Protocol):
    """Who is told when a stage begins."""

    def __call__(self, label: str, number: int, total: int) -> None:
        """Take the label of a stage, its number from 1, and the number of stages."""
