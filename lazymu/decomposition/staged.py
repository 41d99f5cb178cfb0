"""Blocks of a matrix that are read once and kept where they fit, else read at each look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lazymu.settings import settings
from lazymu.stream import Block, LazyMatrix, Reducer, RowPieces, RowReducer, run_pass
from lazymu.stream.plan import working_bytes
from lazymu.stream.threads import for_row_blocks
from lazymu.typing import CSR


class _Kept(RowReducer[RowPieces]):
    """The blocks themselves."""

    def __init__(self, n_bytes: int) -> None:
        self.n_bytes = n_bytes

    @property
    def operand_bytes(self) -> int:
        return self.n_bytes

    def of_block(self, X: CSR) -> CSR:
        return X

    def finalize(self, state: RowPieces) -> RowPieces:
        return state


class StagedMatrix:
    """A matrix to look at more than once; `n_passes` of its looks have read it."""

    def __init__(self, matrix: LazyMatrix) -> None:
        self.matrix, self.n_passes = matrix, 0
        self._pieces: RowPieces | None = None

    @property
    def bytes_at_most(self) -> int:
        """What its blocks take in memory."""
        return self.matrix.n_values_at_most * (self.matrix.dtype.itemsize + 4)

    @property
    def fits(self) -> bool:
        """Whether the blocks leave most of the memory limit to what is done with them."""
        return self.bytes_at_most <= working_bytes(settings.memory_limit) // 3

    def look(self, *reducers: Reducer[Any, Any], label: str) -> tuple[Any, ...]:
        """Return the results of reducers: a pass, but for kept blocks after the first."""
        if self._pieces is not None:
            return fold_pieces(self._pieces, reducers)
        self.n_passes += 1
        if not self.fits:
            return run_pass(self.matrix, *reducers, label=label)
        *results, self._pieces = run_pass(
            self.matrix, *reducers, _Kept(self.bytes_at_most), label=label
        )
        return tuple(results)


def fold_pieces(pieces: RowPieces, reducers: Sequence[Reducer[Any, Any]]) -> tuple[Any, ...]:
    """Return what a pass over these blocks would give, in threads."""
    ends = np.cumsum([X.nnz for _, X in pieces], dtype=np.int64)
    shares = np.linspace(0, ends[-1] if len(ends) else 0, settings.n_threads + 1)[1:-1]
    bounds = [0, *np.searchsorted(ends, shares).tolist(), len(pieces)]

    def fold(run: int, _: int) -> list[Any]:
        states = [reducer.init() for reducer in reducers]
        for rows, X in pieces[bounds[run] : bounds[run + 1]]:
            block = Block(X, rows)
            states = [r.chunk(s, block) for r, s in zip(reducers, states, strict=True)]
        return states

    first, *others = for_row_blocks(fold, 0, settings.n_threads, 1)
    for states in others:
        first = [r.combine(a, b) for r, a, b in zip(reducers, first, states, strict=True)]
    return tuple(r.finalize(state) for r, state in zip(reducers, first, strict=True))
