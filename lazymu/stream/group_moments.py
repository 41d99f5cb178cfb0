"""Moments of each feature within groups of cells, for all groups in one pass."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lazymu.stream.reducers import Block, Reducer
from lazymu.typing import Float64s, Int64s


class GroupMoments(NamedTuple):
    """What the nonzero values of each feature in each group add up to, each (g, p)."""

    nnz: Float64s
    """How many there are."""
    total: Float64s
    """Their sum: exact where values are whole numbers."""
    m2: Float64s
    """The sum of their squared deviations from their mean; without rows where not asked for."""

    def with_zeros(self, n_cells: Float64s) -> tuple[Float64s, Float64s]:
        """Return means and sums of squared deviations over all of ``n_cells`` (g, 1) cells."""
        from lazymu.kernels.group_moments import with_zeros

        return with_zeros(*self, n_cells)


class GroupMomentsReducer(Reducer[GroupMoments, GroupMoments]):
    """Number, sum and squared deviations of each feature's nonzero values within groups of cells.

    Parameters
    ----------
    groups
        (n_obs,): the group of each cell, 0 to ``n_groups - 1``.
    n_groups, n_vars
        Numbers of groups and of features.
    squares
        Whether squared deviations are wanted, which take a third table.
    """

    per_row = ("groups",)

    def __init__(self, groups: Int64s, n_groups: int, n_vars: int, *, squares: bool = True) -> None:
        self.groups, self.shape = groups, (n_groups, n_vars)
        self.squares = squares

    @property
    def state_bytes(self) -> int:
        return (3 if self.squares else 2) * 8 * self.shape[0] * self.shape[1]

    def init(self) -> GroupMoments:
        n_squared = self.shape[0] if self.squares else 0
        return GroupMoments(
            np.zeros(self.shape), np.zeros(self.shape), np.zeros((n_squared, self.shape[1]))
        )

    def chunk(self, state: GroupMoments, block: Block) -> GroupMoments:
        from lazymu.kernels.group_moments import add_group_moments

        X = block.X
        add_group_moments(X.data, X.indices, X.indptr, block.of(self.groups), *state)
        return state

    def combine(self, a: GroupMoments, b: GroupMoments) -> GroupMoments:
        from lazymu.kernels.group_moments import merge_group_moments

        merge_group_moments(*a, *b)
        return a

    def finalize(self, state: GroupMoments) -> GroupMoments:
        return state
