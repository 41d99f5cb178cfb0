"""Which features a page shows, and their values for the cells that are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from lazymu import get, keys
from lazymu.containers import Modality
from lazymu.errors import ArgumentError
from lazymu.typing import Float64s, Int64s

MOST_SHOWN = 30
MOST_OF_ALL = 48
"""Features of all modalities together: what each takes of a page is a byte a cell, and a third."""
PANEL = 300
"""A modality of at most so many features is a panel somebody chose."""


class Choice(NamedTuple):
    """Features of a modality, and why these."""

    positions: list[int]
    reason: str


def chosen_features(modality: Modality, most: int = MOST_SHOWN) -> Choice:
    """Return the features that a page can show, at most ``most``.

    The best of each group, where features were ranked; of a small panel, its first ones; else
    the most variable ones, where these were chosen; else none.
    """
    ranked = _best_ranked(modality, most)
    if ranked:
        return Choice(ranked, "the best of each cluster")
    if modality.n_vars <= PANEL:
        shown = list(range(min(modality.n_vars, most)))
        return Choice(shown, "all" if len(shown) == modality.n_vars else "the first of the panel")
    variable = _most_variable(modality.var, most)
    if variable:
        return Choice(variable, "the most variable")
    return Choice([], "none, as no features were ranked or chosen as variable")


def marker_table(modality: Modality) -> pd.DataFrame | None:
    """Return the ranked features of all groups, best first; None where there are none."""
    if keys.RANK_GENES_GROUPS not in modality.uns:
        return None
    try:
        return get.rank_genes_groups_df(modality, None).assign(
            group=lambda table: table["group"] if "group" in table else _only_group(modality)
        )
    except (KeyError, TypeError, ValueError, AttributeError):  # another tool's form
        return None


def _only_group(modality: Modality) -> str:
    return str(modality.uns[keys.RANK_GENES_GROUPS]["names"].dtype.names[0])


def _best_ranked(modality: Modality, most: int) -> list[int]:
    """Return features in turns: the first of every group, then the second, ..."""
    table = marker_table(modality)
    if table is None:
        return []
    rank = table.groupby("group", observed=True).cumcount()
    names = table["names"].astype(str)[np.argsort(rank.to_numpy(), kind="stable")]
    positions = modality.var_names.get_indexer_for(pd.Index(names.unique()[: 4 * most]))
    return [int(p) for p in dict.fromkeys(positions) if p >= 0][:most]


def _most_variable(var: pd.DataFrame, most: int) -> list[int]:
    if keys.HIGHLY_VARIABLE not in var:
        return []
    chosen = np.flatnonzero(var[keys.HIGHLY_VARIABLE].to_numpy(dtype=bool))
    for column in (keys.DISPERSIONS_NORM, keys.VARIANCES_NORM):
        if column in var:
            score = var[column].to_numpy(dtype=np.float64)[chosen]
            chosen = chosen[np.argsort(-np.nan_to_num(score), kind="stable")]
            break
    return [int(position) for position in chosen[:most]]


def feature_values(
    modality: Modality, positions: Sequence[int], rows: Int64s
) -> dict[int, Float64s]:
    """Return values of features for rows of a modality, NaN for row -1. One pass over `X`."""
    if not positions:
        return {}
    present, back = np.unique(rows[rows >= 0], return_inverse=True)
    ordered = sorted(positions)
    dense = modality.X[present][:, ordered].toarray()
    found = {}
    for column, position in enumerate(ordered):
        values = np.full(len(rows), np.nan)
        values[rows >= 0] = dense[back, column]
        found[position] = values
    return found


def has_matrix(modality: Modality) -> bool:
    """Whether a modality has values at all, not only annotation."""
    try:
        return modality.X.shape[1] > 0
    except ArgumentError:
        return False
