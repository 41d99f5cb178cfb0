"""A pass on a cluster that brings values together by something else than rows, on the workers.

Each task reads runs of rows and cuts them into parts; the pieces of a part, in the order of the
rows, go to the worker that joins them. They stand in the workers' memory together and never in
this process. What is lost with a worker is read again.
"""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from lazymu.stream import progress
from lazymu.stream.cluster import workers
from lazymu.stream.compute import compute, operand, task
from lazymu.stream.folds import Part
from lazymu.stream.ledger import enter_pass
from lazymu.stream.passes import storage_order
from lazymu.stream.plan import plan_blocks
from lazymu.stream.reducers import Block, RowOperands
from lazymu.typing import Array, Int64s

if TYPE_CHECKING:
    from lazymu.stream.matrix import LazyMatrix

P = TypeVar("P")
R = TypeVar("R")
CUTS_PER_SLOT = 2
"""Tasks that read, and parts, for each task that runs at a time: workers end together."""
MOST_PIECES = 1 << 15
"""Pieces at most, each of which is a task: a scheduler handles some thousand in a second."""


class Exchange(RowOperands, ABC, Generic[P, R]):
    """How blocks are cut into parts, and what is made of a part."""

    n_parts: int
    piece_bytes: int
    """Bytes of all pieces of all parts: half of what the workers have together at most."""

    @abstractmethod
    def cut(self, block: Block) -> Sequence[P]:
        """Return a block's piece of each part, arrays of its own: others can then be let go."""

    @abstractmethod
    def join(self, number: int, pieces: list[P]) -> R:
        """Return what the pieces of one part make, given in the order of the stored rows."""


def n_parts_at_most() -> int:
    """Return into how many parts an exchange is cut best."""
    crew = workers()
    return min(CUTS_PER_SLOT * crew.n_tasks, MOST_PIECES // (CUTS_PER_SLOT * crew.n_tasks) or 1)


def exchange(matrix: LazyMatrix, how: Exchange[Any, R], *, label: str) -> list[R]:
    """Return what ``how`` makes of each part of a matrix: one pass, on the workers of a cluster."""
    crew = workers()
    order = storage_order(matrix)
    part = Part(matrix if order is None else matrix[order], order)
    plan = plan_blocks(
        part.matrix.row_values,
        value_bytes=matrix.value_bytes,
        memory_limit=crew.memory_limit,
        n_threads=crew.n_threads,
        operand_bytes=how.piece_bytes * crew.n_threads // crew.n_tasks,
    )
    token = uuid.uuid4().hex
    shared = operand(how.without_rows())
    step = max(1, plan.n_blocks // (CUTS_PER_SLOT * crew.n_tasks))
    cuts = []
    for start in range(0, plan.n_blocks, step):
        bounds = plan.bounds[start : start + step + 1]
        ends = (int(bounds[0]), int(bounds[-1]))
        rows = how.rows_of(part.rows(*ends))
        own = part.cut(*ends)
        cuts.append(task(label, _cut, shared, own, bounds - bounds[0], rows, token))
    enter_pass(label, plan)
    with progress.reporting(token, label, plan.n_blocks, plan.n_values):
        joined = [
            task(f"{label} join", _join, shared, number, _pieces(cuts, number, label))
            for number in range(how.n_parts)
        ]
        return list(compute(joined))


def _pieces(cuts: Sequence[Any], number: int, label: str) -> list[Any]:
    return [task(f"{label} piece", itemgetter(number), cut) for cut in cuts]


def _cut(
    how: Exchange[P, Any], part: Part, bounds: Int64s, rows: Sequence[Array], token: str
) -> list[list[P]]:
    """Return the pieces of each part in some blocks of rows."""
    how = how.with_rows(rows)
    pieces: list[list[P]] = [[] for _ in range(how.n_parts)]
    for start, stop in pairwise(bounds.tolist()):
        block = part.block(start, stop)
        for own, piece in zip(pieces, how.cut(block), strict=True):
            own.append(piece)
        progress.advance(token, block.X.nnz)
    return pieces


def _join(how: Exchange[P, R], number: int, pieces: Sequence[Sequence[P]]) -> R:
    return how.join(number, [piece for own in pieces for piece in own])
