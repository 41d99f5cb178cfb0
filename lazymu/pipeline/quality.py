"""The picture of a modality's quality, before cells are dropped."""

from __future__ import annotations

from collections.abc import Mapping

from lazymu import pl
from lazymu.containers import Modality
from lazymu.pipeline.run import Run

Limits = tuple[float | None, float | None]


def draw_quality(run: Run, name: str, modality: Modality, limits: Mapping[str, Limits]) -> None:
    """Histograms of the quality columns, with the limits between which cells will be kept."""
    figure = pl.qc(modality, limits=limits, show=False, return_fig=True)
    run.save(figure, f"quality_{name}.png")
