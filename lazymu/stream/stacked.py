"""Matrices of different cells one below the other, their features matched: nothing is copied."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp

from lazymu.errors import ArgumentError, explain
from lazymu.store.sources import MatrixSource, Origin
from lazymu.stream.columns import ColumnPicker
from lazymu.stream.joined_steps import join_steps, split_type
from lazymu.stream.matrix import LazyMatrix
from lazymu.stream.steps import Astype, Step
from lazymu.stream.sums import CellSums, FeatureSums, MatrixSums
from lazymu.typing import CSR, Int64s

Columns = Int64s | None
"""For each feature of the whole its column in a part, -1 where it has none; None where all are
the part's own, in its order."""


class StackedSource:
    """The rows of several matrices, one matrix after the other.

    Parameters
    ----------
    parts
        Matrices of raw values, without steps.
    columns
        Of each part, its columns in the whole; features that it has not are 0 in its rows.
    n_vars
        Features of the whole.
    """

    def __init__(
        self, parts: Sequence[LazyMatrix], columns: Sequence[Columns], n_vars: int
    ) -> None:
        self._pick = _pickers(parts, columns)
        self._set_rows([LazyMatrix(part.source, part.rows) for part in parts], n_vars)
        self.dtype: np.dtype[Any] = np.result_type(*(part.source.dtype for part in parts))
        self.is_dense = all(part.source.is_dense for part in parts)
        self.origin = Origin(str(self.dtype), _common([p.source.origin.encoding for p in parts]))

    def _set_rows(self, rows: list[LazyMatrix], n_vars: int) -> None:
        self._rows = rows
        self._offsets = np.cumsum([0, *(len(part) for part in rows)], dtype=np.int64)
        self.shape = (int(self._offsets[-1]), n_vars)

    def window(self, first: int, stop: int) -> StackedSource:
        """Return rows ``first`` to ``stop``, with the parts that have some of them."""
        bounds = np.clip(self._offsets, first, stop)
        own = np.flatnonzero(np.diff(bounds))
        part = copy(self)
        part._pick = [self._pick[n] for n in own]
        cuts = [(bounds[n] - self._offsets[n], bounds[n + 1] - self._offsets[n]) for n in own]
        rows = [self._rows[n].part(int(lo), int(hi)) for n, (lo, hi) in zip(own, cuts, strict=True)]
        part._set_rows(rows, self.shape[1])
        return part

    @property
    def sources(self) -> list[MatrixSource]:
        """What the rows are read from."""
        return [part.source for part in self._rows]

    @property
    def indptr(self) -> Int64s:
        """Offsets of the values that are read for each row: over all columns of its part."""
        values = [np.zeros(0, np.int64), *(part.row_values for part in self._rows)]
        return np.concatenate([[0], np.cumsum(np.concatenate(values), dtype=np.int64)])

    def read(self, start: int, stop: int) -> CSR:
        first = int(np.searchsorted(self._offsets, start, side="right")) - 1
        pieces = []
        for n in range(first, len(self._rows)):
            offset = int(self._offsets[n])
            if offset >= stop:
                break
            lo, hi = max(start - offset, 0), min(stop - offset, len(self._rows[n]))
            if lo < hi:
                pieces.append(self._read_part(n, lo, hi))
        if len(pieces) == 1:
            return pieces[0]
        if not pieces:
            return sp.csr_matrix((0, self.shape[1]), dtype=self.dtype)
        X: CSR = sp.vstack(pieces, format="csr")
        X.has_canonical_format = True
        return X

    def _read_part(self, n: int, start: int, stop: int) -> CSR:
        X, pick = self._rows[n].load(start, stop), self._pick[n]
        X = X if pick is None else pick(X)
        if X.dtype != self.dtype:
            X = X.astype(self.dtype)
            X.has_canonical_format = True
        return X


def _common(encodings: list[str]) -> str:
    """Return the encoding that all parts have had, else that of rows."""
    return encodings[0] if len(set(encodings)) == 1 else "csr_matrix"


def _pickers(parts: Sequence[LazyMatrix], columns: Sequence[Columns]) -> list[ColumnPicker | None]:
    """Return what takes each part's columns, made once for parts that are alike."""
    known: dict[tuple[int, bytes], ColumnPicker] = {}
    pickers: list[ColumnPicker | None] = []
    for part, cols in zip(parts, columns, strict=True):
        stored = _compose(part.cols, cols)
        if stored is None:
            pickers.append(None)
            continue
        key = (part.source.shape[1], stored.tobytes())
        if key not in known:
            known[key] = ColumnPicker(stored, part.source.shape[1])
        pickers.append(known[key])
    return pickers


def _compose(outer: Columns, inner: Columns) -> Columns:
    """Return the columns of a source, given those of a selection of it."""
    if outer is None or inner is None:
        return inner if outer is None else outer
    taken = np.full(len(inner), -1, dtype=np.int64)
    taken[inner >= 0] = outer[inner[inner >= 0]]
    return taken


# --- whole matrices -------------------------------------------------------------------------------


def stack(
    matrices: Sequence[LazyMatrix], columns: Sequence[Columns], n_vars: int, what: str = "X"
) -> LazyMatrix:
    """Return matrices one below the other, lazy; their steps where these are the same.

    Parameters
    ----------
    matrices
        The parts.
    columns
        Of each part, its columns in the whole.
    n_vars
        Features of the whole.
    what
        What an error calls the matrix.

    Raises
    ------
    ArgumentError
        If the steps of the parts cannot be those of one matrix.
    """
    parts = [matrix.counts for matrix in matrices]
    source = StackedSource(parts, columns, n_vars)
    steps = stacked_steps(matrices, columns, what, source.dtype)
    return LazyMatrix(source, steps=steps, sums=_sums_loader(parts, columns, n_vars))


def stacked_steps(
    matrices: Sequence[LazyMatrix], columns: Sequence[Columns], what: str, stored: np.dtype[Any]
) -> tuple[Step, ...]:
    """Return the steps of matrices one below the other, on values of the type ``stored``."""
    types, chains = zip(*(split_type(matrix) for matrix in matrices), strict=True)
    joined = join_steps([len(matrix) for matrix in matrices], chains, columns)
    if joined is None:
        names = {" -> ".join(type(s).__name__ for s in chain) or "none" for chain in chains}
        got = f"with transforms ({', '.join(sorted(names))}) that are not the same in all samples"
        rule = "what can be joined are counts, or values with the same transforms"
        fix = "set mod.X = mod.X.counts in each sample, join them, then transform the whole"
        raise ArgumentError(explain(what, got, rule, fix))
    dtype = np.result_type(*types)
    return joined if dtype == stored else (Astype(str(dtype)), *joined)


# --- sums that are known --------------------------------------------------------------------------


def _sums_loader(
    parts: Sequence[LazyMatrix], columns: Sequence[Columns], n_vars: int
) -> Callable[[], MatrixSums | None]:
    return partial(_known_sums, list(parts), list(columns), n_vars)


def _known_sums(parts: list[LazyMatrix], columns: list[Columns], n_vars: int) -> MatrixSums | None:
    """Return the sums of the whole where those of all parts are known, else None."""
    cells, total, nnz = [], np.zeros(n_vars), np.zeros(n_vars, dtype=np.int64)
    extremes = None
    for part, cols in zip(parts, columns, strict=True):
        known = _part_sums(part, cols)
        if known is None:
            return None
        place = slice(None) if cols is None else cols >= 0
        cells.append(known.cells)
        total[place] += known.features.total
        nnz[place] += known.features.nnz
        extremes = known.extremes if extremes is None else extremes.merge(known.extremes)
    if extremes is None:
        return None
    joined = CellSums(
        np.concatenate([c.total for c in cells]), np.concatenate([c.nnz for c in cells])
    )
    return MatrixSums(joined, FeatureSums(total, nnz), extremes)


def _part_sums(part: LazyMatrix, cols: Columns) -> MatrixSums | None:
    """Return the sums of a part over the features that the whole takes of it."""
    cache = part.cache
    cells, features, extremes = cache.cells(), cache.features(), cache.extremes()
    if cells is None or features is None or extremes is None:
        return None
    if cols is None:
        return MatrixSums(cells, features, extremes)
    kept = cols[cols >= 0]
    if len(kept) < part.shape[1]:
        rest = cache.cells_of(kept)
        if rest is None or not extremes.are_counts:
            return None
        cells = rest
    return MatrixSums(cells, features.take(kept), extremes)
