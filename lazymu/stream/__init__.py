"""Streaming: lazy matrices, the block plan, passes over `X`, reducers, sums, progress."""

from lazymu.stream.group_moments import GroupMoments, GroupMomentsReducer
from lazymu.stream.ledger import recorded_passes
from lazymu.stream.matrix import LazyMatrix
from lazymu.stream.passes import iterate_blocks, run_pass
from lazymu.stream.plan import BlockPlan, plan_blocks
from lazymu.stream.reducers import Block, Reducer, RowPieces, RowReducer
from lazymu.stream.sums import MatrixSums, matrix_sums, require_counts

__all__ = [
    "Block",
    "BlockPlan",
    "GroupMoments",
    "GroupMomentsReducer",
    "LazyMatrix",
    "MatrixSums",
    "Reducer",
    "RowPieces",
    "RowReducer",
    "iterate_blocks",
    "matrix_sums",
    "plan_blocks",
    "recorded_passes",
    "require_counts",
    "run_pass",
]
