"""Sums of raw counts by cell and by feature, and whether they are counts at all.

The import of a matrix makes them in the pass that writes it; a selection keeps what still holds
(`SumsCache`); only what is missing costs a pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lazymu.errors import NotCountsError, explain
from lazymu.stream.passes import run_pass
from lazymu.stream.rare import RareReducer, rare_features
from lazymu.stream.reducers import Block, Reducer, RowPieces
from lazymu.typing import CSR, Array, Float64s, Int64s

if TYPE_CHECKING:
    from lazymu.stream.matrix import LazyMatrix


class CellSums(NamedTuple):
    """Sums over features, for each cell."""

    total: Float64s
    nnz: Int64s

    def take(self, index: Int64s) -> CellSums:
        """Return the sums of some cells."""
        return CellSums(self.total[index], self.nnz[index])

    def less(self, X: CSR) -> CellSums:
        """Return the sums without the entries of ``X`` (obs, some features)."""
        total = np.asarray(X.sum(axis=1, dtype=np.float64)).ravel()
        return CellSums(self.total - total, self.nnz - np.diff(X.indptr))


class FeatureSums(NamedTuple):
    """Sums over cells, for each feature."""

    total: Float64s
    nnz: Int64s

    def take(self, index: Int64s) -> FeatureSums:
        """Return the sums of some features."""
        return FeatureSums(self.total[index], self.nnz[index])


class Extremes(NamedTuple):
    """Bounds on the values, implicit zeros included."""

    minimum: float
    maximum: float
    all_finite: bool
    all_integer: bool

    @property
    def are_counts(self) -> bool:
        """Whether all values are finite and not negative."""
        return self.all_finite and self.minimum >= 0

    def merge(self, other: Extremes) -> Extremes:
        """Return the bounds over both."""
        return Extremes(
            min(self.minimum, other.minimum),
            max(self.maximum, other.maximum),
            self.all_finite and other.all_finite,
            self.all_integer and other.all_integer,
        )


class MatrixSums(NamedTuple):
    """All that one pass over raw counts tells."""

    cells: CellSums
    features: FeatureSums
    extremes: Extremes


class SumsState(NamedTuple):
    """Sums of some rows of a matrix."""

    cell_total: RowPieces
    cell_nnz: RowPieces
    feature_total: Float64s
    feature_nnz: Int64s
    extremes: Extremes


class SumsReducer(Reducer[SumsState, MatrixSums]):
    """Sums and nonzero counts by cell and by feature, and bounds on the values, in one pass."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape

    @property
    def state_bytes(self) -> int:
        return 16 * self.shape[1]

    def init(self) -> SumsState:
        n_vars = self.shape[1]
        return SumsState(
            RowPieces(),
            RowPieces(),
            np.zeros(n_vars),
            np.zeros(n_vars, dtype=np.int64),
            Extremes(0.0, 0.0, all_finite=True, all_integer=True),
        )

    def chunk(self, state: SumsState, block: Block) -> SumsState:
        return add_block(state, block.X, block.rows)

    def combine(self, a: SumsState, b: SumsState) -> SumsState:
        a.cell_total.extend(b.cell_total)
        a.cell_nnz.extend(b.cell_nnz)
        np.add(a.feature_total, b.feature_total, out=a.feature_total)
        np.add(a.feature_nnz, b.feature_nnz, out=a.feature_nnz)
        return a._replace(extremes=a.extremes.merge(b.extremes))

    def finalize(self, state: SumsState) -> MatrixSums:
        n_obs = self.shape[0]
        return MatrixSums(
            CellSums(
                state.cell_total.assemble(n_obs, (), np.float64),
                state.cell_nnz.assemble(n_obs, (), np.int64),
            ),
            FeatureSums(state.feature_total, state.feature_nnz),
            state.extremes,
        )


def add_block(state: SumsState, X: CSR, rows: slice | Array) -> SumsState:
    """Return the sums with a block of rows added (feature sums are added in place)."""
    from lazymu.kernels import sums

    state.cell_total.append((rows, sums.row_sums(X.data, X.indptr)))
    state.cell_nnz.append((rows, sums.row_nnz(X.data, X.indptr)))
    sums.add_col_sums(state.feature_total, X.data, X.indices)
    sums.add_col_nnz(state.feature_nnz, X.data, X.indices)
    if not X.nnz:
        return state
    low, high, finite, integer = sums.extremes(X.data)
    found = Extremes(float(low), float(high), bool(finite), bool(integer))
    return state._replace(extremes=state.extremes.merge(found))


def matrix_sums(matrix: LazyMatrix) -> MatrixSums:
    """Return the sums of the raw counts of a selection: from what is known, else one pass."""
    counts = matrix.counts
    cells, features = counts.cache.cells(), counts.cache.features()
    extremes = counts.cache.extremes()
    if cells is not None and features is not None and extremes is not None:
        return MatrixSums(cells, features, extremes)
    sums: MatrixSums
    bounds = counts.cache.feature_bounds()
    if bounds is None:
        (sums,) = run_pass(counts, SumsReducer(counts.shape), label="sums")
        counts.cache.fill(sums)
        return sums
    rare = RareReducer(counts.shape, rare_features(bounds))
    sums, entries = run_pass(counts, SumsReducer(counts.shape), rare, label="sums")
    # Differences of whole numbers are exact, others would leave rounding errors.
    counts.cache.fill(sums, entries if sums.extremes.all_integer else None)
    return sums


def cell_sums(matrix: LazyMatrix) -> CellSums:
    """Return the cells' sums of raw counts: known, or one pass."""
    known = matrix.cache.cells()
    return matrix_sums(matrix).cells if known is None else known


def feature_sums(matrix: LazyMatrix) -> FeatureSums:
    """Return the features' sums of raw counts: known, or one pass."""
    known = matrix.cache.features()
    return matrix_sums(matrix).features if known is None else known


def require_counts(matrix: LazyMatrix, function: str) -> None:
    """Raise where the raw values are not counts; one pass where that is not known.

    Raises
    ------
    NotCountsError
        Naming the smallest value or that some are not finite.
    """
    extremes = matrix.cache.extremes()
    require_count_values(matrix_sums(matrix).extremes if extremes is None else extremes, function)


def require_count_values(extremes: Extremes, function: str) -> None:
    """Raise where values with these bounds are not counts.

    Raises
    ------
    NotCountsError
        Naming the smallest value or that some are not finite.
    """
    if extremes.are_counts:
        return
    got = f"with values down to {extremes.minimum:g}" if extremes.all_finite else "with NaN or inf"
    raise NotCountsError(
        explain(
            "X",
            got,
            f"{function} needs a counts matrix: finite values that are not negative",
            "pass raw counts (perhaps in a layer or in .raw)",
        )
    )
