"""How much of each modality's variance each MOFA factor explains."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lazymu import keys
from lazymu.errors import MissingResultError, explain
from lazymu.pl.draw.numbers import draw_numbers
from lazymu.pl.draw.panels import Shown, check_one_panel, finish, grid, one_or_all
from lazymu.pl.draw.scale import Bound, ColorScale
from lazymu.pl.values import Data

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

_CELL_INCHES = (0.62, 0.3)
_LETTER_INCHES = 0.085


def mofa_variance(
    mdata: Data,
    *,
    cmap: str | Colormap | None = "Blues",
    vmax: Bound = None,
    ncols: int = 4,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
    return_fig: bool = False,
) -> Shown:
    """Draw the percentage of variance that each factor explains in each modality, as a table.

    With several groups of cells each has a panel, on one colour scale from 0.

    Parameters
    ----------
    mdata
        What :func:`lazymu.tl.mofa` was run on: it has ``uns["mofa"]["variance"]``.
    cmap, vmax
        Colour map, and the end of the colour scale (a number or percentile).
    ncols
        Panels in a row.
    ax
        Where to draw a single panel.
    show, save, return_fig
        As in :func:`lazymu.pl.embedding`.

    Returns
    -------
        None if shown, else the axes (a list for several groups), or the figure with ``return_fig``.

    Raises
    ------
    MissingResultError
        If there is no result of MOFA.
    ArgumentError
        If ``ax`` is given and there are several groups.

    Notes
    -----
    Writes nothing and reads no ``X``.

    Examples
    --------
    >>> import anndata as ad, numpy as np, lazymu
    >>> mdata = lazymu.MuData({"rna": ad.AnnData(np.eye(4)), "prot": ad.AnnData(np.eye(4))})
    >>> mdata.uns["mofa"] = {"variance": {"rna": [20.5, 3.0], "prot": [11.0, 0.2]}}
    >>> ax = lazymu.pl.mofa_variance(mdata, show=False)
    >>> [text.get_text() for text in ax.texts]
    ['20.5', '11.0', '3.0', '0.2']
    """
    tables = _tables(mdata)
    if ax is not None:
        check_one_panel(len(tables))
        axes = [ax]
    else:
        first = next(iter(tables.values()))
        names = max(len(str(name)) for name in first.columns)
        size = (
            max(_CELL_INCHES[0], _LETTER_INCHES * names) * first.shape[1] + 1.0,
            _CELL_INCHES[1] * len(first) + 0.8,
        )
        axes = grid(len(tables), ncols, size, hspace=None, wspace=None)[1]
    every = np.concatenate([table.to_numpy().ravel() for table in tables.values()])
    norm = ColorScale(vmin=0.0, vmax=vmax).normalize(every)
    scale = ColorScale(norm=norm, cmap=cmap)
    for panel, (group, table) in zip(axes, tables.items(), strict=True):
        draw_numbers(panel, table, scale)
        panel.set_title(f"{group}\n% of variance" if group else "% of variance")
    figure = axes[0].figure.figure
    result = one_or_all(axes)
    return finish(figure, result, own=ax is None, show=show, save=save, return_fig=return_fig)


def _tables(mdata: Data) -> dict[str, pd.DataFrame]:
    """Return a table (factors, modalities) for each group of cells, ``""`` where there is one."""
    variance: Mapping[str, Any] = mdata.uns.get(keys.MOFA, {}).get("variance", {})
    if not variance:
        rule = f"uns[{keys.MOFA!r}] has no variance"
        fix = "run lazymu.tl.mofa first"
        raise MissingResultError(explain("mdata", "without MOFA", rule, fix))
    by_group: dict[str, dict[str, Any]] = {}
    for view, found in variance.items():
        own = found if isinstance(found, Mapping) else {"": found}
        for group, values in own.items():
            by_group.setdefault(str(group), {})[view] = np.asarray(values, dtype=np.float64)
    tables = {}
    for group, views in by_group.items():
        table = pd.DataFrame(views)
        table.index = pd.Index([f"Factor{row + 1}" for row in range(len(table))])
        tables[group] = table
    return tables
