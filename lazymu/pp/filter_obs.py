"""Keep cells or features by a column, a feature's values, names or a mask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from lazymu.containers import Modality, MuData, as_modality
from lazymu.containers.history import recorded
from lazymu.pp.selection import keep, selected
from lazymu.typing import Array


@recorded
def filter_obs(
    data: Modality | MuData,
    var: str | Sequence[str] | Array | pd.Series[Any],
    func: Callable[[Any], Any] | None = None,
) -> None:
    """Keep the cells for which ``func`` of a column or of a feature's values is true, in place.

    Replaces the modality's cells by those selected, in the modality's own order; of a MuData, the
    joint cells and every modality's. Logs one line.

    Parameters
    ----------
    data
        A modality or MuData.
    var
        A column of `obs`; or a feature of a modality, whose values in `X` are taken; or a mask (a
        Series is aligned by name); or names of cells, of which those that are not there are
        ignored.
    func
        From the array of values to a mask. Not needed for a boolean column; not taken with names.

    Raises
    ------
    EmptyResultError
        If no cell would be left.
    ArgumentError
        If ``func`` is missing or too much, or does not give a mask.
    MissingResultError
        If there is no such column or feature.

    Notes
    -----
    Passes over X: none for columns, masks and names; one, for one column of it, for a feature.

    Examples
    --------
    >>> import lazymu as mu, numpy as np
    >>> rna = mu.Modality(np.array([[5, 0], [0, 2], [1, 1]]), var={"name": ["a", "b"]})
    >>> mu.pp.filter_obs(rna, "0", lambda x: x > 0)
    >>> rna.obs_names.tolist()
    ['0', '2']
    """
    container = data if isinstance(data, MuData) else as_modality(data)
    keep(container, 0, selected(container, 0, var, func), _called(var))


@recorded
def filter_var(
    data: Modality | MuData,
    var: str | Sequence[str] | Array | pd.Series[Any],
    func: Callable[[Any], Any] | None = None,
) -> None:
    """Keep the features for which ``func`` of a column or of a cell's values is true, in place.

    Replaces the modality's features by those selected, in the modality's own order; of a MuData,
    the joint features and every modality's. Logs one line.

    Parameters
    ----------
    data
        A modality or MuData.
    var
        A column of `var`; or a cell of a modality, whose values in `X` are taken; or a mask (a
        Series is aligned by name); or names of features, of which those that are not there are
        ignored.
    func
        From the array of values to a mask. Not needed for a boolean column; not taken with names.

    Raises
    ------
    EmptyResultError
        If no feature would be left.
    ArgumentError
        If ``func`` is missing or too much, or does not give a mask.
    MissingResultError
        If there is no such column or cell.

    Notes
    -----
    Passes over X: none for columns, masks and names; for a cell, its one row is read.

    Examples
    --------
    >>> import lazymu as mu, numpy as np
    >>> rna = mu.Modality(np.eye(3), var={"highly_variable": [True, False, True]})
    >>> mu.pp.filter_var(rna, "highly_variable")
    >>> rna.var_names.tolist()
    ['0', '2']
    """
    container = data if isinstance(data, MuData) else as_modality(data)
    keep(container, 1, selected(container, 1, var, func), _called(var))


def _called(var: Any) -> str:
    return repr(var) if isinstance(var, str) else f"{len(var)} names or a mask"
