"""Histograms with the limits between which values are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lazymu.typing import Float64s

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

_MOST_BINS = 80
_LEAST_LOG = 3.0  # of values: the largest over the smallest, below which a log axis has no ticks
# How far a logarithmic axis may reach (its end over its start) for labels at these multiples of
# powers of ten not to touch.
_TICKS = ((20.0, (1.0, 2.0, 5.0)), (300.0, (1.0, 3.0)), (np.inf, (1.0,)))
_KEPT, _DROPPED, _LIMIT = "#0072b2", "#d3d3d3", "#d55e00"


def bin_edges(values: Float64s, *, log: bool, n_samples: int = 1) -> Float64s:
    """Return edges of bins of one width, of the logarithm with ``log``: at most 80 of them.

    Whole numbers that are fewer than the bins would be have one each. Values that ``n_samples``
    share have as many bins as a sample of mean size would.
    """
    low, high = float(values.min()), float(values.max())
    n_bins = int(np.clip(np.sqrt(len(values) / n_samples), 10, _MOST_BINS))
    if low == high or (not log and high - low < n_bins and _are_whole(values)):
        return np.arange(low - 0.5, high + 1)
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
    Values that differ by less than a factor of three need no such axis and have none.
    """
    known = values[np.isfinite(values)]
    low = -np.inf if limits[0] is None else limits[0]
    high = np.inf if limits[1] is None else limits[1]
    drawn = known[known > 0] if log else known
    log = log and drawn.size > 0 and bool(drawn.max() >= _LEAST_LOG * drawn.min())
    if drawn.size:
        edges = bin_edges(drawn, log=log)
        if log:
            _log_axis(ax, [*edges[[0, -1]], *(end for end in limits if end)])
        elif _are_whole(drawn):
            _whole_axis(ax.xaxis)
        ax.hist(drawn, edges.tolist(), color=_DROPPED)
        ax.hist(drawn[(drawn >= low) & (drawn <= high)], edges.tolist(), color=_KEPT)
    for limit in limits:
        if limit is not None and (limit > 0 or not log):
            ax.axvline(limit, color=_LIMIT, linestyle="--", linewidth=1.2)
    ax.set_ylabel("cells")
    ax.spines[["top", "right"]].set_visible(False)
    return int(((known >= low) & (known <= high)).sum())


def draw_shared_histograms(
    axes: Sequence[Axes], samples: Sequence[Float64s], colors: Sequence[str], bins: int | None
) -> None:
    """Draw a histogram of each sample, all with the same bins; missing values are left out."""
    kept = [sample[np.isfinite(sample)] for sample in samples]
    known = np.concatenate(kept)
    edges = np.array([0.0, 1.0])
    if known.size:
        edges = bin_edges(known, log=False, n_samples=len(kept))
        if bins is not None and known.min() < known.max():
            edges = np.linspace(known.min(), known.max(), bins + 1)
    for ax, sample, color in zip(axes, kept, colors, strict=True):
        ax.hist(sample, edges.tolist(), color=color)
        ax.set_xlim(edges[0], edges[-1])
        if known.size and _are_whole(known):
            _whole_axis(ax.xaxis)
        _whole_axis(ax.yaxis)
        ax.set_ylabel("cells")
        ax.spines[["top", "right"]].set_visible(False)


def _are_whole(values: Float64s) -> bool:
    return bool((values == np.rint(values)).all())


def _whole_axis(axis: Axis) -> None:
    """Label the axis at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=5, integer=True))


def _log_axis(ax: Axes, shown: Sequence[float]) -> None:
    """Make the axis logarithmic, with plain numbers as dense as they fit if it spans ``shown``."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    ax.set_xscale("log")
    reach = max(shown) / min(shown)
    multiples = next(multiples for widest, multiples in _TICKS if reach <= widest)
    ax.xaxis.set_major_locator(LogLocator(subs=multiples))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
