"""Mean values of features by group of cells, as a coloured table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lazymu.pl.dot_tables import DotRule, dot_tables, scaled
from lazymu.pl.draw.matrix import MatrixStyle, draw_matrix
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


def matrixplot(
    data: Data,
    var_names: VarNames,
    groupby: GroupBy,
    *,
    use_raw: bool | None = None,
    log: bool = False,
    num_categories: int = 7,
    categories_order: Sequence[str] | None = None,
    figsize: tuple[float, float] | None = None,
    title: str | None = None,
    cmap: str | Colormap | None = "viridis",
    colorbar_title: str | None = "Mean expression\nin group",
    gene_symbols: str | None = None,
    var_group_rotation: float | None = None,
    layer: str | None = None,
    standard_scale: Literal["var", "group"] | None = None,
    swap_axes: bool = False,
    show: bool | None = None,
    save: str | Path | None = None,
    ax: Axes | None = None,
    return_fig: bool = False,
    vmin: Bound = None,
    vmax: Bound = None,
    vcenter: Bound = None,
    norm: Normalize | None = None,
) -> dict[str, Axes] | Figure | None:
    """Draw the mean of each feature in each group of cells as a coloured square.

    The mean is over all cells of the group, ``sum_i x_ij / n_g``.

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
    figsize
        Inches; by default what squares and names need.
    title, colorbar_title
        Words above the squares and the colour bar.
    cmap, vmin, vmax, vcenter, norm
        The colour scale; its ends as in :func:`lazymu.pl.embedding`.
    gene_symbols
        Column of `var` in which features are looked up instead of `var_names`.
    var_group_rotation
        Of the labels of groups of features, in degrees.
    layer
        The layer that values come from.
    standard_scale
        ``"var"`` or ``"group"``: means of each feature or group are scaled to 0 ... 1.
    swap_axes
        Features as rows.
    show, save, return_fig
        As in :func:`lazymu.pl.embedding`.
    ax
        Axes of a figure's grid whose place is taken.

    Returns
    -------
        None if shown, else the axes as ``"mainplot_ax"`` and ``"color_legend_ax"``, or the figure
        with ``return_fig``.

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
    >>> axes = lazymu.pl.matrixplot(mod, ["0", "3"], groupby=list("aabb"), show=False)
    >>> [label.get_text() for label in axes["mainplot_ax"].get_xticklabels()]
    ['0', '3']
    """
    names, feature_groups = flat_names(var_names)
    groups = grouping(data, groupby, bins=num_categories)
    lookup = Lookup(use_raw=use_raw, layer=layer, gene_symbols=gene_symbols)
    tables = dot_tables(data, names, groups, lookup, DotRule(log=log), categories_order)
    style = MatrixStyle(
        swap_axes=swap_axes,
        title=title,
        colorbar_title=colorbar_title,
        brackets=Brackets(groups=feature_groups, rotation=var_group_rotation, beside=swap_axes),
        scale=ColorScale(vmin=vmin, vmax=vmax, vcenter=vcenter, norm=norm, cmap=cmap),
    )
    axes = draw_matrix(scaled(tables.means, standard_scale), style, figsize=figsize, ax=ax)
    figure = axes["mainplot_ax"].figure.figure
    return finish(figure, axes, own=ax is None, show=show, save=save, return_fig=return_fig)
