"""Dense algebra on tall and thin matrices (var, l), by runs of rows in threads.

Everything is a product with a small matrix: a Gram matrix and its eigenvectors make columns
orthonormal at a tenth of the time of a QR or SVD of the tall matrix, and nothing large is made.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from lazymu.stream.threads import for_row_blocks, one_native_thread
from lazymu.typing import Array, Float64s, Floats

RUN_ROWS = 1 << 13
"""Rows at a time: temporary copies in float64 stay at a few megabytes."""
CONSTANT = 1e-7
"""Deviations of a column below this share of its mean are rounding errors of float32."""
DEPENDENT = 1e-7
"""Columns shorter than this share of the longest are rounding errors of a Gram matrix."""


def double(A: Array) -> Float64s:
    """Return values as float64; themselves where they are."""
    return A.astype(np.float64, copy=False)


def cross(A: Floats, B: Floats) -> Float64s:
    """Return ``A'B``, summed in float64."""

    def over_run(start: int, stop: int) -> Float64s:
        return double(A[start:stop]).T @ double(B[start:stop])

    zero = np.zeros((A.shape[1], B.shape[1]))
    return sum(for_row_blocks(over_run, 0, len(A), RUN_ROWS), zero)


def column_moments(A: Floats) -> tuple[Float64s, Float64s]:
    """Return mean and standard deviation (ddof 0) of each column, in float64.

    The deviation of a column that is constant but for rounding is 0.
    """

    def over_run(start: int, stop: int) -> Float64s:
        squares: Float64s = ((double(A[start:stop]) - mean) ** 2).sum(axis=0)
        return squares

    mean = A.mean(axis=0, dtype=np.float64)
    total = sum(for_row_blocks(over_run, 0, len(A), RUN_ROWS), np.zeros(A.shape[1]))
    std = np.sqrt(total / max(len(A), 1))
    return mean, np.where(std > CONSTANT * np.abs(mean), std, 0)


def subtract_product(R: Floats, A: Floats, C: Float64s) -> None:
    """Take ``A C`` from ``R``, in place."""

    def from_run(start: int, stop: int) -> None:
        R[start:stop] -= (double(A[start:stop]) @ C).astype(R.dtype, copy=False)

    for_row_blocks(from_run, 0, len(R), RUN_ROWS)


def add_blocks(out: Floats, blocks: Iterable[Floats], Y: Float64s) -> None:
    """Add ``[A_1 A_2 ...] Y`` to ``out``, in place."""
    start = 0
    for A in blocks:
        subtract_product(out, A, -Y[start : start + A.shape[1]])
        start += A.shape[1]


def orthonormal(X: Floats, *, floor: float = 0.0) -> Floats:
    """Return an orthonormal basis (var, r) of the columns of ``X`` in float32.

    Directions shorter than ``floor``, or than `DEPENDENT` of the longest, are left out.
    """
    columns = _whitened(X, floor)
    # Once more: what rounding of the first Gram matrix left oblique.
    return _whitened(columns, 0.0) if columns.shape[1] else columns


def _whitened(X: Floats, floor: float) -> Floats:
    inner = cross(X, X)
    with one_native_thread():
        squares, V = np.linalg.eigh(inner)
    lengths = np.sqrt(np.maximum(squares, 0))
    kept = lengths > max(floor, DEPENDENT * lengths[-1])
    out = np.zeros((len(X), int(kept.sum())), dtype=np.float32)
    subtract_product(out, X, -V[:, kept] / lengths[kept])
    return out
