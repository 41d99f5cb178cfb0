"""Numbers that each cell's row gives alone: sums over sets of features, and of the largest values.

Each is a reducer that can join any pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from lazymu.stream import RowPieces, RowReducer
from lazymu.typing import CSR, Bools, Float64s, Int64s


class PerCell(RowReducer[Float64s]):
    """``width`` numbers for each cell, (obs, width), from the rows of a block."""

    def __init__(self, n_obs: int, width: int, of_rows: Callable[[CSR], Float64s]) -> None:
        self.shape, self.of_rows = (n_obs, width), of_rows

    @property
    def operand_bytes(self) -> int:
        # The result, and its pieces before they are put together.
        return 2 * 8 * self.shape[0] * self.shape[1]

    def of_block(self, X: CSR) -> Float64s:
        return self.of_rows(X)

    def finalize(self, state: RowPieces) -> Float64s:
        return state.assemble(self.shape[0], self.shape[1:], np.float64)


def largest_values(n_obs: int, ks: Sequence[int]) -> PerCell:
    """Return the reducer of the sums of each cell's ``k`` largest values; ``ks`` ascend."""
    return PerCell(n_obs, len(ks), partial(_largest, np.asarray(ks, dtype=np.int64)))


def feature_sets(n_obs: int, masks: Bools) -> PerCell:
    """Return the reducer of each cell's sums over sets of features; ``masks`` is (var, sets)."""
    members = np.ascontiguousarray(masks, dtype=np.float64)
    return PerCell(n_obs, members.shape[1], partial(_set_sums, members))


def _largest(ks: Int64s, X: CSR) -> Float64s:
    from lazymu.kernels.top import top_sums

    return top_sums(X.data, X.indptr, ks)


def _set_sums(members: Float64s, X: CSR) -> Float64s:
    from lazymu.kernels.products import dot

    out = np.empty((X.shape[0], members.shape[1]))
    dot(X.data, X.indices, X.indptr, members, out)
    return out
