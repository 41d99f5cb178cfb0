"""Elementwise transforms of a block's stored values.

What is one NumPy call on ``data`` (``np.log1p(data, out=data)``) is left to NumPy.
"""

from __future__ import annotations

from lazymu.kernels.jit import kernel
from lazymu.typing import Array, Floats, Ints


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
