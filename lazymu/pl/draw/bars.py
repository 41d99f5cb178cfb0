"""Bars from -1 to 1 with a limit on either side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lazymu.typing import Float64s, Ints

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WITHIN, _BEYOND = "#0072b2", "#d55e00"
_MOST_TICKS = 25


def draw_signed_bars(ax: Axes, numbers: Ints, heights: Float64s, limit: float) -> None:
    """Draw a bar at each number, in another colour beyond ``limit`` on either side."""
    colors = np.where(np.abs(heights) > limit, _BEYOND, _WITHIN)
    ax.bar(numbers, heights, color=colors.tolist())
    for one in (-limit, limit):
        ax.axhline(one, color="0.4", linestyle="--", linewidth=1)
    ax.axhline(0, color="black", linewidth=0.8)
    every = 1 if len(numbers) <= _MOST_TICKS else 5
    ticks = [int(one) for one in numbers if every == 1 or one == 1 or one % every == 0]
    ax.set_xticks(ticks)
    ax.set_xlim(numbers.min() - 0.7, numbers.max() + 0.7)
    ax.set_ylim(-1.05, 1.05)
    ax.spines[["top", "right"]].set_visible(False)
