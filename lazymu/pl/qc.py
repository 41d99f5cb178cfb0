"""Quality of the cells: histograms of the QC columns with the limits that were set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from lazymu import keys as names_of
from lazymu.containers import Modality
from lazymu.errors import ArgumentError, MissingResultError, explain
from lazymu.pl.draw.histograms import draw_histogram
from lazymu.pl.draw.panels import Shown, finish, grid
from lazymu.pl.values import Data, cell_values

_COUNTED = (names_of.N_GENES_BY_COUNTS, names_of.TOTAL_COUNTS)
_USUAL = (*_COUNTED, names_of.pct_counts_of("mt"))

Limits = tuple[float | None, float | None]


def qc(
    data: Data,
    keys: str | Sequence[str] | None = None,
    *,
    limits: Mapping[str, Limits] | None = None,
    ncols: int = 3,
    show: bool | None = None,
    save: str | Path | None = None,
    return_fig: bool = False,
) -> Shown:
    r"""Draw a histogram of each QC column, with the limits between which cells are kept.

    Cells outside are grey, and each title says how many are within. Counts are on a logarithmic
    axis, where cells with 0 are not drawn, but counted; those within a factor of three are not.

    Parameters
    ----------
    data
        A MuData or a modality, with the columns of :func:`lazymu.pp.calculate_qc_metrics`.
    keys
        Columns of `obs` (``"rna:total_counts"`` in a MuData); by default ``n_genes_by_counts``,
        ``total_counts`` and ``pct_counts_mt`` of every modality that has them.
    limits
        For each of the keys that has limits, the least and the largest value that is kept, None
        where there is no such limit: ``{"rna:pct_counts_mt": (None, 20)}``.
    ncols
        Panels in a row.
    show, save, return_fig
        As in :func:`lazymu.pl.embedding`.

    Returns
    -------
        None if shown, else a list of axes, or the figure with ``return_fig``.

    Raises
    ------
    MissingResultError
        If there is no QC column, or none of a name.
    ArgumentError
        If limits are given for something that is not drawn, or a column holds no numbers.

    Notes
    -----
    Writes nothing and reads no ``X``.

    Examples
    --------
    >>> import numpy as np, lazymu
    >>> mod = lazymu.Modality(np.eye(4), obs={"total_counts": [500, 900, 3000, 40]})
    >>> axes = lazymu.pl.qc(mod, limits={"total_counts": (100, None)}, show=False)
    >>> axes[0].get_title()
    'total_counts\n3 of 4 cells kept'
    """
    names = _columns(data) if keys is None else [keys] if isinstance(keys, str) else list(keys)
    if not names:
        rule = f"obs has none of {', '.join(_USUAL)}"
        fix = "run lazymu.pp.calculate_qc_metrics first, or name columns"
        raise MissingResultError(explain("keys", keys, rule, fix))
    limits = limits or {}
    for name in limits:
        if name not in names:
            rule = f"drawn are {', '.join(names)}"
            raise ArgumentError(explain("limits", repr(name), rule, "name one of them"))
    values = cell_values(data, names)
    figure, axes = grid(len(names), ncols, (3.2, 2.5), hspace=None, wspace=None)
    for ax, name, one in zip(axes, names, values, strict=True):
        if isinstance(one, pd.Categorical):
            rule = "a histogram shows the distribution of numbers"
            raise ArgumentError(explain("keys", repr(name), rule, "leave it out"))
        of_modality = name.rpartition(":")[2]
        n_kept = draw_histogram(
            ax, one, limits.get(name, (None, None)), log=of_modality in _COUNTED
        )
        n_known = int(pd.notna(one).sum())
        ax.set_title(f"{name}\n{n_kept:,} of {n_known:,} cells kept" if name in limits else name)
    return finish(figure, axes, own=True, show=show, save=save, return_fig=return_fig)


def _columns(data: Data) -> list[str]:
    """Return the usual QC columns that there are, of each modality in turn."""
    if isinstance(data, Modality):
        return [column for column in _USUAL if column in data.obs]
    return [
        names_of.of_modality(name, column)
        for name, mod in data.mod.items()
        for column in _USUAL
        if column in mod.obs or names_of.of_modality(name, column) in data.obs
    ]
