"""The tables behind a dot plot: how many cells of a group have a feature, and how much of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp

from lazymu.containers import Modality
from lazymu.errors import ArgumentError, explain
from lazymu.pl.feature_sets import FeatureSet, SetsOfMatrix
from lazymu.pl.group_sums import GroupSums, Sums
from lazymu.pl.groups import in_order
from lazymu.pl.values import (
    Column,
    Coordinate,
    Data,
    Feature,
    Groups,
    Lookup,
    by_matrix,
    cell_values,
    find,
)
from lazymu.stream import Block, LazyMatrix, run_pass
from lazymu.stream.steps import Log1p
from lazymu.typing import CSR, Float64s, Int64s


class DotTables(NamedTuple):
    """Tables (groups, names): the fraction of cells above the cutoff, and the mean."""

    fractions: pd.DataFrame
    means: pd.DataFrame


@dataclass(frozen=True, kw_only=True)
class DotRule:
    """What counts: values above ``cutoff``, of ``log(1 + x)`` with ``log``; means over whom."""

    log: bool = False
    cutoff: float = 0.0
    only_expressed: bool = False

    def columns(self, sums: Sums, n_cells: Int64s) -> tuple[Float64s, Float64s]:
        """Return fractions and means (groups, features) of groups of ``n_cells`` cells."""
        total = np.maximum(n_cells, 1)[:, None]
        if self.only_expressed:
            return sums.n_above / total, sums.sum_above / np.maximum(sums.n_above, 1)
        return sums.n_above / total, sums.sum / total


def dot_tables(
    data: Data,
    names: Sequence[str],
    groups: Groups,
    lookup: Lookup,
    rule: DotRule,
    order: Sequence[str] | None = None,
) -> DotTables:
    """Return the fraction of cells above the cutoff and the mean, of each name in each group.

    One pass over each matrix; cells that a feature's modality has not do not count.
    """
    codes = np.asarray(groups.codes, dtype=np.int64)
    n_groups = len(groups.categories)
    found = [find(data, name, lookup) for name in dict.fromkeys(names)]
    columns: dict[str, tuple[Float64s, Float64s]] = {}
    for one in found:
        if isinstance(one, Column | Coordinate):
            columns[one.name] = _of_column(data, one, codes, n_groups, rule)
    for features in by_matrix([one for one in found if isinstance(one, Feature)]):
        own_codes = codes_within(data, features[0].modality, codes)
        columns |= _of_features(features, own_codes, n_groups, rule)
    for sets in by_matrix([one for one in found if isinstance(one, FeatureSet)]):
        own_codes = codes_within(data, sets[0].modality, codes)
        columns |= _of_sets(sets, own_codes, n_groups, rule)
    shown = in_order(groups, order)
    labels = [str(groups.categories[code]) for code in shown]
    fractions, means = (
        pd.DataFrame(
            np.stack([columns[name][part][shown] for name in names], axis=1), labels, list(names)
        )
        for part in (0, 1)
    )
    return DotTables(fractions, means)


def codes_within(data: Data, modality: str | None, codes: Int64s) -> Int64s:
    """Return the groups of a modality's cells from those of the cells of ``data``, -1 for none."""
    if modality is None or isinstance(data, Modality):
        return codes
    rows = data.obs_positions(modality)
    own = np.full(data.mod[modality].n_obs, -1, dtype=np.int64)
    own[rows[rows >= 0]] = codes[rows >= 0]
    return own


def _of_features(
    features: Sequence[Feature], codes: Int64s, n_groups: int, rule: DotRule
) -> dict[str, tuple[Float64s, Float64s]]:
    positions = list(dict.fromkeys(one.position for one in features))
    matrix = features[0].matrix[:, positions]
    matrix = matrix.with_steps(Log1p()) if rule.log else matrix
    reducer = GroupSums(codes, (n_groups, len(positions)), rule.cutoff)
    fractions, means = _streamed(matrix, reducer, rule)
    at = {position: column for column, position in enumerate(positions)}
    return {
        one.name: (fractions[:, at[one.position]], means[:, at[one.position]]) for one in features
    }


def _of_sets(
    sets: Sequence[FeatureSet], codes: Int64s, n_groups: int, rule: DotRule
) -> dict[str, tuple[Float64s, Float64s]]:
    of_matrix = SetsOfMatrix(sets)
    made = partial(_made, of_matrix, rule.log)
    reducer = GroupSums(codes, (n_groups, len(sets)), rule.cutoff, made)
    fractions, means = _streamed(of_matrix.matrix, reducer, rule)
    return {one.name: (fractions[:, at], means[:, at]) for at, one in enumerate(sets)}


def _made(sets: SetsOfMatrix, log: bool, X: CSR) -> CSR:
    values = sets.of_block(X)
    return values.log1p() if log else values


def _of_column(
    data: Data, column: Column | Coordinate, codes: Int64s, n_groups: int, rule: DotRule
) -> tuple[Float64s, Float64s]:
    (values,) = cell_values(data, [column.name])
    if isinstance(values, pd.Categorical):
        got, fix = repr(column.name), "pass it as `groupby`"
        raise ArgumentError(explain("var_names", got, "a dot shows the mean of numbers", fix))
    codes = np.where(np.isnan(values), -1, codes)
    values = np.nan_to_num(np.log1p(values) if rule.log else values)
    reducer = GroupSums(codes, (n_groups, 1), rule.cutoff)
    sums = reducer.chunk(reducer.init(), Block(sp.csr_matrix(values[:, None]), slice(None)))
    fractions, means = rule.columns(sums, reducer.n_cells)
    return fractions[:, 0], means[:, 0]


def _streamed(matrix: LazyMatrix, reducer: GroupSums, rule: DotRule) -> tuple[Float64s, Float64s]:
    """Return fractions and means (groups, columns), by one pass."""
    (sums,) = run_pass(matrix, reducer, label="dot plot")
    return rule.columns(sums, reducer.n_cells)


def scaled(means: pd.DataFrame, standard_scale: Literal["var", "group"] | None) -> pd.DataFrame:
    """Return means scaled to 0 ... 1 within each name (``"var"``) or each group."""
    if standard_scale is None:
        return means
    if standard_scale not in ("var", "group"):
        rule = 'means are scaled within "var" or "group"'
        raise ArgumentError(explain("standard_scale", repr(standard_scale), rule, "pass one"))
    values = means.to_numpy() if standard_scale == "var" else means.to_numpy().T
    low, high = values.min(axis=0), values.max(axis=0)
    share = (values - low) / np.where(high > low, high - low, 1.0)
    share = share if standard_scale == "var" else share.T
    return pd.DataFrame(share, means.index, means.columns)
