"""Standardizing features."""

from __future__ import annotations

import numpy as np

from lazymu import keys
from lazymu.containers import Modality, as_modality
from lazymu.containers.history import recorded
from lazymu.decomposition.reducers import ColumnMoments
from lazymu.errors import ArgumentError, explain
from lazymu.pp.representation import matrix_of, store_matrix
from lazymu.stream import run_pass
from lazymu.stream.steps import Clip, ScaleCols, Standardize, Step


@recorded
def scale(
    data: Modality,
    *,
    zero_center: bool = True,
    max_value: float | None = None,
    layer: str | None = None,
) -> None:
    """Give every feature mean 0 and variance 1, as a step that is applied when values are read.

    ``z = (x - mean) / std`` with the standard deviation of ``n_obs - 1``; features that do not
    vary are only centred. :func:`lazymu.pp.pca` of the result stays sparse.

    Parameters
    ----------
    data
        A modality, normalised and log-transformed.
    zero_center
        Subtract the mean. If False zeros stay zeros.
    max_value
        Clip values above this, and with ``zero_center`` below its negative.
    layer
        Scale this layer instead of `X`.

    Raises
    ------
    ArgumentError
        If ``max_value`` is not above 0.
    MissingResultError
        If the layer does not exist.

    Notes
    -----
    Replaces `X` (or the layer) by a lazy matrix with one more step, and writes ``var["mean"]`` and
    ``var["std"]``. Passes over X: one. Memory: 40 bytes for each feature and thread.

    Examples
    --------
    >>> import lazymu as sc, numpy as np
    >>> rna = sc.Modality(np.array([[0.0, 1.0], [2.0, 1.0], [4.0, 1.0]]))
    >>> sc.pp.scale(rna)
    >>> rna.X.toarray().tolist()
    [[-1.0, 0.0], [0.0, 0.0], [1.0, 0.0]]
    """
    if max_value is not None and not max_value > 0:
        raise ArgumentError(explain("max_value", max_value, "it must be above 0", "pass e.g. 10"))
    modality = as_modality(data)
    matrix = matrix_of(modality, layer=layer)
    (moments,) = run_pass(matrix, ColumnMoments(matrix.shape[1]), label="scale")
    std = np.sqrt(moments.m2 / max(moments.n - 1, 1))
    std[std == 0] = 1
    steps: list[Step] = [Standardize(moments.mean, std, max_value)]
    if not zero_center:
        steps = [ScaleCols(1 / std), *([] if max_value is None else [Clip(max_value)])]
    store_matrix(modality, matrix.with_steps(*steps), layer=layer)
    modality.var[keys.MEAN] = moments.mean
    modality.var[keys.STD] = std
