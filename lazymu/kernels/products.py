"""Products of a sparse block ``A`` (rows, p) with tall and thin dense matrices.

The dense operands are C-contiguous; sums run in the dtype of ``out``.
"""

from __future__ import annotations

import numpy as np

from lazymu.kernels.jit import kernel
from lazymu.typing import Array, Floats, Ints


@kernel
def dot(data: Array, indices: Ints, indptr: Ints, Q: Floats, out: Floats) -> None:
    """Write ``A Q`` (rows, l) to ``out``; ``Q`` is (p, l)."""
    n_cols = Q.shape[1]
    for i in range(len(indptr) - 1):
        for c in range(n_cols):
            out[i, c] = 0
        for k in range(indptr[i], indptr[i + 1]):
            value, j = data[k], indices[k]
            for c in range(n_cols):
                out[i, c] += value * Q[j, c]


@kernel
def t_dot_add(data: Array, indices: Ints, indptr: Ints, Y: Floats, out: Floats) -> None:
    """Add ``A' Y`` (p, l) to ``out``; ``Y`` is (rows, l)."""
    n_cols = Y.shape[1]
    for i in range(len(indptr) - 1):
        for k in range(indptr[i], indptr[i + 1]):
            value, j = data[k], indices[k]
            for c in range(n_cols):
                out[j, c] += value * Y[i, c]


@kernel
def gram_dot_add(data: Array, indices: Ints, indptr: Ints, Q: Floats, out: Floats) -> None:
    """Add ``A'(A Q)`` (p, l) to ``out``, one row at a time; ``Q`` is (p, l)."""
    n_cols = Q.shape[1]
    y = np.empty(n_cols, out.dtype)
    for i in range(len(indptr) - 1):
        y[:] = 0
        for k in range(indptr[i], indptr[i + 1]):
            value, j = data[k], indices[k]
            for c in range(n_cols):
                y[c] += value * Q[j, c]
        for k in range(indptr[i], indptr[i + 1]):
            value, j = data[k], indices[k]
            for c in range(n_cols):
                out[j, c] += value * y[c]


@kernel
def dot_vector(
    data: Array, indices: Ints, indptr: Ints, start: int, stop: int, x: Floats, out: Floats
) -> None:
    """Write ``A x`` for rows ``start`` to ``stop`` to those entries of ``out``."""
    for i in range(start, stop):
        total = 0.0
        for k in range(indptr[i], indptr[i + 1]):
            total += data[k] * x[indices[k]]
        out[i] = total


@kernel
def t_dot_vector_add(
    data: Array, indices: Ints, indptr: Ints, start: int, stop: int, y: Floats, out: Floats
) -> None:
    """Add ``A' y`` over rows ``start`` to ``stop`` to ``out`` (p,)."""
    for i in range(start, stop):
        for k in range(indptr[i], indptr[i + 1]):
            out[indices[k]] += data[k] * y[i]


@kernel
def gram_dot_vector_add(
    data: Array, indices: Ints, indptr: Ints, start: int, stop: int, x: Floats, out: Floats
) -> None:
    """Add ``A'(A x)`` over rows ``start`` to ``stop`` to ``out`` (p,), one row at a time."""
    for i in range(start, stop):
        y = 0.0
        for k in range(indptr[i], indptr[i + 1]):
            y += data[k] * x[indices[k]]
        for k in range(indptr[i], indptr[i + 1]):
            out[indices[k]] += data[k] * y
