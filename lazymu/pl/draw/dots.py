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
_HOOK = (1.02, 1.04, 1.04, 1.02)  # of a bracket, in heights or widths of the axes


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
    wide, high = (_LETTER_INCHES * max(len(str(name)) for name in axis) for axis in (rows, columns))
    beside = _bracket_inches(style) if style.swap_axes else 0.0
    above = 0.0 if style.swap_axes else _bracket_inches(style)
    return (
        _CELL_INCHES * len(columns) + wide + beside + _LEGEND_INCHES + 0.3,
        max(_CELL_INCHES * len(rows) + high + above + 0.4 * bool(style.title) + 0.3, 2.6),
    )


def _bracket_inches(style: DotStyle) -> float:
    """Return the room for brackets and their labels, away from the dots."""
    if not style.brackets:
        return 0.0
    reach = [
        len(label) if style.swap_axes or _turn(style, one) else 2
        for one in style.brackets
        for label in one[2:]
    ]
    return 0.25 + _LETTER_INCHES * max(reach)


def _turn(style: DotStyle, bracket: tuple[int, int, str]) -> float:
    """Return the angle of a label above its bracket: upright where it is wider than that."""
    first, last, label = bracket
    if style.bracket_rotation is not None:
        return style.bracket_rotation
    return 90.0 if _LETTER_INCHES * len(label) > _CELL_INCHES * (last - first + 1) else 0.0


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
    inches = figure_size(fractions, style) if figsize is None else figsize
    n_columns = fractions.shape[0 if style.swap_axes else 1]
    main, sizes, bar_axes = _places(inches, n_columns, ax)
    bounds = style.bounds(fractions)
    mappable = _dots(main, fractions, means, style, bounds)
    _size_legend(sizes, style, bounds)
    bar = main.figure.colorbar(mappable, cax=bar_axes, orientation="horizontal")
    bar.outline.set_linewidth(0.5)
    bar_axes.set_title(style.colorbar_title or "", fontsize="small")
    bar_axes.tick_params(labelsize="small")
    return {"mainplot_ax": main, "size_legend_ax": sizes, "color_legend_ax": bar_axes}


def _places(
    inches: tuple[float, float], n_columns: int, ax: Axes | None
) -> tuple[Axes, Axes, Axes]:
    """Return axes for the dots, the legend of sizes and the colour bar, side by side."""
    from matplotlib import pyplot

    layout = {"width_ratios": (max(_CELL_INCHES * n_columns, 0.8), _LEGEND_INCHES)}
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
    # Inches of: nothing, dots, their numbers and the next title, bar, nothing.
    spare = max(inches[1] - 1.5, 0.4) / 2
    beside = grid[0, 1].subgridspec(5, 1, height_ratios=(spare, 0.4, 0.9, 0.2, spare))
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
        above = 0.0 if style.swap_axes else _bracket_inches(style)
        ax.set_title(style.title, pad=8 + 72 * above)
    _brackets(ax, style)
    return dots


def _brackets(ax: Axes, style: DotStyle) -> None:
    """Mark groups of features, beyond the last column or the first row."""
    for first, last, label in style.brackets:
        ends = np.repeat((first - 0.35, last + 0.35), 2)
        middle = (first + last) / 2
        if style.swap_axes:
            across = ax.get_yaxis_transform()
            ax.plot(_HOOK, ends, "k", transform=across, lw=1, clip_on=False)
            turn = style.bracket_rotation or 0.0
            ax.text(_HOOK[1] + 0.01, middle, label, transform=across, va="center", rotation=turn)
        else:
            across = ax.get_xaxis_transform()
            ax.plot(ends, _HOOK, "k", transform=across, lw=1, clip_on=False)
            turn = _turn(style, (first, last, label))
            ax.text(middle, _HOOK[1] + 0.01, label, transform=across, ha="center", rotation=turn)


def _size_legend(ax: Axes, style: DotStyle, bounds: tuple[float, float]) -> None:
    low, high = bounds
    step = 0.2 if high - low > 0.5 else (high - low) / 4
    shares = np.arange(high, low + step / 4, -step)[::-1]
    ax.scatter(range(len(shares)), np.zeros_like(shares), s=style.areas(shares, bounds), c="0.5")
    ax.set_xlim(-0.7, len(shares) - 0.3)
    ax.set_ylim(-1, 1)
    words = [f"{100 * share:.3g}" for share in shares]
    ax.set_xticks(range(len(shares)), words, fontsize="small")
    ax.set_yticks([])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_title(style.size_title or "", fontsize="small")
