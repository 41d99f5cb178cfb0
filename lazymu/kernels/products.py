"""Products of a sparse block ``A`` (rows, p) with tall and thin dense matrices.

``A`` is canonical CSR (indices ascend in a row), the dense operands are C-contiguous. Columns are
walked in tiles whose part of the dense operand stays in the cache: each row has a cursor that moves
on tile by tile, and no data is moved. Four values of a row are taken at a time, so that a sum is
loaded and stored once for them.
"""

from __future__ import annotations

import numpy as np

from lazymu.kernels.jit import contracting_kernel, kernel
from lazymu.typing import Array, Floats, Ints

TILE_BYTES = 1 << 18
"""Part of the dense operand that is worked on at a time; fits the L2 cache of one core."""


def tile_columns(n_cols: int, itemsize: int) -> int:
    """Return the columns of ``A`` that a tile holds, for a dense operand of ``n_cols`` columns."""
    return max(TILE_BYTES // max(n_cols * itemsize, 1), 64)


def dot(data: Array, indices: Ints, indptr: Ints, Q: Floats, out: Floats) -> None:
    """Write ``A Q`` (rows, l) to ``out``; ``Q`` is (p, l). Sums run in the dtype of ``out``."""
    tile = tile_columns(Q.shape[1], Q.itemsize)
    _dot_tiles(data.astype(out.dtype, copy=False), indices, indptr, Q, out, tile)


def t_dot_add(data: Array, indices: Ints, indptr: Ints, Y: Floats, out: Floats) -> None:
    """Add ``A' Y`` (p, l) to ``out``; ``Y`` is (rows, l). A block's own sums run in Y's dtype."""
    tile = min(tile_columns(Y.shape[1], Y.itemsize), max(len(out), 1))
    part = np.empty((tile, Y.shape[1]), Y.dtype)
    _t_dot_tiles(data.astype(Y.dtype, copy=False), indices, indptr, Y, out, part)


def gram_dot_add(data: Array, indices: Ints, indptr: Ints, Q: Floats, out: Floats) -> Floats:
    """Add ``A'(A Q)`` (p, l) to ``out`` and return ``A Q``; ``Q`` is (p, l).

    A block's own sums run in Q's dtype.
    """
    Y = np.empty((len(indptr) - 1, Q.shape[1]), Q.dtype)
    dot(data, indices, indptr, Q, Y)
    t_dot_add(data, indices, indptr, Y, out)
    return Y


@contracting_kernel
def _dot_tiles(data: Array, indices: Ints, indptr: Ints, Q: Floats, out: Floats, tile: int) -> None:
    """Write ``A Q`` to ``out``."""
    n_cols = Q.shape[1]
    cursor = indptr[:-1].copy()
    out[:] = 0
    for start in range(0, len(Q), tile):
        for i in range(len(cursor)):
            k = end = cursor[i]
            while end < indptr[i + 1] and indices[end] < start + tile:
                end += 1
            cursor[i] = end
            while k + 4 <= end:
                v0, v1, v2, v3 = data[k], data[k + 1], data[k + 2], data[k + 3]
                j0, j1, j2, j3 = indices[k], indices[k + 1], indices[k + 2], indices[k + 3]
                for c in range(n_cols):
                    out[i, c] += v0 * Q[j0, c] + v1 * Q[j1, c] + v2 * Q[j2, c] + v3 * Q[j3, c]
                k += 4
            while k < end:
                value, j = data[k], indices[k]
                for c in range(n_cols):
                    out[i, c] += value * Q[j, c]
                k += 1


@contracting_kernel
def _t_dot_tiles(
    data: Array, indices: Ints, indptr: Ints, Y: Floats, out: Floats, part: Floats
) -> None:
    """Add ``A' Y`` to ``out``; ``part`` (tile, l) is room for the sums of one tile."""
    n_cols, tile = Y.shape[1], len(part)
    cursor = indptr[:-1].copy()
    for start in range(0, len(out), tile):
        part[:] = 0
        for i in range(len(cursor)):
            k = cursor[i]
            while k < indptr[i + 1] and indices[k] < start + tile:
                value, j = data[k], indices[k] - start
                for c in range(n_cols):
                    part[j, c] += value * Y[i, c]
                k += 1
            cursor[i] = k
        for j in range(min(tile, len(out) - start)):
            for c in range(n_cols):
                out[start + j, c] += part[j, c]


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
