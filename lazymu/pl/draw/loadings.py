"""Ranked loadings: a named row for each feature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lazymu.typing import Float64s

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOR = "#0072b2"


def draw_loadings(ax: Axes, names: Sequence[str], loadings: Float64s, n_high: int) -> None:
    """Draw each loading as a point on a line from 0, the first at the top.

    A dotted line parts the first ``n_high``, which are the highest, from the lowest.
    """
    rows = np.arange(len(names))
    ax.hlines(rows, 0, loadings, color=_COLOR, linewidth=1)
    ax.plot(loadings, rows, "o", color=_COLOR, markersize=4)
    ax.axvline(0, color="0.6", linewidth=0.8, zorder=0)
    if 0 < n_high < len(names):
        ax.axhline(n_high - 0.5, color="0.4", linewidth=0.8, linestyle=":")
    ax.set_yticks(rows, list(names), fontsize="small")
    ax.set_ylim(len(names) - 0.3, -0.7)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("loading")
    ax.locator_params(axis="x", nbins=3)
    ax.spines[["top", "right"]].set_visible(False)
