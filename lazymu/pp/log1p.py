"""Logarithms of a modality's values."""

from __future__ import annotations

import logging

from lazymu import keys
from lazymu.containers import Modality, as_modality
from lazymu.containers.history import recorded
from lazymu.errors import ArgumentError, explain
from lazymu.pp.representation import matrix_of, store_matrix
from lazymu.stream.steps import Log1p
from lazymu.stream.sums import require_counts

logger = logging.getLogger("lazymu")


@recorded
def log1p(
    data: Modality,
    *,
    base: float | None = None,
    copy: bool = False,
    chunked: bool | None = None,
    chunk_size: int | None = None,
    layer: str | None = None,
    obsm: str | None = None,
) -> Modality | None:
    """Take the logarithm of one plus each value.

    ``y_ij = log(1 + x_ij)``, divided by ``log(base)`` where a base is given. Replaces `X` by a
    recipe: nothing is rewritten, logarithms are taken of blocks as they are read.

    Parameters
    ----------
    data
        A modality, usually after ``normalize_total``.
    base
        Base of the logarithm, the natural one by default.
    copy
        Return a transformed copy instead.
    chunked, chunk_size
        No effect: values are always transformed block by block.
    layer
        Transform this layer instead of `X`.
    obsm
        Transform this array of `obsm` instead of `X`, at once.

    Returns
    -------
    Modality | None
        None, or the copy.

    Raises
    ------
    NotCountsError
        If negative, NaN or infinite values are known to be there.
    ArgumentError
        If ``base`` is not a base.
    MissingResultError
        If there is no such layer.

    Notes
    -----
    Writes `X` (or the layer) and ``uns["log1p"] = {"base": base}``. Logs a warning where that is
    there already. Passes over X: none.

    Examples
    --------
    >>> import lazymu as sc, numpy as np
    >>> rna = sc.Modality(np.array([[3.0, 0.0], [7.0, 1.0]]))
    >>> sc.pp.log1p(rna, base=2)
    >>> rna.X
    LazyMatrix 2 × 2, dense float64, Log1p
    >>> rna.X.toarray().tolist()
    [[2.0, 0.0], [3.0, 1.0]]
    """
    if base is not None and not (base > 0 and base != 1):
        rule = "logarithms have a base above 0 other than 1"
        raise ArgumentError(explain("base", base, rule, "pass 2, 10, or None"))
    modality = as_modality(data).copy() if copy else as_modality(data)
    if keys.LOG1P in modality.uns:
        logger.warning("X seems to be already log-transformed")
    matrix = matrix_of(modality, layer=layer, obsm=obsm)
    if matrix.cache.extremes() is not None:  # else finding out would take a pass
        require_counts(matrix, "log1p")
    transformed = matrix.with_steps(Log1p(None if base is None else float(base)))
    store_matrix(modality, transformed, layer=layer, obsm=obsm)
    modality.uns[keys.LOG1P] = {"base": base}
    return modality if copy else None
