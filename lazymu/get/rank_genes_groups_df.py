"""The result of `tl.rank_genes_groups` as one table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from lazymu import keys
from lazymu.containers import Modality, as_modality
from lazymu.errors import ArgumentError, DuplicateNamesError, MissingResultError, explain

COLUMNS = ("names", "scores", "logfoldchanges", "pvals", "pvals_adj")
"""Columns of a result; that of ``logreg`` has the first two."""
SHARES = {"pts": "pct_nz_group", "pts_rest": "pct_nz_reference"}


def rank_genes_groups_df(
    data: Modality,
    group: str | Iterable[str] | None,
    *,
    key: str = keys.RANK_GENES_GROUPS,
    pval_cutoff: float | None = None,
    log2fc_min: float | None = None,
    log2fc_max: float | None = None,
    gene_symbols: str | None = None,
) -> pd.DataFrame:
    """Return ranked features of one group or several as a table, best first.

    Parameters
    ----------
    data
        A modality that :func:`lazymu.tl.rank_genes_groups` was run on.
    group
        One group, several, or None for all.
    key
        Key of `uns` that holds the result.
    pval_cutoff
        Keep features whose adjusted p-value is below this.
    log2fc_min, log2fc_max
        Keep features whose log2 fold change is above, or below, this.
    gene_symbols
        A column of `var` to join.

    Returns
    -------
    pandas.DataFrame
        Columns `names`, `scores`, `logfoldchanges`, `pvals`, `pvals_adj` (for ``logreg`` the first
        two), with `pct_nz_group` and `pct_nz_reference` where ``pts=True`` was asked for, and
        `group` where ``group`` is not one name.

    Raises
    ------
    MissingResultError
        If ``key`` is not in `uns`, or the column not in `var`.
    ArgumentError
        If a group was not tested, or a cutoff is on what ``logreg`` does not give.
    DuplicateNamesError
        If ranked features share a name and shares of cells or a column of `var` are to stand beside
        them.

    Notes
    -----
    Reads nothing of `X`.

    Examples
    --------
    >>> import lazymu as sc, numpy as np
    >>> X = np.array([[4.0, 0.0], [5.0, 1.0], [0.0, 6.0], [1.0, 6.0]])
    >>> rna = sc.Modality(X, obs={"cluster": ["a", "a", "b", "b"]}, var={"n": [0, 1]})
    >>> sc.tl.rank_genes_groups(rna, "cluster")
    >>> sc.get.rank_genes_groups_df(rna, "b")["names"].tolist()
    ['1', '0']
    """
    modality = as_modality(data)
    result = stored_result(modality, key)
    known = list(result["names"].dtype.names)
    wanted = known if group is None else [group] if isinstance(group, str) else list(group)
    for name in wanted:
        if name not in known:
            rule = f"tested groups are: {', '.join(known)}"
            raise ArgumentError(explain("group", repr(name), rule, "name one of them"))
    table = pd.concat([group_table(result, name) for name in wanted], ignore_index=True)
    table["group"] = pd.Categorical(table["group"], categories=wanted)
    check_cutoffs(table, pval_cutoff=pval_cutoff, log2fc_min=log2fc_min, log2fc_max=log2fc_max)
    if pval_cutoff is not None:
        table = table[table["pvals_adj"] < pval_cutoff]
    if log2fc_min is not None:
        table = table[table["logfoldchanges"] > log2fc_min]
    if log2fc_max is not None:
        table = table[table["logfoldchanges"] < log2fc_max]
    if gene_symbols is not None:
        table[gene_symbols] = symbols(modality, result, gene_symbols, table["names"])
    if len(wanted) == 1:
        table = table.drop(columns="group")
    return table.reset_index(drop=True)


def stored_result(modality: Modality, key: str) -> dict[str, Any]:
    """Return the result under a key of `uns`.

    Raises
    ------
    MissingResultError
        If there is none.
    """
    if key not in modality.uns:
        rule = f"uns has: {', '.join(modality.uns) or 'nothing'}"
        fix = "run tl.rank_genes_groups first"
        raise MissingResultError(explain("key", repr(key), rule, fix))
    result: dict[str, Any] = modality.uns[key]
    return result


def check_cutoffs(table: pd.DataFrame, **cutoffs: float | None) -> None:
    """Raise where a cutoff is on a column that the table does not have.

    Raises
    ------
    ArgumentError
        Naming it.
    """
    given = [(name, value) for name, value in cutoffs.items() if value is not None]
    if given and "pvals_adj" not in table:
        rule = "method='logreg' gives scores alone"
        raise ArgumentError(explain(*given[0], rule, "leave it out, or rank by a test"))


def group_table(result: dict[str, Any], group: str) -> pd.DataFrame:
    """Return the ranked features of one group."""
    columns = {column: result[column][group] for column in COLUMNS if column in result}
    table = pd.DataFrame({"group": group, **columns})
    for key, column in SHARES.items():
        if key in result:
            table[column] = of_features(table["names"], result[key][group]).to_numpy()
    return table


def symbols(
    modality: Modality, result: dict[str, Any], column: str, names: pd.Series[Any]
) -> pd.Series[Any]:
    """Return a column of `var` (of `raw` where that was tested) for some features."""
    from_raw = result["params"].get("use_raw") and modality.raw is not None
    var = modality.raw.var if from_raw and modality.raw is not None else modality.var
    if column not in var:
        rule = f"columns of var are: {', '.join(map(str, var.columns)) or 'none'}"
        raise MissingResultError(explain("gene_symbols", repr(column), rule, "name one of them"))
    return of_features(names, var[column])


def of_features(names: pd.Series[Any], known: pd.Series[Any]) -> pd.Series[Any]:
    """Return what is known of features, in the order of ``names``.

    Raises
    ------
    DuplicateNamesError
        If a name is that of several features.
    """
    repeated = known.index[known.index.duplicated()].intersection(pd.Index(names))
    if len(repeated):
        got = f"with repeated names, such as {repeated[0]!r}"
        rule = "features are found by their names"
        fix = "call .var_names_make_unique() on the modality and rank again"
        raise DuplicateNamesError(explain("var_names", got, rule, fix))
    return known.reindex(names).set_axis(names.index)
