"""The picture of a modality's quality, before cells are dropped."""

from __future__ import annotations

from collections.abc import Mapping

from lazymu import pl
from lazymu.containers import Modality
from lazymu.pipeline.run import Run


def draw_quality(
    run: Run, name: str, modality: Modality, thresholds: Mapping[str, float | None]
) -> None:
    """Violins of columns of `obs`, with a line at the threshold of each that has one."""
    panels = pl.violin(modality, list(thresholds), multi_panel=True, show=False)
    assert isinstance(panels, list)  # one panel for each of several columns
    for axes, threshold in zip(panels, thresholds.values(), strict=True):
        if threshold is not None:
            axes.axhline(threshold, color="firebrick", linewidth=1, linestyle="--")
    run.save(panels[0].figure, f"quality_{name}.png")
