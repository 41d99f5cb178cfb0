"""The pass that writes a matrix on a cluster: tasks load rows and write the chunks that these fill.

The chunks (or shards) of a matrix's arrays are divided among tasks (:mod:`lazymu.store.parts`). A
task loads the rows that cover its own, block by block, cuts the ends, and makes the sums of those
rows that begin in its range, so that sums take no pass of their own.
"""

from __future__ import annotations

import uuid
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from lazymu.store.parts import MatrixArrays, RangeWriter
from lazymu.store.sources import assemble_csr
from lazymu.stream import progress
from lazymu.stream.cluster import workers
from lazymu.stream.columns import ColumnPicker
from lazymu.stream.compute import compute, operand, task
from lazymu.stream.folds import (
    BLOCKS_PER_REMOTE_TASK,
    Run,
    States,
    blocks_per_task,
    merge_all,
    with_block,
)
from lazymu.stream.ledger import enter_pass
from lazymu.stream.matrix import LazyMatrix
from lazymu.stream.plan import BlockPlan, plan_blocks
from lazymu.stream.reducers import Block, Reducer, RowPieces, RowReducer
from lazymu.stream.sums import MatrixSums, SumsReducer
from lazymu.typing import CSR, Int64s


class RowLengths(RowReducer[Int64s]):
    """The number of stored values of each row, over columns that are picked where some are."""

    def __init__(self, n_rows: int, pick: ColumnPicker | None = None) -> None:
        self._n_rows, self._pick = n_rows, pick

    def of_block(self, X: CSR) -> Int64s:
        return np.diff((X if self._pick is None else self._pick(X)).indptr)

    def finalize(self, state: RowPieces) -> Int64s:
        return state.assemble(self._n_rows, (), np.int64)


class Range(NamedTuple):
    """A run of whole chunks or shards, and the rows that cover it."""

    start: int
    stop: int
    """Ends of the range: values, of a dense matrix rows."""
    matrix: LazyMatrix
    """The rows that cover it alone."""
    positions: Int64s
    """Where each of these rows begins along the arrays, and where the last ends."""
    bounds: Int64s
    """Offsets of the blocks in these rows."""
    first: int
    """Which row of the whole matrix the first one is."""
    skip: int
    """Rows, 0 or 1, that begin in the range before."""


def write_ranges(
    matrix: LazyMatrix, arrays: MatrixArrays, positions: Int64s, plan: BlockPlan, *, label: str
) -> tuple[MatrixSums, Int64s]:
    """Write all rows of a matrix, in tasks; return its sums and the lengths of rows. One pass.

    Parameters
    ----------
    matrix
        What is written.
    arrays
        Where; they have their full lengths.
    positions
        Where each row begins along the arrays, and where the last ends.
    plan
        That of :func:`range_plan`.
    label
        Name of the pass.
    """
    run = Run(_reducers(matrix), uuid.uuid4().hex)
    shared, target = operand(run), operand(arrays)
    enter_pass(label, plan)
    with progress.reporting(run.token, label, plan.n_blocks, plan.n_values):
        states = [
            task(label, write_range, shared, target, piece)
            for piece in ranges(matrix, positions, arrays.unit, plan)
        ]
        ((sums, lengths),) = compute([merge_all(shared, states, label)])
    of_sums, of_lengths = run.reducers
    return of_sums.finalize(sums), of_lengths.finalize(lengths)


def range_plan(matrix: LazyMatrix, arrays: MatrixArrays) -> BlockPlan:
    """Return the block plan of writing a matrix under the workers' memory limit.

    Raises
    ------
    MemoryLimitError
        If sums, a chunk or shard of each array, and the largest row exceed the memory limit.
    """
    crew = workers()
    return plan_blocks(
        matrix.row_values,
        value_bytes=matrix.value_bytes,
        memory_limit=crew.memory_limit,
        n_threads=crew.n_threads,
        state_bytes=sum(r.state_bytes for r in _reducers(matrix)) + arrays.held_bytes,
    )


def _reducers(matrix: LazyMatrix) -> tuple[Reducer[Any, Any], ...]:
    return SumsReducer(matrix.shape), RowLengths(len(matrix))


def ranges(matrix: LazyMatrix, positions: Int64s, unit: int, plan: BlockPlan) -> list[Range]:
    """Return the tasks' ranges: they end at those ends of units that are next to blocks' ends."""
    length = int(positions[-1])
    step = blocks_per_task(plan, workers().n_tasks, BLOCKS_PER_REMOTE_TASK)
    wanted = positions[plan.bounds[step:-1:step]]
    inner = np.unique((wanted + unit // 2) // unit * unit)
    ends = [0, *inner[(inner > 0) & (inner < length)].tolist(), length]
    begins = np.searchsorted(positions[:-1], ends).tolist()
    begins[0], begins[-1] = 0, len(matrix)
    found = []
    for n, (start, stop) in enumerate(pairwise(ends)):
        own, last = begins[n], begins[n + 1]
        reaches_in = own > 0 and positions[own] > start
        first = own - 1 if reaches_in else own
        inside = plan.bounds[(plan.bounds > first) & (plan.bounds < last)]
        bounds = np.unique([first, *inside, last]) - first
        rows, at = matrix.part(first, last), positions[first : last + 1]
        found.append(Range(start, stop, rows, at, bounds, first, own - first))
    return found


def write_range(run: Run, arrays: MatrixArrays, piece: Range) -> States:
    """Write the range of a task and return the states of the rows that begin in it.

    Nothing that it is given is changed, so that it may be run again.
    """
    states = run.nothing()
    writer = RangeWriter(arrays, piece.start, piece.stop)
    for start, stop in pairwise(piece.bounds.tolist()):
        X = piece.matrix.load(start, stop)
        writer.append(X, piece.positions[start : stop + 1])
        own = max(start, piece.skip)
        if own < stop:
            rows = slice(piece.first + own, piece.first + stop)
            states = with_block(run, states, Block(_rows_from(X, own - start), rows))
        progress.advance(run.token, X.nnz)
        del X  # else the block would be kept while the next one is made
    writer.close()
    return states


def _rows_from(X: CSR, first: int) -> CSR:
    """Return a block without its first rows, whose arrays are views."""
    if not first:
        return X
    at = X.indptr[first]
    shape = (X.shape[0] - first, X.shape[1])
    return assemble_csr(X.data[at:], X.indices[at:], X.indptr[first:] - at, shape)
