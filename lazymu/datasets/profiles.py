"""Marginals of real count matrices, as plain numbers, and the distributions drawn from them.

The figures are quantiles of raw 10x Genomics matrices (CC BY 4.0): a PBMC Multiome run (CellRanger
ARC; RNA of 270 cells, peaks of 40 cells at full width) and "1k PBMCs TotalSeq-B" (CellRanger 6; 892
cells).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lazymu.typing import Float64s

_LEVELS = np.array([0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0])
_GRID = 4096  # points on which an inverse distribution function is averaged

Quantiles = tuple[float, float, float, float, float, float, float]


@dataclass(frozen=True)
class Profile:
    """Marginals of a count matrix; each tuple: the 0, 5, 25, 50, 75, 95 and 100 % quantiles."""

    n_cells: int
    n_features: int
    n_empty_features: int
    density: float
    """Share of the entries that are not zero."""
    ones: float
    """Share of the nonzero entries that are 1."""
    library_size: Quantiles
    """Counts of a cell."""
    nonzeros_per_cell: Quantiles
    feature_mean: Quantiles
    detection: Quantiles
    """Share of the cells in which a feature is not zero."""

    def library_sizes(self, u: Float64s) -> Float64s:
        """Return counts per cell at levels ``u``: the inverse CDF, log-linear between quantiles."""
        return np.exp(np.interp(u, _LEVELS, np.log(self.library_size)))

    @cached_property
    def mean_library_size(self) -> float:
        """Mean of the counts of a cell."""
        return float(self.library_sizes((np.arange(_GRID) + 0.5) / _GRID).mean())

    def feature_means(self, n_features: int) -> Float64s:
        """Return ``n_features`` rising means: the inverse CDF at evenly spaced levels.

        Empty features are exact zeros. Between quantiles ``log(mean)`` is linear in ``-log(1 -
        level)``, a Pareto tail; its bend above the 95 % quantile is the one that makes the means
        add to the mean library size.
        """
        return self._means_at((np.arange(n_features) + 0.5) / n_features, self._tail_bend)

    @cached_property
    def _knots(self) -> tuple[Float64s, Float64s]:
        """Levels and means between which the inverse CDF of the means runs."""
        # The smallest mean that the sample could show stands where the empty features end.
        smallest = 0.9 / self.n_cells
        first = self.n_empty_features / self.n_features
        last = 1 - 0.5 / self.n_features
        inner = [
            (level, mean)
            for level, mean in zip(_LEVELS[:-1], self.feature_mean[:-1], strict=True)
            if first < level < last and mean > smallest
        ]
        start = (first, smallest if self.n_empty_features else self.feature_mean[0])
        levels, means = zip(start, *inner, (last, self.feature_mean[-1]), strict=True)
        return np.array(levels), np.array(means)

    def _means_at(self, u: Float64s, bend: float) -> Float64s:
        levels, means = self._knots
        x, knots = -np.log1p(-u), -np.log1p(-levels)
        share = np.clip((x - knots[-2]) / (knots[-1] - knots[-2]), 0, 1)
        step = np.log(means[-1] / means[-2])
        log_mean = np.interp(x, knots[:-1], np.log(means[:-1])) + step * share**bend
        return np.where(u > self.n_empty_features / self.n_features, np.exp(log_mean), 0.0)

    @cached_property
    def _tail_bend(self) -> float:
        """Exponent of the tail, by bisection: the sum of the means falls as it grows."""
        u = (np.arange(self.n_features) + 0.5) / self.n_features
        low, high = 0.25, 4.0
        for _ in range(40):
            middle = (low + high) / 2
            if self._means_at(u, middle).sum() > self.mean_library_size:
                low = middle
            else:
                high = middle
        return high


MULTIOME_RNA = Profile(
    n_cells=270,
    n_features=36_601,
    n_empty_features=17_388,
    density=0.06225,
    ones=0.6397,
    library_size=(1143.0, 2465.15, 3422.75, 4400.5, 6075.25, 9615.75, 13044.0),
    nonzeros_per_cell=(732.0, 1296.95, 1661.5, 2123.0, 2801.75, 3754.85, 4563.0),
    feature_mean=(0.0, 0.0, 0.0, 0.003704, 0.059259, 0.540741, 204.888889),
    detection=(0.0, 0.0, 0.0, 0.0037, 0.05185, 0.34815, 1.0),
)

MULTIOME_ATAC = Profile(
    n_cells=40,
    n_features=108_377,
    n_empty_features=41_893,
    density=0.07817,
    ones=0.0578,
    library_size=(8789.0, 11564.5, 17935.25, 21064.5, 29087.25, 40503.0, 52879.0),
    nonzeros_per_cell=(3808.0, 4625.25, 6472.0, 7453.5, 10658.25, 13106.15, 16181.0),
    feature_mean=(0.0, 0.0, 0.0, 0.05, 0.15, 1.2, 21.4),
    detection=(0.0, 0.0, 0.0, 0.025, 0.075, 0.425, 1.0),
)

CITESEQ_RNA = Profile(
    n_cells=892,
    n_features=36_601,
    n_empty_features=17_398,
    density=0.06154,
    ones=0.6176,
    library_size=(534.0, 1601.7, 4886.25, 6819.0, 9896.5, 16314.05, 28824.0),
    nonzeros_per_cell=(104.0, 713.85, 1547.0, 1981.0, 3030.25, 3973.8, 5571.0),
    feature_mean=(0.0, 0.0, 0.0, 0.001121, 0.050448, 0.556054, 250.440583),
    detection=(0.0, 0.0, 0.0, 0.00112, 0.04484, 0.35426, 1.0),
)

CITESEQ_PROTEIN = Profile(
    n_cells=892,
    n_features=10,
    n_empty_features=0,
    density=0.90247,
    ones=0.003,
    library_size=(271.0, 775.0, 1161.5, 1635.5, 2445.25, 3811.35, 11101.0),
    nonzeros_per_cell=(8.0, 9.0, 9.0, 9.0, 9.0, 9.0, 10.0),
    feature_mean=(0.03139, 28.953475, 81.534193, 120.085762, 263.381166, 504.021973, 633.418161),
    detection=(0.02578, 0.46368, 1.0, 1.0, 1.0, 1.0, 1.0),
)
