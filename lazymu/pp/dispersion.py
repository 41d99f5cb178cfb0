"""Highly variable features by dispersion, normalised among features of like means.

Moments in, a table out. The formulas are those of Satija et al. 2015 (``seurat``) and Zheng et
al. 2017 (``cell_ranger``) as scanpy has them.
"""

from __future__ import annotations

import logging
import warnings
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from lazymu import keys
from lazymu.errors import ArgumentError, explain
from lazymu.pp.ties import without_noise
from lazymu.typing import Bools, Float64s

logger = logging.getLogger("lazymu")
Flavor = Literal["seurat", "cell_ranger"]
SMALLEST_MEAN = 1e-12
"""Stands for a mean of 0, by which a variance is divided."""
LEAST_MEAN = 1e-300
"""The largest mean must not be below: bins of so small means have no bounds."""
NO_BINS: Any = pd.IntervalIndex.from_breaks([0.0])
UPPER_QUARTILE = 0.6744897501960817
"""Of the standard normal: the median absolute deviation of one with standard deviation 1."""


class Cutoffs(NamedTuple):
    """Open intervals of mean and normalised dispersion."""

    min_disp: float = 0.5
    max_disp: float = np.inf
    min_mean: float = 0.0125
    max_mean: float = 3.0

    def hold(self, means: Float64s, dispersions_norm: Float64s) -> Bools:
        """Return which features lie within."""
        kept: Bools = (means > self.min_mean) & (means < self.max_mean)
        kept &= (dispersions_norm > self.min_disp) & (dispersions_norm < self.max_disp)
        return kept


def rank_by_dispersion(
    mean: Float64s,
    variance: Float64s,
    *,
    flavor: Flavor,
    n_bins: int,
    chosen: int | Cutoffs,
    expressed_only: bool = False,
) -> pd.DataFrame:
    """Return means, their bins, dispersions and the choice of features for one set of cells.

    With ``d_j = variance_j / mean_j`` (``seurat``: its logarithm, and ``log1p`` of the mean), the
    features are put into bins by mean; ``d`` is normalised to ``(d_j - a) / s`` with the bin's
    mean and standard deviation (``seurat``, in bins of equal width) or its median and scaled
    median absolute deviation (``cell_ranger``, in bins of 5 %).

    Parameters
    ----------
    mean, variance
        Of each feature, (p,); of values that are not logarithms where ``flavor="seurat"``.
    flavor
        See above.
    n_bins
        Bins of ``seurat``.
    chosen
        The number of features to choose, or the intervals in which they are chosen.
    expressed_only
        Leave features without counts out: all their numbers become 0, and they are in no bin.
    """
    taking_part = np.flatnonzero((mean > 0) | (not expressed_only))
    values = np.zeros((3, len(mean)))
    highly_variable = np.zeros(len(mean), dtype=bool)
    codes, edges = np.full(len(mean), -1), NO_BINS
    if len(taking_part):
        means, dispersions = mean_and_dispersion(mean[taking_part], variance[taking_part], flavor)
        bins = mean_bins(means, flavor, n_bins)
        normalized = normalized_dispersions(dispersions, bins, flavor)
        values[:, taking_part] = means, dispersions, normalized
        highly_variable[taking_part] = choose(means, normalized, chosen)
        codes[taking_part], edges = bins.codes, bins.categories
    return pd.DataFrame(
        {
            keys.MEANS: values[0],
            keys.DISPERSIONS: values[1],
            keys.MEAN_BIN: pd.Categorical.from_codes(codes, edges, ordered=True),
            keys.DISPERSIONS_NORM: values[2],
            keys.HIGHLY_VARIABLE: highly_variable,
        }
    )


def mean_and_dispersion(
    mean: Float64s, variance: Float64s, flavor: Flavor
) -> tuple[Float64s, Float64s]:
    """Return mean and ``variance / mean``, ``log1p`` and ``log`` of them for ``seurat``."""
    mean = np.where(mean == 0, SMALLEST_MEAN, mean)
    dispersion = variance / mean
    if flavor == "seurat":
        positive = np.where(dispersion == 0, np.nan, dispersion)
        return np.log1p(mean), np.log(positive)
    return mean, dispersion


def mean_bins(means: Float64s, flavor: Flavor, n_bins: int) -> pd.Categorical:
    """Return the interval of means that each feature is in."""
    if 0 < means.max() < LEAST_MEAN:
        rule = "intervals between them are beyond what numbers resolve"
        fix = "scale the cells, as pp.normalize_total(target_sum=1e4) does"
        raise ArgumentError(explain("X", f"with means up to {means.max():g}", rule, fix))
    if flavor == "seurat":
        equal: pd.Categorical = pd.cut(means, bins=n_bins)
        return equal
    # A percentile may be the mean of one feature, which must not fall on either side by noise.
    compared = without_noise(means)
    percentiles = np.unique(np.percentile(compared, np.arange(10, 105, 5)))
    bins: pd.Categorical = pd.cut(compared, bins=[-np.inf, *percentiles, np.inf])
    return bins


def normalized_dispersions(dispersions: Float64s, bins: pd.Categorical, flavor: Flavor) -> Float64s:
    """Return dispersions centred and scaled among the features of a bin of means."""
    grouped = pd.Series(dispersions).groupby(bins.codes)
    if flavor == "seurat":
        center, spread = grouped.transform("mean"), grouped.transform("std")
        # A bin of one feature has no spread: scanpy gives the feature 1.
        alone = spread.isna()
        center, spread = center.mask(alone, 0.0), spread.mask(alone, center)
    else:
        center, spread = grouped.transform("median"), grouped.transform(_scaled_mad)
    with np.errstate(divide="ignore", invalid="ignore"):
        normalized: Float64s = (dispersions - center.to_numpy()) / spread.to_numpy()
    return normalized


def _scaled_mad(values: pd.Series[float]) -> float:
    """Return the median absolute deviation, scaled to the standard deviation of a normal."""
    return float((values - values.median()).abs().median() / UPPER_QUARTILE)


def choose(means: Float64s, dispersions_norm: Float64s, chosen: int | Cutoffs) -> Bools:
    """Return the features within the cutoffs, or those up to the ``chosen``-th highest value."""
    if isinstance(chosen, Cutoffs):
        return chosen.hold(means, np.nan_to_num(dispersions_norm))
    if chosen > len(means):
        logger.info("`n_top_genes` is above the number of features; all are taken")
    compared = without_noise(dispersions_norm)
    known = np.sort(compared[~np.isnan(compared)])[::-1]
    n = min(chosen, len(means))
    if n > len(known):
        message = (
            f"`n_top_genes` is {n}, but only {len(known)} features have a normalized dispersion: "
            "all of them are taken"
        )
        warnings.warn(message, UserWarning, stacklevel=5)
        n = len(known)
    if n == 0:
        return np.zeros(len(means), dtype=bool)
    highly_variable: Bools = np.nan_to_num(compared, nan=-np.inf) >= known[n - 1]
    return highly_variable


def merge_batches(
    tables: list[pd.DataFrame], names: pd.Index, chosen: int | Cutoffs
) -> pd.DataFrame:
    """Return one table of those of several batches.

    Means and dispersions are averaged over the batches where they are known. Features are chosen
    first by the number of batches in which they are highly variable, then by normalised
    dispersion, then by name.
    """
    numbers = (keys.MEANS, keys.DISPERSIONS, keys.DISPERSIONS_NORM)
    merged = {name: known_mean(np.stack([table[name] for table in tables])) for name in numbers}
    n_batches = np.sum([table[keys.HIGHLY_VARIABLE] for table in tables], axis=0).astype(np.int64)
    if isinstance(chosen, Cutoffs):
        merged[keys.DISPERSIONS_NORM] = np.nan_to_num(
            merged[keys.DISPERSIONS_NORM], posinf=np.inf, neginf=-np.inf
        )
        highly_variable = chosen.hold(merged[keys.MEANS], merged[keys.DISPERSIONS_NORM])
    else:
        by_name = np.argsort(np.argsort(np.asarray(names, dtype=object), kind="stable"))
        normalized = -without_noise(merged[keys.DISPERSIONS_NORM])
        order = np.lexsort(
            (by_name, np.where(np.isnan(normalized), np.inf, normalized), -n_batches)
        )
        highly_variable = np.zeros(len(names), dtype=bool)
        highly_variable[order[:chosen]] = True
    return pd.DataFrame(
        {
            **merged,
            keys.HIGHLY_VARIABLE: highly_variable,
            keys.HIGHLY_VARIABLE_NBATCHES: n_batches,
            keys.HIGHLY_VARIABLE_INTERSECTION: n_batches == len(tables),
        }
    )


def known_mean(values: Float64s) -> Float64s:
    """Return the mean over the first axis of what is not NaN; NaN where nothing is."""
    known = ~np.isnan(values)
    n = known.sum(axis=0)
    total = np.where(known, values, 0.0).sum(axis=0)
    mean = np.full(total.shape, np.nan)
    np.divide(total, n, out=mean, where=n > 0)
    return mean
