"""Sums of a matrix's values: of raw counts where they are known, else in the pass that is run.

What is known of a matrix (`lazymu.stream.sums`) is about its raw counts. Values that steps have
transformed are summed anew.
"""

from __future__ import annotations

from typing import Any

from lazymu.stream import LazyMatrix, MatrixSums, Reducer, matrix_sums, run_pass
from lazymu.stream.steps import Astype
from lazymu.stream.sums import CellSums, FeatureSums, SumsReducer, cell_sums, feature_sums


def is_raw(matrix: LazyMatrix) -> bool:
    """Return whether the values are those that are stored, if in a wider type."""
    return all(isinstance(step, Astype) for step in matrix.steps)


def sums_and(
    matrix: LazyMatrix, *reducers: Reducer[Any, Any], label: str
) -> tuple[MatrixSums, tuple[Any, ...]]:
    """Return the sums of the values and what further reducers give.

    One pass for all of them; none where there are no reducers and the sums are known.
    """
    if (known := known_sums(matrix)) is not None:
        return known, run_pass(matrix, *reducers, label=label) if reducers else ()
    if is_raw(matrix) and not reducers:
        return matrix_sums(matrix), ()
    sums, *results = run_pass(matrix, SumsReducer(matrix.shape), *reducers, label=label)
    if is_raw(matrix):
        matrix.cache.fill(sums)
    return sums, tuple(results)


def known_sums(matrix: LazyMatrix) -> MatrixSums | None:
    """Return the sums of the values where nothing has to be read for them."""
    if not is_raw(matrix):
        return None
    cells, features = matrix.cache.cells(), matrix.cache.features()
    extremes = matrix.cache.extremes()
    if cells is None or features is None or extremes is None:
        return None
    return MatrixSums(cells, features, extremes)


def value_sums_of_cells(matrix: LazyMatrix) -> CellSums:
    """Return each cell's sum and number of values that are not 0: known, or one pass."""
    return cell_sums(matrix) if is_raw(matrix) else sums_and(matrix, label="sums")[0].cells


def value_sums_of_features(matrix: LazyMatrix) -> FeatureSums:
    """Return each feature's sum and number of values that are not 0: known, or one pass."""
    return feature_sums(matrix) if is_raw(matrix) else sums_and(matrix, label="sums")[0].features
