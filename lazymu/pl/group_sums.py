"""Sums and counts of features within groups of cells, in one pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from lazymu.stream import Block, Reducer
from lazymu.typing import CSR, Float64s, Int64s, Ints


class Sums(NamedTuple):
    """Tables (groups, features): how many values are above a cutoff, their sum, and that of all."""

    n_above: Float64s
    sum_above: Float64s
    sum: Float64s


class GroupSums(Reducer[Sums, Sums]):
    """Sums within groups: ``sum_i x_ij`` and ``sum_i [x_ij > cutoff]`` over the cells of a group.

    Parameters
    ----------
    codes
        (n_obs,): the group of each cell, -1 for none.
    shape
        Numbers of groups and of features.
    cutoff
        Values above it are counted.
    made
        Makes features of a block's columns, where they are not those themselves.
    """

    per_row = ("codes",)

    def __init__(
        self,
        codes: Ints,
        shape: tuple[int, int],
        cutoff: float,
        made: Callable[[CSR], CSR] | None = None,
    ) -> None:
        self.codes, self.shape, self.cutoff, self.made = codes, shape, cutoff, made

    @property
    def n_cells(self) -> Int64s:
        """Cells of each group."""
        return np.bincount(self.codes[self.codes >= 0], minlength=self.shape[0])

    @property
    def state_bytes(self) -> int:
        """Bytes of the three tables."""
        return 3 * 8 * self.shape[0] * self.shape[1]

    def init(self) -> Sums:
        """Return empty tables."""
        return Sums(np.zeros(self.shape), np.zeros(self.shape), np.zeros(self.shape))

    def chunk(self, state: Sums, block: Block) -> Sums:
        """Add a block of cells."""
        codes = block.of(self.codes)
        X = block.X if self.made is None else self.made(block.X)
        group = np.repeat(codes, np.diff(X.indptr))
        stored, values = group >= 0, X.data.astype(np.float64)
        cell = group * self.shape[1] + X.indices
        above = stored & (values > self.cutoff)
        state.n_above[...] += self._table(cell[above])
        state.sum_above[...] += self._table(cell[above], values[above])
        state.sum[...] += self._table(cell[stored], values[stored])
        if self.cutoff < 0:  # zeros, which are not stored, are above it too
            n_cells = np.bincount(codes[codes >= 0], minlength=self.shape[0])
            state.n_above[...] += n_cells[:, None] - self._table(cell[stored])
        return state

    def _table(self, cells: Ints, weights: Float64s | None = None) -> Float64s:
        table = np.bincount(cells, weights, self.shape[0] * self.shape[1])
        return table.astype(np.float64).reshape(self.shape)

    def combine(self, a: Sums, b: Sums) -> Sums:
        """Add two states."""
        return Sums(a.n_above + b.n_above, a.sum_above + b.sum_above, a.sum + b.sum)

    def finalize(self, state: Sums) -> Sums:
        """Return the tables."""
        return state
