"""Points of an embedding: their size, the order they are drawn in, their colours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from lazymu.pl.draw.scale import ColorScale
from lazymu.typing import Float64s, Floats, Int64s, Ints

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable

_SEED = 0
_SMALLEST_POINT, _LARGEST_POINT = 1.0, 400.0
_FEW = 50_000  # points up to which each is drawn with a colour of its own
_SLICES = 10
_SAMPLE, _SHARED = 10_000, 0.5
_GREY = "#7f7f7f"


@dataclass(frozen=True)
class Categories:
    """A category for each point: ``codes`` (n,) into ``labels`` and ``colors``, -1 if missing."""

    codes: Ints
    labels: tuple[str, ...]
    colors: tuple[str, ...]


PointValues: TypeAlias = "Categories | Float64s | None"


@dataclass(frozen=True, kw_only=True)
class PointStyle:
    """How points look, whatever they stand for."""

    size: float | Floats | None = None
    marker: str = "."
    alpha: float | None = None
    na_color: str = "lightgray"
    sort_order: bool = True

    def sizes(self, n: int, order: Ints) -> float | Floats:
        """Return the areas in square points, by default 120000 / n within 1 and 400.

        One number for points of one size, as matplotlib draws those several times quicker.
        """
        if self.size is None:
            return default_area(n)
        return self.size[order] if isinstance(self.size, np.ndarray) else self.size


def default_area(n: int) -> float:
    """Return the area of each of ``n`` points in square points: scanpy's, within 1 and 400."""
    return float(np.clip(120_000 / max(n, 1), _SMALLEST_POINT, _LARGEST_POINT))


def n_places(points: Floats) -> int:
    """Return how many places points (n, 2) have, ``n`` where hardly two share one.

    Whether they share places shows in some ten thousand of them.
    """
    some = points[:: max(len(points) // _SAMPLE, 1)]
    if len(np.unique(some, axis=0)) > _SHARED * len(some):
        return len(points)
    return len(np.unique(points, axis=0))


def order_of_categories(codes: Ints) -> Int64s:
    """Return the order in which to draw points, so that rare categories stay in sight.

    Points are sorted by ``u ** (n_c / max(n))``, with ``u`` uniform on (0, 1) from a fixed seed and
    ``n_c`` the size of the point's category. Categories of one size are mixed at random, so none
    hides the other; a much rarer one comes to lie on top. Missing ones (-1) come first.
    """
    n_of = np.bincount(codes[codes >= 0], minlength=1)
    share = np.append(n_of / max(n_of.max(), 1), 1.0)  # code -1 takes the last entry
    u = np.random.default_rng(_SEED).random(len(codes))
    key = np.where(codes < 0, -1.0, u ** share[codes])
    order: Int64s = np.argsort(key, kind="stable")
    return order


def order_of_values(values: Float64s) -> Int64s:
    """Return the order that draws missing values first and the largest last."""
    order: Int64s = np.argsort(np.where(np.isnan(values), -np.inf, values), kind="stable")
    return order


def runs_of_one_color(order: Ints, color_of: Ints, *, rare_on_top: bool) -> list[Ints]:
    """Return ``order`` cut into runs of points of one colour each.

    One colour at a time is several times quicker to draw. Where the order has the points of one
    colour together already, these are the runs. Else it is cut into slices, each half as long as
    the one before, whose points are sorted by colour: they lie on those of the slices before,
    whatever their colours. In a slice colours come in a random order from a fixed seed; with
    ``rare_on_top`` those with half as many points or fewer come later, so that the rare
    categories that the last slice holds are above all others.
    """
    if (np.diff(color_of[order]) >= 0).all():
        return _cut(order, color_of)
    n_of = np.bincount(color_of[order])
    size_class = np.zeros(len(n_of))
    if rare_on_top:
        size_class = -np.floor(np.log2(np.maximum(n_of, 1)))
    ends = len(order) - len(order) // 2 ** np.arange(1, _SLICES)
    generator = np.random.default_rng(_SEED)
    runs: list[Ints] = []
    for part in np.split(order, ends):
        rank = np.empty(len(n_of), dtype=np.int64)
        rank[np.lexsort((generator.random(len(n_of)), size_class))] = np.arange(len(n_of))
        arranged = part[np.argsort(rank[color_of[part]], kind="stable")]
        runs.extend(_cut(arranged, color_of))
    return runs


def _cut(order: Ints, color_of: Ints) -> list[Ints]:
    """Return the order cut wherever the colour changes."""
    borders = np.flatnonzero(np.diff(color_of[order])) + 1
    return [run for run in np.split(order, borders) if run.size]


def _scatter(ax: Axes, points: Floats, order: Ints, style: PointStyle, **colors: Any) -> None:
    """Draw the points in that order; ``colors`` are the colour arguments of ``Axes.scatter``."""
    drawn = ax.scatter(
        points[order, 0],
        points[order, 1],
        s=style.sizes(len(points), order),
        marker=style.marker,
        alpha=style.alpha,
        linewidths=0,
        rasterized=True,  # one image in a PDF or SVG instead of a shape for each cell
        **colors,
    )
    drawn.set_in_layout(False)  # the axes bound the points: spares layouts a walk over them


def _scatter_colored(
    ax: Axes,
    points: Floats,
    order: Ints,
    style: PointStyle,
    colors: tuple[Float64s, Ints],
    *,
    rare_on_top: bool,
) -> None:
    """Draw the points in that order; ``colors`` are RGBA values, and which of them each has."""
    rgba, color_of = colors
    if len(order) <= _FEW:
        _scatter(ax, points, order, style, c=rgba[color_of[order]])
        return
    for run in runs_of_one_color(order, color_of, rare_on_top=rare_on_top):
        _scatter(ax, points, run, style, color=rgba[color_of[run[0]]])


def draw_points(
    ax: Axes, points: Floats, values: PointValues, style: PointStyle, scale: ColorScale
) -> ScalarMappable | None:
    """Draw ``points`` (n, 2) coloured by ``values``; return what a colour bar needs, if any.

    Missing values are drawn beneath all others in ``style.na_color``.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import to_rgba_array

    everything = np.arange(len(points))
    if values is None:
        _scatter(ax, points, everything, style, color=_GREY)
        return None
    if isinstance(values, Categories):
        missing = values.codes < 0
        order = order_of_categories(values.codes)
        rgba, color_of = to_rgba_array(list(values.colors)), values.codes
        mappable = None
    else:
        missing = np.isnan(values)
        order = order_of_values(values) if style.sort_order else everything
        mappable = ScalarMappable(scale.normalize(values), scale.cmap)
        mappable.set_array(values[~missing])
        n_colors = mappable.cmap.N
        rgba = mappable.cmap(np.arange(n_colors))
        share = np.ma.filled(mappable.norm(np.where(missing, 0.0, values)), 0.0)
        color_of = np.clip((share * n_colors).astype(np.int64), 0, n_colors - 1)
    if missing.any():
        _scatter(ax, points, np.flatnonzero(missing), style, color=style.na_color)
    _scatter_colored(
        ax,
        points,
        order[~missing[order]],
        style,
        (rgba, color_of),
        rare_on_top=isinstance(values, Categories),
    )
    return mappable
