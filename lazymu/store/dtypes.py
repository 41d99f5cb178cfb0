"""The types that values and indices are stored in."""

from __future__ import annotations

from typing import Any

import numpy as np

from lazymu.typing import Array

INT32_VALUES = 1 << 31
UNSIGNED = (np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.uint32))


def index_dtype(n_values: int, n_vars: int) -> np.dtype[Any]:
    """Return the one signed type of `indices` and `indptr`.

    scanpy and scipy fail on unsigned types and where the two differ.

    Examples
    --------
    >>> index_dtype(10**6, 30_000), index_dtype(2**31, 30_000)
    (dtype('int32'), dtype('int64'))
    """
    narrow = n_values < INT32_VALUES and n_vars < INT32_VALUES
    return np.dtype(np.int32 if narrow else np.int64)


def narrowest(values: Array) -> np.dtype[Any]:
    """Return the smallest type that holds the values unchanged: unsigned for whole numbers.

    Examples
    --------
    >>> import numpy as np
    >>> narrowest(np.array([0.0, 300.0], "float32")), narrowest(np.array([0.5], "float32"))
    (dtype('uint16'), dtype('float32'))
    """
    from lazymu.kernels.sums import extremes

    if not len(values):
        return UNSIGNED[0]
    low, high, _, all_integer = extremes(values)
    return narrowest_for(low, high, all_integer=all_integer, dtype=values.dtype)


def narrowest_for(
    low: float, high: float, *, all_integer: bool, dtype: np.dtype[Any]
) -> np.dtype[Any]:
    """Return the smallest type for values of ``dtype`` between two bounds."""
    if all_integer and low >= 0:
        for unsigned in UNSIGNED:
            if unsigned.itemsize <= dtype.itemsize and high <= np.iinfo(unsigned).max:
                return unsigned
    return dtype


def wider(a: np.dtype[Any], b: np.dtype[Any]) -> np.dtype[Any]:
    """Return which of two types holds the values of both: unsigned ones grow into any other."""
    if a in UNSIGNED and b in UNSIGNED:
        return max(a, b, key=lambda dtype: dtype.itemsize)
    return b if a in UNSIGNED else a
