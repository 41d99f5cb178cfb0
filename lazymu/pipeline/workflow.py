"""The whole workflow, from a file of counts to clusters and pictures."""

from __future__ import annotations

from pathlib import Path

from lazymu import keys
from lazymu.containers import read
from lazymu.errors import ArgumentError, explain
from lazymu.pipeline import atac, figures, forecast, joint, markers, prot, rna
from lazymu.pipeline.execution import (
    OPENING,
    REPORTING,
    Execution,
    Progress,
    figures_folder,
)
from lazymu.pipeline.params import RunParams
from lazymu.pipeline.records import RunSummary
from lazymu.pipeline.resume import WRITING, Resumption, may_replace, resumption
from lazymu.pipeline.run import JointStage, ModalityStage, Run, Stage, StageWatcher
from lazymu.pipeline.source import with_known_modalities
from lazymu.pipeline.state import KeptState, RunState
from lazymu.store.locations import is_url, redacted
from lazymu.store.replace import check_target

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
        Anything that :func:`lazymu.read` takes, a URL also; it is only read. What is not a Zarr
        store is converted first.
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
        If ``out`` is not a Zarr store's name, is a URL, or is the source itself.
    LazyMuError
        Whatever a stage finds wrong with the data.

    Notes
    -----
    After each stage its results are kept in ``<name>.zarr.lazymu/run``, arrays that have not
    changed only once and no counts but those that a file was converted to. The folder is removed
    when the run ends well, or by the next run of the same store that does not resume.
    """
    store = _checked_target(str(source), str(out))
    summary = RunSummary(source=redacted(source), store=store)
    params = params or RunParams()
    state = RunState(store)
    if not resume:
        check_target(store, overwrite=overwrite)
    with state.held():
        found = Resumption()
        if resume:
            found = resumption(state, str(source), store, figures_folder(store), params)
            overwrite = overwrite or may_replace(found, summary.source, store, params)
            check_target(store, overwrite=overwrite)
        progress = Progress(summary, watch)
        execution = Execution(STAGES, state, params, str(source), progress, overwrite=overwrite)
        if not execution.go_on(found):
            execution.begin()
        execution.work()
    return summary


def resumable(source: str | Path, out: str | Path, params: RunParams | None = None) -> Resumption:
    """Return what :func:`run_workflow` would skip with ``resume``, and why not more.

    Nothing is changed.

    Raises
    ------
    ArgumentError
        If ``out`` is not a Zarr store's name, or is the source itself.
    """
    store = _checked_target(str(source), str(out))
    figures = figures_folder(store)
    return resumption(RunState(store), str(source), store, figures, params or RunParams())


def kept_state(out: str | Path) -> KeptState | None:
    """Return what is kept of a run that was stopped before it had written ``out``; None: nothing.

    :func:`run_workflow` goes on from there with ``resume``.
    """
    return RunState(Path(out)).kept()


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


def _checked_target(source: str, out: str) -> Path:
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
    return store
