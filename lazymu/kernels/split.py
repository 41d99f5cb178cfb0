"""Rows of a block cut at columns: what lies before a column, row after row."""

from __future__ import annotations

from lazymu.kernels.jit import kernel
from lazymu.typing import Array, Int64s, Ints


@kernel
def take_until(
    data: Array,
    indices: Ints,
    cursor: Int64s,
    ends: Ints,
    first: int,
    stop: int,
    out_data: Array,
    out_indices: Ints,
    lengths: Ints,
) -> int:
    """Copy each row's entries from ``cursor`` to column ``stop``; return how many they are.

    ``cursor`` moves on to where the next columns begin, ``ends`` says where rows end; columns of a
    row ascend. They are renamed so that ``first`` is 0, and ``lengths`` says how many a row has.
    """
    at = 0
    for i in range(len(cursor)):
        k, end = cursor[i], ends[i]
        begin = k
        while k < end and indices[k] < stop:
            out_data[at], out_indices[at] = data[k], indices[k] - first
            k += 1
            at += 1
        cursor[i], lengths[i] = k, k - begin
    return at
