"""Passes: one read of every block of a matrix, feeding one or several reducers."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from dask.delayed import delayed

from lazymu.settings import settings
from lazymu.stream import progress
from lazymu.stream.compute import compute, n_parallel, task
from lazymu.stream.ledger import enter_pass
from lazymu.stream.memory import return_freed
from lazymu.stream.plan import BlockPlan, plan_blocks
from lazymu.stream.reducers import Block, Reducer, RowPieces, RowReducer
from lazymu.typing import CSR, Array, Int64s

if TYPE_CHECKING:
    from lazymu.stream.matrix import LazyMatrix

BLOCKS_PER_TASK = 8
"""Blocks at most that one task folds, so that tasks are few."""
TASKS_PER_THREAD = 4
"""Tasks at least for each thread, where there are blocks enough: threads share them evenly."""


class Run(NamedTuple):
    """What a task needs to fold its blocks."""

    matrix: LazyMatrix
    order: Int64s | None
    reducers: tuple[Reducer[Any, Any], ...]
    token: str


def run_pass(matrix: LazyMatrix, *reducers: Reducer[Any, Any], label: str) -> tuple[Any, ...]:
    """Read every block of ``matrix`` once and return the result of each reducer.

    Rows are read in the order in which they are stored, whatever the matrix's own order; a block
    says which rows of the matrix it holds. Blocks are folded by tasks of `BLOCKS_PER_TASK`
    blocks, in as many chains as there are threads, whose results are merged.

    Raises
    ------
    MemoryLimitError
        If the reducers' states and the largest row exceed the memory limit.
    """
    order = storage_order(matrix)
    plan = pass_plan(matrix, reducers)
    ordered = matrix if order is None else matrix[order]
    run = Run(ordered, order, reducers, uuid.uuid4().hex)
    enter_pass(label, plan)
    with progress.reporting(run.token, label, plan.n_blocks, plan.n_values):
        (states,) = compute([_chains(run, plan, label)])
    results = tuple(r.finalize(state) for r, state in zip(reducers, states, strict=True))
    if plan.n_blocks > plan.n_threads:
        return_freed()
    return results


def pass_plan(matrix: LazyMatrix, reducers: Sequence[Reducer[Any, Any]] = ()) -> BlockPlan:
    """Return the block plan of a pass with these reducers under the memory limit."""
    order = storage_order(matrix)
    values = matrix.row_values if order is None else matrix.row_values[order]
    return plan_blocks(
        values,
        value_bytes=matrix.value_bytes,
        memory_limit=settings.memory_limit,
        n_threads=settings.n_threads,
        state_bytes=sum(r.state_bytes for r in reducers),
        operand_bytes=sum(r.operand_bytes for r in reducers),
    )


def storage_order(matrix: LazyMatrix) -> Int64s | None:
    """Return the rows' positions in the order of storage, None where they are in it already."""
    if matrix.rows is None or np.all(np.diff(matrix.rows) >= 0):
        return None
    return np.argsort(matrix.rows, kind="stable").astype(np.int64)


def _chains(run: Run, plan: BlockPlan, label: str) -> Any:
    """Return the delayed result: one chain of folds for each thread, then their merges.

    A chain hands its state on from task to task, so that no more states are alive than threads
    work; in a tree of merges, some would wait at every level.
    """
    shared = delayed(run, traverse=False, pure=False)
    n_chains = max(n_parallel(), 1)
    per_task = plan.n_blocks // (TASKS_PER_THREAD * n_chains)
    per_task = min(max(per_task, 1), BLOCKS_PER_TASK)
    starts = range(0, max(plan.n_blocks, 1), per_task)
    total = None
    for chain in np.array_split(starts, min(n_chains, len(starts))):
        state = None
        for start in chain.tolist():
            bounds = plan.bounds[start : start + per_task + 1]
            state = task(label, _fold, shared, bounds, state)
        if total is not None:
            state = task(f"{label} merge", _combine, shared, total, state)
        total = state
    return total


def _fold(run: Run, bounds: Int64s, states: tuple[Any, ...] | None) -> tuple[Any, ...]:
    """Fold blocks into the states handed on, or into new ones."""
    if states is None:
        states = tuple(reducer.init() for reducer in run.reducers)
    for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        X = run.matrix.load(start, stop)
        rows = slice(start, stop) if run.order is None else run.order[start:stop]
        block = Block(X, rows)
        states = tuple(r.chunk(s, block) for r, s in zip(run.reducers, states, strict=True))
        progress.advance(run.token, X.nnz)
    return states


def _combine(run: Run, a: tuple[Any, ...], b: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(r.combine(x, y) for r, x, y in zip(run.reducers, a, b, strict=True))


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
