"""Dot plots: the size of a dot is one table's value, its colour another's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lazymu.errors import ArgumentError, explain
from lazymu.pl.draw.scale import ColorScale
from lazymu.typing import Float64s

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.gridspec import GridSpecBase

_LARGEST_DOT = 200.0
_SIZE_EXPONENT = 1.5
_CELL_INCHES = 0.36
_LEGEND_INCHES = 1.5
_LETTER_INCHES = 0.085


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
    brackets: Sequence[tuple[int, int, str]] = ()
    bracket_rotation: float | None = None
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


def figure_size(fractions: pd.DataFrame, style: DotStyle) -> tuple[float, float]:
    """Return the inches that the dots (groups, features), their names and the legends need."""
    rows, columns = fractions.T.axes if style.swap_axes else fractions.axes
    wide = _LETTER_INCHES * max((len(str(name)) for name in rows), default=1)
    high = _LETTER_INCHES * max((len(str(name)) for name in columns), default=1)
    above = 0.4 * bool(style.title) + 0.9 * bool(style.brackets)
    return (
        _CELL_INCHES * len(columns) + wide + _LEGEND_INCHES + 0.3,
        max(_CELL_INCHES * len(rows) + high + above + 0.3, 2.6),
    )


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
    wanted = figure_size(fractions, style)
    main, sizes, bar_axes = _places(wanted if figsize is None else figsize, ax)
    bounds = style.bounds(fractions)
    mappable = _dots(main, fractions, means, style, bounds)
    _size_legend(sizes, style, bounds)
    bar = main.figure.colorbar(mappable, cax=bar_axes, orientation="horizontal")
    bar.outline.set_linewidth(0.5)
    bar_axes.set_title(style.colorbar_title or "", fontsize="small")
    bar_axes.tick_params(labelsize="small")
    return {"mainplot_ax": main, "size_legend_ax": sizes, "color_legend_ax": bar_axes}


def _places(inches: tuple[float, float], ax: Axes | None) -> tuple[Axes, Axes, Axes]:
    """Return axes for the dots, the legend of sizes and the colour bar, side by side."""
    from matplotlib import pyplot

    layout = {"width_ratios": (max(inches[0] - _LEGEND_INCHES, 1.0), _LEGEND_INCHES)}
    figure: Figure | SubFigure
    grid: GridSpecBase
    if ax is None:
        figure = new = pyplot.figure(figsize=inches, layout="constrained")
        grid = new.add_gridspec(1, 2, **layout)
    else:
        place = ax.get_subplotspec()
        if place is None:
            rule = "it must stand in a grid, whose place the dots and legends share"
            raise ArgumentError(explain("ax", "free axes", rule, "take it from plt.subplots()"))
        figure = ax.figure
        ax.axis("off")
        grid = place.subgridspec(1, 2, **layout)
    beside = grid[0, 1].subgridspec(5, 1, height_ratios=(1, 1.2, 1.6, 0.4, 1))
    main, sizes, bar = (figure.add_subplot(spot) for spot in (grid[0, 0], beside[1], beside[3]))
    return main, sizes, bar


def _dots(
    ax: Axes,
    fractions: pd.DataFrame,
    means: pd.DataFrame,
    style: DotStyle,
    bounds: tuple[float, float],
) -> ScalarMappable:
    if style.swap_axes:
        fractions, means = fractions.T, means.T
    n_rows, n_columns = fractions.shape
    y, x = np.mgrid[:n_rows, :n_columns]
    values = means.to_numpy(dtype=np.float64)
    dots = ax.scatter(
        x.ravel(),
        y.ravel(),
        s=style.areas(fractions.to_numpy(dtype=np.float64).ravel(), bounds),
        c=values.ravel(),
        cmap=style.scale.cmap,
        norm=style.scale.normalize(values),
        edgecolors="0.35",
        linewidths=0.3,
    )
    ax.set_xlim(-0.5, n_columns - 0.5)
    ax.set_ylim(n_rows - 0.5, -0.5)
    ax.set_xticks(range(n_columns), [str(name) for name in fractions.columns], rotation=90)
    ax.set_yticks(range(n_rows), [str(name) for name in fractions.index])
    ax.tick_params(length=2)
    if style.title:
        ax.set_title(style.title, pad=8)
    _brackets(ax, style)
    return dots


def _brackets(ax: Axes, style: DotStyle) -> None:
    """Mark groups of features, beyond the last row or column."""
    for first, last, label in style.brackets:
        ends = (first - 0.35, last + 0.35)
        rotation = style.bracket_rotation
        if style.swap_axes:
            across = ax.get_yaxis_transform()
            ax.plot(
                [1.02, 1.04, 1.04, 1.02],
                np.repeat(ends, 2),
                "k",
                transform=across,
                lw=1,
                clip_on=False,
            )
            ax.text(
                1.06,
                (first + last) / 2,
                label,
                transform=across,
                va="center",
                rotation=rotation or 0,
            )
        else:
            across = ax.get_xaxis_transform()
            ax.plot(
                np.repeat(ends, 2),
                [1.02, 1.04, 1.04, 1.02],
                "k",
                transform=across,
                lw=1,
                clip_on=False,
            )
            crowded = len(label) > 4 * (last - first + 1)
            turn = (90 if crowded else 0) if rotation is None else rotation
            ax.text((first + last) / 2, 1.06, label, transform=across, ha="center", rotation=turn)


def _size_legend(ax: Axes, style: DotStyle, bounds: tuple[float, float]) -> None:
    shares = np.linspace(bounds[0], bounds[1], 6)[1:]
    ax.scatter(
        range(len(shares)), np.zeros(len(shares)), s=style.areas(shares, bounds), color="0.5"
    )
    ax.set_xlim(-0.7, len(shares) - 0.3)
    ax.set_ylim(-1.2, 1.2)
    ax.set_xticks(range(len(shares)), [f"{100 * share:.0f}" for share in shares], fontsize="small")
    ax.set_yticks([])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_title(style.size_title or "", fontsize="small")
