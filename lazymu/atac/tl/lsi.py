"""Latent semantic indexing."""

from __future__ import annotations

from typing import Literal

import numpy as np

from lazymu import keys
from lazymu.containers import Modality, MuData, as_modality
from lazymu.containers.history import recorded
from lazymu.decomposition import truncated_svd
from lazymu.decomposition.eigen import inverse
from lazymu.decomposition.tall import RUN_ROWS, column_moments, cross
from lazymu.errors import ArgumentError, EmptyResultError, explain
from lazymu.pp.masks import UNSET, feature_mask
from lazymu.pp.representation import matrix_of
from lazymu.stream.sums import cell_sums
from lazymu.stream.threads import for_row_blocks
from lazymu.typing import Array, Bools, Float64s, Floats, RandomState

DEPTH_LIMIT = 0.75
"""Correlation with sequencing depth above which ``drop="auto"`` leaves a component out."""


@recorded
def lsi(
    data: Modality | MuData,
    scale_embeddings: bool = True,
    n_comps: int = 50,
    layer: str | None = None,
    *,
    use_highly_variable: bool | None = None,
    mask_var: Bools | str | None = None,
    drop: Literal["auto"] | None = None,
    random_state: RandomState = 0,
) -> None:
    """Latent semantic indexing: a truncated SVD of the TF-IDF matrix, not centred.

    With ``X ~ U diag(S) V'`` the embedding is ``U``, each component brought to mean 0 and
    variance 1 with ``scale_embeddings``. Results equal muon's up to signs, which here are such
    that the largest entry of each component's loadings is positive. All components are kept,
    the first one too, which mostly measures sequencing depth: ``depth_corr`` says which do.

    Parameters
    ----------
    data
        A modality transformed by :func:`lazymu.atac.pp.tfidf`, or a MuData with one (``"atac"``).
    scale_embeddings
        Bring each component to mean 0 and variance 1.
    n_comps
        Number of components.
    layer
        Use this layer instead of `X`.
    use_highly_variable
        True for the features of ``var["highly_variable"]``; all by default.
    mask_var
        Features to use: a mask or a column of `var`; all by default.
    drop
        ``"auto"`` leaves out components whose correlation with depth exceeds 0.75 in magnitude.
    random_state
        Seed of the iteration.

    Raises
    ------
    ArgumentError
        If ``n_comps`` is not below min(n_obs, n_vars), or an argument is unknown.
    MissingResultError
        If the layer or the column does not exist.
    EmptyResultError
        If ``drop="auto"`` would leave no component.

    Notes
    -----
    Writes ``obsm["X_lsi"]`` (obs, k), ``varm["LSI"]`` (var, k; 0 for features not used) and
    ``uns["lsi"]`` with `stdev` (``S / sqrt(n_obs - 1)``), `depth_corr` (Pearson correlation of
    each component with ``log1p`` of the cells' total counts), `residuals`
    (``|X'X v - s^2 v| / s^2``), `n_passes` and, with ``drop``, `dropped` (their numbers from 0) and
    `dropped_depth_corr`.

    Passes over X: one where the matrix takes at most a third of the memory limit (8 bytes a
    nonzero); then those components that stand out of the noise are good to about 1e-4, all of them
    to 1e-9 up to 16 million nonzeros. Else at most five, after a sixteenth of the nonzeros was read
    up to four times; `residuals` say how good they are: ``residual / (1 - (s' / s)^2)`` for the
    next singular value ``s'``. One more where the cells' total counts are not known.
    Memory: as :func:`lazymu.decomposition.truncated_svd` says.

    References
    ----------
    D. A. Cusanovich et al., Cell 2018, doi:10.1016/j.cell.2018.06.052. D. Bredikhin et al., MUON,
    Genome Biology 2022, doi:10.1186/s13059-021-02577-8.

    Examples
    --------
    >>> import lazymu as mu, numpy as np
    >>> atac = mu.Modality(np.random.default_rng(0).poisson(1.0, (20, 30)))
    >>> mu.atac.pp.tfidf(atac)
    >>> mu.atac.tl.lsi(atac, n_comps=5)
    >>> atac.obsm["X_lsi"].shape, sorted(atac.uns["lsi"])
    ((20, 5), ['depth_corr', 'n_passes', 'residuals', 'stdev'])
    """
    if drop not in (None, "auto"):
        raise ArgumentError(explain("drop", repr(drop), "known is 'auto'", "leave it out"))
    modality = as_modality(data, kinds=keys.ATAC_ALIASES)
    asked = UNSET if mask_var is None else mask_var
    mask = feature_mask(modality, asked, use_highly_variable, default=False).positions
    whole = matrix_of(modality, layer=layer)
    matrix = whole if mask is None else whole[:, mask]
    svd = truncated_svd(matrix, n_comps, random_state=random_state)
    moments = column_moments(svd.U)
    depth_corr = correlations(svd.U, moments, np.log1p(cell_sums(whole).total))
    kept = np.arange(n_comps)
    if drop == "auto":
        kept = kept[np.abs(depth_corr) <= DEPTH_LIMIT]
        check_kept(kept, depth_corr)
    loadings = np.zeros((modality.n_vars, len(kept)), dtype=np.float32)
    loadings[slice(None) if mask is None else mask] = svd.Vt[kept].T
    modality.obsm[keys.X_LSI] = embedding(svd.U, kept, moments if scale_embeddings else None)
    modality.varm[keys.LSI] = loadings
    modality.uns[keys.UNS_LSI] = {
        "stdev": svd.S[kept] / np.sqrt(modality.n_obs - 1),
        "depth_corr": depth_corr[kept],
        "residuals": svd.residuals[kept],
        "n_passes": svd.n_passes,
    }
    if drop is not None:
        dropped = np.setdiff1d(np.arange(n_comps), kept)
        modality.uns[keys.UNS_LSI]["dropped"] = dropped
        modality.uns[keys.UNS_LSI]["dropped_depth_corr"] = depth_corr[dropped]


def embedding(U: Floats, kept: Array, moments: tuple[Float64s, Float64s] | None) -> Floats:
    """Return columns in float32, brought to mean 0 and variance 1 where their moments are given.

    Constant columns become 0.
    """
    mean, factor = np.zeros(U.shape[1]), np.ones(U.shape[1])
    if moments is not None:
        mean, factor = moments[0], inverse(moments[1])
    columns = np.empty((len(U), len(kept)), np.float32)

    def fill(start: int, stop: int) -> None:
        columns[start:stop] = (U[start:stop, kept] - mean[kept]) * factor[kept]

    for_row_blocks(fill, 0, len(U), RUN_ROWS)
    return columns


def correlations(U: Floats, moments: tuple[Float64s, Float64s], y: Float64s) -> Float64s:
    """Return the Pearson correlation of each column with ``y``; 0 where either is constant."""
    target, std = column_moments(y[:, None])
    centred = (y - target[0]) * inverse(std)[0]
    along = cross(U, centred[:, None])[:, 0]
    found: Float64s = along * inverse(moments[1]) / len(y)
    return found


def check_kept(kept: Array, depth_corr: Float64s) -> None:
    """Raise where no component is left."""
    if not len(kept):
        rule = f"all {len(depth_corr)} components follow sequencing depth (|r| > {DEPTH_LIMIT})"
        fix = "pass drop=None and choose components by uns['lsi']['depth_corr']"
        raise EmptyResultError(explain("drop", "'auto'", rule, fix))
