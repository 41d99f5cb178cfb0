"""One run: its stages one after the other, each followed by its checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lazymu import keys
from lazymu.containers import MuData
from lazymu.containers.history import record_run, states_of, unrecorded
from lazymu.errors import LazyMuError
from lazymu.pipeline.params import RunParams, noting
from lazymu.pipeline.provenance import arguments_of, last_stage, provenance
from lazymu.pipeline.records import ModalityRecord, RunSummary, StageRecord, measured
from lazymu.pipeline.resume import ANEW, WRITING, Resumption
from lazymu.pipeline.run import Run, Stage, StageWatcher
from lazymu.pipeline.source import open_source, use_counts
from lazymu.pipeline.state import RunState, asked_record, fill_summary, header
from lazymu.report import write_report
from lazymu.report.numbers import size
from lazymu.store.amend import set_last_entries
from lazymu.store.inputs import input_fingerprint
from lazymu.stream.stages import named_stage

logger = logging.getLogger(__name__)

OPENING, REPORTING = "Open", "Report"


class Progress:
    """Tells the watcher, the log and Dask of each stage, and records its time and memory."""

    def __init__(self, summary: RunSummary, watch: StageWatcher | None) -> None:
        self.summary, self.watch = summary, watch
        # Which stages apply is known once the file is open.
        self.total = 0

    @contextmanager
    def stage(self, label: str) -> Iterator[None]:
        record = StageRecord(label)
        self.summary.stages.append(record)
        if self.watch is not None:
            self.watch(label, len(self.summary.stages), self.total)
        logger.info("%s begins", label)
        outcome = "fails"
        try:
            with named_stage(label), measured(record):
                yield
            outcome = "ends"
        finally:
            passes = f"{record.n_passes} {'pass' if record.n_passes == 1 else 'passes'}"
            told = f"{record.seconds:.1f} s, {passes}, peak memory {size(record.peak_bytes)}"
            logger.info("%s %s: %s", label, outcome, told)


class Execution:
    """The stages of one run, each followed by its checkpoint.

    Parameters
    ----------
    stages
        All stages that there are, in order.
    state
        Where checkpoints are.
    params
        Parameters of the run.
    source
        What is worked on, as :func:`lazymu.read` takes it; a URL may carry what gives access.
    progress
        Who is told of stages, and records them in the summary.
    overwrite
        Whether the store may be replaced, which a later run that resumes takes over.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        state: RunState,
        params: RunParams,
        source: str,
        progress: Progress,
        *,
        overwrite: bool,
    ) -> None:
        self.stages = stages
        self.state, self.params, self.source, self.progress = state, params, source, progress
        self.summary = progress.summary
        self.header = header(source, overwrite=overwrite)
        self.finished: list[dict[str, Any]] = []
        self.run: Run

    def begin(self) -> None:
        """Start at the beginning: open the source, or convert it."""
        self.state.clear()
        self.state.begin()
        with self.progress.stage(OPENING):
            mdata = open_source(self.source, self.state.folder)
        self.state.use_sources(mdata)
        self.run = self._run(mdata)
        self.run.found = states_of(mdata)
        use_counts(self.run)
        self.run.before = {name: modality.shape for name, modality in mdata.mod.items()}
        self._keep(OPENING, {})

    def go_on(self, found: Resumption) -> bool:
        """Take over the best checkpoint that is whole; return whether there is one."""
        for text in found.said:
            self._say(text)
        for n, checkpoint in enumerate(found.candidates):
            try:
                mdata = self.state.restore(checkpoint, self.source)
            except MemoryError:
                raise
            except Exception as error:  # of files that may be damaged in any way
                told = " ".join(str(error).split())
                where = f"the checkpoint after the stage {checkpoint.label!r}"
                self._say(f"{where} is damaged ({told}); an earlier one is taken")
                continue
            self.finished = list(checkpoint.record["stages"])
            fill_summary(self.summary, checkpoint.record["summary"], self._figures)
            self.run = self._run(mdata)
            before = checkpoint.record["before"]
            self.run.before = {name: (n, m) for name, (n, m) in before.items()}
            self.run.found = checkpoint.record["found"]
            self.state.tidy(without=found.candidates[:n])
            self._say(f"goes on after the stage {checkpoint.label!r} of the earlier run")
            return True
        if found.candidates:
            self._say(f"no checkpoint is whole; {ANEW}")
        return False

    def work(self) -> None:
        """Do the stages that are not finished, write the store and its report."""
        run, store = self.run, self.summary.store
        self.progress.total = 3 + sum(stage.applies(run) for stage in self.stages)
        done = {stage["label"] for stage in self.finished}
        asked: dict[str, Any] = {}
        for stage in self.stages:
            if stage.label in done:
                continue
            run.params = noting(self.params, asked)
            if stage.applies(run):
                with self.progress.stage(stage.label), unrecorded():
                    stage.work(run)
                self._keep(stage.label, asked)
                asked = {}
        run.params = self.params
        self.summary.modalities = [
            ModalityRecord(name, run.before[name], mod.shape) for name, mod in run.mdata.mod.items()
        ]
        if WRITING not in done:
            self._write(store)
        with self.progress.stage(REPORTING):
            _report(run, store)

    def _write(self, store: Path) -> None:
        run = self.run
        with self.progress.stage(WRITING):
            uns = run.mdata.uns
            uns[keys.LAZYMU] = {**uns.get(keys.LAZYMU, {}), **provenance(run)}
            record_run(run.mdata, run.found, arguments_of(run))
            run.mdata.write(store)
        set_last_entries(store, last_stage(self.summary.stages[-1]))
        self.header["written"] = input_fingerprint(str(store))
        self._keep(WRITING, {})

    def _keep(self, label: str, asked: dict[str, Any]) -> None:
        self.finished.append({"label": label, "params": asked_record(asked)})
        self.state.save(self.run, self.header, self.finished)

    def _run(self, mdata: MuData) -> Run:
        return Run(self.params, self.summary, self._figures, mdata, self.state.folder)

    @property
    def _figures(self) -> Path:
        return figures_folder(self.summary.store)

    def _say(self, text: str) -> None:
        logger.info(text)
        self.summary.resumption.append(text)


def _report(run: Run, store: Path) -> None:
    """Write the page of the result; where that fails, the result is not lost by it."""
    try:
        run.summary.report = write_report(store, report_path(store))
    except (LazyMuError, OSError) as error:
        run.note(f"the report was not written ({error}); make it by `lazymu report {store}`")


def figures_folder(store: Path) -> Path:
    """Return the folder of a store's pictures: ``pbmc.zarr`` -> ``pbmc_figures``."""
    return store.with_name(f"{store.stem}_figures")


def report_path(store: Path) -> Path:
    """Return the page of a store: ``pbmc.zarr`` -> ``pbmc_report.html``."""
    return store.with_name(f"{store.stem}_report.html")
