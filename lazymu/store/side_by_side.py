"""Matrices of different features side by side, their rows matched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from lazymu.store.sources import MatrixSource, Origin, run_of, window
from lazymu.typing import CSR, Int64s


class SideBySide:
    """The columns of several sources, one source after the other.

    Parameters
    ----------
    sources
        Matrices with rows of their own.
    rows
        For each source, the row that stands in each row of the result, -1 where it has none.
    """

    is_dense = False

    def __init__(self, sources: Sequence[MatrixSource], rows: Sequence[Int64s]) -> None:
        self._sources, self._rows = list(sources), list(rows)
        self.shape = (len(rows[0]), sum(source.shape[1] for source in sources))
        self.dtype: np.dtype[Any] = np.result_type(*(source.dtype for source in sources))
        self.origin = Origin(str(self.dtype), "csr_matrix")

    @property
    def indptr(self) -> Int64s:
        values = np.zeros(self.shape[0], dtype=np.int64)
        for source, rows in zip(self._sources, self._rows, strict=True):
            values += np.where(rows >= 0, np.diff(source.indptr)[rows], 0)
        return np.concatenate([[0], np.cumsum(values)])

    def window(self, first: int, stop: int) -> SideBySide:
        """Return rows ``first`` to ``stop``, with what the sources have of them."""
        parts = [
            _window_of(source, rows[first:stop])
            for source, rows in zip(self._sources, self._rows, strict=True)
        ]
        return SideBySide([part for part, _ in parts], [rows for _, rows in parts])

    def read(self, start: int, stop: int) -> CSR:
        pieces = [
            _read_matched(source, rows[start:stop])
            for source, rows in zip(self._sources, self._rows, strict=True)
        ]
        X: CSR = sp.hstack(pieces, format="csr", dtype=self.dtype)
        X.has_canonical_format = True
        return X


def _window_of(source: MatrixSource, rows: Int64s) -> tuple[MatrixSource, Int64s]:
    """Return the run of a source in which some rows stand, and where in it; -1 where nowhere."""
    first, stop = run_of(rows[rows >= 0])
    return window(source, first, stop), np.where(rows >= 0, rows - first, -1)


def _read_matched(source: MatrixSource, rows: Int64s) -> CSR:
    """Read rows at any positions, empty ones where the position is -1."""
    present = rows[rows >= 0]
    if len(present) == 0:
        return sp.csr_matrix((len(rows), source.shape[1]), dtype=source.dtype)
    first, stop = run_of(present)
    span = source.read(first, stop)
    if len(present) == len(rows) and np.all(np.diff(rows) == 1):
        return span
    empty = sp.csr_matrix((1, source.shape[1]), dtype=source.dtype)
    padded: CSR = sp.vstack([span, empty], format="csr")
    picked: CSR = padded[np.where(rows >= 0, rows - first, span.shape[0])]
    return picked
