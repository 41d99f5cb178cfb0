"""Term frequency - inverse document frequency."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from lazymu import keys
from lazymu.containers import Modality, MuData, as_modality
from lazymu.containers.history import recorded
from lazymu.errors import ArgumentError, explain
from lazymu.pp.representation import matrix_of, store_matrix
from lazymu.pp.value_sums import sums_and
from lazymu.stream import LazyMatrix, matrix_sums, require_counts
from lazymu.stream.steps import Astype, Binarize, Log1p, ScaleCols, ScaleRows, Step
from lazymu.typing import Float64s

Method = Literal["signac1", "signac2", "signac3", "signac4"]


class Recipe(NamedTuple):
    """Which factors there are and where logarithms stand."""

    scale_factor: float | None
    term_frequency: bool = True
    log_tf: bool = True
    log_idf: bool = True
    log_tfidf: bool = False


def recipe_of(method: str, scale_factor: float | None) -> Recipe:
    """Return the recipe of one of Signac's methods."""
    recipes = {
        "signac1": Recipe(scale_factor, log_tf=False, log_idf=False, log_tfidf=True),
        "signac2": Recipe(None, log_tf=False),
        "signac3": Recipe(scale_factor),
        "signac4": Recipe(None, term_frequency=False, log_tf=False, log_idf=False),
    }
    if method not in recipes:
        rule = f"known are {', '.join(recipes)}"
        raise ArgumentError(explain("method", repr(method), rule, "leave it out for muon's"))
    return recipes[method]


@recorded
def tfidf(
    data: Modality | MuData,
    log_tf: bool = True,
    log_idf: bool = True,
    log_tfidf: bool = False,
    scale_factor: int | float | None = 1e4,
    inplace: bool = True,
    copy: bool = False,
    from_layer: str | None = None,
    to_layer: str | None = None,
    *,
    method: Method | None = None,
    idf: Float64s | None = None,
) -> Modality | LazyMatrix | None:
    """TF-IDF of peak counts, as steps that are applied when values are read.

    With the counts ``x_ij``, cell totals ``n_i`` and feature totals ``s_j`` of ``N`` cells, by
    default ``log1p(1e4 x_ij / n_i) * log1p(N / s_j)``. In general TF is ``scale_factor x_ij /
    n_i``, its ``log1p`` with ``log_tf``; IDF is ``N / s_j``, its ``log1p`` with ``log_idf``; the
    result is TF * IDF, or its ``log1p`` with ``log_tfidf``. Features without counts give 0.

    ============= ====================================================
    ``method``    value
    ============= ====================================================
    ``"signac1"`` ``log1p(scale_factor * x_ij / n_i * N / s_j)``
    ``"signac2"`` ``x_ij / n_i * log1p(N / s_j)``
    ``"signac3"`` ``log1p(scale_factor * x_ij / n_i) * log1p(N / s_j)``
    ``"signac4"`` ``x_ij * N / s_j``
    ============= ====================================================

    Parameters
    ----------
    data
        A modality of peak counts, or a MuData with one (``"atac"``).
    log_tf
        Take the logarithm of the term frequency.
    log_idf
        Take the logarithm of the inverse document frequency.
    log_tfidf
        Take the logarithm of the product; needs ``log_tf=False, log_idf=False``.
    scale_factor
        Factor of the term frequency before its logarithm; none where None, 0 or 1.
    inplace
        Replace `X`. If False return the lazy matrix and leave ``data`` as it is.
    copy
        Return a new modality instead of changing ``data``.
    from_layer
        Layer with the counts, instead of `X`.
    to_layer
        Layer to write, instead of `X`.
    method
        A formula of Signac's; it takes the place of the three ``log_`` arguments.
    idf
        The ``N / s_j`` of a reference (var,), as in its ``var["idf"]``: for mapping new cells.

    Returns
    -------
    Modality | LazyMatrix | None
        The copy, or the lazy matrix if not ``inplace``, or None.

    Raises
    ------
    ArgumentError
        If arguments exclude each other, or ``idf`` is not a vector of the features.
    NotCountsError
        If values are negative or not finite.
    MissingResultError
        If the layer does not exist.

    Notes
    -----
    Replaces `X` or writes the layer, and writes ``var["idf"]`` (``N / s_j``) and the arguments to
    ``uns["tfidf"]``. Passes over X: none where the totals are known, as they are in a fresh store;
    else one. Memory: two vectors.

    References
    ----------
    D. A. Cusanovich et al., A single-cell atlas of in vivo mammalian chromatin accessibility,
    Cell 2018, doi:10.1016/j.cell.2018.06.052. D. Bredikhin et al., MUON, Genome Biology 2022,
    doi:10.1186/s13059-021-02577-8. T. Stuart et al., Signac, Nature Methods 2021,
    doi:10.1038/s41592-021-01282-5.

    Examples
    --------
    >>> import lazymu as mu, numpy as np
    >>> atac = mu.Modality(np.array([[1.0, 3.0], [0.0, 2.0]]))
    >>> mu.atac.pp.tfidf(atac, method="signac4")
    >>> atac.X.toarray().round(3).tolist()
    [[2.0, 1.2], [0.0, 0.8]]
    """
    check_exclusive(inplace=inplace, copy=copy, to_layer=to_layer)
    recipe = Recipe(scale_factor, log_tf=log_tf, log_idf=log_idf, log_tfidf=log_tfidf)
    if method is not None:
        recipe = recipe_of(method, scale_factor)
    elif log_tfidf and (log_tf or log_idf):
        fix = "pass log_tf=False, log_idf=False"
        raise ArgumentError(explain("log_tfidf", True, "it excludes the other two", fix))
    modality = as_modality(data, kinds=keys.ATAC_ALIASES)
    counts = matrix_of(modality, layer=from_layer)
    require_counts(counts, "tfidf")
    cell_totals, feature_totals = totals(counts)
    if idf is None:
        idf = counts.shape[0] * reciprocal(feature_totals)
    checked = check_idf(idf, counts.shape[1])
    transformed = counts.with_steps(*steps_of(recipe, cell_totals, checked))
    if not inplace:
        return transformed
    modality = modality.copy() if copy else modality
    store_matrix(modality, transformed, layer=to_layer)
    modality.var[keys.IDF] = checked
    modality.uns[keys.TFIDF] = {"method": method or "muon"} | {
        name: value for name, value in recipe._asdict().items() if value is not None
    }
    return modality if copy else None


def check_exclusive(*, inplace: bool, copy: bool, to_layer: str | None) -> None:
    """Raise where a result is asked for in two places."""
    if not inplace and (copy or to_layer is not None):
        other = "copy=True" if copy else f"to_layer={to_layer!r}"
        rule = f"it excludes {other}: the lazy matrix itself is returned"
        raise ArgumentError(explain("inplace", False, rule, "leave one of the two out"))


def check_idf(idf: Float64s, n_vars: int) -> Float64s:
    """Return a vector of the features, finite and not negative."""
    vector = np.asarray(idf, dtype=np.float64)
    if vector.shape != (n_vars,) or not np.all(np.isfinite(vector)) or np.any(vector < 0):
        rule = f"it must be {n_vars} finite numbers, one for each feature, none negative"
        fix = "pass the reference's var['idf'] of the same features"
        raise ArgumentError(explain("idf", f"of shape {vector.shape}", rule, fix))
    return vector


def reciprocal(values: Float64s) -> Float64s:
    """Return ``1 / x``, and 0 for 0."""
    return np.divide(1, values, out=np.zeros_like(values), where=values != 0)


def totals(matrix: LazyMatrix) -> tuple[Float64s, Float64s]:
    """Return the sums of a matrix's values by cell and by feature: known, or one pass."""
    if any(isinstance(step, Binarize) for step in matrix.steps) and all(
        isinstance(step, Binarize | Astype) for step in matrix.steps
    ):
        known = matrix_sums(matrix)
        return known.cells.nnz.astype(np.float64), known.features.nnz.astype(np.float64)
    sums, _ = sums_and(matrix, label="TF-IDF")
    return sums.cells.total, sums.features.total


def steps_of(recipe: Recipe, cell_totals: Float64s, idf: Float64s) -> list[Step]:
    """Return the steps of a recipe."""
    steps: list[Step] = []
    if recipe.term_frequency:
        steps.append(ScaleRows((recipe.scale_factor or 1) * reciprocal(cell_totals)))
    if recipe.log_tf:
        steps.append(Log1p())
    steps.append(ScaleCols(np.log1p(idf) if recipe.log_idf else idf))
    if recipe.log_tfidf:
        steps.append(Log1p())
    return steps
