"""Tests of every feature between groups of cells: Welch's t-test and Wilcoxon's rank-sum test.

Lazy matrices in, arrays out. ``groups`` names the group of each cell, 0 to g - 1, or -1 for cells
of no group: they count among "the rest", and take no part where there is a reference group.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from lazymu.stream import GroupMoments, GroupMomentsReducer, LazyMatrix, run_pass
from lazymu.tl.feature_ranks import rank_features
from lazymu.tl.rank_columns import FeatureRanks
from lazymu.typing import Array, Float64s, Int64s

FEATURES_AT_ONCE = 2048


class GroupTests(NamedTuple):
    """Results of each group against the others, or against the reference, all (g, p)."""

    scores: Float64s
    pvals: Float64s
    mean: Float64s
    mean_other: Float64s
    share: Float64s
    """Share of the group's cells in which the value is not 0."""
    share_other: Float64s


class Sizes(NamedTuple):
    """Numbers of cells, (g, 1), in each group and in what it is compared with."""

    group: Float64s
    other: Float64s


def t_test(
    matrix: LazyMatrix,
    groups: Int64s,
    n_groups: int,
    reference: int | None = None,
    *,
    overestimate_variance: bool = False,
) -> GroupTests:
    """Return Welch's t-test of each feature between each group and the other cells.

    With ``a = v1 / n1`` and ``b = v2 / n2``, variances with ``ddof = 1``:
    ``t = (m1 - m2) / sqrt(a + b)`` with ``(a + b)^2 / (a^2 / (n1 - 1) + b^2 / (n2 - 1))`` degrees
    of freedom. With ``overestimate_variance``, ``n2`` is taken to be ``n1``.
    One pass; memory: three float64 arrays (g, p) a thread, and after it nine.
    """
    matrix, groups, counts = participants(matrix, groups, n_groups, reference)
    reducer = GroupMomentsReducer(groups, len(counts), matrix.shape[1])
    moments: GroupMoments
    (moments,) = run_pass(matrix, reducer, label="rank features")

    def test(features: slice) -> GroupTests:
        part = GroupMoments(*(table[:, features] for table in moments))
        return _welch(part, counts, n_groups, reference, overestimate_variance)

    return by_features(test, n_groups, matrix.shape[1])


def _welch(
    moments: GroupMoments,
    counts: Float64s,
    n_groups: int,
    reference: int | None,
    overestimate_variance: bool,
) -> GroupTests:
    """Return Welch's test from what the values of groups add up to."""
    import scipy.stats

    mean, m2 = moments.with_zeros(counts)
    mean_other, m2_other = others(counts, mean, m2, n_groups, reference)
    sizes = compared_sizes(counts, n_groups, reference)
    n_other = sizes.group if overestimate_variance else sizes.other
    with np.errstate(invalid="ignore", divide="ignore"):
        a = m2[:n_groups] / (sizes.group - 1) / sizes.group
        b = m2_other / (sizes.other - 1) / n_other
        scores = (mean[:n_groups] - mean_other) / np.sqrt(a + b)
        freedom = (a + b) ** 2 / (a**2 / (sizes.group - 1) + b**2 / (n_other - 1))
        pvals = np.asarray(2 * scipy.stats.t.sf(np.abs(scores), freedom))
    return with_shares(scores, pvals, mean, mean_other, moments.nnz, counts, reference)


def wilcoxon(
    matrix: LazyMatrix,
    groups: Int64s,
    n_groups: int,
    reference: int | None = None,
    *,
    tie_correct: bool = False,
) -> GroupTests:
    """Return Wilcoxon's rank-sum test of each feature between each group and the other cells.

    ``z = (R - n1 (n + 1) / 2) / sqrt(T n1 n2 (n + 1) / 12)``, ``n = n1 + n2``, with ``R`` the sum
    of the group's ranks, equal values sharing their mean rank, and
    ``T = 1 - sum(t^3 - t) / (n^3 - n)`` over runs of ``t`` equal values where ``tie_correct``.
    Exact, zeros included. The nonzero values are brought together by feature, in runs of features
    whose values fit half of the memory limit: one pass for each of a few runs, else one that writes
    a temporary file and, of this, one reading.
    """
    matrix, groups, counts = participants(matrix, groups, n_groups, reference)
    ranks = rank_features(matrix, groups, counts[:, 0].astype(np.int64), n_groups, reference)

    def test(features: slice) -> GroupTests:
        part = FeatureRanks(
            ranks.ranks[:, features],
            ranks.ties[:, features],
            ranks.total[:, features],
            ranks.nnz[:, features],
        )
        return _rank_sum_tests(part, counts, n_groups, reference, tie_correct)

    return by_features(test, n_groups, matrix.shape[1])


def _rank_sum_tests(
    ranks: FeatureRanks,
    counts: Float64s,
    n_groups: int,
    reference: int | None,
    tie_correct: bool,
) -> GroupTests:
    """Return Wilcoxon's test from the ranks of groups."""
    import scipy.stats

    mean = ranks.total / np.maximum(counts, 1)
    mean_other, _ = others(counts, mean, np.zeros_like(mean), n_groups, reference)
    sizes = compared_sizes(counts, n_groups, reference)
    n = sizes.group + sizes.other
    with np.errstate(invalid="ignore", divide="ignore"):
        T = 1 - ranks.ties / (n**3 - n) if tie_correct else 1.0
        expected = sizes.group * (n + 1) / 2
        scores = (ranks.ranks - expected) / np.sqrt(T * sizes.group * sizes.other * (n + 1) / 12)
    scores = np.nan_to_num(scores, nan=0.0)
    pvals = 2 * scipy.stats.norm.sf(np.abs(scores))
    return with_shares(scores, pvals, mean, mean_other, ranks.nnz, counts, reference)


def by_features(test: Callable[[slice], GroupTests], n_groups: int, n_vars: int) -> GroupTests:
    """Return the tests of all features from those of runs of them, whose temporaries are small."""
    found = GroupTests(*(np.empty((n_groups, n_vars)) for _ in GroupTests._fields))
    for start in range(0, n_vars, FEATURES_AT_ONCE):
        features = slice(start, start + FEATURES_AT_ONCE)
        for whole, part in zip(found, test(features), strict=True):
            whole[:, features] = part
    return found


def participants(
    matrix: LazyMatrix, groups: Int64s, n_groups: int, reference: int | None
) -> tuple[LazyMatrix, Int64s, Float64s]:
    """Return the cells that take part, their groups, and the groups' sizes (g, 1).

    Without a reference, cells of no group become one more group, the last.
    """
    if reference is None:
        groups = np.where(groups < 0, n_groups, groups)
        counts = np.bincount(groups, minlength=n_groups + 1)
    else:
        taking_part = groups >= 0
        if not taking_part.all():
            matrix, groups = matrix[taking_part], groups[taking_part]
        counts = np.bincount(groups, minlength=n_groups)
    return matrix, groups, counts.astype(np.float64)[:, None]


def compared_sizes(counts: Float64s, n_groups: int, reference: int | None) -> Sizes:
    """Return the sizes of each group and of what it is compared with."""
    group = counts[:n_groups]
    if reference is None:
        return Sizes(group, counts.sum() - group)
    return Sizes(group, np.full_like(group, counts[reference, 0]))


def others(
    counts: Float64s, mean: Float64s, m2: Float64s, n_groups: int, reference: int | None
) -> tuple[Float64s, Float64s]:
    """Return ``mean`` and ``m2`` (n_groups, p) of what each group is compared with.

    The rest of a group is the merge of those before and those after it, from running merges in
    both directions: nothing is subtracted, so a feature absent from the rest has exactly 0 there.
    """
    if reference is not None:
        shape = (n_groups, mean.shape[1])
        return np.broadcast_to(mean[reference], shape), np.broadcast_to(m2[reference], shape)
    zero = (np.zeros(1), np.zeros(mean.shape[1]), np.zeros(mean.shape[1]))
    each = list(zip(counts, mean, m2, strict=True))
    after = [zero]
    for moments in reversed(each):
        after.append(_merge(after[-1], moments))
    after.reverse()
    before, rest = zero, []
    for g in range(n_groups):
        rest.append(_merge(before, after[g + 1]))
        before = _merge(before, each[g])
    mean_rest = np.stack([np.where(n > 0, of_n, np.nan) for n, of_n, _ in rest])  # none of no cells
    return mean_rest, np.stack([r[2] for r in rest])


Moments = tuple[Float64s, Float64s, Float64s]


def _merge(a: Moments, b: Moments) -> Moments:
    """Return number, mean and m2 of two disjoint sets of cells (Chan, Golub and LeVeque, 1983)."""
    n = a[0] + b[0]
    share = b[0] / np.maximum(n, 1)
    delta = b[1] - a[1]
    return n, a[1] + delta * share, a[2] + b[2] + delta**2 * (a[0] * share)


def with_shares(
    scores: Float64s,
    pvals: Float64s,
    mean: Float64s,
    mean_other: Float64s,
    nnz: Array,
    counts: Float64s,
    reference: int | None,
) -> GroupTests:
    """Return the results with the shares of cells; a test that says nothing has score 0 and p 1."""
    n_groups = len(scores)
    sizes = compared_sizes(counts, n_groups, reference)
    share = nnz[:n_groups] / sizes.group
    if reference is None:
        share_other = (nnz.sum(axis=0) - nnz[:n_groups]) / np.maximum(sizes.other, 1)
    else:
        share_other = np.broadcast_to(share[reference], share.shape)
    return GroupTests(
        np.nan_to_num(scores, nan=0.0),
        np.nan_to_num(pvals, nan=1.0),
        mean[:n_groups],
        mean_other,
        share,
        share_other,
    )
