"""Ranks of the values of features that stand together: columns of arrays in, tables out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from lazymu.typing import CSR, Array, Float64s, Int64s, Ints

FEATURES_PER_TASK = 256


class FeatureRanks(NamedTuple):
    """What the values of each feature say of each group of cells."""

    ranks: Float64s
    """Sum of the group's ranks, (n_groups, p)."""
    ties: Float64s
    """Sum of ``t^3 - t`` over runs of ``t`` equal values, (n_groups, p)."""
    total: Float64s
    """Sum of values, (g, p)."""
    nnz: Int64s
    """Number of values other than 0, (g, p)."""

    @classmethod
    def joined(cls, parts: list[FeatureRanks]) -> FeatureRanks:
        """Return the features of all parts side by side."""
        return cls(*(np.concatenate(arrays, axis=1) for arrays in zip(*parts, strict=True)))


class Columns(NamedTuple):
    """Nonzero values by feature, with the group of each value's cell: CSC without row numbers."""

    data: Array
    codes: Ints
    indptr: Int64s

    @classmethod
    def of(cls, rows: CSR, codes: Ints) -> Columns:
        """Return the values of some cells, whose groups are ``codes``."""
        X = rows.tocsc()  # a copy: a block of a matrix in memory is a view of it
        X.eliminate_zeros()
        return cls(X.data, codes[X.indices], X.indptr.astype(np.int64))

    def cut(self, start: int, stop: int) -> Columns:
        """Return a copy of some features."""
        span = slice(self.indptr[start], self.indptr[stop])
        offsets = self.indptr[start : stop + 1] - self.indptr[start]
        return Columns(self.data[span].copy(), self.codes[span].copy(), offsets)


def placed(pieces: list[Columns], n_vars: int, dtype: np.dtype[Any]) -> Columns:
    """Return pieces of runs of cells as one, in their order; each is let go once it is placed."""
    from lazymu.kernels.ranks import place_columns

    lengths = sum((np.diff(piece.indptr) for piece in pieces), np.zeros(n_vars, np.int64))
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    out = Columns(np.empty(indptr[-1], dtype), np.empty(indptr[-1], np.int32), indptr)
    cursor = indptr[:-1].copy()
    pieces.reverse()
    while pieces:
        place_columns(*pieces.pop(), cursor, out.data, out.codes)
    return out


def rank_columns(
    columns: Columns, counts: Int64s, n_groups: int, reference: int | None, n_threads: int = 1
) -> FeatureRanks:
    """Return the ranks of features, as :func:`lazymu.tl.feature_ranks.rank_features` does."""
    from lazymu.kernels.ranks import column_sums

    n_vars = len(columns.indptr) - 1
    wanted, all_groups = (n_groups, n_vars), (len(counts), n_vars)
    found = FeatureRanks(
        np.zeros(wanted), np.zeros(wanted), np.zeros(all_groups), np.zeros(all_groups, np.int64)
    )
    column_sums(*columns, found.total, found.nnz)
    zeros = counts[:, None] - found.nnz

    def rank(start: int) -> None:
        for j in range(start, min(start + FEATURES_PER_TASK, n_vars)):
            _rank_feature(columns, j, zeros[:, j].copy(), reference, found)

    with ThreadPoolExecutor(n_threads) as threads:
        list(threads.map(rank, range(0, n_vars, FEATURES_PER_TASK)))
    return found


def _rank_feature(
    columns: Columns,
    j: int,
    zeros: Int64s,
    reference: int | None,
    found: FeatureRanks,
) -> None:
    """Write the rank sums and ties of one feature to ``found``."""
    from lazymu.kernels.ranks import rank_sums, sorted_keys

    span = slice(columns.indptr[j], columns.indptr[j + 1])
    keys = sorted_keys(columns.data[span], columns.codes[span])
    sums = np.zeros(len(zeros))
    if reference is None:
        found.ties[:, j] = rank_sums(keys, zeros, np.ones(len(zeros), bool), sums)
        found.ranks[:, j] = sums[: len(found.ranks)]
        return
    for g in range(len(found.ranks)):
        members = np.isin(np.arange(len(zeros)), (g, reference))
        sums[:] = 0
        found.ties[g, j] = rank_sums(keys, zeros, members, sums)
        found.ranks[g, j] = sums[g]
