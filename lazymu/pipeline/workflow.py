"""The whole workflow, from a file of counts to clusters and pictures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lazymu import keys
from lazymu.containers import read
from lazymu.containers.history import record_run, states_of, unrecorded
from lazymu.errors import ArgumentError, LazyMuError, explain
from lazymu.pipeline import atac, figures, forecast, joint, markers, prot, rna
from lazymu.pipeline.params import RunParams
from lazymu.pipeline.provenance import arguments_of, last_stage, provenance
from lazymu.pipeline.records import ModalityRecord, RunSummary, StageRecord, measured
from lazymu.pipeline.run import JointStage, ModalityStage, Run, Stage, StageWatcher
from lazymu.pipeline.source import open_source, use_counts, with_known_modalities
from lazymu.report import write_report
from lazymu.store.amend import set_last_entries
from lazymu.store.locations import is_url, redacted
from lazymu.store.replace import check_target, remove

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
OPENING, WRITING, REPORTING = "Open", "Write", "Report"


def run_workflow(
    source: str | Path,
    out: str | Path,
    params: RunParams | None = None,
    *,
    overwrite: bool = False,
    watch: StageWatcher | None = None,
) -> RunSummary:
    """Run the workflow on all modalities of ``source`` and write store and pictures.

    Quality control and filters, normalisation, an embedding of each modality, common cells, the
    (weighted) neighbour graph, Leiden clusters, UMAP, comparison with known labels, figures, and
    a page with all of it.

    Parameters
    ----------
    source
        Anything that :func:`lazymu.read` takes, a URL also; it is only read. What is not a Zarr
        store is converted first.
    out
        Zarr store to write; pictures go to the folder ``<name>_figures`` beside it, the
        report is ``<name>_report.html``.
    params
        Parameters; the defaults where None.
    overwrite
        Replace a store that exists.
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
    ArgumentError
        If ``out`` is not a Zarr store's name, is a URL, or is the source itself.
    LazyMuError
        Whatever a stage finds wrong with the data.
    """
    store = _checked_target(str(source), str(out), overwrite=overwrite)
    summary = RunSummary(source=redacted(source), store=store)
    progress = _Progress(summary, watch)
    with _working_folder(store) as working:
        with progress.stage(OPENING):
            mdata = open_source(str(source), working)
        run = Run(params or RunParams(), summary, figures_folder(store), mdata, working)
        found = states_of(mdata)
        use_counts(run)
        before = {name: modality.shape for name, modality in mdata.mod.items()}
        stages = [stage for stage in STAGES if stage.applies(run)]
        progress.total = len(stages) + 3
        for stage in stages:
            with progress.stage(stage.label), unrecorded():
                stage.work(run)
        summary.modalities = [
            ModalityRecord(name, before[name], mod.shape) for name, mod in mdata.mod.items()
        ]
        with progress.stage(WRITING):
            mdata.uns[keys.LAZYMU] = {**mdata.uns.get(keys.LAZYMU, {}), **provenance(run)}
            record_run(mdata, found, arguments_of(run))
            mdata.write(store)
        set_last_entries(store, last_stage(summary.stages[-1]))
        with progress.stage(REPORTING):
            _report(run, store)
    return summary


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
    summary = RunSummary(source=redacted(source), store=Path())
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


@contextmanager
def _working_folder(store: Path) -> Iterator[Path]:
    """Make a folder beside the store for what is needed only while a run lasts.

    It stands in the folder that the store's writer uses too.
    """
    shared = store.with_name(f"{store.name}.lazymu")
    folder = shared / f"run-{os.getpid()}"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    finally:
        remove(folder)
        with suppress(OSError):  # a write, or another run, still has files there
            shared.rmdir()


def _checked_target(source: str, out: str, *, overwrite: bool) -> Path:
    if is_url(out):
        rule = "a run writes its store, figures and report to local folders"
        fix = "name a local store, and put it there by `lazymu convert` afterwards"
        raise ArgumentError(explain("out", redacted(out), rule, fix))
    store = Path(out)
    if store.suffix != ".zarr":
        rule = "the result is a Zarr store"
        raise ArgumentError(explain("out", store, rule, f"name it {store.with_suffix('.zarr')}"))
    if not is_url(source) and store.resolve() == Path(source).resolve():
        rule = "it is the source, whose dropped cells would be lost"
        raise ArgumentError(explain("out", store, rule, "give the result another name"))
    check_target(store, overwrite=overwrite)
    return store
