"""Sums, nonzero counts and extremes of a block.

Positions are unsigned where that lets the compiler add up many values at once: numba would check
the sign of others.
"""

from __future__ import annotations

import numpy as np

from lazymu.kernels.jit import kernel
from lazymu.typing import Array, Float64s, Int64s, Ints


def row_sums(data: Array, indptr: Ints) -> Float64s:
    """Return the sum of each row, float64."""
    exact = data.dtype.kind in "iu" and data.dtype != np.uint64
    return _row_sums(data, indptr, np.int64(0) if exact else np.float64(0))


@kernel
def _row_sums(data: Array, indptr: Ints, zero: np.int64 | np.float64) -> Float64s:
    """Return the sums of rows, added up in the type of ``zero``: whole numbers many at a time."""
    out = np.zeros(len(indptr) - 1, np.float64)
    for i in range(len(out)):
        total = zero
        for k in range(np.uint64(indptr[i]), np.uint64(indptr[i + 1])):
            total += data[k]
        out[i] = total
    return out


@kernel
def row_nnz(data: Array, indptr: Ints) -> Int64s:
    """Return the number of values other than 0 in each row."""
    out = np.zeros(len(indptr) - 1, np.int64)
    for i in range(len(out)):
        n = 0
        for k in range(np.uint64(indptr[i]), np.uint64(indptr[i + 1])):
            n += data[k] != 0
        out[i] = n
    return out


@kernel
def add_col_sums(out: Float64s, data: Array, indices: Ints) -> None:
    """Add the sum of each column to ``out``."""
    for k in range(len(data)):
        out[np.uint64(indices[k])] += data[k]


@kernel
def add_col_nnz(out: Int64s, data: Array, indices: Ints) -> None:
    """Add the number of values other than 0 in each column to ``out``."""
    for k in range(len(data)):
        out[np.uint64(indices[k])] += data[k] != 0


def extremes(data: Array) -> tuple[float, float, bool, bool]:
    """Return minimum, maximum, whether all are finite, and whether all are whole numbers.

    NaN takes no part in minimum and maximum; without any other value they are ``inf, -inf``.
    """
    if data.dtype.kind in "iu" and len(data):
        return float(data.min()), float(data.max()), True, True
    return _extremes(data)


@kernel
def _extremes(data: Array) -> tuple[float, float, bool, bool]:
    """Return what `extremes` does, of values of any type."""
    minimum, maximum = np.inf, -np.inf
    all_finite = all_integer = True
    for k in range(len(data)):
        value = np.float64(data[k])
        minimum = min(minimum, value) if value == value else minimum
        maximum = max(maximum, value) if value == value else maximum
        if not np.isfinite(value):
            all_finite = all_integer = False
        elif value != np.floor(value):
            all_integer = False
    return minimum, maximum, all_finite, all_integer
