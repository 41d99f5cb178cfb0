"""Quality columns of cells and features from their sums."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from lazymu.errors import ArgumentError, MissingResultError, explain
from lazymu.keys import QCNames, log1p_of
from lazymu.stream.sums import CellSums, FeatureSums
from lazymu.typing import Array, Bools, Float64s


def percent(part: Float64s, whole: Float64s) -> Float64s:
    """Return ``100 part / whole``, NaN where ``whole`` is 0."""
    share = np.full(part.shape, np.nan)
    np.divide(100 * part, whole, out=share, where=whole != 0)
    return share


def cell_columns(
    names: QCNames,
    sums: CellSums,
    *,
    in_top: Mapping[int, Float64s],
    in_sets: Mapping[str, Float64s],
    log1p: bool,
) -> dict[str, Array]:
    """Return the columns of `obs` in scanpy's order.

    ``in_top`` holds the sums of each cell's ``k`` largest values, ``in_sets`` those over the
    features of a set.
    """
    columns: dict[str, Array] = {}
    _add(columns, names.n_features, sums.nnz, log1p=log1p)
    _add(columns, names.total, sums.total, log1p=log1p)
    for k, values in in_top.items():
        columns[names.pct_in_top(k)] = percent(values, sums.total)
    for qc_var, values in in_sets.items():
        _add(columns, names.total_of(qc_var), values, log1p=log1p)
        columns[names.pct_of(qc_var)] = percent(values, sums.total)
    return columns


def feature_columns(
    names: QCNames, sums: FeatureSums, n_obs: int, *, log1p: bool
) -> dict[str, Array]:
    """Return the columns of `var` in scanpy's order."""
    columns: dict[str, Array] = {names.n_cells: sums.nnz}
    _add(columns, names.mean, sums.total / max(n_obs, 1), log1p=log1p)
    columns[names.pct_dropout] = (1 - sums.nnz / max(n_obs, 1)) * 100
    _add(columns, names.total, sums.total, log1p=log1p)
    return columns


def _add(columns: dict[str, Array], name: str, values: Array, *, log1p: bool) -> None:
    columns[name] = values
    if log1p:
        columns[log1p_of(name)] = np.log1p(values)


def checked_percent_top(percent_top: Iterable[int] | None, n_vars: int) -> list[int]:
    """Return the numbers of largest features ascending, each once.

    Raises
    ------
    ArgumentError
        If one is below 1 or above the number of features.
    """
    ks = sorted({int(k) for k in percent_top or ()})
    if ks and (ks[0] < 1 or ks[-1] > n_vars):
        rule = f"its numbers must lie in 1..{n_vars}, the number of features"
        fix = "pass smaller ones, or percent_top=None"
        raise ArgumentError(explain("percent_top", tuple(ks), rule, fix))
    return ks


def masks_of(var: pd.DataFrame, qc_vars: Iterable[str]) -> Bools:
    """Return the boolean columns ``qc_vars`` of `var` as (var, sets).

    Raises
    ------
    MissingResultError
        If `var` has no such column.
    ArgumentError
        If a column is not boolean, or has missing values.
    """
    masks = []
    for name in qc_vars:
        if name not in var:
            known = ", ".join(map(str, var.columns)) or "none"
            fix = 'set it, e.g. mod.var["mt"] = mod.var_names.str.startswith("MT-")'
            raise MissingResultError(
                explain("qc_vars", repr(name), f"columns of var are: {known}", fix)
            )
        column = var[name]
        if not pd.api.types.is_bool_dtype(column.dtype) or bool(column.isna().any()):
            rule = "it must mark features by True and False"
            fix = "convert the column with .astype(bool)"
            raise ArgumentError(
                explain("qc_vars", f"{name!r}, a column of {column.dtype}", rule, fix)
            )
        masks.append(column.to_numpy(dtype=bool))
    return np.column_stack(masks) if masks else np.zeros((len(var), 0), dtype=bool)
