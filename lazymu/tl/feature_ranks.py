"""Ranks of every feature's values within groups of cells, zeros included.

The nonzero values are brought together by feature, in runs of features that fit the memory limit.
"""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from lazymu.errors import MemoryLimitError, explain
from lazymu.settings import settings
from lazymu.stream import Block, LazyMatrix, Reducer, run_pass
from lazymu.stream.by_feature import bytes_per_value as copied_bytes
from lazymu.stream.by_feature import copy_of, picked
from lazymu.stream.plan import working_bytes
from lazymu.stream.spilled import column_runs, pays
from lazymu.stream.sums import feature_sums
from lazymu.typing import Array, Float64s, Int64s

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


def rank_features(
    matrix: LazyMatrix, groups: Int64s, counts: Int64s, n_groups: int, reference: int | None
) -> FeatureRanks:
    """Return the rank sums of groups 0 to ``n_groups - 1``.

    Parameters
    ----------
    matrix
        Values to rank.
    groups
        Group of each cell, 0 to ``len(counts) - 1``.
    counts
        Number of cells of each group.
    n_groups
        Number of groups whose ranks are wanted; without a reference, cells of further groups are
        ranked with them.
    reference
        Each group is ranked together with this one alone; with all cells where None.
    """
    with closing(tiles_of(matrix, feature_tiles(matrix))) as tiles:
        parts = [_rank_tile(tile, groups, counts, n_groups, reference) for tile in tiles]
    return FeatureRanks(*(np.concatenate(arrays, axis=1) for arrays in zip(*parts, strict=True)))


def tiles_of(matrix: LazyMatrix, runs: list[slice]) -> Generator[LazyMatrix, None, None]:
    """Return the features of each run: selected in passes, or out of a file that one pass writes.

    Features that are kept beside the store are each read alone as it is.
    """
    if copy_of(matrix.source) is None and pays(matrix, len(runs)):
        return column_runs(matrix, runs, label="bring features apart")
    return (matrix[:, run] for run in runs)


def _rank_tile(
    tile: LazyMatrix, groups: Int64s, counts: Int64s, n_groups: int, reference: int | None
) -> FeatureRanks:
    """Return the ranks of a run of features: one pass, over these alone where kept by feature."""
    from lazymu.kernels.ranks import column_sums

    n_bytes = bytes_per_value(tile) * gathered_values(tile)
    columns: Columns
    reducer = ColumnsReducer(groups, tile, n_bytes)
    (columns,) = run_pass(picked(tile), reducer, label="rank features")
    wanted, all_groups = (n_groups, tile.shape[1]), (len(counts), tile.shape[1])
    found = FeatureRanks(
        np.zeros(wanted), np.zeros(wanted), np.zeros(all_groups), np.zeros(all_groups, np.int64)
    )
    column_sums(*columns, found.total, found.nnz)
    zeros = counts[:, None] - found.nnz

    def rank(start: int) -> None:
        for j in range(start, min(start + FEATURES_PER_TASK, tile.shape[1])):
            _rank_feature(columns, j, zeros[:, j].copy(), reference, found)

    with ThreadPoolExecutor(settings.n_threads) as threads:
        list(threads.map(rank, range(0, tile.shape[1], FEATURES_PER_TASK)))
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


class Columns(NamedTuple):
    """Nonzero values by feature, with the group of each value's cell: CSC without row numbers."""

    data: Array
    codes: Array
    indptr: Int64s


class ColumnsReducer(Reducer[list[Columns], Columns]):
    """The nonzero values of a matrix brought together by feature."""

    def __init__(self, groups: Int64s, matrix: LazyMatrix, n_bytes: int) -> None:
        self.codes = groups.astype(np.int32)
        self.n_vars, self.dtype, self.n_bytes = matrix.shape[1], matrix.dtype, n_bytes

    @property
    def operand_bytes(self) -> int:
        return self.n_bytes

    def init(self) -> list[Columns]:
        return []

    def chunk(self, state: list[Columns], block: Block) -> list[Columns]:
        X = block.X.tocsc()  # a copy: a block of a matrix in memory is a view of it
        X.eliminate_zeros()
        codes = self.codes[block.rows][X.indices]
        state.append(Columns(X.data, codes, X.indptr.astype(np.int64)))
        return state

    def combine(self, a: list[Columns], b: list[Columns]) -> list[Columns]:
        a.extend(b)
        return a

    def finalize(self, state: list[Columns]) -> Columns:
        from lazymu.kernels.ranks import place_columns

        lengths = sum((np.diff(piece.indptr) for piece in state), np.zeros(self.n_vars, np.int64))
        indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        out = Columns(
            np.empty(indptr[-1], self.dtype), np.empty(indptr[-1], self.codes.dtype), indptr
        )
        cursor = indptr[:-1].copy()
        while state:  # each piece is let go as soon as it has been placed
            place_columns(*state.pop(), cursor, out.data, out.codes)
        return out


def bytes_per_value(matrix: LazyMatrix) -> int:
    """Return what one gathered value takes: value and group, in its piece and in its place.

    Where features are kept beside the store, they are also held as these are read.
    """
    return 2 * (matrix.dtype.itemsize + 4) + copied_bytes(matrix.source)


def feature_tiles(matrix: LazyMatrix) -> list[slice]:
    """Return runs of features whose gathered values fit half of the memory limit.

    Raises
    ------
    MemoryLimitError
        If one feature alone does not fit.
    """
    n_obs, n_vars = matrix.shape
    budget = working_bytes(settings.memory_limit) // 2 // bytes_per_value(matrix)
    if int(matrix.row_values.sum()) <= budget and not matrix.is_dense:
        return [slice(0, n_vars)]
    values = np.full(n_vars, n_obs) if matrix.is_dense else feature_sums(matrix).nnz
    if n_vars and (largest := int(values.max())) > budget:
        raise MemoryLimitError(
            explain(
                "memory_limit",
                f"{settings.memory_limit:,} bytes",
                f"ranking the {largest:,} values of one feature takes "
                f"{2 * largest * bytes_per_value(matrix):,}",
                "raise lazymu.settings.memory_limit, or use method='t-test'",
            )
        )
    ends = np.cumsum(values)
    bounds = [0]
    while bounds[-1] < n_vars:
        before = int(ends[bounds[-1] - 1]) if bounds[-1] else 0
        bounds.append(int(np.searchsorted(ends, before + budget, side="right")))
    return [slice(start, stop) for start, stop in pairwise(bounds)]


def gathered_values(tile: LazyMatrix) -> int:
    """Return an upper bound of the values that a tile's pass gathers."""
    if tile.is_dense:
        return tile.size
    known = tile.cache.features()
    return int(tile.row_values.sum() if known is None else known.nnz.sum())
