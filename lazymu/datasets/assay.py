"""Counts of one simulated assay: a Poisson-gamma model drawn at a cost that goes with the counts.

The count of feature ``j`` in cell ``i`` is negative binomial with mean ``mu = L_i p_sj`` and
variance ``mu (1 + theta_j)``, where ``L_i`` is the cell's library size and ``p_s`` the shares of
the features in the cell's state ``s`` (its program and batch). Such a count is a Poisson number of
events, each of which brings a logarithmic-series number of counts:

    events              ~ Poisson(L_i p_sj log(1 + theta_j) / theta_j)
    counts of one event ~ LogSeries(theta_j / (1 + theta_j))

The events of a whole cell are therefore one Poisson number of draws from a categorical
distribution, and features without events cost nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp

from lazymu.datasets.cells import CHUNK_CELLS, Cells
from lazymu.typing import CSR, Float64s, Int64s


@dataclass(frozen=True)
class SimulatedAssay:
    """Counts of one assay for given cells; :meth:`chunk` makes any part, always the same."""

    var: pd.DataFrame
    cells: Cells
    states: Int64s
    """Row of ``cumulative`` for each cell."""
    library_sizes: Float64s
    cumulative: Float64s
    """(n_states, n_features): shares of the events, cumulated, in feature order."""
    events_per_count: Float64s
    """(n_states, 2): of the head and of the tail of the features."""
    tail_shares: Float64s
    """Share of a cell's counts that falls on the last ``n_tail`` features."""
    n_tail: int
    log_series: Float64s
    """(n_features,): theta / (1 + theta)."""
    single_ends: float | None
    seed: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of cells and features."""
        return self.cells.n_cells, self.cumulative.shape[1]

    def chunk(self, index: int) -> CSR:
        """Return the counts of the cells of one chunk as int32 CSR, indices sorted."""
        rows = range(index * CHUNK_CELLS, min((index + 1) * CHUNK_CELLS, self.cells.n_cells))
        # A stream for each kind of draw: a cell does not depend on how many follow it in the chunk.
        events, sizes, ends = (np.random.default_rng([*self.seed, index, k]) for k in range(3))
        parts = [self._events(row, events) for row in rows]
        lengths = np.array([part.size for part in parts])
        features = np.concatenate(parts)
        values = sizes.logseries(self.log_series[features])
        if self.single_ends is not None:
            values = 2 * values - ends.binomial(values, self.single_ends)
        owners = np.repeat(np.arange(len(parts)), lengths)
        return _tally(owners, features, values, (len(parts), self.shape[1]))

    def _events(self, row: int, generator: np.random.Generator) -> Int64s:
        """Return the feature of each event of a cell, rising."""
        state, tail_share = self.states[row], self.tail_shares[row]
        shares = np.array([1 - tail_share, tail_share])
        expected = self.library_sizes[row] * shares * self.events_per_count[state]
        n_head, n_tail = generator.poisson(expected)
        cumulative = self.cumulative[state]
        split = cumulative[-self.n_tail - 1]
        u = generator.random(n_head + n_tail)
        u[:n_head] *= split
        u[n_head:] = split + u[n_head:] * (1 - split)
        u.sort()
        features: Int64s = np.searchsorted(cumulative, u, side="right")
        return features


def _tally(owners: Int64s, features: Int64s, values: Int64s, shape: tuple[int, int]) -> CSR:
    """Add up the values of equal (owner, feature); owners rise, and features within each."""
    first = np.ones(features.size, dtype=np.bool_)
    first[1:] = (features[1:] != features[:-1]) | (owners[1:] != owners[:-1])
    starts = np.flatnonzero(first)
    data = np.add.reduceat(values, starts) if starts.size else values
    indptr = np.searchsorted(owners[starts], np.arange(shape[0] + 1))
    arrays = (data.astype(np.int32), features[starts].astype(np.int32), indptr.astype(np.int32))
    return sp.csr_matrix(arrays, shape=shape)
