"""The summary at the end of a run, as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lazymu.cli.text import duration, size, table
from lazymu.pipeline import KeptState, Resumption, RunSummary
from lazymu.pipeline.forecast import StageForecast
from lazymu.settings import settings


def run_lines(summary: RunSummary) -> Iterator[str]:
    """Yield what was kept, how long it took, and what there is to note."""
    rows: list[tuple[str, ...]] = [("", "cells", "kept", "features", "kept")]
    for part in summary.modalities:
        sizes = (part.before[0], part.after[0], part.before[1], part.after[1])
        rows.append((part.name, *(f"{n:,}" for n in sizes)))
    yield ""
    yield from table(rows)
    yield ""
    stages = [
        (
            f"{s.label} (earlier run)" if s.resumed else s.label,
            f"{s.n_passes or ''}",
            duration(s.seconds),
            size(s.peak_bytes),
        )
        for s in summary.stages
    ]
    n_passes = sum(stage.n_passes for stage in summary.stages)
    total = ("all", f"{n_passes}", duration(summary.seconds), size(summary.peak_bytes))
    yield from table([("stage", "passes", "time", "peak memory"), *stages, total])
    if summary.notes or summary.resumption:
        yield ""
        yield from (f"Resumed: {text}" for text in summary.resumption)
        yield from (f"Note: {note}" for note in summary.notes)


def forecast_lines(stages: Sequence[StageForecast]) -> Iterator[str]:
    """Yield the plan of a run: what each stage would read, hold and take."""
    heading = ("stage", "passes", "nonzeros read", "decompressed", "planned memory", "about")
    working = [stage for stage in stages if stage.n_passes or stage.seconds]
    rows = [
        (
            stage.label,
            f"{stage.n_passes or ''}",
            f"{stage.n_values:,}" if stage.n_values else "",
            size(stage.n_bytes) if stage.n_bytes else "",
            size(stage.peak_bytes) if stage.peak_bytes else "",
            duration(stage.seconds),
        )
        for stage in working
    ]
    total = (
        "all",
        f"{sum(stage.n_passes for stage in working)}",
        f"{sum(stage.n_values for stage in working):,}",
        size(sum(stage.n_bytes for stage in working)),
        size(max((stage.peak_bytes for stage in working), default=0)),
        duration(sum(stage.seconds for stage in working)),
    )
    yield from table([heading, *rows, total])
    yield ""
    yield f"Memory limit {size(settings.memory_limit)}, {settings.n_threads} threads."
    yield "All cells and features are taken to be kept; embeddings and graphs come on top."


def resumption_lines(found: Resumption) -> Iterator[str]:
    """Yield what a resumed run would skip, and why not more."""
    yield from (f"Resumed: {text}" for text in found.said)
    if found.skipped:
        yield f"Resumed: the earlier run has finished {', '.join(found.skipped)}; they are skipped"
    yield ""


def kept_line(kept: KeptState) -> str:
    """Return what is kept of a run that was stopped."""
    what = f"the results of {kept.n_stages} stages, up to {kept.label!r}"
    where = f"in {kept.folder} ({size(kept.n_bytes)})"
    return f"Kept: {what}, {where}; the same command with --resume goes on from there."


def result_lines(summary: RunSummary) -> Iterator[str]:
    """Yield the clusters, and the paths of the store and the pictures."""
    for found in summary.clusterings:
        ari = "" if found.ari is None else f", ARI {found.ari:.3f} with {summary.truth}"
        noun = "cluster" if found.n_clusters == 1 else "clusters"
        clusters = f"{found.n_clusters} {noun} of {summary.n_cells:,} cells"
        yield f"{found.key}, resolution {found.resolution:g}: {clusters}{ari}"
    yield f"Store:    {summary.store}"
    if summary.report is not None:
        yield f"Report:   {summary.report}"
    for path in summary.figures:
        yield f"Picture:  {path}"
