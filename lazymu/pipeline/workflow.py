"""The whole workflow, from a file of counts to clusters and pictures."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lazymu import keys
from lazymu.containers import MuData, read
from lazymu.errors import ArgumentError, LazyMuError, explain
from lazymu.pipeline import atac, figures, forecast, joint, markers, prot, rna
from lazymu.pipeline.params import RunParams, noting
from lazymu.pipeline.provenance import last_stage, provenance
from lazymu.pipeline.records import ModalityRecord, RunSummary, StageRecord, measured
from lazymu.pipeline.resume import ANEW, WRITING, Resumption, may_replace, resumption
from lazymu.pipeline.run import JointStage, ModalityStage, Run, Stage, StageWatcher
from lazymu.pipeline.source import open_source, use_counts, with_known_modalities
from lazymu.pipeline.state import KeptState, RunState, asked_record, fill_summary, header
from lazymu.report import write_report
from lazymu.store.amend import set_last_entries
from lazymu.store.inputs import input_fingerprint
from lazymu.store.replace import check_target

logger = logging.getLogger(__name__)

STAGES: tuple[Stage, ...] = (
    JointStage("Known labels", joint.find_labels, when=joint.has_labels),
    ModalityStage("RNA quality", rna.check_rna, keys.RNA, forecast.quality_reads),
    ModalityStage("ATAC quality", atac.check_atac, keys.ATAC, forecast.quality_reads),
    ModalityStage("Protein quality", prot.check_prot, keys.PROT, forecast.quality_reads),
    JointStage("Common cells", joint.keep_common_cells),
    ModalityStage("RNA embedding", rna.embed_rna, keys.RNA, forecast.rna_reads),
    ModalityStage("ATAC embedding", atac.embed_atac, keys.ATAC, forecast.atac_reads),
    ModalityStage("Protein embedding", prot.embed_prot, keys.PROT, forecast.prot_reads),
    JointStage("Neighbours", joint.connect, seconds_per_cell=forecast.GRAPH),
    JointStage("Clusters", joint.cluster, seconds_per_cell=forecast.CLUSTERING),
    JointStage("UMAP", joint.lay_out, seconds_per_cell=forecast.LAYOUT),
    JointStage("Comparison", joint.compare),
    ModalityStage("Markers", markers.rank_markers, keys.RNA, forecast.look_up_reads),
    JointStage(
        "Figures",
        figures.draw_results,
        reads={keys.RNA: forecast.look_up_reads, keys.PROT: forecast.look_up_reads},
    ),
)
OPENING, REPORTING = "Open", "Report"


def run_workflow(
    source: str | Path,
    out: str | Path,
    params: RunParams | None = None,
    *,
    overwrite: bool = False,
    resume: bool = False,
    watch: StageWatcher | None = None,
) -> RunSummary:
    """Run the workflow on all modalities of ``source`` and write store and pictures.

    Quality control and filters, normalisation, an embedding of each modality, common cells, the
    (weighted) neighbour graph, Leiden clusters, UMAP, comparison with known labels, figures, and
    a page with all of it.

    Parameters
    ----------
    source
        Anything that :func:`lazymu.read` takes; what is not a Zarr store is converted first.
    out
        Zarr store to write; pictures go to the folder ``<name>_figures`` beside it, the
        report is ``<name>_report.html``.
    params
        Parameters; the defaults where None.
    overwrite
        Replace a store that exists.
    resume
        Go on from the last stage that an earlier run of the same store finished, whatever it was
        stopped by. The result is the same. A stage is done again where a parameter that it, or
        one before it, uses has changed; all are where the source or the version of lazymu has.
    watch
        Called as ``watch(label, number, total)`` when a stage begins; the total is 0 while it is
        not known.

    Returns
    -------
    Sizes, clusters, notes, time and memory of every stage, and the paths written.

    Raises
    ------
    StoreExistsError
        If the store exists and ``overwrite`` is false.
    RunningError
        If another run works on the same store.
    ArgumentError
        If ``out`` is not a Zarr store's name, or is the source itself.
    LazyMuError
        Whatever a stage finds wrong with the data.

    Notes
    -----
    After each stage its results are kept in ``<name>.zarr.lazymu/run``, arrays that have not
    changed only once and no counts but those that a file was converted to. The folder is removed
    when the run ends well, or by the next run of the same store that does not resume.
    """
    store = _checked_target(str(source), Path(out))
    summary = RunSummary(source=str(source), store=store)
    params = params or RunParams()
    state = RunState(store)
    if not resume:
        check_target(store, overwrite=overwrite)
    with state.held():
        found = Resumption()
        if resume:
            found = _resumption(state, summary, params)
            overwrite = overwrite or may_replace(found, str(source), store, params)
            check_target(store, overwrite=overwrite)
        progress = _Progress(summary, watch)
        execution = Execution(state, params, header(str(source), overwrite=overwrite), progress)
        if not execution.go_on(found):
            execution.begin()
        execution.work()
    return summary


def _resumption(state: RunState, summary: RunSummary, params: RunParams) -> Resumption:
    figures = figures_folder(summary.store)
    return resumption(state, summary.source, summary.store, figures, params)


def resumable(source: str | Path, out: str | Path, params: RunParams | None = None) -> Resumption:
    """Return what :func:`run_workflow` would skip with ``resume``, and why not more.

    Nothing is changed.

    Raises
    ------
    ArgumentError
        If ``out`` is not a Zarr store's name, or is the source itself.
    """
    store = _checked_target(str(source), Path(out))
    summary = RunSummary(source=str(source), store=store)
    return _resumption(RunState(store), summary, params or RunParams())


def kept_state(out: str | Path) -> KeptState | None:
    """Return what is kept of a run that was stopped before it had written ``out``; None: nothing.

    :func:`run_workflow` goes on from there with ``resume``.
    """
    return RunState(Path(out)).kept()


class Execution:
    """The stages of one run, each followed by its checkpoint.

    Parameters
    ----------
    state
        Where checkpoints are.
    params
        Parameters of the run.
    header
        What all checkpoints say.
    progress
        Who is told of stages, and records them in the summary.
    """

    def __init__(
        self, state: RunState, params: RunParams, header: dict[str, Any], progress: _Progress
    ) -> None:
        self.state, self.params, self.header, self.progress = state, params, header, progress
        self.summary = progress.summary
        self.finished: list[dict[str, Any]] = []
        self.run: Run

    def begin(self) -> None:
        """Start at the beginning: open the source, or convert it."""
        self.state.clear()
        self.state.begin()
        with self.progress.stage(OPENING):
            mdata = open_source(self.summary.source, self.state.folder)
        self.state.use_sources(mdata)
        self.run = self._run(mdata)
        use_counts(self.run)
        self.run.before = {name: modality.shape for name, modality in mdata.mod.items()}
        self._keep(OPENING, {})

    def go_on(self, found: Resumption) -> bool:
        """Take over the best checkpoint that is whole; return whether there is one."""
        for text in found.said:
            self._say(text)
        for n, checkpoint in enumerate(found.candidates):
            try:
                mdata = self.state.restore(checkpoint, self.summary.source)
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
            self.state.tidy(without=found.candidates[:n])
            self._say(f"goes on after the stage {checkpoint.label!r} of the earlier run")
            return True
        if found.candidates:
            self._say(f"no checkpoint is whole; {ANEW}")
        return False

    def work(self) -> None:
        """Do the stages that are not finished, write the store and its report."""
        run, store = self.run, self.summary.store
        self.progress.total = 3 + sum(stage.applies(run) for stage in STAGES)
        done = {stage["label"] for stage in self.finished}
        asked: dict[str, Any] = {}
        for stage in STAGES:
            if stage.label in done:
                continue
            run.params = noting(self.params, asked)
            if stage.applies(run):
                with self.progress.stage(stage.label):
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


def forecast_workflow(
    source: str | Path, params: RunParams | None = None
) -> list[forecast.StageForecast]:
    """Return what each stage of :func:`run_workflow` would read, hold and take.

    Nothing but annotation and offsets is read, and nothing is written. All cells and features are
    taken to be kept; times are a guide.

    Raises
    ------
    LazyMuError
        If the source cannot be opened, or a pass cannot keep the memory limit.
    """
    mdata = with_known_modalities(read(source))
    summary = RunSummary(source=str(source), store=Path())
    run = Run(params or RunParams(), summary, Path(), mdata)
    kept = {kind: forecast.export_reads for kind in run.present()}
    shown = {keys.RNA: forecast.look_up_reads, keys.PROT: forecast.look_up_reads}
    stages: list[Stage] = [
        *STAGES,
        JointStage(WRITING, _nothing, reads=kept),
        JointStage(REPORTING, _nothing, reads=shown),
    ]
    if not run.starts_from_store:
        arriving = {kind: forecast.import_reads for kind in run.present()}
        stages.insert(0, JointStage(OPENING, _nothing, reads=arriving))
    return [stage.forecast(run) for stage in stages if stage.applies(run)]


def _nothing(run: Run) -> None:
    """Stand for what `run_workflow` does itself: opening, writing, reporting."""


def figures_folder(store: Path) -> Path:
    """Return the folder of a store's pictures: ``pbmc.zarr`` -> ``pbmc_figures``."""
    return store.with_name(f"{store.stem}_figures")


def report_path(store: Path) -> Path:
    """Return the page of a store: ``pbmc.zarr`` -> ``pbmc_report.html``."""
    return store.with_name(f"{store.stem}_report.html")


class _Progress:
    """Tells the watcher of each stage and records its time and memory."""

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
        with measured(record):
            yield


def _checked_target(source: str, store: Path) -> Path:
    if store.suffix != ".zarr":
        rule = "the result is a Zarr store"
        raise ArgumentError(explain("out", store, rule, f"name it {store.with_suffix('.zarr')}"))
    if store.resolve() == Path(source).resolve():
        rule = "it is the source, whose dropped cells would be lost"
        raise ArgumentError(explain("out", store, rule, "give the result another name"))
    return store
