"""The truncated singular value decomposition of a lazy matrix."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lazymu.decomposition.in_memory import fits_in_memory, leading_pairs
from lazymu.decomposition.krylov import block_krylov
from lazymu.decomposition.shifted import sparse_part
from lazymu.errors import ArgumentError, explain
from lazymu.stream import LazyMatrix
from lazymu.stream.passes import gather
from lazymu.typing import Float64s, Floats, RandomState

N_OVERSAMPLES, MAX_PASSES, TOLERANCE = 10, 5, 1e-5


class SVDResult(NamedTuple):
    """``matrix ~ U diag(S) Vt``, largest singular value first."""

    U: Floats
    """(obs, k), orthonormal columns; a column is 0 where its singular value is."""
    S: Float64s
    """(k,)"""
    Vt: Float64s
    """(k, var), orthonormal rows; the entry of largest magnitude of each is positive."""
    residuals: Float64s
    """``|A'A v - s^2 v| / s^2`` of each component: about its error times its gap to the others."""
    n_passes: int
    """Passes over the matrix."""


def truncated_svd(
    matrix: LazyMatrix,
    n_comps: int,
    *,
    n_oversamples: int = N_OVERSAMPLES,
    max_passes: int = MAX_PASSES,
    tol: float = TOLERANCE,
    random_state: RandomState = 0,
) -> SVDResult:
    """Return the ``n_comps`` leading singular triplets of a lazy matrix ``A`` (obs, var).

    Where the matrix is small (at most 16 million nonzeros) it is read once and all components
    converge to about 1e-9. Else a block Krylov subspace of ``A'A`` grows by one block with each
    product, all blocks are kept, and the Rayleigh-Ritz method takes the best vectors out of it.
    Where the blocks of ``A`` take at most a third of the memory limit they are read once and
    multiplied ten times; else each product is a pass, which also gives the cells' scores. The first
    block of these passes is made of the leading vectors of some of the cells.

    Parameters
    ----------
    matrix
        The matrix, (obs, var). It is not centred.
    n_comps
        Number of components, below min(obs, var).
    n_oversamples
        Further columns of the streamed block, which speed up convergence; the block is widened to a
        multiple of 16 besides.
    max_passes
        Passes when streaming, at least 2. Where the scores that they give take more than a third
        of the memory limit, the last one is for scores alone.
    tol
        Streaming stops early when every residual is below this.
    random_state
        Seed of the starting block.

    Returns
    -------
    SVDResult
        With residuals and the number of passes made.

    Raises
    ------
    ArgumentError
        If ``n_comps`` or ``max_passes`` is out of range.

    Notes
    -----
    One pass where ``A`` or its blocks are held (8 bytes a nonzero); else at most ``max_passes``,
    after runs of cells with a sixteenth of the nonzeros (16 million at least) have been read, four
    times where their blocks are not held. Streaming holds ``max_passes`` blocks of
    (var, ``n_comps + n_oversamples``) in float32, as many of (obs, ``n_comps + n_oversamples``),
    and for each thread one of the first kind in float64.

    References
    ----------
    C. Musco and C. Musco, Randomized block Krylov methods for stronger and faster approximate
    singular value decomposition, NeurIPS 2015.

    Examples
    --------
    >>> import lazymu, numpy as np
    >>> svd = truncated_svd(lazymu.LazyMatrix(np.diag([3.0, 2.0, 1.0])), 2)
    >>> svd.S.round(6).tolist()
    [3.0, 2.0]
    """
    check_n_comps(n_comps, matrix.shape)
    if max_passes < 2:
        rule = "streaming takes one pass for the directions and one for the scores"
        raise ArgumentError(explain("max_passes", max_passes, rule, "pass 2 or more"))
    C, m = sparse_part(matrix)
    rng = np.random.default_rng(random_state)
    if fits_in_memory(C):
        pairs = leading_pairs(gather(C), m, n_comps, rng)
        return SVDResult(*oriented(pairs.U, pairs.S, pairs.Vt), pairs.residuals, 1)
    found = block_krylov(
        C,
        m,
        n_comps,
        n_oversamples=n_oversamples,
        max_passes=max_passes,
        tol=tol,
        rng=rng,
        with_moments=bool(m.any()),
    )
    return SVDResult(*oriented(found.U, found.S, found.Vt), found.residuals, found.n_passes)


def check_n_comps(n_comps: int, shape: tuple[int, int]) -> None:
    """Raise where a matrix of this shape has not that many components."""
    limit = min(shape)
    if not 1 <= n_comps < limit:
        rule = f"it must be at least 1 and below min(n_obs, n_vars) = {limit}"
        fix = f"pass n_comps={limit - 1}" if limit > 1 else "select more cells or features"
        raise ArgumentError(explain("n_comps", n_comps, rule, fix))


def oriented(U: Floats, S: Float64s, Vt: Float64s) -> tuple[Floats, Float64s, Float64s]:
    """Return the triplets with signs such that each row's largest entry of ``Vt`` is positive.

    ``U``, which may be as large as all results, is changed in place.
    """
    largest = np.argmax(np.abs(Vt), axis=1)
    signs = np.where(Vt[np.arange(len(Vt)), largest] < 0, -1.0, 1.0)
    U *= signs.astype(U.dtype)
    return U, S, Vt * signs[:, None]
