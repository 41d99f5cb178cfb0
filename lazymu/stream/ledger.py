"""What was read: the passes that are made within a ``with`` block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from lazymu.stream.plan import RUNTIME_BYTES, BlockPlan


class PassEntry(NamedTuple):
    """One pass over a matrix."""

    label: str
    n_values: int
    """Nonzeros read."""
    projected_bytes: int
    """Peak memory of the process that the plan allows for, results apart."""


_open: ContextVar[tuple[list[PassEntry], ...]] = ContextVar("open ledgers", default=())


@contextmanager
def recorded_passes() -> Iterator[list[PassEntry]]:
    """Yield a list that every pass within the block is entered in.

    Examples
    --------
    >>> import lazymu, numpy as np
    >>> with recorded_passes() as passes:
    ...     total = lazymu.LazyMatrix(np.eye(3)).sum()
    >>> [(entry.label, entry.n_values) for entry in passes]
    [('sum', 9)]
    """
    entries: list[PassEntry] = []
    token = _open.set((*_open.get(), entries))
    try:
        yield entries
    finally:
        _open.reset(token)


def enter_pass(label: str, plan: BlockPlan) -> None:
    """Enter a pass that begins in every open list."""
    for entries in _open.get():
        entries.append(PassEntry(label, plan.n_values, plan.projected_bytes + RUNTIME_BYTES))
