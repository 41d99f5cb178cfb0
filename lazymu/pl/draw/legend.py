"""What colours mean: a legend beside the axes, labels on the data, a colour bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from textwrap import fill
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from lazymu.errors import ArgumentError, explain
from lazymu.pl.draw.label_layout import overlaps, spread_boxes
from lazymu.pl.draw.panels import without_formulas
from lazymu.pl.draw.points import Categories
from lazymu.typing import Float64s, Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.colorbar import Colorbar
    from matplotlib.legend import Legend
    from matplotlib.text import Text

FontSize: TypeAlias = float | str | None

_MARKER_POINTS = 7.0
_ROW_HEIGHT = 1.45  # of a legend's row, in font sizes
_SMALLEST_FONT = 5.0
_SMALL_FONT = 7.0  # of a legend whose labels are many
_SHRINK = 0.88
_LINE_LETTERS = 18
_FAR = 1.5  # label heights from where a label belongs, from which on a line leads there
_BAR_FRACTION = 0.05
_HIDDEN = 3.0  # times a category's reach: a label larger than that would hide its points
_GAP = 3.0  # pixels between the points of a small category and its label above them


@dataclass(frozen=True, kw_only=True)
class LegendStyle:
    """Where and how the meaning of colours is written."""

    loc: str | None = "right margin"
    fontsize: FontSize = None
    fontweight: int | str = "bold"
    fontoutline: float | None = None
    na_in_legend: bool = True
    colorbar_loc: str | None = "right"


def add_legend(ax: Axes, values: Categories, style: LegendStyle, na_color: str) -> Legend | None:
    """Write the categories with their colours beside the axes, or at a place within."""
    from matplotlib.legend import Legend
    from matplotlib.lines import Line2D

    outside = style.loc == "right margin"
    if not outside and style.loc not in Legend.codes:
        rule = 'it must be "right margin", "on data", None or a place that matplotlib knows'
        raise ArgumentError(explain("legend_loc", repr(style.loc), rule, 'try "upper left"'))
    labels, colors = list(values.labels), list(values.colors)
    if style.na_in_legend and (values.codes < 0).any():
        labels, colors = [*labels, "NA"], [*colors, na_color]
    if not labels:
        return None
    columns, size = _legend_columns(ax, len(labels), style) if outside else (1, style.fontsize)
    shrunk = min(_points(size) / _points(style.fontsize), 1.0)
    handles = [
        Line2D([], [], linestyle="", marker="o", ms=_MARKER_POINTS * shrunk, mew=0, color=color)
        for color in colors
    ]
    return ax.legend(
        handles,
        labels,
        loc="center left" if outside else style.loc,  # type: ignore[arg-type]  # matplotlib checks
        bbox_to_anchor=(1.0, 0.5) if outside else None,
        frameon=not outside,
        ncols=columns,
        fontsize=size,
        handletextpad=0.2,
        columnspacing=0.8,
        labelspacing=0.35,
        borderaxespad=0.2,
    )


def _legend_columns(ax: Axes, n_labels: int, style: LegendStyle) -> tuple[int, FontSize]:
    """Return into how many columns the labels go, and their size, to be no taller than the axes.

    Unless a size is asked for, letters are smaller where that spares a column.
    """
    room = 72 * ax.get_window_extent().height / ax.figure.dpi / _ROW_HEIGHT

    def columns_at(points: float) -> int:
        return ceil(n_labels / max(1, int(room / points)))

    if style.fontsize is not None:
        return columns_at(_points(style.fontsize)), style.fontsize
    usual = _points(None)
    columns = columns_at(min(_SMALL_FONT, usual))
    return columns, min(usual, room / ceil(n_labels / columns))


def _points(fontsize: FontSize) -> float:
    from matplotlib import rcParams
    from matplotlib.font_manager import FontProperties

    given = rcParams["legend.fontsize"] if fontsize is None else fontsize
    return FontProperties(size=given).get_size_in_points()


def legend_width(legend: Legend) -> float:
    """Return the width of a legend in inches."""
    without_formulas(legend)
    return float(legend.get_window_extent().width / legend.axes.figure.dpi)


class Label(NamedTuple):
    """A category's name on the data, and how far its points reach from their median (2,)."""

    text: Text
    reach: Float64s


def add_labels_on_data(
    ax: Axes, points: Floats, values: Categories, style: LegendStyle
) -> list[Label]:
    """Write each category at the median of its points, with a white outline, in short lines."""
    from matplotlib.patheffects import withStroke

    size = _points(style.fontsize)
    outline = size / 4 if style.fontoutline is None else style.fontoutline
    labels = []
    for code, label in enumerate(values.labels):
        members = values.codes == code
        if not members.any():
            continue
        x, y = np.median(points[members], axis=0)
        text = ax.text(
            *(float(x), float(y), fill(label, _LINE_LETTERS)),
            ha="center",
            va="center",
            linespacing=0.95,
            fontsize=size,
            fontweight=style.fontweight,
            path_effects=[withStroke(linewidth=outline, foreground="white")],
        )
        text.set_in_layout(False)  # labels are fitted into the axes, not the axes to them
        low, high = np.percentile(points[members], (5, 95), axis=0)
        labels.append(Label(text, (high - low) / 2))
    return labels


def spread_labels(ax: Axes, labels: Sequence[Label]) -> None:
    """Move the labels of the axes apart; make them smaller only where there is no room for all.

    A label that would hide all points of its category stands above them. A line leads from a label
    that was moved far to where it belongs.

    The axes must have their final size, as boxes of text are measured on the canvas.
    """
    if not labels:
        return
    texts = [label.text for label in labels]
    ax.autoscale_view()  # else its limits would wait until it is drawn
    frame = ax.get_window_extent()
    low, high = np.array([frame.x0, frame.y0]), np.array([frame.x1, frame.y1])
    places = np.array([text.get_position() for text in texts])
    anchors = ax.transData.transform(places)
    reach = ax.transData.transform(places + [label.reach for label in labels]) - anchors
    while True:
        sizes = _text_sizes(texts)
        hides = (_HIDDEN * reach < sizes).all(axis=1)
        above = np.where(hides, reach[:, 1] + sizes[:, 1] / 2 + _GAP, 0.0)
        starts = anchors + np.column_stack([np.zeros_like(above), above])
        centers = spread_boxes(starts, sizes, low, high)
        smaller = float(texts[0].get_fontsize()) * _SHRINK
        if not overlaps(centers, sizes).any() or smaller < _SMALLEST_FONT:
            break
        for text in texts:
            text.set_fontsize(smaller)
    for text, position in zip(texts, ax.transData.inverted().transform(centers), strict=True):
        text.set_position((float(position[0]), float(position[1])))
    far = np.linalg.norm(centers - anchors, axis=1) > _FAR * sizes[:, 1]
    _draw_leaders(ax, anchors[far], centers[far])


def _draw_leaders(ax: Axes, anchors: Float64s, centers: Float64s) -> None:
    """Draw a thin line to where each label that was moved far belongs (points on the canvas)."""
    from matplotlib.collections import LineCollection

    to_data = ax.transData.inverted().transform
    ends = [to_data(pair) for pair in np.stack([anchors, centers], axis=1)]
    lines = LineCollection(ends, colors="0.25", linewidths=0.6, zorder=2.5)
    ax.add_collection(lines, autolim=False)


def _text_sizes(texts: Sequence[Text]) -> Float64s:
    for text in texts:
        without_formulas(text)
    boxes = [text.get_window_extent() for text in texts]
    return np.array([(box.width, box.height) for box in boxes])


def add_colorbar(ax: Axes, mappable: ScalarMappable, style: LegendStyle) -> Colorbar:
    """Put a colour bar beside the axes, with arrows where values lie beyond its ends."""
    values = mappable.get_array()
    low, high = mappable.norm.vmin, mappable.norm.vmax
    below = values is not None and values.size > 0 and low is not None and values.min() < low
    above = values is not None and values.size > 0 and high is not None and values.max() > high
    extend = {(True, True): "both", (True, False): "min", (False, True): "max"}
    bar = ax.figure.colorbar(
        mappable,
        ax=ax,
        location=style.colorbar_loc,
        fraction=_BAR_FRACTION,
        pad=0.02,
        aspect=25,
        extend=extend.get((bool(below), bool(above)), "neither"),
    )
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=2)
    return bar
