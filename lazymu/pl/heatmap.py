"""Values of features in single cells, sorted by group."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from lazymu.errors import ArgumentError, explain
from lazymu.pl.draw.heat import HeatStyle, draw_heatmap
from lazymu.pl.draw.panels import finish
from lazymu.pl.draw.scale import Bound, ColorScale
from lazymu.pl.draw.table_frame import Brackets
from lazymu.pl.drawn_cells import drawn_cells
from lazymu.pl.feature_groups import VarNames, flat_names
from lazymu.pl.groups import GroupBy, category_colors, grouping, in_order, label_of
from lazymu.pl.values import Data, Lookup, cell_values
from lazymu.typing import Float64s, Int64s

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize

_DOTS_PER_INCH = 300  # of what is printed: more cells than these are not told apart


def heatmap(
    data: Data,
    var_names: VarNames,
    groupby: GroupBy,
    *,
    use_raw: bool | None = None,
    log: bool = False,
    num_categories: int = 7,
    gene_symbols: str | None = None,
    var_group_rotation: float | None = None,
    layer: str | None = None,
    standard_scale: Literal["var", "obs"] | None = None,
    swap_axes: bool = False,
    show_gene_labels: bool | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
    figsize: tuple[float, float] | None = None,
    vmin: Bound = None,
    vmax: Bound = None,
    vcenter: Bound = None,
    norm: Normalize | None = None,
    cmap: str | Colormap | None = None,
) -> dict[str, Axes] | None:
    """Draw the value of each feature in each cell, cells sorted by group, with a strip of groups.

    Where there are more cells than 300 an inch, that many are drawn: of each group its share, taken
    at random with a fixed seed, but of rare groups a quarter of an equal share at least (as far as
    they have cells), so that none vanishes. Only drawn cells are read. Cells without a group are
    left out; missing values are grey.

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
    gene_symbols
        Column of `var` in which features are looked up instead of `var_names`.
    var_group_rotation
        Of the labels of groups of features, in degrees.
    layer
        The layer that values come from.
    standard_scale
        ``"var"`` or ``"obs"``: values of each feature or cell are scaled to 0 ... 1, over what is
        drawn.
    swap_axes
        Features as rows.
    show_gene_labels
        Whether to name the features; by default up to 50 of them.
    show, save
        As in :func:`lazymu.pl.embedding`.
    figsize
        Inches; by default what features, cells and names need.
    vmin, vmax, vcenter, norm, cmap
        The colour scale; its ends as in :func:`lazymu.pl.embedding`.

    Returns
    -------
        None if shown, else the axes as ``"heatmap_ax"`` and ``"groupby_ax"``.

    Raises
    ------
    MissingResultError
        If nothing has the name of a feature; near names are shown.
    ArgumentError
        If a column holds no numbers, or an argument does not fit.

    Notes
    -----
    Writes ``uns[f"{groupby}_colors"]`` as :func:`lazymu.pl.embedding` does. At most one pass over
    each matrix from which features are asked; in memory the drawn values.

    Examples
    --------
    >>> import numpy as np, lazymu
    >>> mod = lazymu.Modality(np.eye(4))
    >>> axes = lazymu.pl.heatmap(mod, ["0", "3"], groupby=list("abab"), show=False)
    >>> axes["heatmap_ax"].images[0].get_array().tolist()
    [[1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 1.0]]
    """
    names, feature_groups = flat_names(var_names)
    groups = grouping(data, groupby, bins=num_categories)
    shown = in_order(groups, None)
    style = HeatStyle(
        groupby=label_of(groupby),
        swap_axes=swap_axes,
        names=show_gene_labels,
        brackets=Brackets(
            groups=feature_groups, rotation=var_group_rotation, beside=swap_axes, cell_inches=0.24
        ),
        scale=ColorScale(vmin=vmin, vmax=vmax, vcenter=vcenter, norm=norm, cmap=cmap),
        figsize=figsize,
    )
    most = int(_DOTS_PER_INCH * style.map_inches(len(names), len(shown))[1])
    members = drawn_cells(np.asarray(groups.codes), shown, most)
    lookup = Lookup(use_raw=use_raw, layer=layer, gene_symbols=gene_symbols)
    values = _values(data, names, lookup, np.concatenate(members))
    every = [str(label) for label in groups.categories]
    colors = category_colors(data, groupby if isinstance(groupby, str) else None, every)
    axes = draw_heatmap(
        _scaled(np.log1p(values) if log else values, standard_scale),
        names,
        [len(cells) for cells in members],
        [every[code] for code in shown],
        [colors[code] for code in shown],
        style,
    )
    figure = axes["heatmap_ax"].figure.figure
    shown_axes = finish(figure, axes, own=True, show=show, save=save)
    return axes if shown_axes is not None else None


def _values(data: Data, names: Sequence[str], lookup: Lookup, cells: Int64s) -> Float64s:
    """Return the values (cells, names) of these cells, in this order."""
    order = np.argsort(cells, kind="stable")
    values = np.empty((len(cells), len(names)))
    found = cell_values(data, names, lookup, cells[order])
    for column, (name, one) in enumerate(zip(names, found, strict=True)):
        if isinstance(one, pd.Categorical):
            rule, fix = "a heat map shows numbers", "pass it as `groupby`"
            raise ArgumentError(explain("var_names", repr(name), rule, fix))
        values[order, column] = one
    return values


def _scaled(values: Float64s, standard_scale: Literal["var", "obs"] | None) -> Float64s:
    if standard_scale is None:
        return values
    if standard_scale not in ("var", "obs"):
        rule = 'values are scaled within "var" or "obs"'
        raise ArgumentError(explain("standard_scale", repr(standard_scale), rule, "pass one"))
    axis = 0 if standard_scale == "var" else 1
    known = np.isfinite(values)
    low = np.min(values, axis=axis, keepdims=True, where=known, initial=np.inf)
    high = np.max(values, axis=axis, keepdims=True, where=known, initial=-np.inf)
    share: Float64s = (values - low) / np.where(high > low, high - low, 1.0)
    return share
