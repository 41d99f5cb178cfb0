"""A modality's quality: the picture of all cells, then without the poor ones."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lazymu import keys, pl, pp
from lazymu.containers import Modality
from lazymu.errors import EmptyResultError, explain
from lazymu.pipeline.run import Run
from lazymu.report.distributions import COUNTED, QUALITY_COLUMNS, distribution

Limits = tuple[float | None, float | None]


def draw_quality(run: Run, name: str, modality: Modality, limits: Mapping[str, Limits]) -> None:
    """Histograms of the quality columns, with the limits between which cells will be kept."""
    figure = pl.qc(modality, limits=limits, show=False, return_fig=True)
    run.save(figure, f"quality_{name}.png")


def keep_quality(run: Run, name: str, modality: Modality, limits: Mapping[str, Limits]) -> None:
    """Record the distributions of the quality columns, which filters will change."""
    found = {
        column: distribution(
            modality.obs[column].to_numpy(dtype=np.float64),
            counted=column in COUNTED,
            limits=limits.get(column, (None, None)),
        )
        for column in QUALITY_COLUMNS
        if column in modality.obs
    }
    kept = {column: one for column, one in found.items() if one is not None}
    run.summary.quality[name] = kept


def drop_poor(run: Run, name: str, modality: Modality, parameter: str, least: int) -> None:
    """Keep the cells with at least so many features, ``parameter`` of the run's.

    Raises
    ------
    EmptyResultError
        If there are none; it names the run's parameter.
    """
    most = modality.obs[keys.N_GENES_BY_COUNTS].max()
    if most < least:
        rule = f"the richest of {modality.n_obs:,} cells has {most:,}"
        raise EmptyResultError(explain(parameter, least, rule, "lower it"))
    with run.filtering(name, "cells", f"at least {least:,} features ({parameter})"):
        pp.filter_cells(modality, min_genes=least)
