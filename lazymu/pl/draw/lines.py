"""Lines over one axis, one for each group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lazymu.typing import Array, Float64s

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROWS = 14  # of a legend before it takes another column


def draw_lines(
    ax: Axes,
    x: Array,
    heights: Float64s,
    labels: Sequence[str],
    colors: Sequence[str],
    *,
    legend_title: str,
) -> None:
    """Draw ``heights`` (lines, positions) over ``x``; those with labels get a legend."""
    for line, color, label in zip(heights, colors, labels, strict=True):
        ax.plot(x, line, color=color, label=label or None, linewidth=1.2)
    ax.set_xlim(float(x[0]), float(x[-1]))
    ax.spines[["top", "right"]].set_visible(False)
    if any(labels):
        ax.legend(
            title=legend_title,
            loc="center left",
            bbox_to_anchor=(1, 0.5),
            ncols=-(-len(labels) // _ROWS),
            frameon=False,
        )
