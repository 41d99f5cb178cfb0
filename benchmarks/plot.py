"""A comparison as a picture: time and memory of every tool, by stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.compare import OK, Comparison, Measured
from benchmarks.stages import IMPORT

TASK_NAMES = {"rna": "RNA: QC to PCA", "atac": "ATAC: TF-IDF, LSI"}
SHADES = ("#1b4965", "#3a7ca5", "#7fb3d5", "#b8d8e8", "#dcecf4")
ABOVE = {"ncols": 5, "bbox_to_anchor": (1, 1), "borderaxespad": 0.2}
"""Place of a legend, to the right of the title, where no bar ends."""
INK, PEAK = "#222222", "#d1702b"


def draw(comparison: Comparison, path: Path) -> None:
    """Write a PNG: a row a task; wall time by stage on the left, peak memory on the right."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    tasks = {task: [e for e in comparison.measured if e.task == task] for task in TASK_NAMES}
    heights = [len(entries) + 1 for entries in tasks.values()]
    figure, axes = plt.subplots(
        *(len(tasks), 2),
        figsize=(11, 0.55 * sum(heights) + 1.4),
        gridspec_kw={"height_ratios": heights, "width_ratios": (3, 1)},
        layout="constrained",
    )
    for (task, entries), (time, memory) in zip(tasks.items(), axes, strict=True):
        draw_times(time, entries)
        draw_peaks(memory, entries)
        time.set_title(TASK_NAMES[task], loc="left", fontsize=10, color=INK)
    axes[-1][0].set_xlabel("wall time, s (without import)")
    axes[-1][1].set_xlabel("peak resident memory, GB")
    figure.suptitle(
        f"{comparison.cells:,} cells, {comparison.genes:,} genes, {comparison.peaks:,} peaks, "
        f"{comparison.n_threads} threads",
        fontsize=11,
    )
    figure.savefig(path, dpi=130)
    plt.close(figure)


def draw_times(axis: Any, entries: list[Measured]) -> None:
    """Draw a bar a tool, cut into its stages."""
    labels = {s.label: None for e in entries for s in e.stages if s.label != IMPORT}
    shade = dict(zip(labels, SHADES, strict=False))
    longest = max(entry.total.seconds for entry in entries) or 1
    for y, entry in enumerate(entries):
        left = 0.0
        for stage in entry.stages:
            if stage.label != IMPORT:
                axis.barh(y, stage.seconds, left=left, color=shade[stage.label], height=0.6)
                left += stage.seconds
        text = f"{left:,.1f} s" if entry.outcome == OK else entry.outcome
        axis.text(left + 0.01 * longest, y, text, va="center", fontsize=8, color=INK)
    handles = [axis.barh(0, 0, color=color, label=label) for label, color in shade.items()]
    axis.legend(handles=handles, fontsize=7, frameon=False, loc="lower right", **ABOVE)
    dress(axis, entries, 1.3 * longest)


def draw_peaks(axis: Any, entries: list[Measured]) -> None:
    """Draw a bar a tool."""
    whole = [entry.outcome == OK for entry in entries]
    peaks = [e.total.peak_bytes / 1e9 if ok else 0.0 for e, ok in zip(entries, whole, strict=True)]
    axis.barh(range(len(entries)), peaks, color=PEAK, height=0.6)
    largest = max(peaks) or 1
    for y, (peak, ok) in enumerate(zip(peaks, whole, strict=True)):
        text = f"{peak:.2f}" if ok else "not known"
        axis.text(peak + 0.01 * largest, y, text, va="center", fontsize=8, color=INK)
    dress(axis, entries, 1.25 * largest)
    axis.set_yticklabels([])


def dress(axis: Any, entries: list[Measured], right: float) -> None:
    axis.set_yticks(range(len(entries)), [entry.tool for entry in entries])
    axis.set_ylim(len(entries) - 0.5, -0.5)
    axis.set_xlim(0, right)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8)
