"""Principal component analysis."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from lazymu import keys
from lazymu.containers import Modality, as_modality
from lazymu.containers.history import recorded
from lazymu.decomposition import principal_components
from lazymu.errors import ArgumentError, explain
from lazymu.pp.masks import UNSET, Unset, feature_mask
from lazymu.pp.representation import matrix_of
from lazymu.typing import Bools, RandomState

N_COMPS = 50
SOLVERS = ("auto", "arpack", "covariance_eigh", "full", "lobpcg", "randomized", "tsqr")


@recorded
def pca(
    data: Modality,
    n_comps: int | None = None,
    *,
    layer: str | None = None,
    zero_center: bool = True,
    svd_solver: str | None = None,
    random_state: RandomState = 0,
    mask_var: Bools | str | Literal[Unset.token] | None = UNSET,
    use_highly_variable: bool | None = None,
    dtype: Any = "float32",
    key_added: str | None = None,
) -> None:
    """Principal components of the cells, without a dense or centred copy of the matrix.

    With ``X`` (obs, var), its features' means ``m`` and ``X - 1 m' = U S V'``, the scores are
    ``(X - 1 m') V`` and the variances ``S^2 / (n_obs - 1)``. Results equal scanpy's; the sign of
    each component is such that the largest entry of its loadings is positive.

    Parameters
    ----------
    data
        A modality, normalised and log-transformed.
    n_comps
        Number of components; 50 by default, or one less than the smaller side of the matrix.
    layer
        Use this layer instead of `X`.
    zero_center
        Subtract the means. If False this is a truncated SVD.
    svd_solver
        Accepted as scanpy does; every solver gives the same, exact result.
    random_state
        Seed of the iterations, where there are any.
    mask_var
        Features to use: a mask, a column of `var`, or None for all. By default those of
        ``var["highly_variable"]`` where this column exists.
    use_highly_variable
        Older form of ``mask_var``: True for ``"highly_variable"``, False for None.
    dtype
        Of the scores.
    key_added
        Write under this key instead of ``"X_pca"``, ``"PCs"`` and ``"pca"``.

    Raises
    ------
    ArgumentError
        If ``n_comps`` is not below min(n_obs, n_vars), or an argument is unknown.
    MissingResultError
        If the layer or the column does not exist.

    Notes
    -----
    Writes ``obsm["X_pca"]`` (obs, k), ``varm["PCs"]`` (var, k; 0 for features not used) and
    ``uns["pca"]`` with `params`, `variance` and `variance_ratio`.

    Passes over X: one where the features used take at most a third of the memory limit (8 bytes a
    nonzero); else two (for means and Gram matrix, and for scores); up to five where neither they
    nor the Gram matrix fit. Memory: as :func:`lazymu.decomposition.principal_components` says.

    References
    ----------
    I. T. Jolliffe, Principal Component Analysis, Springer 2002. Results are those of scanpy's
    function of this name (Wolf et al., Genome Biology 2018, doi:10.1186/s13059-017-1382-0).

    Examples
    --------
    >>> import lazymu as sc, numpy as np
    >>> rna = sc.Modality(np.array([[2.0, 0.0, 1.0], [0.0, 0.0, 1.0], [4.0, 0.0, 1.0]]))
    >>> sc.pp.pca(rna, n_comps=1)
    >>> rna.obsm["X_pca"].ravel().tolist()
    [0.0, -2.0, 2.0]
    """
    if svd_solver is not None and svd_solver not in SOLVERS:
        rule = f"known are {', '.join(SOLVERS)}"
        raise ArgumentError(explain("svd_solver", repr(svd_solver), rule, "leave it out"))
    modality = as_modality(data)
    mask = feature_mask(modality, mask_var, use_highly_variable, default=True)
    matrix = matrix_of(modality, layer=layer)
    if mask.positions is not None:
        matrix = matrix[:, mask.positions]
    n_comps = default_n_comps(matrix.shape) if n_comps is None else n_comps
    found = principal_components(
        matrix, n_comps, zero_center=zero_center, random_state=random_state
    )
    loadings = np.zeros((modality.n_vars, n_comps))
    loadings[slice(None) if mask.positions is None else mask.positions] = found.components.T
    params: dict[str, Any] = {
        "zero_center": zero_center,
        "use_highly_variable": isinstance(mask.name, str) and mask.name == keys.HIGHLY_VARIABLE,
        "mask_var": mask.name,
    }
    if layer is not None:
        params["layer"] = layer
    obsm_key, varm_key, uns_key = (key_added or k for k in (keys.X_PCA, keys.PCS, keys.PCA))
    modality.obsm[obsm_key] = found.scores.astype(dtype, copy=False)
    modality.varm[varm_key] = loadings
    modality.uns[uns_key] = {
        "params": params,
        "variance": found.variance,
        "variance_ratio": found.variance_ratio,
    }


def default_n_comps(shape: tuple[int, int]) -> int:
    """Return scanpy's default: 50, or one less than the smaller side."""
    return min(shape) - 1 if min(shape) <= N_COMPS else N_COMPS
