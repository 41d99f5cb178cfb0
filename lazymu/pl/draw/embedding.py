"""Panels of an embedding, each coloured by one variable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from textwrap import fill
from typing import TYPE_CHECKING

from lazymu.pl.draw.legend import (
    Label,
    LegendStyle,
    add_colorbar,
    add_labels_on_data,
    add_legend,
    legend_width,
    spread_labels,
)
from lazymu.pl.draw.panels import check_one_panel, grid, settle, widen
from lazymu.pl.draw.points import Categories, PointStyle, PointValues, draw_points
from lazymu.pl.draw.scale import ColorScale
from lazymu.typing import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

_BAR_INCHES = 0.7
_TITLE_LETTERS = 36


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One scatter plot: ``points`` (n, 2), the ``values`` that colour them, and its words."""

    points: Floats
    values: PointValues
    title: str = ""
    axis_labels: tuple[str, str] = ("", "")
    scale: ColorScale = field(default_factory=ColorScale)


@dataclass(frozen=True, kw_only=True)
class GridStyle:
    """How panels stand in a figure; ``ticks`` where coordinates mean something by themselves."""

    ncols: int = 4
    hspace: float | None = None
    wspace: float | None = None
    frameon: bool | None = None
    ticks: bool = False


@dataclass
class _Drawn:
    """What one panel adds beside or upon its points."""

    legend: Legend | None = None
    labels: Sequence[Label] = ()
    has_bar: bool = False


def _draw_panel(
    ax: Axes, panel: Panel, points: PointStyle, legend: LegendStyle, grid_style: GridStyle
) -> _Drawn:
    mappable = draw_points(ax, panel.points, panel.values, points, panel.scale)
    ax.set_title("\n".join(fill(line, _TITLE_LETTERS) for line in panel.title.splitlines()))
    _dress(ax, panel.axis_labels, grid_style)
    drawn = _Drawn()
    if isinstance(panel.values, Categories) and legend.loc == "on data":
        drawn.labels = add_labels_on_data(ax, panel.points, panel.values, legend)
    elif isinstance(panel.values, Categories) and legend.loc not in {None, "none"}:
        drawn.legend = add_legend(ax, panel.values, legend, points.na_color)
    elif mappable is not None and legend.colorbar_loc is not None:
        add_colorbar(ax, mappable, legend)
        drawn.has_bar = True
    return drawn


def _dress(ax: Axes, axis_labels: tuple[str, str], style: GridStyle) -> None:
    """Name the axes; leave out ticks, and the frame unless asked for, where they mean nothing."""
    ax.spines[:].set_visible(style.ticks if style.frameon is None else style.frameon)
    if not style.ticks or style.frameon is False:
        ax.set_xticks([])
        ax.set_yticks([])
    if style.frameon is False:
        return
    if style.ticks:
        if style.frameon is None:
            ax.spines[["top", "right"]].set_visible(False)
        ax.set_xlabel(axis_labels[0])
        ax.set_ylabel(axis_labels[1])
    else:
        ax.set_xlabel(axis_labels[0], loc="left", fontsize="small")
        ax.set_ylabel(axis_labels[1], loc="bottom", fontsize="small")


def draw_embedding(
    panels: Sequence[Panel],
    points: PointStyle,
    legend: LegendStyle,
    style: GridStyle,
    ax: Axes | None = None,
) -> tuple[Figure, list[Axes]]:
    """Draw each panel in its own axes, or the only one into ``ax``; return figure and axes.

    A new figure is made wider by the legends that stand beside the axes, so that they take
    nothing from the points.
    """
    if ax is not None:
        check_one_panel(len(panels))
        drawn = [_draw_panel(ax, panels[0], points, legend, style)]
        figure = ax.figure.figure
        settle(figure)
        spread_labels(ax, drawn[0].labels)
        return figure, [ax]
    side = 4.4 if len(panels) == 1 else 3.4
    figure, axes = grid(
        len(panels), style.ncols, (side, side), hspace=style.hspace, wspace=style.wspace
    )
    settle(figure)
    drawn = [
        _draw_panel(axis, panel, points, legend, style)
        for axis, panel in zip(axes, panels, strict=True)
    ]
    columns = min(len(panels), style.ncols)
    beside = [_BAR_INCHES if one.has_bar else _width(one.legend) for one in drawn]
    widen(figure, sum(max(beside[column::columns]) for column in range(columns)))
    settle(figure)
    for axis, one in zip(axes, drawn, strict=True):
        spread_labels(axis, one.labels)
    return figure, axes


def _width(legend: Legend | None) -> float:
    return 0.0 if legend is None else legend_width(legend)
