"""Columns of a block: selecting them, and putting rows into canonical form.

Canonical: column indices of a row strictly ascend, and no stored value is 0.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from lazymu.kernels.jit import kernel
from lazymu.typing import Array, Ints

Pieces: TypeAlias = tuple[Array, Ints, Ints]


@kernel
def sort_row(data: Array, indices: Ints, start: int, stop: int) -> None:
    """Sort one row by column, in place (Shell's sort, each gap about 4/9 of the one before)."""
    gap = stop - start
    while gap > 1:
        gap = max(1, gap * 4 // 9)
        for k in range(start + gap, stop):
            j, value = indices[k], data[k]
            m = k
            while m - gap >= start and indices[m - gap] > j:
                indices[m], data[m] = indices[m - gap], data[m - gap]
                m -= gap
            indices[m], data[m] = j, value


@kernel
def ascends(remap: Ints) -> bool:
    """Return whether the entries of ``remap`` that are not negative ascend."""
    last = -1
    for j in range(len(remap)):
        if remap[j] >= 0:
            if remap[j] <= last:
                return False
            last = remap[j]
    return True


@kernel
def select_cols(data: Array, indices: Ints, indptr: Ints, remap: Ints) -> Pieces:
    """Return the pieces with column ``j`` renamed to ``remap[j]``, or dropped where that is -1.

    Rows stay sorted; where ``remap`` does not ascend they are sorted anew.
    """
    # No branch depends on the data: what is dropped is written and passed over. Positions are
    # unsigned, as numba would check the sign of each.
    n_rows = len(indptr) - 1
    new_indptr = np.zeros(n_rows + 1, indptr.dtype)
    new_data = np.empty(len(data) + 1, data.dtype)
    new_indices = np.empty(len(data) + 1, indices.dtype)
    at = np.uint64(0)
    for i in range(n_rows):
        for k in range(np.uint64(indptr[i]), np.uint64(indptr[i + 1])):
            j = remap[np.uint64(indices[k])]
            new_data[at], new_indices[at] = data[k], j
            at += np.uint64(j >= 0)
        new_indptr[i + 1] = at
    kept_data, kept_indices = new_data[:at], new_indices[:at]
    if 2 * at < len(data):  # a part of a long array would keep all of it in memory
        kept_data, kept_indices = kept_data.copy(), kept_indices.copy()
    if not ascends(remap):
        for i in range(n_rows):
            sort_row(kept_data, kept_indices, new_indptr[i], new_indptr[i + 1])
    return kept_data, kept_indices, new_indptr


@kernel
def is_canonical(data: Array, indices: Ints, indptr: Ints) -> bool:
    """Return whether the columns of every row strictly ascend and no value is 0.

    Rows cover the arrays from end to end.
    """
    # Without a way out of the loops, and without rows in them, many values are compared at once.
    broken = 0
    for k in range(len(data)):
        broken += data[k] == 0
    for k in range(1, len(indices)):
        broken += indices[k] <= indices[k - 1]
    last = 0
    for i in range(1, len(indptr) - 1):
        k = indptr[i]
        if last < k < len(indices):  # where a row begins, columns may descend
            broken -= indices[k] <= indices[k - 1]
            last = k
    return broken == 0


@kernel
def make_canonical(data: Array, indices: Ints, indptr: Ints) -> Pieces:
    """Sort every row, add up values of one column, drop zeros: all in the arrays given."""
    new_indptr = np.zeros(len(indptr), indptr.dtype)
    at = 0
    for i in range(len(indptr) - 1):
        k, stop = indptr[i], indptr[i + 1]
        sort_row(data, indices, k, stop)
        while k < stop:
            j, value = indices[k], data[k]
            k += 1
            while k < stop and indices[k] == j:
                value += data[k]
                k += 1
            if value != 0:
                indices[at], data[at] = j, value
                at += 1
        new_indptr[i + 1] = at
    return data[:at], indices[:at], new_indptr


def canonical(data: Array, indices: Ints, indptr: Ints) -> Pieces:
    """Return the pieces in canonical form: the same arrays where they are so already."""
    if is_canonical(data, indices, indptr):
        return data, indices, indptr
    return make_canonical(data.copy(), indices.copy(), indptr)
