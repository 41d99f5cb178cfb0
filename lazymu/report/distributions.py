"""How a column of numbers is distributed over cells: bins and quartiles, as a store keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from lazymu import keys
from lazymu.pl.draw.histograms import bin_edges
from lazymu.typing import Float64s, Int64s

QUALITY_COLUMNS = (
    keys.N_GENES_BY_COUNTS,
    keys.TOTAL_COUNTS,
    keys.pct_counts_of("mt"),
)
COUNTED = QUALITY_COLUMNS[:2]
_LEAST_LOG = 3.0


class Distribution(NamedTuple):
    """Numbers of cells in bins, and what else says where the values lie."""

    edges: Float64s
    """(n + 1,), of one width, or one ratio where the axis is logarithmic."""
    counts: Int64s
    """(n,)"""
    quartiles: Float64s
    """(5,): smallest, lower quartile, median, upper quartile, largest."""
    n_cells: int
    """Cells with a value, also those outside of the bins: 0 has no place on a logarithmic axis."""
    limits: Float64s
    """(2,): least and largest value that was kept, NaN where there was no such limit."""

    @property
    def is_log(self) -> bool:
        """Whether bins have one ratio rather than one width."""
        steps = np.diff(self.edges)
        return len(steps) > 1 and bool(steps[-1] > 1.01 * steps[0])

    def to_uns(self) -> dict[str, Any]:
        """Return it as a store keeps it."""
        return {**self._asdict()}

    @classmethod
    def from_uns(cls, kept: Mapping[str, Any]) -> Distribution | None:
        """Return what :meth:`to_uns` gave, None where it is something else."""
        try:
            arrays = {name: np.asarray(kept[name]) for name in cls._fields}
            found = cls(
                arrays["edges"].astype(np.float64),
                arrays["counts"].astype(np.int64),
                arrays["quartiles"].astype(np.float64),
                int(arrays["n_cells"]),
                arrays["limits"].astype(np.float64),
            )
        except (KeyError, TypeError, ValueError):
            return None
        sound = len(found.edges) == len(found.counts) + 1 > 1 and np.all(np.diff(found.edges) > 0)
        return found if sound and (len(found.quartiles), len(found.limits)) == (5, 2) else None


def distribution(
    values: Float64s,
    *,
    counted: bool,
    limits: tuple[float | None, float | None] = (None, None),
) -> Distribution | None:
    """Return the distribution of a column's values; None where no cell has one.

    Bins of counts have one ratio, where these reach over a factor of three.
    """
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    drawn = known[known > 0] if counted and (known > 0).any() else known
    log = counted and bool(drawn.min() > 0 and drawn.max() >= _LEAST_LOG * drawn.min())
    edges = bin_edges(drawn, log=log)
    bounds = np.array([np.nan if limit is None else limit for limit in limits], dtype=np.float64)
    return Distribution(edges, in_bins(known, edges), quartiles(known), len(known), bounds)


def in_bins(values: Float64s, edges: Float64s) -> Int64s:
    """Return how many values each bin has; the ends belong to the first and the last."""
    # Ends of logarithmic bins may miss the extremes by a rounding.
    slack = 1e-9 * np.abs(edges[[0, -1]])
    near = (values >= edges[0] - slack[0]) & (values <= edges[-1] + slack[1])
    counts: Int64s = np.histogram(np.clip(values[near], edges[0], edges[-1]), edges)[0]
    return counts.astype(np.int64)


def quartiles(values: Float64s) -> Float64s:
    """Return the extremes and quartiles of values, NaN where there are none."""
    if not len(values):
        return np.full(5, np.nan)
    found: Float64s = np.percentile(values, [0, 25, 50, 75, 100])
    return found
