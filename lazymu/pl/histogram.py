"""Histograms of annotation and features, over all cells or by group."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lazymu.errors import ArgumentError, explain
from lazymu.pl.draw.histograms import draw_shared_histograms
from lazymu.pl.draw.panels import Shown, check_one_panel, finish, grid, one_or_all
from lazymu.pl.groups import GroupBy, Palette, category_colors, grouping, in_order, label_of
from lazymu.pl.values import Data, Lookup, cell_values
from lazymu.typing import Float64s, Ints

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOR = "#0072b2"
_TITLE_LETTERS = 26


def histogram(
    data: Data,
    keys: str | Sequence[str],
    groupby: GroupBy | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
    *,
    use_raw: bool | None = None,
    layer: str | None = None,
    bins: int | None = None,
    order: Sequence[str] | None = None,
    palette: Palette = None,
    ncols: int = 4,
    ax: Axes | None = None,
    return_fig: bool = False,
) -> Shown:
    """Draw how many cells have which values: a panel for each key, and with groups for each group.

    The groups of a key have the same bins, so that they compare; each has its own count axis.
    Missing values are left out.

    Parameters
    ----------
    data
        A MuData or a modality.
    keys
        Names of columns of `obs` or of features, as ``color`` of :func:`lazymu.pl.embedding`.
    groupby
        A column's name, or the group of each cell: a Series, aligned by its index, or a list.
    show, save, return_fig
        As in :func:`lazymu.pl.embedding`.
    use_raw, layer
        Where values of features come from, as in :func:`lazymu.pl.embedding`.
    bins
        Number of bins; by default the square root of the mean number of cells in a panel, within 10
        and 80, or one for each value of few whole numbers.
    order
        The groups to show, in this order.
    palette
        Colours of the groups, as in :func:`lazymu.pl.embedding`.
    ncols
        Panels in a row.
    ax
        Where to draw a single panel.

    Returns
    -------
        None if shown, else the axes (a list for several panels), or the figure with ``return_fig``.

    Raises
    ------
    MissingResultError
        If nothing has the name of a key; near names are shown.
    ArgumentError
        If a key holds no numbers, or an argument does not fit.

    Notes
    -----
    Writes the groups' colours to ``uns`` as :func:`lazymu.pl.embedding` does. One pass over each
    matrix from which features are asked; in memory ``n_obs`` values for each key.

    Examples
    --------
    >>> import numpy as np, lazymu
    >>> mod = lazymu.Modality(np.eye(6), obs={"total_counts": [3, 1, 4, 1, 5, 9]})
    >>> axes = lazymu.pl.histogram(mod, "total_counts", list("aaabbb"), show=False)
    >>> [sum(int(bar.get_height()) for bar in ax.patches) for ax in axes]
    [3, 3]
    """
    names = [keys] if isinstance(keys, str) else list(keys)
    if not names or (bins is not None and bins < 1):
        argument, got = ("bins", bins) if names else ("keys", "empty")
        rule = "there must be one at least"
        raise ArgumentError(explain(argument, got, rule, "pass more"))
    values = _numbers(data, names, Lookup(use_raw=use_raw, layer=layer))
    members, titles, colors = _groups(data, groupby, order, palette)
    n_panels = len(names) * len(members)
    if ax is not None:
        check_one_panel(n_panels)
        axes = [ax]
    else:
        axes = grid(n_panels, ncols, (2.9, 2.4), hspace=None, wspace=None)[1]
    for rank, (name, one) in enumerate(zip(names, values, strict=True)):
        own = axes[rank * len(members) : (rank + 1) * len(members)]
        draw_shared_histograms(own, [one[cells] for cells in members], colors, bins)
        for panel, title in zip(own, titles, strict=True):
            panel.set_title(fill(title, _TITLE_LETTERS))
            panel.set_xlabel(name)
    result = one_or_all(axes)
    figure = axes[0].figure.figure
    return finish(figure, result, own=ax is None, show=show, save=save, return_fig=return_fig)


def _numbers(data: Data, names: Sequence[str], lookup: Lookup) -> list[Float64s]:
    numbers = []
    for name, values in zip(names, cell_values(data, names, lookup), strict=True):
        if isinstance(values, pd.Categorical):
            rule = "a histogram shows the distribution of numbers"
            raise ArgumentError(explain("keys", repr(name), rule, "pass it as `groupby`"))
        numbers.append(values)
    return numbers


def _groups(
    data: Data, groupby: GroupBy | None, order: Sequence[str] | None, palette: Palette
) -> tuple[list[Ints | slice], list[str], list[str]]:
    """Return the cells of each panel of a key, its title and its colour."""
    if groupby is None:
        return [slice(None)], [""], [_COLOR]
    groups = grouping(data, groupby)
    every = [str(label) for label in groups.categories]
    shown = in_order(groups, order)
    column = groupby if isinstance(groupby, str) else None
    colors = category_colors(data, column, every, palette)
    prefix = f"{label_of(groupby)} ".lstrip()
    return (
        [np.flatnonzero(groups.codes == code) for code in shown],
        [f"{prefix}{every[code]}" for code in shown],
        [colors[code] for code in shown],
    )
