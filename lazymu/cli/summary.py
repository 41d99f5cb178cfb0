"""The summary at the end of a run, as lines of text."""

from __future__ import annotations

from collections.abc import Iterator

from lazymu.cli.text import duration, size, table
from lazymu.pipeline import RunSummary


def run_lines(summary: RunSummary) -> Iterator[str]:
    """Yield what was kept, how long it took, and what there is to note."""
    rows: list[tuple[str, ...]] = [("", "cells", "kept", "features", "kept")]
    for part in summary.modalities:
        sizes = (part.before[0], part.after[0], part.before[1], part.after[1])
        rows.append((part.name, *(f"{n:,}" for n in sizes)))
    yield ""
    yield from table(rows)
    yield ""
    stages = [(s.label, duration(s.seconds), size(s.peak_bytes)) for s in summary.stages]
    total = ("all", duration(summary.seconds), size(summary.peak_bytes))
    yield from table([("stage", "time", "peak memory"), *stages, total])
    if summary.notes:
        yield ""
        yield from (f"Note: {note}" for note in summary.notes)


def result_lines(summary: RunSummary) -> Iterator[str]:
    """Yield the clusters, and the paths of the store and the pictures."""
    for found in summary.clusterings:
        ari = "" if found.ari is None else f", ARI {found.ari:.3f} with {summary.truth}"
        noun = "cluster" if found.n_clusters == 1 else "clusters"
        clusters = f"{found.n_clusters} {noun} of {summary.n_cells:,} cells"
        yield f"{found.key}, resolution {found.resolution:g}: {clusters}{ari}"
    yield f"Store:    {summary.store}"
    for path in summary.figures:
        yield f"Picture:  {path}"
