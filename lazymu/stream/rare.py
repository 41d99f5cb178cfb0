"""Entries of rare features, kept so that a filter of features leaves the cells' sums known.

A filter that drops features seen in a few cells changes the totals of those cells alone. The pass
that sums up a matrix keeps the entries of its rarest features; when these are dropped, their
share is taken off, and the cells' sums cost no pass.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lazymu.stream.columns import ColumnPicker
from lazymu.stream.reducers import RowPieces, RowReducer
from lazymu.typing import CSR, Int64s

MAX_ENTRIES = 1 << 20
"""Entries that are kept: 12 MiB."""


class RareEntries(NamedTuple):
    """The raw counts of a matrix's rarest features."""

    features: Int64s
    """Their positions, ascending."""
    X: CSR
    """(obs, features)"""

    def of(self, dropped: Int64s) -> CSR | None:
        """Return the entries of some features, None where not all are among the rare ones."""
        at = np.searchsorted(self.features, dropped)
        if np.any(at == len(self.features)) or np.any(self.features[at] != dropped):
            return None
        X: CSR = self.X[:, at]
        return X


def rare_features(at_most: Int64s) -> Int64s:
    """Return the positions of the rarest features, given bounds on their numbers of entries."""
    order = np.argsort(at_most, kind="stable")
    n_kept = int(np.searchsorted(np.cumsum(at_most[order]), MAX_ENTRIES, side="right"))
    return np.sort(order[:n_kept]).astype(np.int64)


class RareReducer(RowReducer[RareEntries]):
    """Collects the entries of some features."""

    def __init__(self, shape: tuple[int, int], features: Int64s) -> None:
        self.n_obs, self.features = shape[0], features
        self.pick = ColumnPicker(features, shape[1])

    @property
    def operand_bytes(self) -> int:
        return 12 * MAX_ENTRIES + self.pick.nbytes

    def of_block(self, X: CSR) -> CSR:
        return self.pick(X)

    def finalize(self, state: RowPieces) -> RareEntries:
        # Counts of any type; float64, as they are summed in.
        X = state.stack((self.n_obs, len(self.features)), np.float64)
        return RareEntries(self.features, X)
