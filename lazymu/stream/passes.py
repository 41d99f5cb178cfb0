"""Passes: one read of every block of a matrix, feeding one or several reducers."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from lazymu.settings import settings
from lazymu.stream import progress
from lazymu.stream.cluster import Workers, workers
from lazymu.stream.compute import compute
from lazymu.stream.folds import Part, Run, chains, tree
from lazymu.stream.ledger import enter_pass
from lazymu.stream.memory import return_freed
from lazymu.stream.plan import BlockPlan, plan_blocks
from lazymu.stream.reducers import Block, Reducer, RowPieces, RowReducer
from lazymu.typing import CSR, Array, Int64s

if TYPE_CHECKING:
    from lazymu.stream.matrix import LazyMatrix


def run_pass(matrix: LazyMatrix, *reducers: Reducer[Any, Any], label: str) -> tuple[Any, ...]:
    """Read every block of ``matrix`` once and return the result of each reducer.

    Rows are read in the order in which they are stored, whatever the matrix's own order; a block
    says which rows of the matrix it holds. The tasks are those of :mod:`lazymu.stream.folds`, in
    threads or on the workers of the active cluster.

    Raises
    ------
    MemoryLimitError
        If the reducers' states and the largest row exceed the memory limit.
    """
    order = storage_order(matrix)
    crew = workers()
    plan = _plan(matrix, order, reducers, crew)
    part = Part(matrix if order is None else matrix[order], order)
    run = Run(reducers, uuid.uuid4().hex)
    enter_pass(label, plan)
    with progress.reporting(run.token, label, plan.n_blocks, plan.n_values):
        fold_all = tree if crew.are_remote else chains
        (states,) = compute([fold_all(run, part, plan, label, crew.n_tasks)])
    results = tuple(r.finalize(state) for r, state in zip(reducers, states, strict=True))
    if plan.n_blocks > plan.n_threads:
        return_freed()
    return results


def pass_plan(matrix: LazyMatrix, reducers: Sequence[Reducer[Any, Any]] = ()) -> BlockPlan:
    """Return the block plan of a pass with these reducers under the memory limit."""
    return _plan(matrix, storage_order(matrix), reducers, workers())


def _plan(
    matrix: LazyMatrix,
    order: Int64s | None,
    reducers: Sequence[Reducer[Any, Any]],
    crew: Workers,
) -> BlockPlan:
    values = matrix.row_values if order is None else matrix.row_values[order]
    row_bytes = sum(r.row_bytes for r in reducers)
    # Of rows, a worker has those of the tasks that it works on: a share for each of its threads.
    n_shares = crew.n_tasks // crew.n_threads if crew.are_remote else 1
    return plan_blocks(
        values,
        value_bytes=matrix.value_bytes,
        memory_limit=crew.memory_limit,
        n_threads=crew.n_threads,
        state_bytes=sum(r.state_bytes for r in reducers),
        operand_bytes=sum(r.operand_bytes for r in reducers) + row_bytes // n_shares,
    )


def storage_order(matrix: LazyMatrix) -> Int64s | None:
    """Return the rows' positions in the order of storage, None where they are in it already."""
    if matrix.rows is None or np.all(np.diff(matrix.rows) >= 0):
        return None
    return np.argsort(matrix.rows, kind="stable").astype(np.int64)


def iterate_blocks(matrix: LazyMatrix, *, label: str, held_bytes: int = 0) -> Iterator[Block]:
    """Yield the blocks of a matrix in its own order, reading one ahead: one pass.

    ``held_bytes`` are what the caller has in memory beside the blocks.
    """
    plan = plan_blocks(
        matrix.row_values,
        value_bytes=matrix.value_bytes,
        memory_limit=settings.memory_limit,
        n_threads=settings.n_threads + 1,
        operand_bytes=held_bytes,
    )
    enter_pass(label, plan)
    token = uuid.uuid4().hex
    bounds = list(zip(plan.bounds[:-1].tolist(), plan.bounds[1:].tolist(), strict=True))
    with (
        progress.reporting(token, label, plan.n_blocks, plan.n_values),
        ThreadPoolExecutor(max_workers=1) as reader,
    ):
        pending = [reader.submit(matrix.load, *bound) for bound in bounds[:1]]
        for number, (start, stop) in enumerate(bounds):
            X = pending.pop().result()
            pending = [
                reader.submit(matrix.load, *bound) for bound in bounds[number + 1 : number + 2]
            ]
            yield Block(X, slice(start, stop))
            progress.advance(token, X.nnz)


class _Gather(RowReducer[CSR]):
    """The whole matrix, as one CSR."""

    def __init__(self, matrix: LazyMatrix) -> None:
        self.shape, self.dtype = matrix.shape, matrix.dtype

    def of_block(self, X: CSR) -> CSR:
        return X

    def finalize(self, state: RowPieces) -> CSR:
        return state.stack(self.shape, self.dtype)


class _GatherDense(RowReducer[Array]):
    """The whole matrix, dense."""

    def __init__(self, matrix: LazyMatrix) -> None:
        self.shape, self.dtype = matrix.shape, matrix.dtype

    def of_block(self, X: CSR) -> Array:
        return X.toarray()

    def finalize(self, state: RowPieces) -> Array:
        return state.assemble(self.shape[0], (self.shape[1],), self.dtype)


def gather(matrix: LazyMatrix) -> CSR:
    """Return all values as one CSR matrix. One pass."""
    (X,) = run_pass(matrix, _Gather(matrix), label="read")
    return X  # type: ignore[no-any-return] # reducers of one pass differ in type


def gather_dense(matrix: LazyMatrix) -> Array:
    """Return all values as a dense array. One pass."""
    (X,) = run_pass(matrix, _GatherDense(matrix), label="read")
    return X  # type: ignore[no-any-return] # reducers of one pass differ in type
