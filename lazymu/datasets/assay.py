"""Counts of one simulated assay: a Poisson-gamma model drawn at a cost that goes with the counts.

The count of feature ``j`` in cell ``i`` is negative binomial with mean ``mu = L_i p_sj`` and
variance ``mu (1 + theta_j)``, where ``L_i`` is the cell's library size and ``p_s`` the shares of
the features in the cell's state ``s`` (its program and batch). Such a count is a Poisson number of
events, each of which brings a logarithmic-series number of counts:

    events              ~ Poisson(L_i p_sj log(1 + theta_j) / theta_j)
    counts of one event ~ LogSeries(theta_j / (1 + theta_j))

The events of a whole cell are therefore one Poisson process along the features
(:mod:`lazymu.kernels.draws`), and features without events cost next to nothing.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lazymu.datasets.cells import Cells
from lazymu.settings import settings
from lazymu.store.sources import Origin, assemble_csr
from lazymu.typing import CSR, Array, Float64s, Int64s, Ints

if TYPE_CHECKING:
    from lazymu.kernels.draws import Features

# Values that a cell may have beyond their expected number, in standard deviations of a Poisson
# number: what is planned with.
_ROOM = 6.0
_LEVELS = 32  # numbers of events at which the expected number of distinct features is worked out
_NO_SINGLES = -1.0


@dataclass(frozen=True)
class SimulatedAssay:
    """The source of one assay's counts for given cells; any rows of it are always the same.

    Arrays of features are of those whose mean is not 0.
    """

    var: pd.DataFrame
    cells: Cells
    states: Int64s
    """Row of ``cumulative`` for each cell."""
    library_sizes: Float64s
    features: Ints
    """Columns of the features with counts, rising, (n_present,)."""
    cumulative: Float64s
    """(n_states, n_present): shares of the events, cumulated, in feature order."""
    events_per_count: Float64s
    """(n_states, 2): of the head and of the tail of the features."""
    tail_shares: Float64s
    """Share of a cell's counts that falls on the last ``n_tail`` features."""
    n_tail: int
    log_series: Float64s
    """(n_present,): theta / (1 + theta)."""
    single_ends: float | None
    seed: tuple[int, int]

    is_dense = False
    dtype = np.dtype(np.int32)
    origin = Origin("int32", "csr_matrix")

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of cells and features."""
        return self.cells.n_cells, len(self.var)

    @cached_property
    def events(self) -> Float64s:
        """Expected events of each cell in the head and in the tail, (n_cells, 2)."""
        shares = np.stack([1 - self.tail_shares, self.tail_shares], axis=1)
        return self.library_sizes[:, None] * shares * self.events_per_count[self.states]

    @cached_property
    def indptr(self) -> Int64s:
        """Offsets of the cells in values by estimate: more than will be drawn, but for chance."""
        total = self.events.sum(axis=1)
        levels = np.geomspace(max(total.min(), 1e-3), max(total.max(), 1e-3), _LEVELS)
        weights = np.bincount(self.states, minlength=len(self.cumulative)) / len(self.states)
        shares = np.diff(weights @ self.cumulative, prepend=0.0)
        distinct = [-np.expm1(-level * shares).sum() for level in levels]
        expected = np.interp(total, levels, distinct)
        room = np.minimum(np.ceil(expected + _ROOM * np.sqrt(expected)) + 1, len(self.features))
        return np.concatenate([[0], np.cumsum(room.astype(np.int64))])

    def read(self, start: int, stop: int) -> CSR:
        """Return the counts of some cells as int32 CSR, indices sorted; drawn on all threads."""
        from lazymu.kernels.draws import place_rows

        key, features = self._key, self._lines
        # The shares of one state stay in the processor's cache while its cells are drawn.
        order = start + np.argsort(self.states[start:stop], kind="stable")
        n_parts = min(settings.n_threads, len(order))
        parts = np.array_split(order, n_parts) if n_parts else []
        with ThreadPoolExecutor(settings.n_threads) as pool:
            drawn = list(pool.map(lambda part: self._draw(key, features, part), parts))
        lengths = np.zeros(stop - start, dtype=np.int64)
        for part, (_, _, found) in zip(parts, drawn, strict=True):
            lengths[part - start] = found
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        data, indices = (np.empty(indptr[-1], dtype=np.int32) for _ in range(2))
        for part, (values, places, _) in zip(parts, drawn, strict=True):
            place_rows(values, places, part - start, self.features, indptr, data, indices)
        shape = (stop - start, self.shape[1])
        return assemble_csr(data, indices, indptr.astype(np.int32), shape)

    def _draw(
        self, key: np.uint64, features: Features, cells: Int64s
    ) -> tuple[Array, Array, Int64s]:
        """Return values and positions among the features of some cells, one cell after another."""
        from lazymu.kernels.draws import draw_cells

        lengths = np.zeros(len(cells), dtype=np.int64)
        room = int(np.diff(self.indptr)[cells].sum())
        while True:
            data, indices = (np.empty(room, dtype=np.int32) for _ in range(2))
            n_values = draw_cells(
                key, cells, self.states, self.events, features, data, indices, lengths
            )
            if n_values >= 0:
                return data[:n_values], indices[:n_values], lengths
            room *= 2

    @cached_property
    def _key(self) -> np.uint64:
        """A number for the seed and the assay, from which each cell's generator is made."""
        return np.uint64(np.random.SeedSequence(self.seed).generate_state(1, np.uint64)[0])

    @cached_property
    def _lines(self) -> Features:
        from lazymu.kernels.draws import Features, guides

        ends, single = (1, _NO_SINGLES) if self.single_ends is None else (2, self.single_ends)
        head = len(self.features) - self.n_tail
        ones = -self.log_series / np.log1p(-self.log_series)
        lines = (self.cumulative, guides(self.cumulative))
        return Features(*lines, head, self.log_series, ones, ends, single)
