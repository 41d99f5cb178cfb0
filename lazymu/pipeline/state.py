"""The state of a run on disk: a checkpoint after every stage, from which a later run goes on.

It stands beside the store, in ``<name>.zarr.lazymu/run``: `counts.zarr` (what a file was converted
to), `objects` (arrays, each kept once), and `stages`, a JSON file for each finished stage. Such a
file appears in one step when all that it names is there, and says everything about the run up to
then: input, version, parameters by stage, the summary so far, and all parts of the data.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lazymu.containers import MuData
from lazymu.io.checkpoint import Keeper, matrix_sources
from lazymu.pipeline.params import RunParams
from lazymu.pipeline.records import (
    Clustering,
    FilterRecord,
    RunSummary,
    StageRecord,
)
from lazymu.pipeline.run import Run
from lazymu.pipeline.source import opened_source
from lazymu.report.distributions import Distribution
from lazymu.store.inputs import input_fingerprint
from lazymu.store.locations import is_url, redacted
from lazymu.store.lock import locked
from lazymu.store.objects import Objects
from lazymu.store.replace import remove, remove_if_empty

FORMAT = 1


@dataclass
class Checkpoint:
    """The state after one stage, as its file has it."""

    number: int
    record: dict[str, Any]

    @property
    def labels(self) -> list[str]:
        """The stages that were finished."""
        return [stage["label"] for stage in self.record["stages"]]

    @property
    def label(self) -> str:
        """The stage that it was made after."""
        return self.labels[-1]


class KeptState(NamedTuple):
    """What is kept of a run that was stopped."""

    folder: Path
    label: str
    """The last stage that it finished."""
    n_stages: int
    n_bytes: int


class RunState:
    """The state of the run of one store.

    Parameters
    ----------
    store
        The store that the run is to write.
    """

    def __init__(self, store: Path) -> None:
        self.shared = store.resolve().with_name(f"{store.name}.lazymu")
        self.folder = self.shared / "run"
        self.objects = Objects(self.folder / "objects")
        self._stages = self.folder / "stages"
        self._keeper: Keeper | None = None

    # --- the folder ------------------------------------------------------------------------------

    @property
    def lock(self) -> Path:
        """The file that says who works on the store."""
        return self.shared / "run.lock"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep others from the state while a run works; remove it when that ends well.

        Raises
        ------
        RunningError
            If another run works on the store.
        """
        try:
            with locked(self.lock):
                try:
                    yield
                except BaseException:
                    if not self.has_checkpoints():
                        self.clear()
                    raise
                self.clear()
        finally:
            remove_if_empty(self.shared)

    def clear(self) -> None:
        """Remove all of it."""
        remove(self.folder)

    def begin(self) -> None:
        """Make the folders."""
        self._stages.mkdir(parents=True, exist_ok=True)
        self.objects.folder.mkdir(exist_ok=True)

    def kept(self) -> KeptState | None:
        """Return what there is, None where no stage is finished."""
        found, _ = self.checkpoints()
        if not found:
            return None
        n_bytes = sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())
        return KeptState(self.folder, found[0].label, len(found[0].labels), n_bytes)

    # --- checkpoints -----------------------------------------------------------------------------

    def has_checkpoints(self) -> bool:
        """Return whether any stage is finished."""
        return bool(self._paths())

    def _paths(self) -> list[Path]:
        return sorted(self._stages.glob("[0-9]*.json"))

    def checkpoints(self) -> tuple[list[Checkpoint], list[Path]]:
        """Return the checkpoints, the last first, and the files of those that cannot be read."""
        found, damaged = [], []
        for path in reversed(self._paths()):
            try:
                record = json.loads(path.read_text())
                found.append(Checkpoint(int(path.stem), record))
                assert record["format"] is not None
                assert found[-1].label
            except (OSError, ValueError, KeyError, TypeError, IndexError):
                damaged.append(path)
        return found, damaged

    def save(self, run: Run, header: dict[str, Any], stages: list[dict[str, Any]]) -> None:
        """Keep the state after a stage; it appears in one step."""
        assert self._keeper is not None  # made when the source was opened
        record = {
            **header,
            "stages": stages,
            "before": run.before,
            "found": run.found,
            "summary": summary_record(run.summary),
            "data": self._keeper.keep(run.mdata.to_elements()),
        }
        path = self._stages / f"{len(stages) - 1:02}.json"
        aside = path.with_suffix(".aside")
        aside.write_text(json.dumps(record))
        os.replace(aside, path)
        for later in self._paths():
            if later.name > path.name:
                later.unlink()

    def use_sources(self, mdata: MuData) -> None:
        """Name the matrices of the source, which is open, for the checkpoints to come."""
        self._keeper = Keeper(self.objects, matrix_sources(mdata.to_elements()))

    def restore(self, checkpoint: Checkpoint, source: str) -> MuData:
        """Return the data after a stage.

        Raises
        ------
        DamagedFileError
            If an array is absent or another.
        """
        self.use_sources(opened_source(source, self.folder))
        assert self._keeper is not None
        return MuData.from_elements(self._keeper.restore(checkpoint.record["data"]))

    def tidy(self, without: Sequence[Checkpoint]) -> None:
        """Remove damaged checkpoints, and the arrays that no other one names.

        Else a damaged array would be taken to be there when it is made anew.
        """
        for checkpoint in without:
            (self._stages / f"{checkpoint.number:02}.json").unlink()
        named: set[str] = set()
        for path in self._paths():
            named.update(re.findall(r'"object": "([0-9a-f]+)"', path.read_text()))
        self.objects.keep_only(named)


def header(source: str, *, overwrite: bool) -> dict[str, Any]:
    """Return what all checkpoints of a run say."""
    return {
        "format": FORMAT,
        "version": lazymu_version(),
        "source": located(source),
        "input": input_fingerprint(source),
        "overwrite": overwrite,
    }


def located(source: str) -> str:
    """Return a source by its whole path, however it is spelled, or its URL as it may be shown."""
    return redacted(source) if is_url(source) else str(Path(source).expanduser().resolve())


def lazymu_version() -> str:
    """Return the version, on which results may depend."""
    return version("lazymu")


def asked_record(asked: dict[str, Any]) -> dict[str, Any]:
    """Return parameters as JSON has them; of a file that one names, also its fingerprint."""
    return {name: json.loads(json.dumps(_told(value))) for name, value in asked.items()}


def _told(value: Any) -> Any:
    if isinstance(value, str) and value.endswith(".csv"):
        return {"value": value, "file": input_fingerprint(value)}
    return value


def current(params: RunParams, name: str) -> Any:
    """Return the value of a parameter, by section and name, as :func:`asked_record` has it."""
    section, key = name.split(".")
    return asked_record({name: getattr(getattr(params, section), key)})[name]


# --- the summary ----------------------------------------------------------------------------------


def summary_record(summary: RunSummary) -> dict[str, Any]:
    """Return what a summary holds before the end, as JSON."""
    return {
        "figures": [path.name for path in summary.figures],
        "n_cells": summary.n_cells,
        "filters": [dataclasses.asdict(one) for one in summary.filters],
        "quality": {
            name: {column: _listed(one) for column, one in columns.items()}
            for name, columns in summary.quality.items()
        },
        "clusterings": [dataclasses.asdict(one) for one in summary.clusterings],
        "truth": summary.truth,
        "notes": summary.notes,
        "stages": [dataclasses.asdict(one) for one in summary.stages],
    }


def _listed(one: Distribution) -> dict[str, Any]:
    return {name: np.asarray(value).tolist() for name, value in one.to_uns().items()}


def fill_summary(summary: RunSummary, record: dict[str, Any], figures: Path) -> None:
    """Put into a summary what :func:`summary_record` gave, its stages marked as resumed."""
    summary.figures = [figures / name for name in record["figures"]]
    summary.n_cells = record["n_cells"]
    summary.filters = [FilterRecord(**one) for one in record["filters"]]
    for name, columns in record["quality"].items():
        found = {column: Distribution.from_uns(one) for column, one in columns.items()}
        summary.quality[name] = {column: one for column, one in found.items() if one is not None}
    summary.clusterings = [Clustering(**one) for one in record["clusterings"]]
    summary.truth = record["truth"]
    summary.notes = list(record["notes"])
    summary.stages = [StageRecord(**{**one, "resumed": True}) for one in record["stages"]]
