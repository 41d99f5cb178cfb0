"""Dot plots: the size of a dot is one table's value, its colour another's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lazymu.errors import ArgumentError, explain
from lazymu.pl.draw.scale import ColorScale
from lazymu.pl.draw.table_frame import Brackets, flat_colorbar, name_cells, places, table_inches
from lazymu.typing import Float64s

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable

_LARGEST_DOT = 200.0
_SIZE_EXPONENT = 1.5


@dataclass(frozen=True, kw_only=True)
class DotStyle:
    """How dots look, and the words beside them."""

    dot_min: float | None = None
    dot_max: float | None = None
    smallest_dot: float = 0.0
    swap_axes: bool = False
    title: str | None = None
    colorbar_title: str | None = "Mean expression\nin group"
    size_title: str | None = "Fraction of cells\nin group (%)"
    brackets: Brackets = field(default_factory=Brackets)
    scale: ColorScale = field(default_factory=lambda: ColorScale(cmap="Reds"))

    def bounds(self, fractions: pd.DataFrame) -> tuple[float, float]:
        """Return the fractions of the smallest and largest dot: 0, and the largest rounded up."""
        most = float(np.nanmax(fractions.to_numpy(), initial=0.0))
        high = max(np.ceil(most * 10) / 10, 0.1) if self.dot_max is None else self.dot_max
        low = 0.0 if self.dot_min is None else self.dot_min
        if not 0 <= low < high <= 1:
            rule = "fractions must keep 0 <= dot_min < dot_max <= 1"
            raise ArgumentError(explain("dot_min, dot_max", (low, high), rule, "change one"))
        return low, float(high)

    def areas(self, fractions: Float64s, bounds: tuple[float, float]) -> Float64s:
        """Return the areas of dots in square points."""
        share = (np.clip(fractions, *bounds) - bounds[0]) / (bounds[1] - bounds[0])
        areas: Float64s = share**_SIZE_EXPONENT * (_LARGEST_DOT - self.smallest_dot)
        return areas + self.smallest_dot


def draw_dots(
    fractions: pd.DataFrame,
    means: pd.DataFrame,
    style: DotStyle,
    *,
    figsize: tuple[float, float] | None = None,
    ax: Axes | None = None,
) -> dict[str, Axes]:
    """Draw a dot for each group (row) and feature (column); return the axes by what they show.

    A dot's area grows with the fraction to the power 1.5, as in scanpy.
    """
    if style.swap_axes:
        fractions, means = fractions.T, means.T
    inches = table_inches(fractions, style.brackets, style.title) if figsize is None else figsize
    figure, table, legends = places(inches, fractions.shape[1], ax)
    # Inches of: nothing, dots, their numbers and the next title, bar, nothing.
    spare = max(inches[1] - 1.5, 0.4) / 2
    beside = legends.subgridspec(5, 1, height_ratios=(spare, 0.4, 0.9, 0.2, spare))
    main, sizes, bar = (figure.add_subplot(spot) for spot in (table, beside[1], beside[3]))
    bounds = style.bounds(fractions)
    mappable = _dots(main, fractions, means, style, bounds)
    name_cells(main, fractions, style.brackets, style.title)
    _size_legend(sizes, style, bounds)
    flat_colorbar(bar, mappable, style.colorbar_title)
    return {"mainplot_ax": main, "size_legend_ax": sizes, "color_legend_ax": bar}


def _dots(
    ax: Axes,
    fractions: pd.DataFrame,
    means: pd.DataFrame,
    style: DotStyle,
    bounds: tuple[float, float],
) -> ScalarMappable:
    y, x = np.mgrid[: fractions.shape[0], : fractions.shape[1]]
    values = means.to_numpy(dtype=np.float64)
    return ax.scatter(
        x.ravel(),
        y.ravel(),
        s=style.areas(fractions.to_numpy(dtype=np.float64).ravel(), bounds),
        c=values.ravel(),
        cmap=style.scale.cmap,
        norm=style.scale.normalize(values),
        edgecolors="0.35",
        linewidths=0.3,
    )


def _size_legend(ax: Axes, style: DotStyle, bounds: tuple[float, float]) -> None:
    low, high = bounds
    step = 0.2 if high - low > 0.5 else (high - low) / 4
    shares = np.arange(high, low + step / 4, -step)[::-1]
    areas = style.areas(shares, bounds)
    ax.scatter(range(len(shares)), np.zeros_like(shares), s=areas, c="0.5", clip_on=False)
    ax.set_xlim(-0.7, len(shares) - 0.3)
    ax.set_ylim(-1, 1)
    words = [f"{100 * share:.3g}" for share in shares]
    ax.set_xticks(range(len(shares)), words, fontsize="small")
    ax.set_yticks([])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_title(style.size_title or "", fontsize="small")
