"""Principal components of a lazy matrix."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lazymu.decomposition.eigen import leading_of_matrix
from lazymu.decomposition.in_memory import fits_in_memory, leading_pairs
from lazymu.decomposition.krylov import block_krylov
from lazymu.decomposition.reducers import ColumnMoments, Dot, Gram, Moments
from lazymu.decomposition.shifted import shift_of, sparse_part
from lazymu.decomposition.staged import StagedMatrix
from lazymu.decomposition.svd import (
    MAX_PASSES,
    N_OVERSAMPLES,
    TOLERANCE,
    check_n_comps,
    oriented,
)
from lazymu.settings import settings
from lazymu.stream import LazyMatrix
from lazymu.stream.passes import gather
from lazymu.stream.plan import working_bytes
from lazymu.typing import Float64s, Floats, RandomState

GRAM_VARS = 8000
"""Up to this many features the Gram matrix is formed, if it fits."""
SMALL_GRAM_VARS = 2000
"""Up to this many features it is formed even where the matrix itself would fit."""


class PCAResult(NamedTuple):
    """Principal components: ``scores = (X - 1 mean') components'``."""

    scores: Floats
    """(obs, k), float32."""
    components: Float64s
    """(k, var), orthonormal rows; the entry of largest magnitude of each is positive."""
    variance: Float64s
    """(k,), of the scores: divided by ``n_obs - 1`` where centred, by ``n_obs`` where not."""
    variance_ratio: Float64s
    """(k,), share of the variance of all features."""
    n_passes: int
    """Passes over the matrix."""


class Found(NamedTuple):
    """Scores (obs, k), singular values and right vectors (k, var), signs as they came."""

    Y: Floats
    S: Float64s
    Vt: Float64s
    moments: Moments
    n_passes: int


def principal_components(
    matrix: LazyMatrix,
    n_comps: int,
    *,
    zero_center: bool = True,
    random_state: RandomState = 0,
) -> PCAResult:
    """Return the leading principal components of a lazy matrix (obs, var).

    Centring is a correction of rank one to the products with the matrix, never a dense copy.
    The same holds for a last step that standardizes, with or without clipping.

    1. Up to 2,000 features: the Gram matrix and the means in one pass, which also keeps the
       blocks of these features where they take at most a third of the memory limit; scores
       come from them, else from a second pass.
    2. A matrix that fits well into memory: one pass that holds it, then iterations.
    3. Up to 8,000 features: as 1, if four Gram matrices fit into half the memory limit.
    4. Else streamed block Krylov iteration, 5 passes.

    The first three are exact (to about 1e-9 before rounding to float32).

    Parameters
    ----------
    matrix
        The matrix, (obs, var).
    n_comps
        Number of components, below min(obs, var).
    zero_center
        Subtract each feature's mean. If False this is a truncated SVD.
    random_state
        Seed of the iterations; the exact results do not depend on it.

    Returns
    -------
    PCAResult
        With the number of passes made.

    Raises
    ------
    ArgumentError
        If ``n_comps`` is out of range.

    Notes
    -----
    Peak memory beside the blocks: a Gram matrix for each thread and three more, and 8 bytes for
    each nonzero that is kept (1, 3); 32 bytes for each nonzero (2); 5 blocks of
    (var, ``n_comps + 10``) (4).

    Examples
    --------
    >>> import lazymu, numpy as np
    >>> X = np.array([[2.0, 0.0, 1.0], [0.0, 0.0, 1.0], [4.0, 0.0, 1.0]])
    >>> pca = principal_components(lazymu.LazyMatrix(X), 1)
    >>> pca.scores.ravel().tolist(), pca.variance_ratio.round(6).tolist()
    ([0.0, -2.0, 2.0], [1.0])
    """
    check_n_comps(n_comps, matrix.shape)
    C, m = sparse_part(matrix)
    off = None if zero_center else m
    rng = np.random.default_rng(random_state)
    n_vars = C.shape[1]
    fits = fits_in_memory(C)
    if n_vars <= SMALL_GRAM_VARS or (not fits and n_vars <= GRAM_VARS and gram_fits(n_vars)):
        return describe(by_gram(C, off, n_comps, rng), off)
    if fits:
        pairs = leading_pairs(gather(C), off, n_comps, rng)
        Y = (pairs.U * pairs.S).astype(np.float32)
        return describe(Found(Y, pairs.S, pairs.Vt, pairs.moments, 1), off)
    found = block_krylov(
        C,
        off,
        n_comps,
        n_oversamples=N_OVERSAMPLES,
        max_passes=MAX_PASSES,
        tol=TOLERANCE,
        rng=rng,
    )
    assert found.moments is not None
    Y = found.U * found.S.astype(np.float32)
    return describe(Found(Y, found.S, found.Vt, found.moments, found.n_passes), off)


def gram_fits(n_vars: int) -> bool:
    """Return whether the partial Gram matrices of all threads leave room for blocks."""
    states = settings.n_threads + 3
    return states * 8 * n_vars**2 <= working_bytes(settings.memory_limit) // 2


def by_gram(C: LazyMatrix, m: Float64s | None, k: int, rng: np.random.Generator) -> Found:
    """Return the leading triplets by the Gram matrix: one pass, or a second one for the scores."""
    n_obs, n_vars = C.shape
    staged = StagedMatrix(C)
    G, moments = staged.look(Gram(n_vars), ColumnMoments(n_vars), label="PCA")
    shift = shift_of(moments, m)
    squares, V = leading_of_matrix(shift.gram(G), k, rng)
    (Y,) = staged.look(Dot(n_obs, V, shift.m @ V), label="PCA scores")
    return Found(Y, np.sqrt(squares), V.T, moments, staged.n_passes)


def describe(found: Found, m: Float64s | None) -> PCAResult:
    """Return components with signs set and their variances."""
    Y, S, Vt = oriented(found.Y, found.S, found.Vt)
    moments = found.moments
    if m is None:
        variance, total = S**2 / (moments.n - 1), moments.m2.sum() / (moments.n - 1)
    else:
        # Not centred: the variance of the scores, which is not their mean square.
        means = Vt @ (moments.mean - m)
        variance, total = S**2 / moments.n - means**2, moments.m2.sum() / moments.n
    ratio = variance / total if total > 0 else np.zeros_like(variance)
    return PCAResult(Y, Vt, variance, ratio, found.n_passes)
