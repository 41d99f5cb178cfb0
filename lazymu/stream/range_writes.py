"""The pass that writes a matrix: tasks load rows and write the chunks that these fill.

The pieces of a matrix's arrays are divided among tasks (:mod:`lazymu.store.parts`). A task loads
the rows that cover its own, block by block, cuts the ends, and makes the sums of those rows that
begin in it, so that sums take no pass of their own.
"""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from lazymu.settings import settings
from lazymu.store.parts import Part, PartWriter, Target
from lazymu.store.sources import assemble_csr
from lazymu.stream import progress
from lazymu.stream.compute import compute, held, n_parallel, task
from lazymu.stream.ledger import enter_pass
from lazymu.stream.matrix import LazyMatrix
from lazymu.stream.memory import return_freed
from lazymu.stream.passes import BLOCKS_PER_TASK, TASKS_PER_THREAD
from lazymu.stream.plan import BlockPlan, plan_blocks
from lazymu.stream.reducers import Block
from lazymu.stream.sums import MatrixSums, SumsReducer, SumsState
from lazymu.typing import CSR, Int64s


class RangeRun(NamedTuple):
    """What a task needs to write its range."""

    matrix: LazyMatrix
    target: Target
    bounds: Int64s
    """Row offsets of the blocks."""
    units: Int64s
    """Of each task its first unit, and the end of the last."""
    token: str

    def own_rows(self, number: int) -> tuple[int, int]:
        """Return the rows that begin in a task's range; each row begins in one."""
        positions, n_tasks = self.target.positions, len(self.units) - 1
        at = self.units[number : number + 2] * self.target.unit
        start, stop = np.searchsorted(positions[:-1], at, side="left").tolist()
        return start if number else 0, stop if number + 1 < n_tasks else len(positions) - 1

    def blocks(self, number: int) -> list[tuple[int, int]]:
        """Return the runs of rows that cover a task's range."""
        start, stop = self.own_rows(number)
        at = int(self.units[number]) * self.target.unit
        if start > 0 and self.target.positions[start] > at:
            start -= 1  # it begins in the range before and reaches into this one
        inner = self.bounds[(self.bounds > start) & (self.bounds < stop)].tolist()
        edges = [start, *inner, stop]
        return [(a, b) for a, b in pairwise(edges) if a < b]


class Written(NamedTuple):
    """What tasks have written so far."""

    sums: SumsState
    parts: tuple[Part, ...]


def write_ranges(
    matrix: LazyMatrix, target: Target, *, label: str
) -> tuple[MatrixSums, tuple[Part, ...]]:
    """Write all rows of a matrix, in tasks, and return its sums and what was written. One pass.

    Raises
    ------
    MemoryLimitError
        If sums, a chunk or shard of each array, and the largest row exceed the memory limit.
    """
    plan = range_plan(matrix, target)
    run = RangeRun(matrix, target, plan.bounds, _units(plan, target), uuid.uuid4().hex)
    enter_pass(label, plan)
    with (
        progress.reporting(run.token, label, plan.n_blocks, plan.n_values),
        _all_ended(target.token),
    ):
        (written,) = compute([_chains(run, label)])
    if plan.n_blocks > plan.n_threads:
        return_freed()
    return SumsReducer(matrix.shape).finalize(written.sums), written.parts


def range_plan(matrix: LazyMatrix, target: Target) -> BlockPlan:
    """Return the block plan of writing a matrix under the memory limit."""
    return plan_blocks(
        matrix.row_values,
        value_bytes=matrix.value_bytes,
        memory_limit=settings.memory_limit,
        n_threads=settings.n_threads,
        state_bytes=SumsReducer(matrix.shape).state_bytes + target.part_bytes,
    )


def _units(plan: BlockPlan, target: Target) -> Int64s:
    """Return the bounds of the tasks' ranges, in units, at the ends of blocks or near them."""
    per_task = plan.n_blocks // (TASKS_PER_THREAD * max(n_parallel(), 1))
    per_task = min(max(per_task, 1), BLOCKS_PER_TASK)
    ends = target.positions[plan.bounds[per_task:-1:per_task]]
    inner = np.unique((ends + target.unit // 2) // target.unit)
    inner = inner[(inner > 0) & (inner < target.n_units)]
    return np.concatenate([[0], inner, [target.n_units]]).astype(np.int64)


def _chains(run: RangeRun, label: str) -> Any:
    """Return the delayed result: a chain of tasks for each thread, as in a pass of reducers."""
    (shared,) = held([run])
    n_tasks = len(run.units) - 1
    total = None
    for chain in np.array_split(np.arange(n_tasks), min(max(n_parallel(), 1), n_tasks)):
        written = None
        for number in chain.tolist():
            written = task(label, write_range, shared, number, written)
        if total is not None:
            written = task(f"{label} merge", _merge, shared, total, written)
        total = written
    return total


def write_range(run: RangeRun, number: int, before: Written | None) -> Written:
    """Write the range of a task, and return what was written with what was ``before``.

    Nothing that it is given is changed, so that it may be run again.
    """
    with _at_work(run.target.token):
        written = _write_blocks(run, number)
    return written if before is None else _merge(run, before, written)


def _write_blocks(run: RangeRun, number: int) -> Written:
    reducer = SumsReducer(run.matrix.shape)
    sums, (own, _) = reducer.init(), run.own_rows(number)
    writer = PartWriter(run.target, *run.units[number : number + 2].tolist())
    for start, stop in run.blocks(number):
        _check_wanted(run.target.token)
        X = run.matrix.load(start, stop)
        writer.append(X, start)
        first = max(start, own)
        sums = reducer.chunk(sums, Block(_rows_from(X, first - start), slice(first, stop)))
        progress.advance(run.token, X.nnz)
        del X  # else the block would be kept while the next one is made
    return Written(sums, (writer.close(),))


def _rows_from(X: CSR, first: int) -> CSR:
    """Return a block without its first rows, whose arrays are views."""
    if not first:
        return X
    at = X.indptr[first]
    shape = (X.shape[0] - first, X.shape[1])
    return assemble_csr(X.data[at:], X.indices[at:], X.indptr[first:] - at, shape)


def _merge(run: RangeRun, a: Written, b: Written) -> Written:
    """Return what both have written; neither is changed."""
    reducer = SumsReducer(run.matrix.shape)
    sums = reducer.combine(reducer.combine(reducer.init(), a.sums), b.sums)
    return Written(sums, (*a.parts, *b.parts))


Work = Callable[[Target, Part], None]


def for_parts(work: Work, target: Target, parts: tuple[Part, ...], *, label: str) -> None:
    """Do something with the values that were written of each part, in tasks."""
    (shared,) = held([target])
    with _all_ended(target.token):
        compute([task(label, _for_part, work, shared, part) for part in parts])


def _for_part(work: Work, target: Target, part: Part) -> None:
    with _at_work(target.token):
        work(target, part)


# --- after an error -------------------------------------------------------------------------------

_tasks: Counter[str] = Counter()
"""Tasks that are writing in this process, by the token of their target."""
_unwanted: set[str] = set()
_changed = threading.Condition()


@contextmanager
def _all_ended(token: str) -> Iterator[None]:
    """On an error, wait for the tasks that still write: what they write is removed next."""
    try:
        yield
    except BaseException:
        with _changed:
            _unwanted.add(token)
            _changed.wait_for(lambda: not _tasks[token])
        raise


@contextmanager
def _at_work(token: str) -> Iterator[None]:
    with _changed:
        _check_wanted(token)
        _tasks[token] += 1
    try:
        yield
    finally:
        with _changed:
            _tasks[token] -= 1
            _changed.notify_all()


def _check_wanted(token: str) -> None:
    if token in _unwanted:
        raise RuntimeError("another task has failed, so that this one is not wanted any more")
