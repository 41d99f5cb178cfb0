"""Scatter plots of any two variables of the cells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lazymu.errors import ArgumentError, explain
from lazymu.pl.colorings import Coloring, color_names, colorings_from, of_cells, sizes_of
from lazymu.pl.draw.embedding import GridStyle, Panel, draw_embedding
from lazymu.pl.draw.legend import LegendStyle
from lazymu.pl.draw.panels import Shown, finish, one_or_all
from lazymu.pl.draw.points import PointStyle, default_area, n_places
from lazymu.pl.draw.scale import Bound, panel_scales
from lazymu.pl.groups import Palette
from lazymu.pl.values import CellValues, Data, Lookup, cell_values
from lazymu.typing import Bools, Float64s

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize


def scatter(
    data: Data,
    x: str | None = None,
    y: str | None = None,
    color: str | Sequence[str] | None = None,
    use_raw: bool | None = None,
    layers: str | Sequence[str | None] | None = None,
    *,
    sort_order: bool = True,
    alpha: float | None = None,
    groups: str | Sequence[str] | None = None,
    legend_loc: str | None = "right margin",
    legend_fontsize: float | str | None = None,
    legend_fontweight: int | str | None = None,
    legend_fontoutline: float | None = None,
    color_map: str | Colormap | None = None,
    palette: Palette = None,
    frameon: bool | None = None,
    size: float | Sequence[float] | None = None,
    marker: str = ".",
    vmin: Bound | Sequence[Bound] = None,
    vmax: Bound | Sequence[Bound] = None,
    vcenter: Bound | Sequence[Bound] = None,
    norm: Normalize | None = None,
    ncols: int = 4,
    title: str | Sequence[str] | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
    ax: Axes | None = None,
    return_fig: bool = False,
) -> Shown:
    """Draw one variable of each cell against another, coloured by annotation or features.

    Points have the size and order that :func:`embedding` gives them, and are rasterized likewise;
    but where cells share places, as counts do, the number of places decides on the size.
    Cells that lack ``x`` or ``y`` are left out.

    Parameters
    ----------
    data
        A MuData or a modality.
    x, y
        Columns of `obs` with numbers, features (``"rna:CD3E"``), or columns of `obsm` counted from
        1 (``"X_umap:1"``, ``"rna:X_pca:2"``).
    color
        One name or several, a panel each, as in :func:`lazymu.pl.embedding`.
    use_raw
        Whether values of features come from `raw`, as in :func:`lazymu.pl.embedding`.
    layers
        The layer that values of features come from, or three: of ``x``, ``y`` and ``color``.
    sort_order, groups, palette
        As in :func:`lazymu.pl.embedding`.
    alpha, size, marker
        Opacity, area in square points (a number, or one for each cell) and shape of points.
    legend_loc, legend_fontsize, legend_fontweight, legend_fontoutline
        As in :func:`lazymu.pl.embedding`.
    color_map, vmin, vmax, vcenter, norm
        The colour scale of numbers, as in :func:`lazymu.pl.embedding`.
    frameon
        True for a frame, False for neither frame nor ticks nor names of axes; by default two axes.
    ncols
        Panels in a row.
    title
        Titles, where not the names of the colours.
    show, save, return_fig
        As in :func:`lazymu.pl.embedding`.
    ax
        Where to draw a single panel.

    Returns
    -------
        None if shown, else the axes (a list for several panels), or the figure with ``return_fig``.

    Raises
    ------
    MissingResultError
        If nothing has the name of a variable; near names are shown.
    ArgumentError
        If ``x`` or ``y`` holds no numbers, or an argument does not fit.

    Notes
    -----
    Writes ``uns[f"{color}_colors"]`` as :func:`lazymu.pl.embedding` does. One pass over each matrix
    from which features are asked, for all of them together; in memory ``n_obs`` values for each
    variable.

    Examples
    --------
    >>> import numpy as np, lazymu
    >>> mod = lazymu.Modality(np.eye(4), obs={"total_counts": [3.0, 1.0, 4.0, 1.0]})
    >>> ax = lazymu.pl.scatter(mod, "total_counts", "0", show=False)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('total_counts', '0')
    """
    if x is None or y is None:
        got = f"{x!r}, {y!r}"
        raise ArgumentError(explain("x, y", got, "both name a variable of the cells", "pass both"))
    names = [] if color is None else color_names(color)
    of_x, of_y, of_color = (Lookup(use_raw=use_raw, layer=one) for one in _three(layers))
    lookups = [of_x, of_y, *[of_color] * len(names)]
    found = cell_values(data, [x, y, *names], lookups)
    points = np.column_stack([_numbers("x", x, found[0]), _numbers("y", y, found[1])])
    colorings = [Coloring(None, None)]
    if names:
        colorings = colorings_from(data, names, found[2:], None, groups, palette)
    present: Bools = np.isfinite(points.sum(axis=1))
    titles = [title] if isinstance(title, str) else list(title or [])
    scales = panel_scales(
        len(colorings), vmin=vmin, vmax=vmax, vcenter=vcenter, norm=norm, cmap=color_map
    )
    panels = [
        Panel(
            points=points[present],
            values=of_cells(coloring.values, present),
            title=titles[rank] if rank < len(titles) else coloring.name or "",
            axis_labels=(x, y),
            scale=scale,
        )
        for rank, (coloring, scale) in enumerate(zip(colorings, scales, strict=True))
    ]
    area = sizes_of(size, present)
    area = default_area(n_places(points[present])) if area is None else area
    figure, axes = draw_embedding(
        panels,
        PointStyle(size=area, alpha=alpha, marker=marker, sort_order=sort_order),
        LegendStyle(
            loc=legend_loc,
            fontsize=legend_fontsize,
            fontweight="bold" if legend_fontweight is None else legend_fontweight,
            fontoutline=legend_fontoutline,
        ),
        GridStyle(ncols=ncols, frameon=frameon, ticks=True),
        ax,
    )
    result = one_or_all(axes)
    return finish(figure, result, own=ax is None, show=show, save=save, return_fig=return_fig)


def _three(layers: str | Sequence[str | None] | None) -> list[str | None]:
    """Return the layers of x, y and colour."""
    if layers is None or isinstance(layers, str):
        return [layers] * 3
    if len(layers) != 3:
        rule = "there are three: of x, of y and of color"
        fix = "pass one layer, or three"
        raise ArgumentError(explain("layers", f"{len(layers)} names", rule, fix))
    return list(layers)


def _numbers(argument: str, name: str, values: CellValues) -> Float64s:
    if isinstance(values, pd.Categorical):
        rule, fix = "it must hold numbers", "pass it as `color`, or draw it with pl.violin"
        raise ArgumentError(explain(argument, repr(name), rule, fix))
    return values
