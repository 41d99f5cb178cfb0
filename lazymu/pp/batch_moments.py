"""Moments and clipped sums of each feature within batches of cells."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lazymu.stream import Block, GroupMoments, Reducer
from lazymu.typing import Float64s, Int64s


class Moments(NamedTuple):
    """Cells (g,), means (g, p) and sums of squared deviations (g, p) of each group."""

    n: Float64s
    mean: Float64s
    m2: Float64s

    @classmethod
    def of(cls, found: GroupMoments, groups: Int64s) -> Moments:
        """Return the moments over all cells of each group from those of the nonzero values."""
        n = np.bincount(groups, minlength=len(found.nnz)).astype(np.float64)
        return cls(n, *found.with_zeros(n[:, None]))

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


class ClippedSums(NamedTuple):
    """Sums of ``y`` and ``y^2`` with ``y = min(x, clip)``, each (g, p)."""

    total: Float64s
    squares: Float64s


class ClippedReducer(Reducer[ClippedSums, ClippedSums]):
    """Sums of clipped values within groups; ``clip`` is (g, p), none of it negative."""

    per_row = ("groups",)

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
        present, local = np.unique(block.of(self.groups), return_inverse=True)
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
