"""Lines over one axis, one for each group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lazymu.typing import Array, Float64s

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.legend import Legend

_ROWS = 12  # of a legend before it takes another column


def draw_lines(
    ax: Axes,
    x: Array,
    heights: Float64s,
    labels: Sequence[str],
    colors: Sequence[str],
    *,
    legend_title: str,
) -> Legend | None:
    """Draw ``heights`` (lines, positions) over ``x``; return the legend of those with labels."""
    for line, color, label in zip(heights, colors, labels, strict=True):
        ax.plot(x, line, color=color, label=label or None, linewidth=1.2)
    ax.set_xlim(float(x[0]), float(x[-1]))
    ax.spines[["top", "right"]].set_visible(False)
    if not any(labels):
        return None
    return ax.legend(
        title=legend_title,
        loc="center left",
        bbox_to_anchor=(1.03, 0.5),
        ncols=-(-len(labels) // _ROWS),
        frameon=False,
    )
