"""Matrices of the same cells and different features side by side: nothing is copied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lazymu.store.side_by_side import SideBySide
from lazymu.store.sources import Origin
from lazymu.stream.matrix import LazyMatrix
from lazymu.stream.steps import Astype
from lazymu.typing import CSR, Int64s


class ValuesSource:
    """The values of a lazy matrix, with its steps, as a source."""

    is_dense = False

    def __init__(self, matrix: LazyMatrix) -> None:
        self._matrix = matrix
        self.shape, self.dtype = matrix.shape, matrix.dtype
        self.origin = Origin(str(matrix.dtype), "csr_matrix")

    @property
    def indptr(self) -> Int64s:
        return np.concatenate([[0], np.cumsum(self._matrix.row_values, dtype=np.int64)])

    def window(self, first: int, stop: int) -> ValuesSource:
        """Return rows ``first`` to ``stop``."""
        return ValuesSource(self._matrix.part(first, stop))

    def read(self, start: int, stop: int) -> CSR:
        return self._matrix.load(start, stop)


def side_by_side(matrices: Sequence[LazyMatrix]) -> LazyMatrix:
    """Return matrices of the same rows side by side, as CSR of the type that holds all of them.

    Stored values keep their smaller types until they are read.
    """
    dtypes: list[np.dtype[Any]] = [matrix.dtype for matrix in matrices]
    stored = [_without_type(matrix) for matrix in matrices]
    rows = np.arange(len(matrices[0]), dtype=np.int64)
    source = SideBySide([ValuesSource(matrix) for matrix in stored], [rows] * len(stored))
    dtype = np.result_type(*dtypes)
    return LazyMatrix(source, steps=() if dtype == source.dtype else (Astype(str(dtype)),))


def _without_type(matrix: LazyMatrix) -> LazyMatrix:
    """Return a matrix without the step that widens its counts, where it has no other."""
    only = len(matrix.steps) == 1 and isinstance(matrix.steps[0], Astype)
    return matrix.counts if only else matrix
