"""What rank tests between groups of cells are made of: sums of ranks, and columns gathered.

``groups`` names the group of each cell, 0 to g - 1. A *column* holds the nonzero values of one
feature and the groups of their cells; the zeros are known by number only.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from lazymu.kernels.jit import kernel
from lazymu.typing import Array, Float64s, Int64s, Ints

Keys: TypeAlias = Array
"""uint64: the order of a value in the upper half, the group of its cell in the lower."""
ZERO_LEVEL = np.uint64(1 << 31)
"""Upper half of the key of value 0."""


@kernel
def place_columns(
    data: Array,
    codes: Ints,
    indptr: Ints,
    cursor: Int64s,
    out_data: Array,
    out_codes: Ints,
) -> None:
    """Put the columns of one piece where ``cursor`` says, and move it on.

    ``codes`` are the groups of the cells that ``data`` stands for.
    """
    for j in range(len(indptr) - 1):
        at = cursor[j]
        for k in range(indptr[j], indptr[j + 1]):
            out_data[at], out_codes[at] = data[k], codes[k]
            at += 1
        cursor[j] = at


@kernel
def column_sums(data: Array, codes: Ints, indptr: Int64s, sums: Float64s, nnz: Int64s) -> None:
    """Add the columns' values and numbers of values to ``sums`` and ``nnz``, both (g, p)."""
    for j in range(len(indptr) - 1):
        for k in range(indptr[j], indptr[j + 1]):
            sums[codes[k], j] += data[k]
            nnz[codes[k], j] += 1


def sorted_keys(values: Array, codes: Ints) -> Keys:
    """Return the sorted keys of one column; equal values have equal upper halves.

    The bits of a float32 order as its value does after flipping the sign bit, or all bits where it
    is set; wider values take their rank among the distinct ones instead.
    """
    if values.dtype.kind in "iu" and values.dtype.itemsize <= 2:
        values = values.astype(np.float32)  # exact
    if values.dtype == np.float32:
        bits = values.view(np.uint32)
        level = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31)).astype(np.uint64)
    else:
        distinct, rank = np.unique(values, return_inverse=True)
        n_negative = np.searchsorted(distinct, 0)
        level = (rank - n_negative + (rank >= n_negative)).astype(np.uint64) + ZERO_LEVEL
    keys: Keys = (level << np.uint64(32)) | codes.astype(np.uint64)
    keys.sort()
    return keys


@kernel
def rank_sums(keys: Keys, zeros: Int64s, members: Array, sums: Float64s) -> float:
    """Add each group's ranks in one column to ``sums`` (g,) and return the sum of ``t^3 - t``.

    Only groups with ``members[g]`` are ranked, against one another. ``t`` cells with equal values
    share the mean of their ranks; ``zeros[g]`` cells of group ``g`` have the value 0.
    """
    n_zeros = 0
    for g in range(len(zeros)):
        n_zeros += zeros[g] if members[g] else 0
    below, ties, k = 0, 0.0, 0
    zeros_due = n_zeros > 0
    while k < len(keys) or zeros_due:
        level = keys[k] >> np.uint64(32) if k < len(keys) else ZERO_LEVEL
        if zeros_due and level >= ZERO_LEVEL:
            rank = below + (n_zeros + 1) / 2
            for g in range(len(zeros)):
                if members[g]:
                    sums[g] += rank * zeros[g]
            ties += float(n_zeros) ** 3 - n_zeros
            below += n_zeros
            zeros_due = False
            continue
        start, t = k, 0
        while k < len(keys) and keys[k] >> np.uint64(32) == level:
            t += members[keys[k] & np.uint64(0xFFFFFFFF)]
            k += 1
        rank = below + (t + 1) / 2
        for m in range(start, k):
            g = keys[m] & np.uint64(0xFFFFFFFF)
            if members[g]:
                sums[g] += rank
        ties += float(t) ** 3 - t
        below += t
    return ties
