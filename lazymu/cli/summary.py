"""The summary at the end of a run, as lines of text."""

from __future__ import annotations

from collections.abc import Iterator

from lazymu.cli.text import duration, size, table
from lazymu.pipeline import RunSummary


def lines_of(summary: RunSummary) -> Iterator[str]:
    """Yield what was kept, which clusters were found, how long it took, and where results are."""
    yield ""
    rows = [("", "cells", "kept", "features", "kept")]
    for part in summary.modalities:
        rows.append(
            (
                part.name,
                f"{part.before[0]:,}",
                f"{part.after[0]:,}",
                f"{part.before[1]:,}",
                f"{part.after[1]:,}",
            )
        )
    yield from table(rows)
    yield f"{summary.n_cells:,} cells in the result"
    yield ""
    for found in summary.clusterings:
        ari = "" if found.ari is None else f", ARI {found.ari:.3f} with {summary.truth}"
        yield f"{found.key} (resolution {found.resolution:g}): {found.n_clusters} clusters{ari}"
    yield from (f"Note: {note}" for note in summary.notes)
    yield ""
    stages = [(s.label, duration(s.seconds), size(s.peak_bytes)) for s in summary.stages]
    total = ("all", duration(summary.seconds), size(summary.peak_bytes))
    yield from table([("stage", "time", "peak memory"), *stages, total])
    yield ""
    yield f"Store:    {summary.store}"
    for path in summary.figures:
        yield f"Picture:  {path}"
