"""Ranks of every feature's values within groups of cells, zeros included.

The nonzero values are brought together by feature, in runs of features that fit the memory limit.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing

import numpy as np

from lazymu.settings import settings
from lazymu.stream import Block, LazyMatrix, Reducer, run_pass
from lazymu.stream.by_feature import bytes_per_value as copied_bytes
from lazymu.stream.by_feature import copy_of, picked
from lazymu.stream.cluster import workers
from lazymu.stream.plan import working_bytes
from lazymu.stream.spilled import column_runs, pays
from lazymu.stream.sums import feature_sums
from lazymu.tl.rank_columns import Columns, FeatureRanks, placed, rank_columns
from lazymu.tl.shared_ranks import rank_on_workers
from lazymu.tl.value_runs import require_room, runs_of_values
from lazymu.typing import Int64s


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
    if workers().are_remote:
        return rank_on_workers(matrix, groups, counts, n_groups, reference)
    with closing(tiles_of(matrix, feature_tiles(matrix))) as tiles:
        parts = [_rank_tile(tile, groups, counts, n_groups, reference) for tile in tiles]
    return FeatureRanks.joined(parts)


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
    n_bytes = bytes_per_value(tile) * gathered_values(tile)
    columns: Columns
    reducer = ColumnsReducer(groups, tile, n_bytes)
    (columns,) = run_pass(picked(tile), reducer, label="rank features")
    return rank_columns(columns, counts, n_groups, reference, settings.n_threads)


class ColumnsReducer(Reducer[list[Columns], Columns]):
    """The nonzero values of a matrix brought together by feature."""

    per_row = ("codes",)

    def __init__(self, groups: Int64s, matrix: LazyMatrix, n_bytes: int) -> None:
        self.codes = groups.astype(np.int32)
        self.n_vars, self.dtype, self.n_bytes = matrix.shape[1], matrix.dtype, n_bytes

    @property
    def operand_bytes(self) -> int:
        return self.n_bytes

    def init(self) -> list[Columns]:
        return []

    def chunk(self, state: list[Columns], block: Block) -> list[Columns]:
        state.append(Columns.of(block.X, block.of(self.codes)))
        return state

    def combine(self, a: list[Columns], b: list[Columns]) -> list[Columns]:
        a.extend(b)
        return a

    def finalize(self, state: list[Columns]) -> Columns:
        return placed(state, self.n_vars, self.dtype)


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
    require_room(values, budget, bytes_per_value(matrix), settings.memory_limit)
    return runs_of_values(values, budget)


def gathered_values(tile: LazyMatrix) -> int:
    """Return an upper bound of the values that a tile's pass gathers."""
    if tile.is_dense:
        return tile.size
    known = tile.cache.features()
    return int(tile.row_values.sum() if known is None else known.nnz.sum())
