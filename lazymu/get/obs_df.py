"""Annotation and values of cells as one table."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import numpy as np
import pandas as pd

from lazymu.containers import Modality, as_modality
from lazymu.errors import ArgumentError, MissingResultError, explain
from lazymu.stream import LazyMatrix


def obs_df(
    data: Modality,
    keys: str | Collection[str] = (),
    obsm_keys: Iterable[tuple[str, int]] = (),
    *,
    layer: str | None = None,
    gene_symbols: str | None = None,
    use_raw: bool = False,
) -> pd.DataFrame:
    """Return columns of `obs`, values of features and columns of `obsm` as one table.

    Parameters
    ----------
    data
        A modality.
    keys
        Columns of `obs` and names of features, in the order wanted.
    obsm_keys
        Pairs ``(key, column)`` of `obsm`; they come last, as ``key-column``.
    layer
        Take features from this layer instead of `X`.
    gene_symbols
        A column of `var` whose entries name features in ``keys``.
    use_raw
        Take features from `raw`.

    Returns
    -------
    pandas.DataFrame
        One row for each cell.

    Raises
    ------
    MissingResultError
        If a key is neither a column nor a feature.
    ArgumentError
        If a key is both, or stands for several features, or a layer of `raw` is asked for.
    MemoryLimitError
        If the features asked for exceed the memory limit.

    Notes
    -----
    Passes over X: one where a feature is asked for, whatever their number, else none. After
    ``data.store_by_feature()``, only the values of these features are read.

    Examples
    --------
    >>> import lazymu as sc, numpy as np
    >>> rna = sc.Modality(np.eye(2), obs={"cluster": ["a", "b"]}, var={"symbol": ["CD4", "CD8A"]})
    >>> sc.get.obs_df(rna, ["cluster", "CD4"], gene_symbols="symbol")
      cluster  CD4
    0       a  1.0
    1       b  0.0
    """
    modality = as_modality(data)
    wanted = [keys] if isinstance(keys, str) else list(dict.fromkeys(keys))
    matrix, var = feature_source(modality, layer, use_raw=use_raw)
    names = feature_names(var, gene_symbols)
    columns = {key: key_column(modality.obs, names, key) for key in wanted}
    positions = {key: position for key, position in columns.items() if position is not None}
    if positions:
        values = matrix[:, list(positions.values())].toarray()
    found = {
        key: modality.obs[key].to_numpy()
        if key not in positions
        else values[:, list(positions).index(key)]
        for key in wanted
    }
    table = pd.DataFrame(found, index=modality.obs_names)
    for key in wanted:
        if key not in positions:
            table[key] = modality.obs[key]  # keeps categories
    for key, column in obsm_keys:
        table[f"{key}-{column}"] = obsm_column(modality, key, column)
    return table


def feature_source(
    modality: Modality, layer: str | None, *, use_raw: bool
) -> tuple[LazyMatrix, pd.DataFrame]:
    """Return the matrix that features are taken from, and their annotation."""
    if not use_raw:
        return (modality.X if layer is None else modality.layers[layer]), modality.var
    if layer is not None:
        raise ArgumentError(
            explain("layer", repr(layer), "raw has no layers", "leave one of the two out")
        )
    if modality.raw is None:
        rule = "the modality has no raw"
        raise MissingResultError(explain("use_raw", True, rule, "pass use_raw=False"))
    return modality.raw.X, modality.raw.var


def feature_names(var: pd.DataFrame, gene_symbols: str | None) -> pd.Index:
    """Return what features go by."""
    if gene_symbols is None:
        return var.index
    if gene_symbols not in var:
        known = ", ".join(map(str, var.columns)) or "none"
        rule = f"columns of var are: {known}"
        raise MissingResultError(explain("gene_symbols", repr(gene_symbols), rule, "name another"))
    return pd.Index(var[gene_symbols].astype(str))


def key_column(obs: pd.DataFrame, names: pd.Index, key: str) -> int | None:
    """Return the position of the feature that a key names, None where it is a column of `obs`."""
    positions = np.flatnonzero(names == key)
    if key in obs and len(positions):
        rule, fix = "obs has a column and var a feature of that name", "rename one of them"
        raise ArgumentError(explain("keys", repr(key), rule, fix))
    if key in obs:
        return None
    if len(positions) == 0:
        rule, fix = "neither a column of obs nor a feature has that name", "check the spelling"
        raise MissingResultError(explain("keys", repr(key), rule, fix))
    if len(positions) > 1:
        rule = f"{len(positions)} features have that name"
        raise ArgumentError(explain("keys", repr(key), rule, "use unique var_names"))
    return int(positions[0])


def obsm_column(modality: Modality, key: str, column: int) -> Any:
    """Return one column of an array of `obsm`."""
    value = modality.obsm[key]
    if isinstance(value, pd.DataFrame):
        return value.iloc[:, column].to_numpy()
    values = value[:, [column]]
    return (values.toarray() if hasattr(values, "toarray") else values)[:, 0]
