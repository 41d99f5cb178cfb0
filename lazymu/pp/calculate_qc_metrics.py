"""Quality measures of cells and features."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pandas as pd

from lazymu.containers import Modality, as_modality
from lazymu.containers.history import recorded
from lazymu.errors import ArgumentError, explain
from lazymu.keys import QCNames
from lazymu.pp.per_cell import PerCell, feature_sets, largest_values
from lazymu.pp.qc_columns import cell_columns, checked_percent_top, feature_columns, masks_of
from lazymu.pp.representation import matrix_of
from lazymu.pp.value_sums import sums_and
from lazymu.stream import LazyMatrix
from lazymu.stream.sums import require_count_values


@recorded
def calculate_qc_metrics(
    adata: Modality,
    *,
    expr_type: str = "counts",
    var_type: str = "genes",
    qc_vars: Collection[str] | str = (),
    percent_top: Collection[int] | None = (50, 100, 200, 500),
    layer: str | None = None,
    use_raw: bool = False,
    inplace: bool = False,
    log1p: bool = True,
    parallel: bool | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """Count what each cell and each feature has, and how much of it is in which features.

    With ``x`` (obs, var), a cell's ``n_genes_by_counts`` is its number of ``x_ij > 0``,
    ``total_counts`` its sum, ``pct_counts_in_top_50_genes`` the percentage of the sum in its 50
    largest values, ``pct_counts_mt`` that in the features marked by `var`'s column ``mt``. A
    feature's ``mean_counts`` is over all cells, ``pct_dropout_by_counts`` the percentage of cells
    in which it is 0.

    Parameters
    ----------
    adata
        A modality of any kind: genes, peaks, proteins.
    expr_type
        What the values are called in column names.
    var_type
        What the features are called in column names.
    qc_vars
        Boolean columns of `var`, each marking a set of features, such as ``"mt"``.
    percent_top
        Numbers of largest features, none of them above ``n_vars``; None for none.
    layer
        Measure this layer instead of `X`.
    use_raw
        Measure `raw` instead of `X`; it must have the same features.
    inplace
        Write into `obs` and `var` instead of returning tables.
    log1p
        Also give ``log(1 + x)`` of counts, as columns ``log1p_...``.
    parallel
        No effect, as in scanpy; `lazymu.settings.n_threads` says how many blocks run at a time.

    Returns
    -------
    tuple[pandas.DataFrame, pandas.DataFrame] | None
        The columns of cells and of features, or None where they are written.

    Raises
    ------
    NotCountsError
        If there are negative, NaN or infinite values.
    ArgumentError
        If ``percent_top`` exceeds the number of features, a column of ``qc_vars`` is not boolean,
        or `raw` has other features than the modality.
    MissingResultError
        If a column, the layer or `raw` is not there.

    Notes
    -----
    Writes, with ``inplace``, into `obs`: ``n_genes_by_counts``, ``total_counts``,
    ``pct_counts_in_top_{k}_genes``, and ``total_counts_{q}``, ``pct_counts_{q}`` for each of
    ``qc_vars``; into `var`: ``n_cells_by_counts``, ``mean_counts``, ``pct_dropout_by_counts``,
    ``total_counts``. Percentages of cells without counts are NaN, as scanpy's are. The values
    measured are those of `X` as it is: after ``log1p``, logarithms.

    Passes over X: none where sums are known (a converted store has them) and neither
    ``percent_top`` nor ``qc_vars`` asks for more; else one for everything. Memory: 16 bytes for
    each cell and column.

    Examples
    --------
    >>> import lazymu as sc, numpy as np
    >>> rna = sc.Modality(np.array([[5, 0, 3], [0, 2, 2]]), var={"mt": [True, False, False]})
    >>> sc.pp.calculate_qc_metrics(rna, qc_vars=["mt"], percent_top=[1], log1p=False, inplace=True)
    >>> rna.obs["pct_counts_mt"].tolist(), rna.obs["pct_counts_in_top_1_genes"].tolist()
    ([62.5, 0.0], [62.5, 50.0])
    """
    modality = as_modality(adata)
    matrix = matrix_of(modality, layer=layer, use_raw=use_raw)
    if matrix.shape[1] != modality.n_vars:
        got, rule = f"True, raw with {matrix.shape[1]} features", f"`var` has {modality.n_vars}"
        raise ArgumentError(explain("use_raw", got, rule, "pass use_raw=False"))
    qc_vars = [qc_vars] if isinstance(qc_vars, str) else list(qc_vars)
    ks = checked_percent_top(percent_top, matrix.shape[1])
    of_cells, of_features = _columns(
        matrix, QCNames(expr_type, var_type), modality.var, qc_vars, ks, log1p=log1p
    )
    if not inplace:
        return (
            pd.DataFrame(of_cells, index=modality.obs_names),
            pd.DataFrame(of_features, index=modality.var_names),
        )
    for table, columns in ((modality.obs, of_cells), (modality.var, of_features)):
        for name, values in columns.items():
            table[name] = values
    return None


def _columns(
    matrix: LazyMatrix,
    names: QCNames,
    var: pd.DataFrame,
    qc_vars: list[str],
    ks: list[int],
    *,
    log1p: bool,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the columns of cells and of features: at most one pass."""
    n_obs = matrix.shape[0]
    asked: dict[str, PerCell] = {}
    if ks:
        asked["top"] = largest_values(n_obs, ks)
    if qc_vars:
        asked["sets"] = feature_sets(n_obs, masks_of(var, qc_vars))
    sums, results = sums_and(matrix, *asked.values(), label="quality")
    require_count_values(sums.extremes, "calculate_qc_metrics")
    found = dict(zip(asked, results, strict=True))
    of_cells = cell_columns(
        names,
        sums.cells,
        in_top=dict(zip(ks, found["top"].T, strict=True)) if ks else {},
        in_sets=dict(zip(qc_vars, found["sets"].T, strict=True)) if qc_vars else {},
        log1p=log1p,
    )
    return of_cells, feature_columns(names, sums.features, n_obs, log1p=log1p)
