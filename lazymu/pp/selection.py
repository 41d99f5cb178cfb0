"""Which entries of an axis a column, a feature, names or a mask select; keeping them in place."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lazymu.containers import Modality, MuData
from lazymu.containers.names import positions_of
from lazymu.errors import ArgumentError, EmptyResultError, MissingResultError, explain
from lazymu.typing import Array, Bools, Int64s

logger = logging.getLogger("lazymu")
AXES = ("obs", "var")


def selected(
    data: Modality | MuData,
    axis: int,
    var: str | Sequence[str] | Array | pd.Series[Any],
    func: Callable[[Any], Any] | None,
) -> Bools:
    """Return which entries of an axis are selected.

    ``var`` names a column, or an entry of the other axis whose values in `X` are taken; ``func``
    turns the values into a mask. Or ``var`` is a mask, or holds names, and ``func`` is None.

    Raises
    ------
    ArgumentError
        If there is a ``func`` where there must be none or the reverse, or no mask comes of it.
    MissingResultError
        If there is no such column or entry.
    """
    table: pd.DataFrame = getattr(data, AXES[axis])
    if not isinstance(var, str):
        return _listed(table.index, axis, var, func)
    values = _values(data, axis, var)
    if func is not None:
        return _as_mask(func(values), len(table), "func", "return True or False for each value")
    if not pd.api.types.is_bool_dtype(values.dtype):
        rule = f"its values are of type {values.dtype}, not boolean"
        fix = "pass a func, such as lambda x: x > 200"
        raise ArgumentError(explain("var", repr(var), rule, fix))
    return _as_mask(values, len(table), "var", "fill the missing values")


def _values(data: Modality | MuData, axis: int, name: str) -> Any:
    """Return a column's values, or those of an entry of the other axis (a pass over `X`)."""
    table: pd.DataFrame = getattr(data, AXES[axis])
    if name in table:
        return table[name].values
    others: pd.Index = getattr(data, f"{AXES[1 - axis]}_names")
    if isinstance(data, MuData) or name not in others:
        known = ", ".join(map(str, table.columns)) or "none"
        of_x = "" if isinstance(data, MuData) else f", and {AXES[1 - axis]}_names has it not"
        rule = f"columns of {AXES[axis]} are: {known}{of_x}"
        raise MissingResultError(explain("var", repr(name), rule, "name one of them"))
    position = positions_of(name, others, axis=1 - axis)
    assert position is not None
    chosen = data.X[:, position[:1]] if axis == 0 else data.X[position[:1]]
    return chosen.toarray().ravel()


def _listed(names: pd.Index, axis: int, var: Any, func: Callable[[Any], Any] | None) -> Bools:
    """Return which entries a mask or a list of names selects; names that are not there are none."""
    if func is not None:
        rule = f"`var` holds {AXES[axis]}_names or is a mask already"
        raise ArgumentError(explain("func", func, rule, "leave it out"))
    if isinstance(var, pd.Series) and pd.api.types.is_bool_dtype(var.dtype):
        var = var if var.index.equals(names) else var.reindex(names, fill_value=False)
        return _as_mask(var, len(names), "var", "fill the missing values")
    listed = np.asarray(var)
    if listed.dtype == bool:
        return _as_mask(listed, len(names), "var", "align it first")
    if not all(isinstance(name, str) for name in listed):
        rule = f"it must be a mask, hold names, or be the name of a column of {AXES[axis]}"
        fix = f"select by position with mod.subset_{AXES[axis]}"
        raise ArgumentError(explain("var", repr(var), rule, fix))
    kept: Bools = names.isin(listed)
    return kept


def _as_mask(values: Any, length: int, argument: str, fix: str) -> Bools:
    mask = np.asarray(values)
    is_mask = mask.dtype == bool or all(isinstance(value, bool) for value in mask.ravel())
    if mask.shape != (length,) or not is_mask:
        rule = f"it must come to {length} values of True or False"
        raise ArgumentError(explain(argument, f"an array {mask.shape} of {mask.dtype}", rule, fix))
    return mask.astype(bool)


def keep(data: Modality | MuData, axis: int, mask: Bools, asked: str) -> None:
    """Keep the entries of a mask, in place, in every modality of a MuData; log how many go.

    Raises
    ------
    EmptyResultError
        If none would be left.
    """
    what = ("cells", "features")[axis]
    if not mask.any():
        rule = f"it selects none of the {len(mask)} {what}"
        raise EmptyResultError(explain("var", asked, rule, "select some of them"))
    logger.info("filtered out %d %s (%s)", len(mask) - int(mask.sum()), what, asked)
    if isinstance(data, Modality):
        _subset(data, axis, np.flatnonzero(mask))
        return
    positions = data.obs_positions if axis == 0 else data.var_positions
    rows = {name: positions(name)[mask] for name in data.mod}
    for name, modality in data.mod.items():
        _subset(modality, axis, np.sort(rows[name][rows[name] >= 0]))


def _subset(modality: Modality, axis: int, positions: Int64s) -> None:
    if axis == 0:
        modality.subset_obs(positions)
    else:
        modality.subset_var(positions)
