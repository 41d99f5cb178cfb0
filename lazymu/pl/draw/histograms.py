"""Histograms with the limits between which values are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lazymu.typing import Float64s

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_BINS = 80
_NARROW = 50  # of a logarithmic axis: its end over its start
_KEPT, _DROPPED, _LIMIT = "#0072b2", "#d3d3d3", "#d55e00"


def bin_edges(values: Float64s, *, log: bool) -> Float64s:
    """Return edges of bins of one width, of the logarithm with ``log``: at most 80 of them."""
    low, high = float(values.min()), float(values.max())
    n_bins = int(np.clip(np.sqrt(len(values)), 10, _MOST_BINS))
    if low == high:
        return np.array([low - 0.5, low + 0.5])
    return np.geomspace(low, high, n_bins + 1) if log else np.linspace(low, high, n_bins + 1)


def draw_histogram(
    ax: Axes,
    values: Float64s,
    limits: tuple[float | None, float | None] = (None, None),
    *,
    log: bool = False,
) -> int:
    """Draw a histogram, grey outside the limits; return how many values are within them.

    Missing values are left out; on a ``log`` axis those not above 0 too, but not from the count.
    """
    known = values[np.isfinite(values)]
    low = -np.inf if limits[0] is None else limits[0]
    high = np.inf if limits[1] is None else limits[1]
    drawn = known[known > 0] if log else known
    if drawn.size:
        edges = bin_edges(drawn, log=log)
        if log:
            _log_axis(ax, edges)
        ax.hist(drawn, edges.tolist(), color=_DROPPED)
        ax.hist(drawn[(drawn >= low) & (drawn <= high)], edges.tolist(), color=_KEPT)
    for limit in limits:
        if limit is not None and (limit > 0 or not log):
            ax.axvline(limit, color=_LIMIT, linestyle="--", linewidth=1.2)
    ax.set_ylabel("cells")
    ax.spines[["top", "right"]].set_visible(False)
    return int(((known >= low) & (known <= high)).sum())


def _log_axis(ax: Axes, edges: Float64s) -> None:
    """Make the axis logarithmic, with plain numbers at 1, 2, 5 where it spans little."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    ax.set_xscale("log")
    wide = edges[-1] / edges[0] > _NARROW
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
