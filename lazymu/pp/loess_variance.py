"""Highly variable features by their variance against what their mean lets expect.

Moments and clipped sums in, a table out. The method is that of Stuart et al. 2019
(``seurat_v3``), as scanpy has it.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from lazymu import keys
from lazymu.errors import ArgumentError, explain
from lazymu.pp.batch_moments import ClippedSums, Moments
from lazymu.pp.ties import without_noise
from lazymu.typing import Bools, Float64s

FlavorV3 = Literal["seurat_v3", "seurat_v3_paper"]
TIE_DECIMALS = 9
"""Decimals to which variances are compared: they are differences of large sums, and near 1."""


def expected_deviation(mean: Float64s, variance: Float64s, span: float) -> Float64s:
    """Return the standard deviation that a feature's mean lets expect, (p,).

    A loess of second degree of ``log10(variance)`` on ``log10(mean)``; 1 for constant features.

    Raises
    ------
    ArgumentError
        If the fit fails, as it does for few features.
    """
    log_variance = np.zeros(len(mean))
    varies = variance > 0
    if varies.any():
        log_variance[varies] = _curve(np.log10(mean[varies]), np.log10(variance[varies]), span)
    deviation: Float64s = np.sqrt(10**log_variance)
    return deviation


def _curve(x: Float64s, y: Float64s, span: float) -> Float64s:
    """Return the loess curve of ``y`` on ``x`` at each ``x``."""
    from skmisc.loess import loess

    try:
        if span * len(x) < 1:  # skmisc would end the process
            raise ValueError("no feature is within the span")
        curve = loess(x, y, span=span, degree=2)
        curve.fit()
    except ValueError as error:
        rule = f"the curve through {len(x)} features cannot be fitted ({error})"
        fix = "pass one nearer to 1, or filter out features of few cells"
        raise ArgumentError(explain("span", span, rule, fix)) from error
    fitted: Float64s = curve.outputs.fitted_values
    return fitted


def exact_means(totals: Float64s, n: Float64s, *, whole: bool) -> Float64s:
    """Return ``totals / n`` such that features of equal sums have equal means to the last bit.

    The loess splits the features at order statistics of their means, many of which are tied: a tie
    broken by rounding, which depends on the order of the cells, moves its curve by 1e-3. Sums of
    whole numbers are exact; means of others are rounded.
    """
    means: Float64s = totals / n
    return means if whole else without_noise(means)


def clip_values(moments: Moments, deviation: Float64s) -> Float64s:
    """Return the largest value that counts in each group, (g, p): ``mean + sd sqrt(n)``."""
    clip: Float64s = moments.mean + deviation * np.sqrt(moments.n)[:, None]
    return clip


def standardized_variances(moments: Moments, deviation: Float64s, sums: ClippedSums) -> Float64s:
    """Return ``sum((y - mean)^2) / ((n - 1) sd^2)`` of clipped values ``y``, (g, p)."""
    n = moments.n[:, None]
    squares = n * moments.mean**2 + sums.squares - 2 * sums.total * moments.mean
    variances: Float64s = squares / ((n - 1) * deviation**2)
    return variances


def rank_by_variance(variances_norm: Float64s, n_top_genes: int, flavor: FlavorV3) -> pd.DataFrame:
    """Return the choice by standardised variances of each group, (g, p).

    A feature's rank is the median over the groups in which it is among the first
    ``n_top_genes``. ``seurat_v3`` chooses by rank, then by the number of such groups;
    ``seurat_v3_paper`` the other way round.
    """
    order = np.argsort(-np.round(variances_norm, TIE_DECIMALS), axis=1)
    ranks = np.argsort(order, axis=1).astype(np.float32)
    n_groups = np.sum(ranks < n_top_genes, axis=0)
    ranks[ranks >= n_top_genes] = np.nan
    rank = np.full(ranks.shape[1], np.nan, dtype=np.float32)
    rank[n_groups > 0] = np.nanmedian(ranks[:, n_groups > 0], axis=0)
    by_rank, by_groups = np.where(np.isnan(rank), np.inf, rank), -n_groups
    # lexsort's last key comes first.
    sorting = (by_groups, by_rank) if flavor == "seurat_v3" else (by_rank, by_groups)
    chosen: Bools = np.zeros(len(rank), dtype=bool)
    chosen[np.lexsort(sorting)[:n_top_genes]] = True
    return pd.DataFrame(
        {
            keys.HIGHLY_VARIABLE_NBATCHES: n_groups,
            keys.HIGHLY_VARIABLE_RANK: rank,
            keys.VARIANCES_NORM: variances_norm.mean(axis=0),
            keys.HIGHLY_VARIABLE: chosen,
        }
    )
