"""Scale every cell to the same sum."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import numpy as np

from lazymu.containers import Modality, as_modality
from lazymu.containers.history import recorded
from lazymu.errors import ArgumentError, explain
from lazymu.pp.per_cell import feature_sets
from lazymu.pp.representation import matrix_of, store_matrix
from lazymu.pp.value_sums import value_sums_of_cells
from lazymu.stream import Block, LazyMatrix, Reducer, run_pass
from lazymu.stream.steps import ScaleRows
from lazymu.stream.sums import require_counts
from lazymu.typing import Bools, Float64s

logger = logging.getLogger("lazymu")


@recorded
def normalize_total(
    adata: Modality,
    *,
    target_sum: float | None = None,
    exclude_highly_expressed: bool = False,
    max_fraction: float = 0.05,
    key_added: str | None = None,
    layer: str | None = None,
    obsm: str | None = None,
    inplace: bool = True,
    copy: bool = False,
) -> Modality | dict[str, Any] | None:
    """Scale each cell to the same sum over features.

    ``y_ij = x_ij / f_i`` with ``f_i = s_i / target_sum`` and ``s_i`` the cell's sum. Cells
    without counts stay 0. Replaces `X` by a recipe: nothing is rewritten, blocks are scaled as
    they are read.

    Parameters
    ----------
    adata
        A modality with counts.
    target_sum
        The sum to scale to; by default the median sum of cells that have counts.
    exclude_highly_expressed
        Leave features that hold more than ``max_fraction`` of the sum of any cell out of ``s_i``.
    max_fraction
        See above.
    key_added
        Column of `obs` for ``f_i``.
    layer
        Scale this layer instead of `X`.
    obsm
        Scale this array of `obsm` instead of `X`, at once.
    inplace
        Write; otherwise return the result.
    copy
        Return a scaled copy of the modality instead.

    Returns
    -------
    Modality | dict | None
        None; the copy; or, with ``inplace=False``, ``{"X": lazy matrix, "norm_factor": f}``.

    Raises
    ------
    NotCountsError
        If there are negative, NaN or infinite values.
    ArgumentError
        If ``target_sum`` is not above 0, or cells sum to what no number scales to it (infinity, or
        next to nothing), ``max_fraction`` not within 0 to 1, or ``copy`` comes
        with ``inplace=False``.
    MissingResultError
        If there is no such layer.

    Warns
    -----
    UserWarning
        If some cells have no counts.

    Notes
    -----
    Writes `X` (or the layer) and ``obs[key_added]``.

    Passes over X: none where the sums of cells are known, else one; with
    ``exclude_highly_expressed`` two more. Memory: 8 bytes for each cell.

    Examples
    --------
    >>> import lazymu as sc, numpy as np
    >>> rna = sc.Modality(np.array([[5.0, 0.0, 5.0], [0.0, 1.0, 1.0]]))
    >>> sc.pp.normalize_total(rna, target_sum=10, key_added="size")
    >>> rna.X.toarray().tolist(), rna.obs["size"].tolist()
    ([[5.0, 0.0, 5.0], [0.0, 5.0, 5.0]], [1.0, 0.2])
    """
    if copy and not inplace:
        raise ArgumentError(explain("copy", True, "inplace=False returns values", "pass one"))
    modality = as_modality(adata).copy() if copy else as_modality(adata)
    matrix = matrix_of(modality, layer=layer, obsm=obsm)
    excluded = None
    if exclude_highly_expressed:
        excluded = highly_expressed(matrix, max_fraction)
        names = modality.var_names[excluded] if obsm is None else np.flatnonzero(excluded)
        logger.info("left %d highly expressed features out of the sums: %s", len(names), [*names])
    factors = size_factors(matrix, target_sum, excluded)
    if np.any(factors == 0):
        n_empty = int(np.sum(factors == 0))
        message = f"Some cells have zero counts: {n_empty} of {len(factors)}, which stay zero"
        warnings.warn(message, UserWarning, stacklevel=3)
    scaled = matrix.with_steps(ScaleRows(1 / np.where(factors == 0, 1.0, factors)))
    if not inplace:
        return {"X": scaled, "norm_factor": factors}
    if key_added is not None:
        modality.obs[key_added] = factors
    store_matrix(modality, scaled, layer=layer, obsm=obsm)
    return modality if copy else None


def size_factors(
    matrix: LazyMatrix, target_sum: float | None = None, excluded: Bools | None = None
) -> Float64s:
    """Return ``s_i / target_sum`` of each cell, 0 where its sum is 0.

    ``target_sum`` is the median of the sums above 0 where None; the sums leave out features that
    are ``excluded``. No pass where the sums are known, else one; one more with ``excluded``.
    """
    if target_sum is not None and not target_sum > 0:
        rule = "it is what cells are to sum to"
        raise ArgumentError(explain("target_sum", target_sum, rule, "pass e.g. 1e4, or None"))
    require_counts(matrix, "normalize_total")
    if excluded is None:
        totals = value_sums_of_cells(matrix).total
    else:
        sets = feature_sets(matrix.shape[0], ~excluded[:, None])
        totals = run_pass(matrix, sets, label="sums")[0][:, 0]
    positive = totals[totals > 0]
    if target_sum is None:
        target_sum = float(np.median(positive)) if len(positive) else 1.0
    factors: Float64s = totals / target_sum
    with np.errstate(divide="ignore", over="ignore"):
        possible = np.isfinite(factors) & ((totals == 0) | np.isfinite(1 / factors))
    if not possible.all():
        got = f"with cells that sum to {totals[~possible][0]:g}"
        rule = f"no number scales such a cell to {target_sum:g}"
        raise ArgumentError(explain("X", got, rule, "pass counts, or a target_sum that is nearer"))
    return factors


def highly_expressed(matrix: LazyMatrix, max_fraction: float) -> Bools:
    """Return which features hold more than a fraction of the sum of any cell. One pass."""
    if not 0 <= max_fraction <= 1:
        rule = "it is a share of a cell's sum"
        raise ArgumentError(explain("max_fraction", max_fraction, rule, "pass 0 to 1"))
    (found,) = run_pass(matrix, _HighlyExpressed(matrix.shape[1], max_fraction), label="shares")
    return np.asarray(found, dtype=bool)


class _HighlyExpressed(Reducer[Bools, Bools]):
    """Which features hold more than a fraction of the sum of any cell."""

    def __init__(self, n_vars: int, max_fraction: float) -> None:
        self.n_vars, self.max_fraction = n_vars, max_fraction

    @property
    def state_bytes(self) -> int:
        return self.n_vars

    def init(self) -> Bools:
        return np.zeros(self.n_vars, dtype=bool)

    def chunk(self, state: Bools, block: Block) -> Bools:
        from lazymu.kernels.sums import row_sums

        X = block.X
        limits = self.max_fraction * row_sums(X.data, X.indptr)
        state[X.indices[X.data > np.repeat(limits, np.diff(X.indptr))]] = True
        return state

    def combine(self, a: Bools, b: Bools) -> Bools:
        np.logical_or(a, b, out=a)
        return a

    def finalize(self, state: Bools) -> Bools:
        return state
