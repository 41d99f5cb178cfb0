"""The features with the largest weights in each MOFA factor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lazymu import keys
from lazymu.containers import MuData
from lazymu.errors import ArgumentError, MissingResultError, explain
from lazymu.pl.draw.loadings import draw_loadings
from lazymu.pl.draw.panels import finish, grid
from lazymu.typing import Float64s, Int64s

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROW_INCHES = 0.17
_LETTER_INCHES = 0.07
_MOST_POINTS = 30


def mofa_loadings(
    mdata: MuData,
    factors: str | Sequence[int] | None = None,
    include_lowest: bool = True,
    n_points: int | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> list[Axes] | None:
    """Draw the features with the largest loadings: a row for each modality, a column a factor.

    Features that MOFA did not use are left out.

    Parameters
    ----------
    mdata
        A MuData with ``varm["LFs"]``, as :func:`lazymu.tl.mofa` writes it.
    factors
        Factors counted from 1: ``"1,2,3"`` or ``[1, 2, 3]``; by default the first three.
    include_lowest
        Whether half of the features are those with the lowest loadings.
    n_points
        Features of a modality for each factor; by default 30, or all where there are fewer.
    show, save
        As in :func:`lazymu.pl.embedding`.

    Returns
    -------
        None if shown, else the axes, modality by modality.

    Raises
    ------
    MissingResultError
        If there are no loadings.
    ArgumentError
        If there is no such factor, or no feature is asked for.

    Notes
    -----
    Writes nothing and reads no ``X``.

    Examples
    --------
    >>> import anndata as ad, numpy as np, lazymu
    >>> mdata = lazymu.MuData({"rna": ad.AnnData(np.eye(4)), "prot": ad.AnnData(np.eye(4))})
    >>> mdata.varm["LFs"] = np.arange(16.0).reshape(8, 2)
    >>> axes = lazymu.pl.mofa_loadings(mdata, [2], n_points=2, show=False)
    >>> [[label.get_text() for label in ax.get_yticklabels()] for ax in axes]
    [['3', '0'], ['3', '0']]
    """
    loadings = _loadings(mdata)
    chosen = _factors(factors, loadings.shape[1])
    if n_points is not None and n_points < 1:
        raise ArgumentError(explain("n_points", n_points, "it must be at least 1", "pass e.g. 20"))
    most = n_points or _MOST_POINTS
    rows = min(most, max(mod.n_vars for mod in mdata.mod.values()))
    letters = max(len(str(name)) for mod in mdata.mod.values() for name in mod.var_names[:1000])
    size = (2.2 + _LETTER_INCHES * letters, _ROW_INCHES * rows + 0.9)
    figure, axes = grid(len(mdata.mod) * len(chosen), len(chosen), size, hspace=None, wspace=None)
    for rank, (name, mod) in enumerate(mdata.mod.items()):
        positions = mdata.var_positions(name)
        own = np.zeros((len(positions), loadings.shape[1]))
        own[positions >= 0] = loadings[positions >= 0]
        used = np.flatnonzero((loadings != 0).any(axis=1) & (positions >= 0))
        for column, factor in enumerate(chosen):
            ax = axes[rank * len(chosen) + column]
            top = used[ranked(own[used, factor], most, include_lowest=include_lowest)]
            names = [str(mod.var_names[positions[one]]) for one in top]
            n_high = len(top) // 2 if include_lowest and len(top) < len(used) else len(top)
            draw_loadings(ax, names, own[top, factor], n_high)
            ax.set_title(f"{name}: Factor{factor + 1}")
    return finish(figure, axes, own=True, show=show, save=save)  # type: ignore[return-value]  # no figure was asked for


def ranked(loadings: Float64s, n: int, *, include_lowest: bool) -> Int64s:
    """Return the positions of the ``n`` largest loadings, descending.

    With ``include_lowest`` only half of them, rounded down, and after them the lowest.

    Examples
    --------
    >>> ranked(np.array([0.1, 3, -2, 1]), 3, include_lowest=True).tolist()
    [1, 0, 2]
    """
    order: Int64s = np.argsort(-loadings, kind="stable")
    if len(order) <= n:
        return order
    if not include_lowest:
        return order[:n]
    n_high = n // 2
    return np.concatenate([order[:n_high], order[len(order) - (n - n_high) :]])


def _loadings(mdata: MuData) -> Float64s:
    if not isinstance(mdata, MuData):
        rule = "loadings are of the features of a MuData"
        raise ArgumentError(explain("mdata", f"a {type(mdata).__name__}", rule, "pass the MuData"))
    if keys.LFS not in mdata.varm:
        rule = f"varm has no {keys.LFS}"
        fix = "run lazymu.tl.mofa first"
        raise MissingResultError(explain("mdata", "without MOFA", rule, fix))
    return np.asarray(mdata.varm[keys.LFS], dtype=np.float64)


def _factors(factors: str | Sequence[int] | None, n: int) -> list[int]:
    """Return the asked factors, from 0."""
    if factors is None:
        return list(range(min(3, n)))
    try:
        listed = factors.split(",") if isinstance(factors, str) else factors
        numbers = [int(one) for one in listed]
    except ValueError:
        numbers = []
    if not numbers or not all(1 <= one <= n for one in numbers):
        rule = f"there are the factors 1 to {n}"
        raise ArgumentError(explain("factors", repr(factors), rule, 'write e.g. "1,2"'))
    return [one - 1 for one in numbers]
