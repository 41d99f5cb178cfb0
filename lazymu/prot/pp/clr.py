"""Centred log ratio."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np

from lazymu import keys
from lazymu.containers import Modality, MuData, as_modality
from lazymu.containers.history import recorded
from lazymu.errors import ArgumentError, explain
from lazymu.stream import LazyMatrix, require_counts
from lazymu.stream.steps import Log1p, LogRatio, ScaleCols, ScaleRows, Step

Axis = Literal[0, 1, "protein", "cell"]
Flavor = Literal["seurat", "stoeckius", "standard"]
FORMULAS = {
    "seurat": "log1p(x / exp(mean(log1p(x))))",
    "stoeckius": "log(x + 1) - mean(log(x + 1))",
    "standard": "log(x) - mean(log(x))",
}
LARGE_PANEL = 50


@recorded
def clr(
    data: Modality | MuData,
    inplace: bool = True,
    axis: Axis = 0,
    flavor: Flavor = "seurat",
) -> Modality | None:
    """Centred log ratio of antibody counts, as a step that is applied when values are read.

    ============= ================================== ===================================
    ``axis``      means are taken                    Seurat's `NormalizeData(margin =)`
    ============= ================================== ===================================
    0, "protein"  over the cells, for each protein   1 (its default)
    1, "cell"     over the proteins, for each cell   2 (as in its WNN vignette)
    ============= ================================== ===================================

    ``"seurat"`` is ``log1p(x / exp(mean(log1p(x))))``, which keeps zeros; ``"stoeckius"`` is
    ``log(x + 1) - mean(log(x + 1))``; ``"standard"`` is ``log(x) - mean(log(x))``, not finite where
    there are zeros. Means are over all entries, zeros included.

    Parameters
    ----------
    data
        A modality of antibody counts, or a MuData with one (``"prot"``, ``"protein"``, ...).
    inplace
        Replace `X`. If False return a new modality.
    axis
        0 or ``"protein"``, 1 or ``"cell"``: see the table.
    flavor
        The formula.

    Returns
    -------
    Modality | None
        The new modality if not ``inplace``.

    Raises
    ------
    ArgumentError
        If ``axis`` or ``flavor`` is unknown.
    NotCountsError
        If values are negative or not finite.

    Notes
    -----
    Replaces `X` and writes `axis`, `flavor` and `formula` to ``uns["clr"]``. Passes over X: one,
    and one more where it is not known that all values are counts. Memory: one vector.

    Warns for ``axis=0`` with 50 or more proteins, where the mean over a cell's proteins is steady
    enough for ``axis=1``; ``axis="protein"`` does not warn.

    References
    ----------
    M. Stoeckius et al., Simultaneous epitope and transcriptome measurement in single cells,
    Nature Methods 2017, doi:10.1038/nmeth.4380.

    Examples
    --------
    >>> import lazymu as mu, numpy as np
    >>> prot = mu.Modality(np.array([[0.0, 3.0], [8.0, 3.0]]))
    >>> mu.prot.pp.clr(prot, axis="protein")
    >>> prot.X.toarray().round(3).tolist()
    [[0.0, 0.56], [1.299, 0.56]]
    """
    axes = {0: 0, 1: 1, "protein": 0, "cell": 1}
    if axis not in axes:
        rule = "it must be 0 or 'protein', 1 or 'cell'"
        raise ArgumentError(explain("axis", repr(axis), rule, "pass one of them"))
    if flavor not in FORMULAS:
        rule = f"known are {', '.join(FORMULAS)}"
        raise ArgumentError(explain("flavor", repr(flavor), rule, "pass one of them"))
    modality = as_modality(data, kinds=keys.PROT_ALIASES)
    require_counts(modality.X, "clr")
    if axis == 0 and modality.n_vars >= LARGE_PANEL:
        warnings.warn(
            f"`axis` is 0, so proteins are compared over cells; with {modality.n_vars} proteins "
            'consider axis=1, as Seurat\'s WNN vignette does, or pass axis="protein".',
            UserWarning,
            stacklevel=3,
        )
    modality = modality if inplace else modality.copy()
    modality.X = modality.X.with_steps(*clr_steps(modality.X, axes[axis], flavor))
    modality.uns[keys.CLR] = {
        "axis": axes[axis],
        "flavor": flavor,
        "formula": FORMULAS[flavor],
    }
    return None if inplace else modality


def clr_steps(matrix: LazyMatrix, axis: int, flavor: str) -> list[Step]:
    """Return the steps of the transform, their means from one pass."""
    logarithm = LogRatio(0.0) if flavor == "standard" else Log1p()
    means = np.asarray(matrix.with_steps(logarithm).mean(axis))
    if flavor == "seurat":
        factor = np.exp(-means)
        return [ScaleCols(factor) if axis == 0 else ScaleRows(factor), Log1p()]
    pseudocount = 1.0 if flavor == "stoeckius" else 0.0
    if axis == 0:
        return [LogRatio(pseudocount, of_col=means)]
    return [LogRatio(pseudocount, of_row=means)]
