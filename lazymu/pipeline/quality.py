"""A modality's quality: the picture of all cells, then without the poor ones."""

from __future__ import annotations

from collections.abc import Mapping

from lazymu import keys, pl, pp
from lazymu.containers import Modality
from lazymu.errors import EmptyResultError, explain
from lazymu.pipeline.run import Run

Limits = tuple[float | None, float | None]


def draw_quality(run: Run, name: str, modality: Modality, limits: Mapping[str, Limits]) -> None:
    """Histograms of the quality columns, with the limits between which cells will be kept."""
    figure = pl.qc(modality, limits=limits, show=False, return_fig=True)
    run.save(figure, f"quality_{name}.png")


def drop_poor(modality: Modality, parameter: str, least: int) -> None:
    """Keep the cells with at least so many features.

    Raises
    ------
    EmptyResultError
        If there are none; it names the run's parameter.
    """
    most = modality.obs[keys.N_GENES_BY_COUNTS].max()
    if most < least:
        rule = f"the richest of {modality.n_obs:,} cells has {most:,}"
        raise EmptyResultError(explain(parameter, least, rule, "lower it"))
    pp.filter_cells(modality, min_genes=least)
