"""CSC to CSR in bounded memory: count the entries of each row, then fill one run of rows at a time.

The columns may come in pieces, in ascending order, read once for the counts and once for each run.
"""

from __future__ import annotations

from lazymu.kernels.jit import kernel
from lazymu.typing import Array, Int64s, Ints


@kernel
def transpose_counts(indices: Ints, counts: Int64s) -> None:
    """Add the number of entries in each row to ``counts``; ``indices`` are row numbers."""
    for k in range(len(indices)):
        counts[indices[k]] += 1


@kernel
def transpose_fill(
    data: Array,
    indices: Ints,
    indptr: Ints,
    first_col: int,
    first_row: int,
    cursor: Int64s,
    out_data: Array,
    out_indices: Ints,
) -> None:
    """Put the entries of some columns that fall into a run of rows into their places.

    The columns are ``first_col, first_col + 1, ...``, the rows ``first_row`` and the following
    ``len(cursor)``. ``cursor[r]`` is where the next entry of row ``first_row + r`` goes; it starts
    as the run's ``indptr`` and is moved on.
    """
    for c in range(len(indptr) - 1):
        for k in range(indptr[c], indptr[c + 1]):
            r = int(indices[k]) - first_row
            if 0 <= r < len(cursor):
                at = cursor[r]
                out_data[at] = data[k]
                out_indices[at] = first_col + c
                cursor[r] = at + 1
