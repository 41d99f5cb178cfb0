"""The block plan: which runs of cells are read together so that the memory limit holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lazymu.errors import MemoryLimitError, explain
from lazymu.typing import Int64s

BYTES_PER_VALUE = 36
"""Peak bytes for each nonzero of a block in flight, of the widest type: see `bytes_per_value`."""
INDEX_BYTES = 4
BYTES_PER_ROW = 64
MAX_VALUES = 8 << 20
"""Largest block in nonzeros: beyond it nothing gets faster, and progress gets coarse."""
BLOCKS_PER_THREAD = 4
"""Blocks at least for each thread, so that all end together, unless they would be of fewer than
`FEW_VALUES`, where tasks take as long as the work."""
FEW_VALUES = 1 << 20

RUNTIME_BYTES = 400 << 20
"""What the interpreter, the libraries and the compiled kernels take before any block is read."""


def working_bytes(memory_limit: int) -> int:
    """Return the part of a memory limit that blocks and states may take.

    The process itself takes `RUNTIME_BYTES`; under limits too small for that, half is planned with.
    """
    return max(memory_limit - RUNTIME_BYTES, memory_limit // 2)


def bytes_per_value(stored: np.dtype[Any], transformed: np.dtype[Any]) -> int:
    """Return the peak bytes for each nonzero of a block in flight.

    Values and their columns are there twice (as read, and of selected rows or columns), and the
    values in the type that they are transformed in, with four bytes for what is made of each.

    Examples
    --------
    >>> bytes_per_value(np.dtype("uint8"), np.dtype("float32"))
    18
    """
    return 2 * (stored.itemsize + INDEX_BYTES) + transformed.itemsize + 4


@dataclass(frozen=True)
class BlockPlan:
    """Runs of rows and what reading them takes."""

    bounds: Int64s
    """Row offsets of the blocks, length n_blocks + 1."""
    block_bytes: int
    """Peak bytes of the costliest block."""
    n_values: int
    """Nonzeros in all."""
    n_threads: int
    fixed_bytes: int
    """Operands and the partial results of all threads, in bytes."""

    @property
    def n_blocks(self) -> int:
        return len(self.bounds) - 1

    @property
    def projected_bytes(self) -> int:
        """Peak bytes of a pass: blocks in flight, operands and partial results."""
        return self.n_threads * self.block_bytes + self.fixed_bytes


def plan_blocks(
    row_values: Int64s,
    *,
    memory_limit: int,
    n_threads: int,
    state_bytes: int = 0,
    operand_bytes: int = 0,
    value_bytes: int = BYTES_PER_VALUE,
    max_values: int = MAX_VALUES,
) -> BlockPlan:
    """Return runs of rows such that ``n_threads`` blocks and the states of a pass fit the limit.

    Parameters
    ----------
    row_values
        Stored values of each row, in the order in which the rows are read.
    memory_limit
        Bytes that the process may take, results apart.
    n_threads
        Blocks in flight at the same time.
    state_bytes
        Bytes of one partial result; each thread holds one, and one more is made in merging two.
    operand_bytes
        Bytes that all threads share, such as a right-hand side.
    value_bytes
        Bytes for each value of a block.
    max_values
        Cap on the values of a block, which is lower where all values make few blocks.

    Raises
    ------
    MemoryLimitError
        If not even the largest row fits beside the states.

    Examples
    --------
    >>> import numpy as np
    >>> plan = plan_blocks(np.full(10, 100), memory_limit=10**6, n_threads=2, max_values=300)
    >>> plan.bounds.tolist()
    [0, 2, 4, 6, 8, 10]
    """
    fixed = (n_threads + 1) * state_bytes + operand_bytes
    room = (working_bytes(memory_limit) - fixed) // n_threads
    cost = np.asarray(row_values, dtype=np.int64) * value_bytes + BYTES_PER_ROW
    largest = int(cost.max(initial=0))
    if largest > room:
        needed = fixed + n_threads * largest + RUNTIME_BYTES
        raise MemoryLimitError(
            explain(
                "memory_limit",
                f"{memory_limit:,} bytes",
                f"this pass needs {needed:,} ({fixed:,} of them for operands and partial results)",
                f"set lazymu.settings.memory_limit to at least {needed:,} or use fewer threads",
            )
        )
    n_values = int(np.sum(row_values, dtype=np.int64))
    shared = max(n_values // (BLOCKS_PER_THREAD * n_threads), FEW_VALUES)
    budget = min(room, max(min(max_values, shared) * value_bytes, largest))
    ends = np.cumsum(cost)
    bounds = [0]
    while bounds[-1] < len(cost):
        start = bounds[-1]
        before = int(ends[start - 1]) if start else 0
        bounds.append(max(start + 1, int(np.searchsorted(ends, before + budget, side="right"))))
    offsets = np.asarray(bounds, dtype=np.int64)
    costs = np.diff(np.concatenate([[0], ends])[offsets])
    return BlockPlan(
        bounds=offsets,
        block_bytes=int(costs.max(initial=0)),
        n_values=n_values,
        n_threads=n_threads,
        fixed_bytes=fixed,
    )
