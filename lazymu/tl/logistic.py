"""Features that tell groups of cells apart in one logistic regression on all features."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from lazymu.errors import ArgumentError, MemoryLimitError, explain
from lazymu.settings import settings
from lazymu.stream import LazyMatrix
from lazymu.stream.plan import RUNTIME_BYTES, working_bytes
from lazymu.stream.sums import feature_sums
from lazymu.typing import Float64s, Int64s

CELL_VECTORS = 4
"""Arrays (cells, groups) that a fit holds: predictions, their softmax, gradients, a temporary."""
COEFFICIENT_VECTORS = 30
"""Arrays (groups, features) that a fit holds: L-BFGS keeps ten pairs of steps."""


def logistic_scores(matrix: LazyMatrix, codes: Int64s, n_groups: int, **options: Any) -> Float64s:
    """Return the coefficients (g, p) of scikit-learn's logistic regression of groups on features.

    Parameters
    ----------
    matrix
        Values of all cells; those of the cells that take part are brought into memory, one pass.
    codes
        Group of each cell, 0 to ``n_groups - 1``, -1 for cells that take no part.
    n_groups
        Their number. Of two groups, one has the other's coefficients with opposite signs.
    options
        Arguments of ``LogisticRegression``.

    Raises
    ------
    ArgumentError
        If there are fewer than two groups.
    MemoryLimitError
        If the values, and what a fit takes, exceed the memory limit.
    """
    if n_groups < 2:
        rule = "a regression tells groups apart"
        raise ArgumentError(explain("groups", f"{n_groups} group", rule, "name two or more"))
    matrix, codes = (
        (matrix, codes) if (codes >= 0).all() else (matrix[codes >= 0], codes[codes >= 0])
    )
    require_room(matrix, n_groups)
    from sklearn.linear_model import LogisticRegression

    values = matrix.to_memory()
    if not np.isfinite(values.data if sp.issparse(values) else values).all():
        rule = "a regression has no place for them"
        raise ArgumentError(explain("X", "with NaN or inf", rule, "use method='wilcoxon'"))
    coefficients = LogisticRegression(**options).fit(values, codes).coef_
    scores: Float64s = np.asarray(coefficients, dtype=np.float64)
    return scores if n_groups > 2 else np.concatenate([-scores, scores])


def require_room(matrix: LazyMatrix, n_groups: int) -> None:
    """Raise where a fit of all values exceeds the memory limit.

    The values are counted, in one pass, where only a bound is known and exceeds it.

    Raises
    ------
    MemoryLimitError
        Saying what to do.
    """
    room = working_bytes(settings.memory_limit)
    needed = fit_bytes(matrix, matrix.n_values_at_most, n_groups)
    if needed > room and not matrix.is_dense:
        needed = fit_bytes(matrix, int(feature_sums(matrix).nnz.sum()), n_groups)
    if needed > room:
        raise MemoryLimitError(
            explain(
                "method",
                "'logreg'",
                f"it takes all values in memory, {needed:,} bytes for {matrix.shape[0]:,} cells of "
                f"{matrix.shape[1]:,} features in {n_groups} groups, and the memory limit of "
                f"{settings.memory_limit:,} leaves {room:,}",
                "pass mask_var='highly_variable' to take fewer features, use method='t-test', or "
                f"set lazymu.settings.memory_limit to {needed + RUNTIME_BYTES:,}",
            )
        )


def fit_bytes(matrix: LazyMatrix, n_values: int, n_groups: int) -> int:
    """Return what a fit takes: the values twice, as they are put together, or beside its vectors.

    scikit-learn makes float64 of values that are no floating-point numbers.
    """
    n_obs, n_vars = matrix.shape
    index_bytes = 0 if matrix.is_dense else 4
    n_values = matrix.size if matrix.is_dense else n_values
    values = n_values * (matrix.dtype.itemsize + index_bytes)
    converted = 0 if matrix.dtype.kind == "f" else n_values * (8 + index_bytes)
    vectors = 8 * n_groups * (CELL_VECTORS * n_obs + COEFFICIENT_VECTORS * n_vars)
    return values + max(values, converted + vectors)
