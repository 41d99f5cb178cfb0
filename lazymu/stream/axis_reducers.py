"""`sum`, `min` and `max` of a lazy matrix, by row, by column and over all. One pass each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from lazymu.stream.passes import run_pass
from lazymu.stream.reducers import Block, Reducer, RowPieces, RowReducer
from lazymu.typing import CSR, Array

if TYPE_CHECKING:
    from lazymu.stream.matrix import LazyMatrix


class AxisSums(np.ndarray[Any, Any]):
    """A vector of results by row or column, with the `.A1` of scipy's matrices."""

    @property
    def A1(self) -> Array:
        return np.asarray(self)


class _ByRow(RowReducer[Array]):
    """One value for each row, made from the row alone."""

    def __init__(self, shape: tuple[int, int], of_rows: Callable[[Any], Array], dtype: Any) -> None:
        self.shape, self.of_rows, self.dtype = shape, of_rows, dtype

    def of_block(self, X: CSR) -> Array:
        return self.of_rows(X)

    def finalize(self, state: RowPieces) -> Array:
        return state.assemble(self.shape[0], (), self.dtype)


class _ByColumn(Reducer["Array | None", Array]):
    """One value for each column, merged over blocks by a ufunc."""

    def __init__(self, n_vars: int, of_cols: Callable[[Any], Array], merge: np.ufunc) -> None:
        self.n_vars, self.of_cols, self.merge = n_vars, of_cols, merge

    @property
    def state_bytes(self) -> int:
        return 8 * self.n_vars

    def init(self) -> Array | None:
        return None

    def chunk(self, state: Array | None, block: Block) -> Array | None:
        return self.combine(state, self.of_cols(block.X)) if block.X.shape[0] else state

    def combine(self, a: Array | None, b: Array | None) -> Array | None:
        if a is None or b is None:
            return b if a is None else a
        merged: Array = self.merge(a, b)
        return merged

    def finalize(self, state: Array | None) -> Array:
        return np.zeros(self.n_vars) if state is None else state


def _column_sums(X: Any) -> Array:
    from lazymu.kernels.sums import add_col_sums

    out = np.zeros(X.shape[1])
    add_col_sums(out, X.data, X.indices)
    return out


def _row_sums(X: Any) -> Array:
    from lazymu.kernels.sums import row_sums

    sums: Array = row_sums(X.data, X.indptr)
    return sums


def axis_sum(matrix: LazyMatrix, axis: int | None) -> Any:
    """Return sums over an axis as float64."""
    if axis == 0:
        reducer: Reducer[Any, Array] = _ByColumn(matrix.shape[1], _column_sums, np.add)
    else:
        reducer = _ByRow(matrix.shape, _row_sums, np.float64)
    (sums,) = run_pass(matrix, reducer, label="sum")
    return float(sums.sum()) if axis is None else sums.view(AxisSums)


def axis_extreme(matrix: LazyMatrix, axis: int | None, ufunc: np.ufunc) -> Any:
    """Return minima or maxima over an axis, in the matrix's dtype."""
    name = "min" if ufunc is np.minimum else "max"

    def over(block_axis: int) -> Callable[[Any], Array]:
        return lambda X: np.asarray(getattr(X, name)(axis=block_axis).todense()).ravel()

    if axis == 1:
        reducer: Reducer[Any, Array] = _ByRow(matrix.shape, over(1), matrix.dtype)
    else:
        reducer = _ByColumn(matrix.shape[1], over(0), ufunc)
    (values,) = run_pass(matrix, reducer, label=name)
    return ufunc.reduce(values) if axis is None else values.view(AxisSums)
