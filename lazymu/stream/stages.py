"""The stage of a workflow that work belongs to: tasks, bars and logs carry its name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_stage: ContextVar[str] = ContextVar("stage", default="")


@contextmanager
def named_stage(label: str) -> Iterator[None]:
    """Let what is made within a ``with`` block carry a stage's name: Dask's tasks, and ticks.

    Examples
    --------
    >>> with named_stage("RNA embedding"):
    ...     stage_name()
    'RNA embedding'
    """
    token = _stage.set(label)
    try:
        yield
    finally:
        _stage.reset(token)


def stage_name() -> str:
    """Return the name of the stage that is under way, an empty string outside of any."""
    return _stage.get()
