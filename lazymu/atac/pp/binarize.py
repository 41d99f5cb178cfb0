"""Counts to presence."""

from __future__ import annotations

from lazymu import keys
from lazymu.containers import Modality, MuData, as_modality
from lazymu.containers.history import recorded
from lazymu.stream.steps import Binarize


@recorded
def binarize(data: Modality | MuData) -> None:
    """Make every value other than 0 into 1, as a step that is applied when values are read.

    Parameters
    ----------
    data
        A modality of peak counts, or a MuData with one (``"atac"``).

    Notes
    -----
    Replaces `X` by a lazy matrix with one more step. Passes over X: none.

    Examples
    --------
    >>> import lazymu as mu, numpy as np
    >>> atac = mu.Modality(np.array([[0, 2], [1, 0]]))
    >>> mu.atac.pp.binarize(atac)
    >>> atac.X.toarray().tolist()
    [[0, 1], [1, 0]]
    """
    modality = as_modality(data, kinds=keys.ATAC_ALIASES)
    modality.X = modality.X.with_steps(Binarize())
