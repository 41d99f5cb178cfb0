"""Moments of each feature within batches of cells, for all batches in one pass."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lazymu.stream import Block, Reducer
from lazymu.typing import Float64s, Int64s


class Moments(NamedTuple):
    """Cells (g,), means (g, p) and sums of squared deviations (g, p) of each group."""

    n: Float64s
    mean: Float64s
    m2: Float64s

    @property
    def variance(self) -> Float64s:
        """Variances with one degree of freedom taken off, NaN for groups of one cell."""
        freedom = np.where(self.n > 1, self.n - 1, np.nan)[:, None]
        variance: Float64s = self.m2 / freedom
        return variance

    def first(self, n_groups: int) -> Moments:
        """Return the moments of the first groups."""
        return Moments(*(part[:n_groups] for part in self))

    def pooled(self) -> Moments:
        """Return the moments of all groups taken together, as one group."""
        from lazymu.kernels.moments import merge_moments

        total = self.first(1)
        for g in range(1, len(self.n)):
            total = Moments(*merge_moments(*total, *(part[g : g + 1] for part in self)))
        return total


class MomentsReducer(Reducer[Moments, Moments]):
    """Moments within groups; ``groups`` names the group of each cell, 0 to g - 1."""

    def __init__(self, groups: Int64s, n_groups: int, n_vars: int) -> None:
        self.groups, self.n_groups, self.n_vars = groups, n_groups, n_vars

    @property
    def state_bytes(self) -> int:
        # Means and deviations, and as much again with counts of zeros for a block's own.
        return 5 * 8 * self.n_groups * self.n_vars

    def init(self) -> Moments:
        shape = (self.n_groups, self.n_vars)
        return Moments(np.zeros(self.n_groups), np.zeros(shape), np.zeros(shape))

    def chunk(self, state: Moments, block: Block) -> Moments:
        from lazymu.kernels.moments import group_moments

        X = block.X
        # A block has cells of few batches, mostly of one: its moments are of these alone.
        present, local = np.unique(self.groups[block.rows], return_inverse=True)
        own = group_moments(X.data, X.indices, X.indptr, local, len(present), self.n_vars)
        return merged(state, Moments(*own), present)

    def combine(self, a: Moments, b: Moments) -> Moments:
        return merged(a, b, np.flatnonzero(b.n))

    def finalize(self, state: Moments) -> Moments:
        return state


def merged(state: Moments, part: Moments, rows: Int64s) -> Moments:
    """Return a state with groups of another one merged into its groups ``rows``, in place."""
    from lazymu.kernels.moments import merge_moments

    if len(part.n) != len(rows):
        part = Moments(*(values[rows] for values in part))
    known = Moments(*(values[rows] for values in state))
    with np.errstate(invalid="ignore"):  # of infinite values, which are refused at the end
        new = merge_moments(*known, *part)
    for values, found in zip(state, new, strict=True):
        values[rows] = found
    return state


class GroupSumsReducer(Reducer[Float64s, Float64s]):
    """Sums of each feature within groups, (g, p): exact where values are whole numbers."""

    def __init__(self, groups: Int64s, n_groups: int, n_vars: int) -> None:
        self.groups, self.shape = groups, (n_groups, n_vars)

    @property
    def state_bytes(self) -> int:
        return 8 * self.shape[0] * self.shape[1]

    def init(self) -> Float64s:
        return np.zeros(self.shape)

    def chunk(self, state: Float64s, block: Block) -> Float64s:
        from lazymu.kernels.sums import add_group_sums

        X = block.X
        add_group_sums(state, X.data, X.indices, X.indptr, self.groups[block.rows])
        return state

    def combine(self, a: Float64s, b: Float64s) -> Float64s:
        a += b
        return a

    def finalize(self, state: Float64s) -> Float64s:
        return state


class ClippedSums(NamedTuple):
    """Sums of ``y`` and ``y^2`` with ``y = min(x, clip)``, each (g, p)."""

    total: Float64s
    squares: Float64s


class ClippedReducer(Reducer[ClippedSums, ClippedSums]):
    """Sums of clipped values within groups; ``clip`` is (g, p), none of it negative."""

    def __init__(self, groups: Int64s, clip: Float64s) -> None:
        self.groups, self.clip = groups, np.ascontiguousarray(clip)

    @property
    def state_bytes(self) -> int:
        return 5 * self.clip.nbytes

    @property
    def operand_bytes(self) -> int:
        return self.clip.nbytes

    def init(self) -> ClippedSums:
        return ClippedSums(np.zeros(self.clip.shape), np.zeros(self.clip.shape))

    def chunk(self, state: ClippedSums, block: Block) -> ClippedSums:
        from lazymu.kernels.moments import clipped_sums

        X = block.X
        present, local = np.unique(self.groups[block.rows], return_inverse=True)
        own = clipped_sums(X.data, X.indices, X.indptr, local, self.clip[present])
        state.total[present] += own[0]
        state.squares[present] += own[1]
        return state

    def combine(self, a: ClippedSums, b: ClippedSums) -> ClippedSums:
        np.add(a.total, b.total, out=a.total)
        np.add(a.squares, b.squares, out=a.squares)
        return a

    def finalize(self, state: ClippedSums) -> ClippedSums:
        return state
