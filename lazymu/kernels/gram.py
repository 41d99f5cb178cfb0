"""The Gram matrix of a sparse block."""

from __future__ import annotations

from lazymu.kernels.jit import contracting_kernel
from lazymu.typing import Array, Float64s, Ints

TILE_BYTES = 1 << 19
"""Rows of the Gram matrix that are worked on at a time; they fit the L2 cache of one core."""


def add_gram(data: Array, indices: Ints, indptr: Ints, G: Float64s) -> None:
    """Add the upper triangle of ``A' A`` (p, p) to ``G``; column indices of a row ascend."""
    _add_tiles(data, indices, indptr, G, max(TILE_BYTES // max(G.itemsize * len(G), 1), 4))


@contracting_kernel
def _add_tiles(data: Array, indices: Ints, indptr: Ints, G: Float64s, tile: int) -> None:
    """Add to ``tile`` rows of ``G`` at a time, each row of ``A`` with a cursor.

    Four values of a row are taken at once, so that the values that they meet are loaded once.
    """
    cursor = indptr[:-1].copy()
    for start in range(0, len(G), tile):
        for i in range(len(cursor)):
            a, end, stop = cursor[i], cursor[i], indptr[i + 1]
            while end < stop and indices[end] < start + tile:
                end += 1
            cursor[i] = end
            while a + 4 <= end:
                for r in range(a, a + 4):
                    for b in range(r, a + 4):
                        G[indices[r], indices[b]] += float(data[r]) * data[b]
                v0, v1 = float(data[a]), float(data[a + 1])
                v2, v3 = float(data[a + 2]), float(data[a + 3])
                j0, j1, j2, j3 = indices[a], indices[a + 1], indices[a + 2], indices[a + 3]
                for b in range(a + 4, stop):
                    j, value = indices[b], float(data[b])
                    G[j0, j] += v0 * value
                    G[j1, j] += v1 * value
                    G[j2, j] += v2 * value
                    G[j3, j] += v3 * value
                a += 4
            while a < end:
                value, j0 = float(data[a]), indices[a]
                for b in range(a, stop):
                    G[j0, indices[b]] += value * data[b]
                a += 1
