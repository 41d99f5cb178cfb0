"""The tasks of a pass: blocks folded into states, and states merged into one.

In this process a chain of tasks for each thread hands a state on, so that no more states are alive
than threads work. On a cluster every task makes a state of its own, and merges form a tree: what
was lost with a worker can be made again from what others still hold, since no task changes what
it was given.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from lazymu.stream import progress
from lazymu.stream.compute import operand, task
from lazymu.stream.plan import BlockPlan
from lazymu.stream.reducers import Block, Reducer
from lazymu.typing import Array, Int64s

if TYPE_CHECKING:
    from lazymu.stream.matrix import LazyMatrix

BLOCKS_PER_TASK = 8
"""Blocks at most that one task of this process folds, so that progress is even."""
BLOCKS_PER_REMOTE_TASK = 64
"""Blocks at most that a worker folds into one state: what is done again where it is lost."""
TASKS_PER_THREAD = 4
"""Tasks at least for each thread, where there are blocks enough: threads share them evenly."""
STATES_PER_MERGE = 4

States: TypeAlias = tuple[Any, ...]


class Run(NamedTuple):
    """What all tasks of a pass need."""

    reducers: tuple[Reducer[Any, Any], ...]
    token: str

    def nothing(self) -> States:
        """Return the states of no rows."""
        return tuple(reducer.init() for reducer in self.reducers)


class Part(NamedTuple):
    """Rows of a matrix in the order of storage."""

    matrix: LazyMatrix
    order: Int64s | None
    """Which rows of the whole they are; consecutive ones from ``first`` where None."""
    first: int = 0

    def cut(self, start: int, stop: int) -> Part:
        """Return a run of the rows, with what a worker needs of it alone."""
        order = None if self.order is None else self.order[start:stop]
        return Part(self.matrix.part(start, stop), order, self.first + start)

    def rows(self, start: int, stop: int) -> slice | Int64s:
        """Return which rows of the whole a run of the rows is."""
        if self.order is None:
            return slice(self.first + start, self.first + stop)
        return self.order[start:stop]

    def block(self, start: int, stop: int) -> Block:
        """Read a run of the rows."""
        return Block(self.matrix.load(start, stop), self.rows(start, stop), slice(start, stop))


def chains(run: Run, part: Part, plan: BlockPlan, label: str, n_chains: int) -> Any:
    """Return the delayed states of a pass in this process: chains of folds, then their merges."""
    shared, everything = operand(run), operand(part)
    starts = range(0, max(plan.n_blocks, 1), blocks_per_task(plan, n_chains, BLOCKS_PER_TASK))
    total = None
    for chain in np.array_split(starts, min(n_chains, len(starts))):
        state = None
        for start in chain.tolist():
            bounds = plan.bounds[start : start + starts.step + 1]
            state = task(label, fold, shared, everything, bounds, state)
        total = state if total is None else task(f"{label} merge", combine, shared, total, state)
    return total


def tree(run: Run, part: Part, plan: BlockPlan, label: str, n_tasks: int) -> Any:
    """Return the delayed states of a pass on a cluster: folds of many blocks, merged by fours.

    A task brings what it needs of its own rows; operands are sent once to each worker.
    """
    shared = operand(run._replace(reducers=tuple(r.without_rows() for r in run.reducers)))
    states = []
    step = blocks_per_task(plan, n_tasks, BLOCKS_PER_REMOTE_TASK)
    for start in range(0, max(plan.n_blocks, 1), step):
        bounds = plan.bounds[start : start + step + 1]
        ends = (int(bounds[0]), int(bounds[-1]))
        rows = [reducer.rows_of(part.rows(*ends)) for reducer in run.reducers]
        states.append(task(label, fold_own, shared, part.cut(*ends), bounds - bounds[0], rows))
    return merge_all(shared, states, label)


def merge_all(shared: Any, states: list[Any], label: str) -> Any:
    """Return the delayed states of all rows, merged by fours; ``shared`` is the delayed run."""
    while len(states) > 1:
        states = [
            task(f"{label} merge", merge, shared, states[n : n + STATES_PER_MERGE])
            for n in range(0, len(states), STATES_PER_MERGE)
        ]
    return states[0]


def blocks_per_task(plan: BlockPlan, n_at_a_time: int, most: int) -> int:
    """Return how many blocks a task takes, given the tasks at a time, and ``most`` blocks."""
    return min(max(plan.n_blocks // (TASKS_PER_THREAD * n_at_a_time), 1), most)


def fold(run: Run, part: Part, bounds: Int64s, states: States | None = None) -> States:
    """Fold blocks into the states handed on, or into new ones."""
    if states is None:
        states = run.nothing()
    for start, stop in pairwise(bounds.tolist()):
        block = part.block(start, stop)
        states = with_block(run, states, block)
        progress.advance(run.token, block.X.nnz)
    return states


def with_block(run: Run, states: States, block: Block) -> States:
    """Return the states with a block added; they may be changed."""
    return tuple(r.chunk(s, block) for r, s in zip(run.reducers, states, strict=True))


def fold_own(run: Run, part: Part, bounds: Int64s, rows: Sequence[Sequence[Array]]) -> States:
    """Fold blocks on a worker, where ``rows`` are what each reducer has for their rows."""
    reducers = (r.with_rows(own) for r, own in zip(run.reducers, rows, strict=True))
    return fold(run._replace(reducers=tuple(reducers)), part, bounds)


def combine(run: Run, a: States, b: States) -> States:
    """Return the states of the rows of both; those of ``a`` may be changed."""
    return tuple(r.combine(x, y) for r, x, y in zip(run.reducers, a, b, strict=True))


def merge(run: Run, parts: Sequence[States]) -> States:
    """Return the states of the rows of all, which are left as they are."""
    states = run.nothing()
    for part in parts:
        states = combine(run, states, part)
    return states
