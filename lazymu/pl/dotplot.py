"""Dot plots of features by group of cells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lazymu.pl.dot_tables import DotRule, dot_tables, scaled
from lazymu.pl.draw.dots import DotStyle, draw_dots
from lazymu.pl.draw.panels import finish
from lazymu.pl.draw.scale import Bound, ColorScale
from lazymu.pl.draw.table_frame import Brackets
from lazymu.pl.feature_groups import VarNames, flat_names
from lazymu.pl.groups import GroupBy, grouping
from lazymu.pl.values import Data, Lookup

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize
    from matplotlib.figure import Figure


def dotplot(
    data: Data,
    var_names: VarNames,
    groupby: GroupBy,
    *,
    use_raw: bool | None = None,
    log: bool = False,
    num_categories: int = 7,
    categories_order: Sequence[str] | None = None,
    expression_cutoff: float = 0.0,
    mean_only_expressed: bool = False,
    standard_scale: Literal["var", "group"] | None = None,
    title: str | None = None,
    colorbar_title: str | None = "Mean expression\nin group",
    size_title: str | None = "Fraction of cells\nin group (%)",
    figsize: tuple[float, float] | None = None,
    gene_symbols: str | None = None,
    var_group_rotation: float | None = None,
    layer: str | None = None,
    swap_axes: bool = False,
    show: bool | None = None,
    save: str | Path | None = None,
    ax: Axes | None = None,
    return_fig: bool = False,
    vmin: Bound = None,
    vmax: Bound = None,
    vcenter: Bound = None,
    norm: Normalize | None = None,
    cmap: str | Colormap | None = "Reds",
    dot_max: float | None = None,
    dot_min: float | None = None,
    smallest_dot: float = 0.0,
) -> dict[str, Axes] | Figure | None:
    """Draw a dot for each group of cells and feature: how many cells have it, and how much.

    The area of a dot is the fraction of the group's cells whose value is above
    ``expression_cutoff``, to the power 1.5; its colour is the mean over all cells of the group.

    Parameters
    ----------
    data
        A MuData (features are named ``"rna:CD3E"``) or a modality.
    var_names
        Features, or columns of `obs` with numbers; a mapping makes labelled groups of them.
    groupby
        A column's name, or the group of each cell: a Series, aligned by its index, or a list.
    use_raw
        Whether values come from `raw`, as in :func:`lazymu.pl.embedding`.
    log
        Whether to take ``log(1 + x)`` first.
    num_categories
        Ranges into which a ``groupby`` of fractional numbers is cut.
    categories_order
        The groups to show, in this order.
    expression_cutoff, mean_only_expressed
        The value above which a cell counts, and whether the mean is over those cells alone.
    standard_scale
        ``"var"`` or ``"group"``: means of each feature or group are scaled to 0 ... 1.
    title, colorbar_title, size_title
        Words above the dots and the legends.
    figsize
        Inches; by default what dots and names need.
    gene_symbols
        Column of `var` in which features are looked up instead of `var_names`.
    var_group_rotation
        Of the labels of groups of features, in degrees.
    layer
        The layer that values come from.
    swap_axes
        Features as rows.
    show, save
        As in :func:`lazymu.pl.embedding`.
    ax
        Axes of a figure's grid whose place is taken.
    return_fig
        Return the figure.
    vmin, vmax, vcenter, norm, cmap
        The colour scale.
    dot_max, dot_min, smallest_dot
        Fractions of the largest dot (by default the largest one, rounded up to tenths) and of the
        smallest, and the area of the smallest in square points.

    Returns
    -------
        None if shown, else the axes as ``"mainplot_ax"``, ``"size_legend_ax"`` and
        ``"color_legend_ax"``, or the figure with ``return_fig``.

    Raises
    ------
    MissingResultError
        If nothing has the name of a feature; near names are shown.
    ArgumentError
        If a column holds no numbers, or an argument does not fit.

    Notes
    -----
    Writes nothing. One pass over each matrix from which features are asked; in memory three
    numbers for each group and feature.

    Examples
    --------
    >>> import numpy as np, lazymu
    >>> mod = lazymu.Modality(np.eye(4))
    >>> axes = lazymu.pl.dotplot(mod, ["0", "3"], groupby=list("aabb"), show=False)
    >>> [label.get_text() for label in axes["mainplot_ax"].get_yticklabels()]
    ['a', 'b']
    """
    names, feature_groups = flat_names(var_names)
    groups = grouping(data, groupby, bins=num_categories)
    lookup = Lookup(use_raw=use_raw, layer=layer, gene_symbols=gene_symbols)
    rule = DotRule(log=log, cutoff=expression_cutoff, only_expressed=mean_only_expressed)
    tables = dot_tables(data, names, groups, lookup, rule, categories_order)
    style = DotStyle(
        dot_min=dot_min,
        dot_max=dot_max,
        smallest_dot=smallest_dot,
        swap_axes=swap_axes,
        title=title,
        colorbar_title=colorbar_title,
        size_title=size_title,
        brackets=Brackets(groups=feature_groups, rotation=var_group_rotation, beside=swap_axes),
        scale=ColorScale(vmin=vmin, vmax=vmax, vcenter=vcenter, norm=norm, cmap=cmap),
    )
    means = scaled(tables.means, standard_scale)
    axes = draw_dots(tables.fractions, means, style, figsize=figsize, ax=ax)
    figure = axes["mainplot_ax"].figure.figure
    return finish(figure, axes, own=ax is None, show=show, save=save, return_fig=return_fig)
