"""The Gram matrix of a sparse block."""

from __future__ import annotations

from lazymu.kernels.jit import kernel
from lazymu.typing import Array, Float64s, Ints


@kernel
def add_gram(data: Array, indices: Ints, indptr: Ints, G: Float64s) -> None:
    """Add the upper triangle of ``A' A`` (p, p) to ``G``; column indices of a row ascend."""
    for i in range(len(indptr) - 1):
        stop = indptr[i + 1]
        for a in range(indptr[i], stop):
            value, row = float(data[a]), indices[a]
            for b in range(a, stop):
                G[row, indices[b]] += value * data[b]
