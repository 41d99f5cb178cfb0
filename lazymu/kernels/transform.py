"""Elementwise transforms of a block's stored values.

What is one NumPy call on ``data`` (``np.log1p(data, out=data)``) is left to NumPy.
"""

from __future__ import annotations

import numpy as np

from lazymu.kernels.jit import kernel
from lazymu.typing import Array, Floats, Ints

TABLE = 8
"""Counts below this take their logarithm from a table that is made once for each cell."""


@kernel
def scale_rows(data: Array, indptr: Ints, factor: Floats) -> None:
    """Multiply row ``i`` by ``factor[i]``, in place."""
    for i in range(len(indptr) - 1):
        f = factor[i]
        for k in range(indptr[i], indptr[i + 1]):
            data[k] *= f


@kernel
def scale_cols(data: Array, indices: Ints, factor: Floats) -> None:
    """Multiply column ``j`` by ``factor[j]``, in place."""
    for k in range(len(data)):
        data[k] *= factor[indices[k]]


@kernel
def log1p_scaled(counts: Array, indptr: Ints, factor: Floats, out: Floats) -> None:
    """Write ``log(1 + counts * factor[row])`` to ``out`` (which may be ``counts``).

    Most counts are small whole numbers, and a logarithm costs as much as reading the value: those
    below ``TABLE`` share one logarithm for each cell and count.
    """
    table = np.empty(TABLE, np.float64)
    known = np.empty(TABLE, np.bool_)
    for i in range(len(indptr) - 1):
        f = factor[i]
        known[:] = False
        for k in range(indptr[i], indptr[i + 1]):
            value = counts[k]
            if 0 <= value < TABLE and value == int(value):
                c = int(value)
                if not known[c]:
                    table[c] = np.log1p(c * f)
                    known[c] = True
                out[k] = table[c]
            else:
                out[k] = np.log1p(value * f)
