"""What each modality weighs in the joint graph, by group of cells."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lazymu import keys
from lazymu.containers import MuData
from lazymu.errors import ArgumentError, MissingResultError, explain
from lazymu.pl.draw.boxes import draw_boxes
from lazymu.pl.draw.panels import Shown, finish, grid, heighten
from lazymu.pl.groups import GroupBy, Palette, grouping, in_order, label_of, new_colors
from lazymu.pl.values import Lookup, cell_values
from lazymu.typing import Float64s

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

_BOX_INCHES = 0.16


def modality_weights(
    mdata: MuData,
    groupby: GroupBy,
    *,
    weight_key: str = keys.MOD_WEIGHT,
    order: Sequence[str] | None = None,
    palette: Palette = None,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
    return_fig: bool = False,
) -> Shown:
    """Draw the weight of each modality in each group of cells, as boxes side by side.

    Boxes are quartiles with the median; whiskers reach the last cell within 1.5 box lengths. A
    line marks equal weights, ``1 / n_mod``.

    Parameters
    ----------
    mdata
        A MuData with weights, as :func:`lazymu.pp.neighbors` writes them.
    groupby
        A column's name, or the group of each cell: a Series, aligned by its index, or a list.
    weight_key
        Weights are in ``obs["<modality>:<weight_key>"]``, or ``weight_key`` of a modality's `obs`.
    order
        The groups to show, in this order.
    palette
        Colours of the modalities.
    ax, show, save, return_fig
        As in :func:`lazymu.pl.embedding`.

    Returns
    -------
        None if shown, else the axes, or the figure with ``return_fig``.

    Raises
    ------
    MissingResultError
        If a modality has no weights.

    Notes
    -----
    Writes nothing and reads no ``X``.

    Examples
    --------
    >>> import anndata as ad, numpy as np, lazymu
    >>> mdata = lazymu.MuData({"rna": ad.AnnData(np.eye(4)), "prot": ad.AnnData(np.eye(4))})
    >>> mdata.obs["rna:mod_weight"] = [0.2, 0.3, 0.9, 0.8]
    >>> mdata.obs["prot:mod_weight"] = 1 - mdata.obs["rna:mod_weight"]
    >>> ax = lazymu.pl.modality_weights(mdata, list("aabb"), show=False)
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['rna', 'prot']
    """
    weights = _weights(mdata, weight_key)
    groups = grouping(mdata, groupby)
    shown = in_order(groups, order)
    members = [np.flatnonzero(groups.codes == code) for code in shown]
    own = ax is None
    if ax is None:
        width = max(_BOX_INCHES * len(weights) * len(shown) + 2.0, 4.0)
        ax = grid(1, 1, (width, 3.2), hspace=None, wspace=None)[1][0]
    draw_boxes(
        ax,
        [[values[cells] for cells in members] for values in weights.values()],
        [str(groups.categories[code]) for code in shown],
        list(weights),
        new_colors(list(weights), palette),
    )
    ax.axhline(1 / len(weights), color="0.6", linewidth=0.8, linestyle=":", zorder=0)
    ax.set_xlabel(label_of(groupby))
    ax.set_ylabel("modality weight")
    if own:
        heighten(ax.figure.figure, [ax])
    return finish(ax.figure.figure, ax, own=own, show=show, save=save, return_fig=return_fig)


def _weights(mdata: MuData, weight_key: str) -> dict[str, Float64s]:
    if not isinstance(mdata, MuData):
        rule = "weights are of the modalities of a MuData"
        raise ArgumentError(explain("mdata", f"a {type(mdata).__name__}", rule, "pass the MuData"))
    columns = {name: keys.of_modality(name, weight_key) for name in mdata.mod}
    for name, column in columns.items():
        if column not in mdata.obs and weight_key not in mdata.mod[name].obs:
            rule = f"obs has no column {column!r}"
            fix = "run lazymu.pp.neighbors(mdata) first, or name another key"
            raise MissingResultError(explain("weight_key", repr(weight_key), rule, fix))
    found = cell_values(mdata, list(columns.values()), Lookup())
    return {
        name: np.asarray(values, dtype=np.float64)
        for name, values in zip(columns, found, strict=True)
        if not isinstance(values, pd.Categorical)
    }
