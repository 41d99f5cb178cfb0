"""Sums of each cell's largest values, for ``pct_counts_in_top_k_genes``."""

from __future__ import annotations

import numpy as np

from lazymu.kernels.jit import kernel
from lazymu.typing import Array, Float64s, Int64s, Ints


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


@kernel
def top_sums(data: Array, indptr: Ints, ks: Int64s) -> Float64s:
    """Return the sum of the ``ks[t]`` largest stored values of each row, shape (rows, len(ks)).

    ``ks`` ascends. A row with fewer values gives the sum of all: values are counts, none negative.
    From the largest ``k`` down, each selection works on the values that the one before left in
    front, so that a row costs a few sweeps and no sort.
    """
    n_rows = len(indptr) - 1
    longest = 0
    for i in range(n_rows):
        longest = max(longest, indptr[i + 1] - indptr[i])
    values = np.empty(longest, data.dtype)
    out = np.zeros((n_rows, len(ks)), np.float64)
    for i in range(n_rows):
        n = indptr[i + 1] - indptr[i]
        values[:n] = data[indptr[i] : indptr[i + 1]]
        for t in range(len(ks) - 1, -1, -1):
            if ks[t] < n:
                select_largest(values, n, ks[t])
                n = ks[t]
            total = 0.0
            for m in range(n):
                total += values[m]
            out[i, t] = total
    return out
