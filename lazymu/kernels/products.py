"""Products of a sparse block ``A`` (rows, p) with tall and thin dense matrices.

``A`` is canonical CSR (indices ascend in a row), the dense operands are C-contiguous. Columns are
walked in tiles whose part of the dense operand stays in the cache: each row has a cursor that moves
on tile by tile, and no data is moved. Dense matrices of a multiple of 16 columns are taken as they
are, others copied; they go a quarter faster if their memory begins on a cache line.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lazymu.kernels.jit import kernel
from lazymu.kernels.panels import PANEL, gather_rows, scatter_row
from lazymu.typing import Array, Floats, Ints

TILE_BYTES = 1 << 18
"""Part of the dense operand that is worked on at a time; fits the L2 cache of one core."""
CACHE_LINE = 64


def aligned(shape: tuple[int, int], dtype: npt.DTypeLike) -> Floats:
    """Return an empty matrix whose memory begins on a cache line."""
    n_bytes = shape[0] * shape[1] * np.dtype(dtype).itemsize
    memory = np.empty(n_bytes + CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % CACHE_LINE
    matrix: Floats = memory[start : start + n_bytes].view(dtype).reshape(shape)
    return matrix


def padded_columns(n_cols: int) -> int:
    """Return the next multiple of the columns that are worked on at a time."""
    return -(-n_cols // PANEL) * PANEL


def tile_columns(n_cols: int, itemsize: int) -> int:
    """Return the columns of ``A`` that a tile holds, for a dense operand of ``n_cols`` columns."""
    return max(TILE_BYTES // max(n_cols * itemsize, 1), 64)


def dot(data: Array, indices: Ints, indptr: Ints, Q: Floats, out: Floats) -> None:
    """Write ``A Q`` (rows, l) to ``out``; ``Q`` is (p, l). Sums run in the dtype of ``out``."""
    Q = _padded(Q, out.dtype)
    whole = out.shape[1] == Q.shape[1] and out.flags.c_contiguous
    Y = out if whole else aligned((len(out), Q.shape[1]), out.dtype)
    tile = tile_columns(Q.shape[1], Q.itemsize)
    _dot_tiles(data.astype(Q.dtype, copy=False), indices, indptr, Q, Y, tile)
    if not whole:
        out[:] = Y[:, : out.shape[1]]


def t_dot_add(data: Array, indices: Ints, indptr: Ints, Y: Floats, out: Floats) -> None:
    """Add ``A' Y`` (p, l) to ``out``; ``Y`` is (rows, l). A block's own sums run in Y's dtype."""
    Y = _padded(Y, Y.dtype)
    tile = min(tile_columns(Y.shape[1], Y.itemsize), max(len(out), 1))
    part = aligned((tile, Y.shape[1]), Y.dtype)
    _t_dot_tiles(data.astype(Y.dtype, copy=False), indices, indptr, Y, out, part)


def gram_dot_add(data: Array, indices: Ints, indptr: Ints, Q: Floats, out: Floats) -> Floats:
    """Add ``A'(A Q)`` (p, l) to ``out`` and return ``A Q``; ``Q`` is (p, l).

    A block's own sums run in Q's dtype.
    """
    Y = aligned((len(indptr) - 1, Q.shape[1]), Q.dtype)
    dot(data, indices, indptr, Q, Y)
    t_dot_add(data, indices, indptr, Y, out)
    return Y


def _padded(Q: Floats, dtype: npt.DTypeLike) -> Floats:
    """Return a matrix of some dtype with columns of zeros after its own, up to whole panels."""
    n_cols = padded_columns(Q.shape[1])
    if n_cols == Q.shape[1]:
        return np.ascontiguousarray(Q, dtype)
    wide = aligned((len(Q), n_cols), dtype)
    wide[:, : Q.shape[1]] = Q
    wide[:, Q.shape[1] :] = 0
    return wide


@kernel
def _advance(cursor: Ints, i: int, indices: Ints, indptr: Ints, column: int) -> tuple[int, int]:
    """Move the cursor of row ``i`` on to a column; return where it was and where it is."""
    k = end = cursor[i]
    while end < indptr[i + 1] and indices[end] < column:
        end += 1
    cursor[i] = end
    return k, end


@kernel
def _dot_tiles(data: Array, indices: Ints, indptr: Ints, Q: Floats, out: Floats, tile: int) -> None:
    """Write ``A Q`` to ``out``; both have whole panels."""
    n_cols = Q.shape[1]
    cursor = indptr[:-1].copy()
    out[:] = 0
    for start in range(0, len(Q), tile):
        for i in range(len(cursor)):
            k, end = _advance(cursor, i, indices, indptr, start + tile)
            c = 0
            while c + 64 <= n_cols:
                gather_rows(out, i, data, indices, k, end, Q, c, 64)
                c += 64
            while c < n_cols:
                gather_rows(out, i, data, indices, k, end, Q, c, 16)
                c += 16


@kernel
def _t_dot_tiles(
    data: Array, indices: Ints, indptr: Ints, Y: Floats, out: Floats, part: Floats
) -> None:
    """Add ``A' Y`` to ``out``; ``part`` (tile, l) is room for the sums of one tile.

    ``Y`` and ``part`` have whole panels, ``out`` may have fewer columns.
    """
    n_cols, tile = Y.shape[1], len(part)
    cursor = indptr[:-1].copy()
    for start in range(0, len(out), tile):
        part[:] = 0
        for i in range(len(cursor)):
            k, end = _advance(cursor, i, indices, indptr, start + tile)
            c = 0
            while c + 64 <= n_cols:
                scatter_row(part, start, data, indices, k, end, Y, i, c, 64)
                c += 64
            while c < n_cols:
                scatter_row(part, start, data, indices, k, end, Y, i, c, 16)
                c += 16
        for j in range(min(tile, len(out) - start)):
            for c in range(out.shape[1]):
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
