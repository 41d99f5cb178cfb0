"""A comparison as a page of Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.compare import OK, TOO_LONG, Comparison, Measured
from benchmarks.pages import markdown
from benchmarks.stages import Stage

TITLES = {
    "rna": "RNA: quality control, filters, normalisation, 2,000 variable genes, PCA (50)",
    "atac": "ATAC: TF-IDF and LSI (50)",
}
TARGETS = (
    ("rna", "scanpy", 2.5, 1.0),
    ("rna", "scanpy+dask", 5.0, 1.0),
    ("atac", "muon", 15.0, 2.0),
)
"""Task, peer, how many times as fast lazymu is meant to be, and GB it is meant to stay below."""


def report(comparison: Comparison) -> str:
    """Return the page: machine, targets, and for each task the totals and the stages."""
    c = comparison
    parts = [
        f"# {c.cells:,} cells, {c.genes:,} genes, {c.peaks:,} peaks",
        f"Measured on {c.when} with {c.n_threads} threads; lazymu under a limit of {c.memory}. "
        f"A tool may take {c.limit:,.0f} s. `make bench CELLS={c.cells}` repeats it.",
        c.machine,
        "## Targets",
        markdown(("target", "asked", "measured", "met"), target_rows(c)),
    ]
    for task, title in TITLES.items():
        entries = [entry for entry in c.measured if entry.task == task]
        parts += [f"## {title}", totals(entries, c.limit), stage_table(entries)]
    return "\n\n".join(parts) + "\n"


def target_rows(comparison: Comparison) -> Iterator[tuple[str, ...]]:
    """Yield the ratios of times that are asked for, beside those that were measured."""
    by_name = {(entry.task, entry.tool): entry for entry in comparison.measured}
    memory = {}
    for task, peer, factor, limit in TARGETS:
        own, other = by_name[task, "lazymu"], by_name[task, peer]
        memory[task] = limit
        name = f"{task}: {peer}'s time / lazymu's"
        if own.outcome != OK or other.outcome not in (OK, TOO_LONG):
            outcome = own.outcome if own.outcome != OK else f"{peer} {other.outcome}"
            yield name, f">= {factor:g}", outcome, "-"
            continue
        for counted, suffix in ((False, ""), (True, ", imports counted")):
            # A peer that was stopped took at least its limit.
            whole = other.outcome == OK
            seconds = other.seconds(imports=counted) if whole else comparison.limit
            ratio = seconds / own.seconds(imports=counted)
            met = "yes" if ratio >= factor else ("no" if whole else "not known")
            yield f"{name}{suffix}", f">= {factor:g}", f"{'' if whole else '> '}{ratio:.1f}", met
    for task, limit in memory.items():
        peak = by_name[task, "lazymu"].total.peak_bytes / 1e9
        yield f"{task}: lazymu's peak", f"< {limit:g} GB", f"{peak:.2f} GB", yes(peak < limit)
    found = by_name["atac", "lazymu"].accuracy
    if found is not None and found.leading_error is not None:
        error = found.leading_error
        yield "atac: lazymu's leading components", "<= 1e-3", f"{error:.1e}", yes(error <= 1e-3)


def yes(met: bool) -> str:
    return "yes" if met else "no"


def totals(entries: list[Measured], limit: float) -> str:
    """Return a line a tool: time, memory, accuracy."""
    header = (
        *("tool", "wall s", "CPU s", "peak GB", "exact subspace", "leading error", "same type"),
        *("load before", "outcome"),
    )
    return markdown(header, (total_row(entry, limit) for entry in entries))


def total_row(entry: Measured, limit: float) -> tuple[str, ...]:
    found, (wall, cpu, peak) = entry.accuracy, figures(entry.total)
    if entry.outcome != OK:  # the stage that was stopped has left no figures
        wall, cpu, peak = f"> {limit:,.0f}" if entry.outcome == TOO_LONG else "-", "-", "-"
    accuracy = ("-", "-", "-")
    if found is not None:
        accuracy = (
            "-" if found.share is None else f"{100 * found.share:.2f} %",
            "-" if found.leading_error is None else f"{found.leading_error:.1e}",
            f"{100 * found.same_type:.1f} %",
        )
    return (entry.tool, wall, cpu, peak, *accuracy, f"{entry.load:.1f}", entry.outcome)


def stage_table(entries: list[Measured]) -> str:
    """Return a line for every stage of every tool."""
    rows = (
        (entry.tool, stage.label, *figures(stage)) for entry in entries for stage in entry.stages
    )
    return markdown(("tool", "stage", "wall s", "CPU s", "peak GB"), rows)


def figures(stage: Stage) -> tuple[str, str, str]:
    return (
        f"{stage.seconds:.2f}",
        f"{stage.cpu_seconds:.2f}",
        f"{stage.peak_bytes / 1e9:.2f}",
    )
