"""The enrichment of fragments around transcription start sites, as lines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lazymu import keys
from lazymu.atac.tl.tss_pileup import enrichment
from lazymu.errors import ArgumentError, MissingResultError, explain
from lazymu.pl.draw.legend import legend_width
from lazymu.pl.draw.lines import draw_lines
from lazymu.pl.draw.panels import finish, grid, widen
from lazymu.pl.groups import new_colors
from lazymu.typing import Int64s

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_VALUES = (keys.TSS_POSITION, keys.COVERAGE, keys.ENRICHMENT)


def tss_enrichment(
    data: pd.DataFrame,
    color: str | Sequence[str] | None = None,
    title: str = "TSS Enrichment",
    ax: Axes | None = None,
    *,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes | Figure | None:
    """Draw coverage around transcription start sites (TSS), over that at the ends of the windows.

    A line is ``sum_i c_ip / mean(sum_i c_ip of the first and last 100 positions)``, with ``c_ip``
    the coverage of cell ``i`` at position ``p`` of all windows. muon draws the mean of
    ``c_ip / (mean of cell i's flanks)`` instead, in which cells with few fragments weigh as much
    as those with many.

    Parameters
    ----------
    data
        The table that :func:`lazymu.atac.tl.tss_enrichment` returns.
    color
        The ``groupby`` of that table, or some of its columns: one line for each group. By default
        one for all cells of the table.
    title
        Above the lines.
    ax
        Where to draw.
    show, save
        As in :func:`lazymu.pl.embedding`.

    Returns
    -------
        None if shown, else the axes.

    Raises
    ------
    ArgumentError
        If ``data`` is no such table.
    MissingResultError
        If it was not made by ``groupby=color``.

    Notes
    -----
    Writes nothing, and reads the table alone.

    References
    ----------
    D. Bredikhin et al., MUON, Genome Biology 2022, doi:10.1186/s13059-021-02577-8.

    Examples
    --------
    >>> import lazymu, numpy as np, pandas as pd
    >>> position = np.arange(-1000, 1001)
    >>> profile = pd.DataFrame({"TSS_position": position, "coverage": 1200 - abs(position)})
    >>> profile["enrichment"] = profile["coverage"] / 249.5
    >>> ax = lazymu.atac.pl.tss_enrichment(profile, show=False)
    >>> round(float(ax.lines[0].get_ydata().max()), 2)
    4.81
    """
    if not {*_VALUES} <= {*getattr(data, "columns", ())}:
        rule = f"it must be a table with {', '.join(_VALUES)}"
        fix = "pass what atac.tl.tss_enrichment returns"
        raise ArgumentError(explain("data", f"a {type(data).__name__}", rule, fix))
    columns = [color] if isinstance(color, str) else list(() if color is None else color)
    labels, positions, profiles = _profiles(data, columns)
    own = ax is None
    if ax is None:
        (ax,) = grid(1, 1, (5.4, 3.6), hspace=None, wspace=None)[1]
    colors = new_colors(labels, None)
    legend = draw_lines(
        ax, positions, enrichment(profiles), labels, colors, legend_title=", ".join(columns)
    )
    if own and legend is not None:
        widen(ax.figure.figure, legend_width(legend))
    ax.set_title(title)
    ax.set_xlabel("Distance from TSS, bp")
    ax.set_ylabel("Average TSS enrichment score")
    return finish(ax.figure.figure, ax, own=own, show=show, save=save)


def _profiles(data: pd.DataFrame, columns: list[str]) -> tuple[list[str], Int64s, Int64s]:
    """Return labels of groups, positions, and coverage (groups, positions).

    Groups come in the order of the table; those that differ in other columns are added up.
    """
    known = [name for name in data.columns if name not in _VALUES]
    unknown = [name for name in columns if name not in known]
    if unknown:
        rule = f"the table has profiles by {', '.join(map(str, known)) or 'no column'}"
        fix = "name it in atac.tl.tss_enrichment(groupby=...)"
        raise MissingResultError(explain("color", repr(unknown[0]), rule, fix))
    by = [data[name] for name in (*columns, keys.TSS_POSITION)]
    coverage = data[keys.COVERAGE].groupby(by, observed=True, sort=False).sum()
    if not columns:
        return [""], coverage.index.to_numpy(np.int64), coverage.to_numpy(np.int64)[None]
    table = coverage.unstack(keys.TSS_POSITION, sort=False)
    labels = [_label(one) for one in table.index]
    return labels, table.columns.to_numpy(np.int64), table.to_numpy(np.int64)


def _label(group: object) -> str:
    return ", ".join(map(str, group)) if isinstance(group, tuple) else str(group)
