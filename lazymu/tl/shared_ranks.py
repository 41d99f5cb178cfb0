"""Ranks of every feature's values, found by the workers of a cluster.

Each task ranks a run of features. Where counts are kept by feature, it reads its own run; else one
pass cuts what is read into runs, which go from worker to worker. Only tables come back.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lazymu.store.sources import CSRSource
from lazymu.stream import Block, LazyMatrix
from lazymu.stream.by_feature import bytes_per_value as copied_bytes
from lazymu.stream.by_feature import copy_of, picked_from
from lazymu.stream.cluster import Workers, workers
from lazymu.stream.compute import compute, operand, task
from lazymu.stream.exchange import Exchange, exchange, n_parts_at_most
from lazymu.stream.folds import Part
from lazymu.stream.passes import storage_order
from lazymu.stream.plan import working_bytes
from lazymu.stream.sums import feature_sums
from lazymu.tl.rank_columns import Columns, FeatureRanks, placed, rank_columns
from lazymu.tl.value_runs import require_room, runs_of_values
from lazymu.typing import Int64s, Ints

TASKS_PER_SLOT = 4


class RankExchange(Exchange[Columns, FeatureRanks]):
    """Values of runs of features, ranked once they are together."""

    per_row = ("codes",)

    def __init__(
        self,
        codes: Ints,
        matrix: LazyMatrix,
        runs: Sequence[slice],
        piece_bytes: int,
        compared: tuple[Int64s, int, int | None],
    ) -> None:
        self.codes, self.runs, self.dtype = codes, runs, matrix.dtype
        self.n_parts, self.piece_bytes, self.compared = len(runs), piece_bytes, compared

    def cut(self, block: Block) -> list[Columns]:
        columns = Columns.of(block.X, block.of(self.codes))
        return [columns.cut(run.start, run.stop) for run in self.runs]

    def join(self, number: int, pieces: list[Columns]) -> FeatureRanks:
        run = self.runs[number]
        columns = placed(pieces, run.stop - run.start, self.dtype)
        return rank_columns(columns, *self.compared)


def rank_on_workers(
    matrix: LazyMatrix, groups: Int64s, counts: Int64s, n_groups: int, reference: int | None
) -> FeatureRanks:
    """Return the ranks as :func:`lazymu.tl.feature_ranks.rank_features` does, from a cluster."""
    compared = (counts, n_groups, reference)
    codes = groups.astype(np.int32)
    if (copy := copy_of(matrix.source)) is not None:
        return _from_copy(matrix, copy, codes, compared)
    n_bytes = 2 * (matrix.dtype.itemsize + 4)
    crew = workers()
    room = _room(crew, n_bytes)
    values = _values(matrix, room)
    n_parts = n_parts_at_most()
    parts = []
    for wave in runs_of_values(values, room * min(n_parts, crew.n_tasks)):
        own = values[wave]
        most = max(int(own.max(initial=0)), -(-int(own.sum()) // n_parts))
        runs = runs_of_values(own, most)
        tile = matrix[:, wave]
        how = RankExchange(codes, tile, runs, n_bytes * int(own.sum()), compared)
        parts += exchange(tile, how, label="rank features")
    return FeatureRanks.joined(parts)


def _room(crew: Workers, n_bytes: int) -> int:
    """Return how many values a task can have together: half of its part of a worker's memory."""
    return working_bytes(crew.memory_limit) // (2 * crew.n_threads * n_bytes)


def _values(matrix: LazyMatrix, room: int) -> Int64s:
    """Return how many values each feature has, or an even guess where all fit one task."""
    n_obs, n_vars = matrix.shape
    total = int(matrix.row_values.sum())
    if matrix.is_dense:
        values = np.full(n_vars, n_obs)
    elif (known := matrix.cache.features()) is not None:
        values = known.nnz
    elif total <= room:
        return np.full(n_vars, max(1, total // max(n_vars, 1)))
    else:
        values = feature_sums(matrix).nnz
    require_room(values, room, 2 * (matrix.dtype.itemsize + 4), workers().memory_limit)
    return values


def _from_copy(
    matrix: LazyMatrix,
    copy: CSRSource,
    codes: Ints,
    compared: tuple[Int64s, int, int | None],
) -> FeatureRanks:
    """Return the ranks of runs of features, each of which a task reads where it lies."""
    crew = workers()
    n_bytes = 2 * (matrix.dtype.itemsize + 4) + copied_bytes(matrix.source)
    room = _room(crew, n_bytes)
    stored = np.diff(copy.indptr)
    values = stored if matrix.cols is None else stored[matrix.cols]
    require_room(values, room, n_bytes, crew.memory_limit)
    share = -(-int(values.sum()) // (TASKS_PER_SLOT * crew.n_tasks))
    runs = runs_of_values(values, max(min(share, room), int(values.max(initial=0))))
    operands = (operand(matrix), operand(codes), operand(compared))
    parts = compute([task("rank features", _rank_run, run, *operands) for run in runs])
    return FeatureRanks.joined(list(parts))


def _rank_run(
    run: slice, matrix: LazyMatrix, codes: Ints, compared: tuple[Int64s, int, int | None]
) -> FeatureRanks:
    """Return the ranks of a run of features: the work of a task."""
    copy = copy_of(matrix.source)
    if copy is None:
        raise FileNotFoundError("the copy by feature that the client sees is not on this worker")
    tile = picked_from(copy, matrix[:, run])
    order = storage_order(tile)
    part = Part(tile if order is None else tile[order], order)
    block = part.block(0, len(tile))
    return rank_columns(Columns.of(block.X, block.of(codes)), *compared)
