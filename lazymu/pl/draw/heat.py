"""Heat maps: a row for each cell, by group, with a strip of the groups' colours beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from lazymu.pl.draw.scale import ColorScale
from lazymu.pl.draw.table_frame import LETTER_INCHES, Brackets
from lazymu.typing import Float64s

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

_STRIP_INCHES = 0.18
_BAR_INCHES = 0.14
_FEATURE_INCHES = {False: 0.24, True: 0.18}  # by whether axes are swapped
_LABEL_INCHES = 0.125  # between two labels of groups
_GROUP_INCHES = 0.16  # that a group has on average at least
_UNNAMED_INCHES = 8.0  # of many features without names
_CELLS_INCHES = {False: 6.0, True: 9.0}
_NA_COLOR = "lightgray"
_MOST_NAMES = 50
_LEADER = 0.8  # from the strip to a name, in widths of the strip


@dataclass(frozen=True, kw_only=True)
class HeatStyle:
    """How a heat map looks; ``names`` says whether features are named (by default up to 50)."""

    groupby: str = ""
    swap_axes: bool = False
    names: bool | None = None
    brackets: Brackets = field(default_factory=Brackets)
    scale: ColorScale = field(default_factory=ColorScale)
    figsize: tuple[float, float] | None = None

    def shows_names(self, n_features: int) -> bool:
        """Return whether to write the names of that many features."""
        return n_features <= _MOST_NAMES if self.names is None else self.names

    def map_inches(self, n_features: int, n_groups: int) -> tuple[float, float]:
        """Return the inches along features and along cells, which the labels of groups need too."""
        if self.figsize is not None:
            return self.figsize[::-1] if self.swap_axes else self.figsize
        named = max(_FEATURE_INCHES[self.swap_axes] * n_features, 1.2)
        features = named if self.shows_names(n_features) else _UNNAMED_INCHES
        return features, max(_CELLS_INCHES[self.swap_axes], _GROUP_INCHES * n_groups)


def draw_heatmap(
    values: Float64s,
    features: Sequence[str],
    sizes: Sequence[int],
    labels: Sequence[str],
    colors: Sequence[str],
    style: HeatStyle,
) -> dict[str, Axes]:
    """Draw ``values`` (cells, features), the cells of each group together; return the axes.

    ``sizes`` are the numbers of cells, ``labels`` and ``colors`` the names and colours of groups.
    """
    figure, heat, strip, bar = _axes(features, labels, style)
    image = heat.imshow(
        values.T if style.swap_axes else values,
        aspect="auto",
        cmap=_with_missing(style.scale),
        norm=style.scale.normalize(values),
        interpolation="nearest",  # else neighbouring features run into each other
    )
    _name_features(heat, features, style)
    ends = np.cumsum(sizes)
    for end in ends[:-1] - 0.5:
        (heat.axvline if style.swap_axes else heat.axhline)(float(end), color="white", lw=0.5)
    style.brackets.draw(heat)
    _draw_strip(strip, ends, labels, colors, style)
    _draw_bar(figure, bar, image)
    return {"heatmap_ax": heat, "groupby_ax": strip}


def _with_missing(scale: ColorScale) -> Colormap:
    from matplotlib import pyplot

    return pyplot.get_cmap(scale.cmap).with_extremes(bad=_NA_COLOR)


def _axes(
    features: Sequence[str], labels: Sequence[str], style: HeatStyle
) -> tuple[Figure, Axes, Axes, Axes]:
    """Return a new figure with axes for the cells, their groups and the colour bar."""
    from matplotlib import pyplot

    along, down = style.map_inches(len(features), len(labels))
    named = style.shows_names(len(features))
    for_names = LETTER_INCHES * max(map(len, features)) if named else 0.0
    for_labels = LETTER_INCHES * max(map(len, labels)) + 0.5
    if style.swap_axes:
        wide = down + for_names + _BAR_INCHES + 0.6 + style.brackets.inches
        high = along + for_labels + _STRIP_INCHES
    else:
        wide = along + for_labels + _STRIP_INCHES + _BAR_INCHES + 0.6
        high = down + for_names + style.brackets.inches
    figure = pyplot.figure(
        figsize=(wide, high) if style.figsize is None else style.figsize, layout="constrained"
    )
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.set(wspace=0.01, hspace=0.01, w_pad=0.03, h_pad=0.03)  # type: ignore[call-arg]  # of the constrained engine just asked for
    if style.swap_axes:
        grid = figure.add_gridspec(
            2, 2, width_ratios=(down, _BAR_INCHES), height_ratios=(along, _STRIP_INCHES)
        )
        spots = (grid[0, 0], grid[1, 0], grid[0, 1])
    else:
        grid = figure.add_gridspec(1, 3, width_ratios=(_STRIP_INCHES, along, _BAR_INCHES))
        spots = (grid[0, 1], grid[0, 0], grid[0, 2])
    heat, strip, bar = (figure.add_subplot(spot) for spot in spots)
    return figure, heat, strip, bar


def _name_features(ax: Axes, features: Sequence[str], style: HeatStyle) -> None:
    """Write the features' names, or no ticks where they are too many."""
    along, across = (ax.yaxis, ax.xaxis) if style.swap_axes else (ax.xaxis, ax.yaxis)
    across.set_ticks([])
    if not style.shows_names(len(features)):
        along.set_ticks([])
        return
    turn = 0 if style.swap_axes else 90
    along.set_ticks(range(len(features)), list(features), fontsize="small", rotation=turn)
    ax.tick_params(length=2)


def _draw_strip(
    ax: Axes,
    ends: Float64s,
    labels: Sequence[str],
    colors: Sequence[str],
    style: HeatStyle,
) -> None:
    """Draw a block of colour for each group with its name beside it, names kept apart."""
    from matplotlib.colors import to_rgba_array

    starts = np.append(0, ends[:-1])
    blocks = np.repeat(to_rgba_array(list(colors)), (ends - starts).astype(int), axis=0)
    ax.imshow(blocks[None] if style.swap_axes else blocks[:, None], aspect="auto")
    ax.spines[:].set_visible(False)
    ax.set_xticks([])
    ax.set_yticks([])
    _name_groups(ax, (starts + ends - 1) / 2, float(ends[-1]), labels, style)
    if style.groupby and style.swap_axes:
        ax.set_ylabel(style.groupby, rotation=0, ha="right", va="center")
    elif style.groupby:
        ax.set_title(style.groupby, loc="right", fontsize="medium")


def _name_groups(
    ax: Axes, middles: Float64s, n_cells: float, labels: Sequence[str], style: HeatStyle
) -> None:
    """Write names beside the strip, with a line from each to the middle of its block."""
    inches = style.map_inches(1, len(labels))[1]
    places = kept_apart(middles, _LABEL_INCHES * n_cells / inches, n_cells)
    upright = LETTER_INCHES * max(map(len, labels)) > _LABEL_INCHES
    words: dict[str, Any] = {"ha": "right", "va": "center"}
    across, edge = ax.get_yaxis_transform(), (1.0, 0.5)  # where the line leaves the name
    if style.swap_axes:
        words = {"ha": "center", "va": "top", "rotation": 90 if upright else 0}
        across, edge = ax.get_xaxis_transform(), (0.5, 1.0)
    line = {"arrowstyle": "-", "lw": 0.5, "color": "0.4", "shrinkA": 0, "shrinkB": 0}
    for label, middle, place in zip(labels, middles, places, strict=True):
        tip, spot = (0.0, float(middle)), (-_LEADER, float(place))
        ax.annotate(
            label,
            tip[::-1] if style.swap_axes else tip,
            spot[::-1] if style.swap_axes else spot,
            xycoords=across,
            textcoords=across,
            arrowprops={**line, "relpos": edge},
            fontsize="small",
            **words,
        )


def kept_apart(middles: Float64s, gap: float, length: float) -> Float64s:
    """Return places for labels near ascending ``middles``, ``gap`` apart, within 0 ... ``length``.

    The least squares solution: with ``place_i = i * gap + t_i``, ``t`` must not fall, so it is the
    isotonic regression of ``middle_i - i * gap`` (pool adjacent violators), cut at the ends.

    Examples
    --------
    >>> kept_apart(np.array([1.0, 1.0, 8.0]), 1.0, 10.0).tolist()
    [0.5, 1.5, 8.0]
    """
    n = len(middles)
    steps = gap * np.arange(n)
    pools: list[tuple[float, int]] = []
    for target in middles - steps:
        mean, size = float(target), 1
        while pools and pools[-1][0] > mean:
            before, many = pools.pop()
            mean = (before * many + mean * size) / (many + size)
            size += many
        pools.append((mean, size))
    fitted = np.concatenate([np.full(size, mean) for mean, size in pools])
    room = max(length - gap * (n - 1), 0.0)
    places: Float64s = np.clip(fitted, 0.0, room) + steps
    return places


def _draw_bar(figure: Figure, ax: Axes, image: ScalarMappable) -> None:
    bar = figure.colorbar(image, cax=ax)
    bar.outline.set_visible(False)
    ax.tick_params(length=2, labelsize="small")
