"""Checks of arguments that the graph functions share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lazymu.errors import ArgumentError, explain
from lazymu.typing import Array, Floats


def require_choice(argument: str, value: str, choices: Sequence[str]) -> None:
    """Raise ArgumentError unless ``value`` is one of ``choices``."""
    if value not in choices:
        rule = f"it must be one of {', '.join(map(repr, choices))}"
        raise ArgumentError(explain(argument, repr(value), rule, "pass one of these"))


def require_at_least(argument: str, value: int, least: int) -> None:
    """Raise ArgumentError if ``value`` is below ``least``."""
    if value < least:
        rule = f"it must be {least} or more"
        raise ArgumentError(explain(argument, value, rule, f"pass {argument}={least} or more"))


def as_embedding(X: Array, argument: str = "X") -> Floats:
    """Return ``X`` as a C-contiguous matrix of floats with at least two rows.

    Raises
    ------
    ArgumentError
        If it is no such matrix, or holds NaN or infinity.
    """
    matrix = np.asarray(X)
    if matrix.ndim != 2 or len(matrix) < 2 or matrix.shape[1] < 1:
        got, rule = f"of shape {matrix.shape}", "it must be a matrix of two or more cells"
        raise ArgumentError(
            explain(argument, got, rule, "pass cells as rows, components as columns")
        )
    if matrix.dtype not in (np.float32, np.float64):
        matrix = matrix.astype(np.float64)
    if not np.isfinite(matrix).all():
        got, rule = "not finite everywhere", "distances to NaN or infinity have no order"
        raise ArgumentError(
            explain(argument, got, rule, "drop the cells or components that hold them")
        )
    return np.ascontiguousarray(matrix)
