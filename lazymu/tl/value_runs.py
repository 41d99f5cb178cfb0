"""Runs of features whose values fit some room."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from lazymu.errors import MemoryLimitError, explain
from lazymu.typing import Int64s


def runs_of_values(values: Int64s, room: int) -> list[slice]:
    """Return runs of features that have up to ``room`` values together.

    Examples
    --------
    >>> import numpy as np
    >>> runs_of_values(np.array([2, 3, 1, 5]), 5)
    [slice(0, 2, None), slice(2, 3, None), slice(3, 4, None)]
    """
    ends = np.cumsum(values)
    bounds = [0]
    while bounds[-1] < len(values):
        before = int(ends[bounds[-1] - 1]) if bounds[-1] else 0
        bounds.append(int(np.searchsorted(ends, before + room, side="right")))
    return [slice(start, stop) for start, stop in pairwise(bounds)]


def require_room(values: Int64s, room: int, bytes_per_value: int, memory_limit: int) -> None:
    """Raise where the values of one feature alone have no room.

    Raises
    ------
    MemoryLimitError
        Saying what they take.
    """
    if len(values) and (largest := int(values.max())) > room:
        raise MemoryLimitError(
            explain(
                "memory_limit",
                f"{memory_limit:,} bytes",
                f"ranking the {largest:,} values of one feature takes "
                f"{2 * largest * bytes_per_value:,}",
                "raise lazymu.settings.memory_limit, or use method='t-test'",
            )
        )
