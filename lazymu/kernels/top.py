"""Sums of each cell's largest values, for ``pct_counts_in_top_k_genes``."""

from __future__ import annotations

import numpy as np

from lazymu.kernels.jit import kernel
from lazymu.typing import Array, Float64s, Int64s, Ints

SMALL = 256
"""Counts below are tallied."""


@kernel
def select_largest(values: Array, n: int, k: int) -> None:
    """Reorder ``values[:n]`` so that its ``k`` largest come first (Hoare's quickselect)."""
    low, high = 0, n - 1
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] > pivot:
                i += 1
            while values[j] < pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if k - 1 <= j:
            high = j
        elif k - 1 >= i:
            low = i
        else:
            return


def top_sums(data: Array, indptr: Ints, ks: Int64s) -> Float64s:
    """Return the sum of the ``ks[t]`` largest stored values of each row, shape (rows, len(ks)).

    ``ks`` ascends. A row with fewer values gives the sum of all: values are counts, none negative.
    """
    return (_tallied_sums if data.dtype.kind == "u" else _selected_sums)(data, indptr, ks)


@kernel
def longest_row(indptr: Ints) -> int:
    """Return the length of the longest row."""
    longest = 0
    for i in range(len(indptr) - 1):
        longest = max(longest, indptr[i + 1] - indptr[i])
    return longest


@kernel
def selected_sums(values: Array, n: int, ks: Int64s, out: Float64s) -> None:
    """Write the sums of the ``ks[t]`` largest of ``values[:n]`` to ``out``; reorder them.

    From the largest ``k`` down, each selection works on the values that the one before left in
    front, so that a row costs a few sweeps and no sort.
    """
    for t in range(len(ks) - 1, -1, -1):
        if ks[t] < n:
            select_largest(values, n, ks[t])
            n = ks[t]
        out[t] = 0.0
        for m in range(n):
            out[t] += values[m]


@kernel
def _selected_sums(data: Array, indptr: Ints, ks: Int64s) -> Float64s:
    """Return what `top_sums` does, of values of any type."""
    values = np.empty(longest_row(indptr), data.dtype)
    out = np.zeros((len(indptr) - 1, len(ks)), np.float64)
    for i in range(len(out)):
        n = indptr[i + 1] - indptr[i]
        values[:n] = data[indptr[i] : indptr[i + 1]]
        selected_sums(values, n, ks, out[i])
    return out


@kernel
def _tallied_sums(data: Array, indptr: Ints, ks: Int64s) -> Float64s:
    """Return what `top_sums` does, of whole numbers: small ones are tallied, few are large."""
    large = np.empty(longest_row(indptr), data.dtype)
    # Two tallies in turn: equal values, which are common, would wait for one another.
    tally = np.empty((2, SMALL), np.int64)
    out = np.zeros((len(indptr) - 1, len(ks)), np.float64)
    for i in range(len(out)):
        tally[:] = 0
        n_large = 0
        for k in range(np.uint64(indptr[i]), np.uint64(indptr[i + 1])):
            if data[k] < SMALL:
                tally[k & np.uint64(1), np.uint64(data[k])] += 1
            else:
                large[n_large] = data[k]
                n_large += 1
        selected_sums(large, n_large, ks, out[i])
        value, taken, total = SMALL - 1, 0, 0.0
        for t in range(len(ks)):
            left = ks[t] - n_large
            if left <= 0:
                continue
            while value > 0 and taken + tally[0, value] + tally[1, value] <= left:
                count = tally[0, value] + tally[1, value]
                taken += count
                total += value * count
                value -= 1
            out[i, t] += total + value * (left - taken if value > 0 else 0)
    return out
