"""Violin plots of annotation and features, by group of cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lazymu.errors import ArgumentError, explain
from lazymu.pl.draw.panels import Shown, check_one_panel, finish, grid, heighten, one_or_all
from lazymu.pl.draw.violins import HALF_WIDTH, DensityNorm, ViolinStyle, draw_violins
from lazymu.pl.groups import (
    GroupBy,
    Palette,
    category_colors,
    grouping,
    in_order,
    label_of,
    new_colors,
)
from lazymu.pl.values import Data, Groups, Lookup, cell_values
from lazymu.typing import Float64s

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_VIOLIN_INCHES = 0.36
_ROW_INCHES = 13.0


@dataclass(frozen=True)
class _Panel:
    samples: list[Float64s]
    labels: list[str]
    colors: list[str]
    xlabel: str
    ylabel: str


def violin(
    data: Data,
    keys: str | Sequence[str],
    groupby: GroupBy | None = None,
    *,
    log: bool = False,
    use_raw: bool | None = None,
    stripplot: bool = True,
    jitter: float | bool = True,
    size: float = 1,
    layer: str | None = None,
    density_norm: DensityNorm = "width",
    order: Sequence[str] | None = None,
    multi_panel: bool | None = None,
    xlabel: str = "",
    ylabel: str | Sequence[str] | None = None,
    rotation: float | None = None,
    palette: Palette = None,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Shown:
    """Draw the distribution of values over all cells, or over each group of cells.

    A violin's width is the Gaussian kernel density of the values with Scott's bandwidth,
    ``sd * n ** (-1/5)``, cut at the extremes; a black line is the median. Missing values are left
    out, and with ``log`` values that are not above 0.

    Parameters
    ----------
    data
        A MuData or a modality.
    keys
        Names of columns of `obs` or of features, as ``color`` of :func:`lazymu.pl.embedding`.
    groupby
        A column's name, or the group of each cell: a Series, aligned by its index, or a list.
    log
        Whether the axis of values is logarithmic; the density is then that of the logarithm.
    use_raw
        Whether values of features come from `raw`, as in :func:`lazymu.pl.embedding`.
    stripplot, jitter, size
        Whether to draw cells as points (at most 5,000 of a violin, taken at random), how far to
        spread them (True: as wide as the violin), and their area in square points.
    layer
        The layer that values of features come from.
    density_norm
        Whether violins have one ``"width"``, one ``"area"``, or widths that follow the ``"count"``
        of cells.
    order
        The groups to show, in this order.
    multi_panel
        Without ``groupby``: whether each key has a panel of its own. With it, each always has.
    xlabel, ylabel
        Names of the axes; ``ylabel`` may be a list with one for each key.
    rotation
        Of the groups' names in degrees; by default upright where they would collide.
    palette
        Colours of groups, as in :func:`lazymu.pl.embedding`.
    ax
        Where to draw a single panel.
    show, save
        As in :func:`lazymu.pl.embedding`.

    Returns
    -------
        None if shown, else the axes (a list for several panels).

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
    >>> ax = lazymu.pl.violin(mod, "total_counts", groupby=list("aabbcc"), show=False)
    >>> [label.get_text() for label in ax.get_xticklabels()]
    ['a', 'b', 'c']
    """
    names = [keys] if isinstance(keys, str) else list(keys)
    values = _numbers(data, names, Lookup(use_raw=use_raw, layer=layer))
    groups = None if groupby is None else grouping(data, groupby)
    if groups is not None:
        panels = _by_group(data, names, values, groups, order, groupby, palette)
    elif multi_panel:
        panels = [
            _all_cells([name], [one], palette) for name, one in zip(names, values, strict=True)
        ]
    else:
        panels = [_all_cells(names, values, palette)]
    style = ViolinStyle(
        log=log,
        stripplot=stripplot and bool(jitter),
        jitter=HALF_WIDTH if isinstance(jitter, bool) else jitter,
        size=size,
        density_norm=density_norm,
        rotation=rotation,
    )
    axes = _axes(panels, ax)
    ylabels = _ylabels(ylabel, panels)
    for axis, panel, label in zip(axes, panels, ylabels, strict=True):
        draw_violins(axis, panel.samples, panel.labels, panel.colors, style)
        axis.set_xlabel(xlabel or panel.xlabel)
        axis.set_ylabel(label)
    if ax is None:
        heighten(axes[0].figure.figure, axes)
    return finish(axes[0].figure.figure, one_or_all(axes), own=ax is None, show=show, save=save)


def _numbers(data: Data, names: Sequence[str], lookup: Lookup) -> list[Float64s]:
    if not names:
        raise ArgumentError(explain("keys", "empty", "it names what to draw", "pass a name"))
    numbers = []
    for name, values in zip(names, cell_values(data, names, lookup), strict=True):
        if isinstance(values, pd.Categorical):
            rule = "a violin shows the distribution of numbers"
            raise ArgumentError(explain("keys", repr(name), rule, "pass it as `groupby`"))
        numbers.append(values)
    return numbers


def _by_group(
    data: Data,
    names: Sequence[str],
    values: Sequence[Float64s],
    groups: Groups,
    order: Sequence[str] | None,
    groupby: GroupBy | None,
    palette: Palette,
) -> list[_Panel]:
    every = [str(label) for label in groups.categories]
    shown = in_order(groups, order)
    column = groupby if isinstance(groupby, str) else None
    colors = category_colors(data, column, every, palette)
    members = [np.flatnonzero(groups.codes == code) for code in shown]
    return [
        _Panel(
            samples=[one[cells] for cells in members],
            labels=[every[code] for code in shown],
            colors=[colors[code] for code in shown],
            xlabel=label_of(groupby),
            ylabel=key,
        )
        for key, one in zip(names, values, strict=True)
    ]


def _all_cells(names: Sequence[str], values: Sequence[Float64s], palette: Palette) -> _Panel:
    colors = new_colors(names, palette)
    one = len(names) == 1
    return _Panel(
        list(values), [""] if one else list(names), colors, "", names[0] if one else "value"
    )


def _axes(panels: Sequence[_Panel], ax: Axes | None) -> list[Axes]:
    if ax is not None:
        check_one_panel(len(panels))
        return [ax]
    width = max(_VIOLIN_INCHES * len(panels[0].labels) + 1.0, 2.6)
    columns = max(1, int(_ROW_INCHES / width))
    return grid(len(panels), columns, (width, 3.2), hspace=None, wspace=None)[1]


def _ylabels(given: str | Sequence[str] | None, panels: Sequence[_Panel]) -> list[str]:
    if given is None:
        return [panel.ylabel for panel in panels]
    labels = [given] * len(panels) if isinstance(given, str) else list(given)
    if len(labels) != len(panels):
        rule = f"there are {len(panels)} panels"
        raise ArgumentError(explain("ylabel", f"{len(labels)} names", rule, "pass one for each"))
    return labels
