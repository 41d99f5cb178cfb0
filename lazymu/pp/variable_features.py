"""Highly variable features of a lazy matrix: the passes of each method, all batches at once."""

from __future__ import annotations

import logging
from typing import NamedTuple

import numpy as np
import pandas as pd

from lazymu import keys
from lazymu.errors import ArgumentError, NotCountsError, explain
from lazymu.pp.batch_moments import ClippedReducer, ClippedSums, Moments
from lazymu.pp.dispersion import Cutoffs, Flavor, merge_batches, rank_by_dispersion
from lazymu.pp.loess_variance import (
    FlavorV3,
    clip_values,
    exact_means,
    expected_deviation,
    rank_by_variance,
    standardized_variances,
)
from lazymu.pp.value_sums import sums_and
from lazymu.stream import GroupMoments, GroupMomentsReducer, LazyMatrix, require_counts, run_pass
from lazymu.stream.steps import Expm1, Log1p
from lazymu.stream.sums import Extremes, require_count_values
from lazymu.typing import Float64s, Int64s

logger = logging.getLogger("lazymu")


class Batches(NamedTuple):
    """Groups of cells in which features are ranked."""

    codes: Int64s
    """Group of each cell; cells of no batch are in the group after the last batch."""
    names: list[str]

    @property
    def n_groups(self) -> int:
        return int(self.codes.max(initial=len(self.names) - 1)) + 1


def batches_of(labels: pd.Series | None, n_obs: int) -> Batches:
    """Return the batches that labels tell, or all cells as one.

    Raises
    ------
    ArgumentError
        If a batch has fewer than two cells.
    """
    if labels is None:
        batches = Batches(np.zeros(n_obs, dtype=np.int64), ["all cells"])
    else:
        found = pd.Categorical(labels).remove_unused_categories()
        codes = found.codes.astype(np.int64)
        names = [str(name) for name in found.categories]
        batches = Batches(np.where(codes < 0, len(names), codes), names)
    sizes = np.bincount(batches.codes, minlength=len(batches.names))[: len(batches.names)]
    if len(batches.names) == 0 or sizes.min() < 2:
        got = ", ".join(f"{name} ({n} cells)" for name, n in zip(batches.names, sizes, strict=True))
        fix = "leave small batches out, or pass batch_key=None"
        raise ArgumentError(explain("batch_key", got or "empty", "a variance needs two cells", fix))
    return batches


def by_dispersion(
    matrix: LazyMatrix,
    batches: Batches,
    names: pd.Index,
    *,
    flavor: Flavor,
    base: float | None,
    n_bins: int,
    chosen: int | Cutoffs,
    by_batch: bool,
    expressed_only: bool,
) -> pd.DataFrame:
    """Return the table of ``seurat`` and ``cell_ranger``. One pass.

    ``matrix`` holds logarithms to ``base``; ``seurat`` takes them back.
    """
    values = without_logarithm(matrix, base) if flavor == "seurat" else matrix
    reducer = GroupMomentsReducer(batches.codes, batches.n_groups, matrix.shape[1])
    found: GroupMoments
    (found,) = run_pass(values, reducer, label="variable features")
    moments = Moments.of(found, batches.codes)
    _require_finite(moments, matrix, flavor)
    tables = [
        rank_by_dispersion(
            moments.mean[group],
            moments.variance[group],
            flavor=flavor,
            n_bins=n_bins,
            chosen=chosen,
            expressed_only=by_batch or expressed_only,
        )
        for group in range(len(batches.names))
    ]
    return merge_batches(tables, names, chosen) if by_batch else tables[0]


def without_logarithm(matrix: LazyMatrix, base: float | None) -> LazyMatrix:
    """Return the matrix before its ``log1p``, which is dropped where it is the last step."""
    if matrix.steps and matrix.steps[-1] == Log1p(base):
        return matrix.counts.with_steps(*matrix.steps[:-1])
    return matrix.with_steps(Expm1(base))


def _require_finite(moments: Moments, matrix: LazyMatrix, flavor: str) -> None:
    if np.isfinite(moments.mean).all():
        return
    require_counts(matrix, "highly_variable_genes")
    rule = "its values are too large to be logarithms"
    fix = f"call pp.log1p first (flavor={flavor!r} takes logarithms), or pass flavor='seurat_v3'"
    raise ArgumentError(explain("X", "without pp.log1p", rule, fix))


def by_variance(
    counts: LazyMatrix,
    batches: Batches,
    *,
    flavor: FlavorV3,
    span: float,
    n_top_genes: int,
    check_values: bool,
) -> pd.DataFrame:
    """Return the table of ``seurat_v3`` and ``seurat_v3_paper``. Two passes.

    Raises
    ------
    NotCountsError
        If there are values that are not whole numbers, where ``check_values``; or that are
        negative, NaN or infinite.
    """
    reducer = GroupMomentsReducer(batches.codes, batches.n_groups, counts.shape[1])
    found: GroupMoments
    sums, (found,) = sums_and(counts, reducer, label="variable features")
    require_count_values(sums.extremes, "highly_variable_genes")
    whole = sums.extremes.all_integer
    if check_values:
        _require_whole(sums.extremes, flavor)
    moments = Moments.of(found, batches.codes)
    moments = moments._replace(mean=exact_means(found.total, moments.n[:, None], whole=whole))
    variances_norm = _standardized(counts, batches, moments, span)
    table = rank_by_variance(variances_norm, n_top_genes, flavor)
    table.insert(0, keys.MEANS, exact_means(found.total.sum(axis=0), moments.n.sum(), whole=whole))
    table.insert(1, keys.VARIANCES, moments.pooled().variance[0])
    return table


def _standardized(counts: LazyMatrix, batches: Batches, moments: Moments, span: float) -> Float64s:
    """Return the standardised variances of each batch, (batches, var). One pass."""
    labelled = moments.first(len(batches.names))
    deviation = np.stack(
        [
            expected_deviation(mean, variance, span)
            for mean, variance in zip(labelled.mean, labelled.variance, strict=True)
        ]
    )
    clip = np.zeros(moments.mean.shape)
    clip[: len(deviation)] = clip_values(labelled, deviation)
    clipped: ClippedSums
    (clipped,) = run_pass(counts, ClippedReducer(batches.codes, clip), label="clipped variances")
    own = ClippedSums(*(part[: len(deviation)] for part in clipped))
    return standardized_variances(labelled, deviation, own)


def _require_whole(extremes: Extremes, flavor: str) -> None:
    if extremes.all_integer:
        return
    rule = f"flavor={flavor!r} needs counts, and these look like seurat_v3 on logged data"
    fix = 'pass layer="counts" with raw counts, or check_values=False where fractions are counts'
    raise NotCountsError(explain("X", "with values that are not whole numbers", rule, fix))
