"""Block Krylov iteration on `B'B` with one pass for each block: for matrices that stay on disk."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lazymu.decomposition.eigen import inverse
from lazymu.decomposition.reducers import ColumnMoments, Dot, GramDot, Moments
from lazymu.decomposition.shifted import shift_of
from lazymu.decomposition.staged import StagedMatrix
from lazymu.decomposition.tall import add_blocks, cross, orthonormal, subtract_product
from lazymu.settings import settings
from lazymu.stream import LazyMatrix, RowPieces
from lazymu.stream.plan import working_bytes
from lazymu.typing import Float64s, Floats

RANK_TOLERANCE = 1e-10
"""New directions shorter than this share of ``B'B`` are rounding errors."""
ROOM_BETWEEN = 16
"""Bytes for each entry of a block of the basis: what is made of a product before the next pass."""
KEPT_PRODUCTS = 10
"""Products with a matrix whose blocks are kept: they cost no reading."""
SCORE_TOLERANCE = 1e-6
"""Singular values below this share of the first are rounding errors of the float32 scores."""


class Streamed(NamedTuple):
    """Leading triplets of a matrix that was streamed."""

    U: Floats
    S: Float64s
    Vt: Float64s
    residuals: Float64s
    n_passes: int
    moments: Moments | None


class Ritz(NamedTuple):
    """Leading approximate eigenpairs of ``B'B``: in the basis, and how far off they are."""

    theta: Float64s
    Y: Float64s
    """(basis, k)"""
    residuals: Float64s


class Basis:
    """An orthonormal basis ``K`` of a Krylov subspace, in blocks (var, l), and ``T = K'B'B K``."""

    def __init__(self, start: Floats) -> None:
        self.blocks: list[Floats] = [orthonormal(start)]
        self.T: Float64s = np.zeros((0, 0))

    @property
    def nbytes(self) -> int:
        return sum(block.nbytes for block in self.blocks)

    def grow(self, W: Float64s) -> None:
        """Take in ``W = B'B Q`` of the newest block ``Q``; leave in ``W`` what of it is new."""
        H = self.project_out(W)
        H += self.project_out(W)  # twice is enough for orthogonality
        old = len(self.T)
        T = np.zeros((len(H), len(H)))
        T[:old, :old] = self.T
        T[:, old:] = H
        T[old:, :] = H.T
        T[old:, old:] = (H[old:] + H[old:].T) / 2
        self.T = T

    def project_out(self, R: Floats) -> Float64s:
        """Take from ``R`` what lies in the basis, in place; return its coefficients."""
        coefficients = []
        for block in self.blocks:
            coefficients.append(cross(block, R))
            subtract_product(R, block, coefficients[-1])
        return np.concatenate(coefficients)

    def leading(self, R: Float64s, k: int) -> Ritz:
        """Return the best ``k`` vectors of the space, given what is new of the last product.

        For a Ritz pair ``(theta, v = K y)``, ``B'B v = theta v + R y_last``: the second term is
        its residual.
        """
        theta, Y = np.linalg.eigh(self.T)
        theta, Y = np.maximum(theta[::-1][:k], 0), Y[:, ::-1][:, :k]
        last = Y[-R.shape[1] :]
        squares = np.einsum("ij,ij->j", last, cross(R, R) @ last)
        residuals = np.sqrt(np.maximum(squares, 0)) / np.where(theta > 0, theta, 1)
        return Ritz(theta, Y, residuals)

    def times(self, Y: Float64s) -> Floats:
        """Return ``K Y`` (var, k)."""
        out: Floats = np.zeros((len(self.blocks[0]), Y.shape[1]))
        add_blocks(out, self.blocks, Y)
        return out

    def refined(self, R: Float64s, found: Ritz) -> Floats:
        """Return orthonormal ``B'B v`` of the vectors found: a power step that costs no pass."""
        V = self.times(found.Y)
        weights = inverse(found.theta, RANK_TOLERANCE * found.theta[0])
        subtract_product(V, R, -found.Y[-R.shape[1] :] * weights)
        return orthonormal(V)

    def extend(self, R: Float64s) -> bool:
        """Add the directions of ``R`` as a new block; return whether there are any."""
        Q = orthonormal(R, floor=RANK_TOLERANCE * float(np.linalg.norm(self.T, 2)))
        if Q.shape[1] == 0:
            return False
        self.project_out(Q)
        self.blocks.append(orthonormal(Q))
        return True


def block_krylov(
    C: LazyMatrix,
    m: Float64s | None,
    n_comps: int,
    *,
    n_oversamples: int,
    max_passes: int,
    tol: float,
    rng: np.random.Generator,
    with_moments: bool = True,
) -> Streamed:
    """Return the leading triplets of ``B = C - 1 m'``; with ``m`` None, of ``C`` centred.

    Each pass multiplies the newest block with ``B'B``. The cells' scores are put together from
    what the passes made of them; where that takes too much room, the last pass is for scores. A
    matrix whose blocks can be kept is read once and multiplied `KEPT_PRODUCTS` times. The moments
    of the features come with the first pass; without them, ``m`` has to be 0.
    """
    n_obs, n_vars = C.shape
    width = block_width(n_comps + n_oversamples, C.shape)
    staged = StagedMatrix(C)
    keep = not staged.fits and scores_fit(n_obs, width, max_passes)
    n_products = KEPT_PRODUCTS if staged.fits else max_passes if keep else max_passes - 1
    basis = Basis(rng.standard_normal((n_vars, width), dtype=np.float32))
    first = GramDot(basis.blocks[-1], keep_scores=keep)
    of_features = [ColumnMoments(n_vars)] if with_moments else []
    product, *found_moments = staged.look(first, *of_features, label="SVD")
    moments = found_moments[0] if found_moments else None
    shift = shift_of(moments, m)
    scores = Scores(n_obs)
    while True:
        scores.append(product.Y)
        R = shift.gram_dot(product.W, basis.blocks[-1])
        basis.grow(R)
        found = basis.leading(R, n_comps)
        converged = np.max(found.residuals) <= tol
        if converged or len(basis.blocks) == n_products or not basis.extend(R):
            break
        del R, product  # room for the pass
        held = basis.nbytes + scores.nbytes + ROOM_BETWEEN * basis.blocks[-1].size
        next_product = GramDot(basis.blocks[-1], held, keep_scores=keep)
        (product,) = staged.look(next_product, label="SVD")
    if keep:
        V = basis.times(found.Y)
        Y = scores.times(found.Y, shift.m @ V)
    else:
        V = basis.refined(R, found)
        (Y,) = staged.look(Dot(n_obs, V, shift.m @ V), label="SVD scores")
    return Streamed(*triplets(Y, V), found.residuals, staged.n_passes, moments)


def block_width(n_wanted: int, shape: tuple[int, int]) -> int:
    """Return the columns of a block: those wanted, and as many more as products give for nothing.

    Examples
    --------
    >>> block_width(60, (1000, 2000)), block_width(60, (1000, 62))
    (64, 62)
    """
    from lazymu.kernels.products import padded_columns

    return min(padded_columns(n_wanted), *shape)


def scores_fit(n_obs: int, width: int, n_products: int) -> bool:
    """Return whether the scores of all blocks of a basis leave most of the memory limit free."""
    n_bytes = 4 * n_obs * width * (n_products + 1)
    return n_bytes <= working_bytes(settings.memory_limit) // 3


class Scores:
    """``C K`` (obs, basis) for a basis ``K``, in the blocks that the passes made of it."""

    def __init__(self, n_obs: int) -> None:
        self.n_obs, self.blocks = n_obs, list[Floats]()

    @property
    def nbytes(self) -> int:
        # One block more is in pieces while it is put together.
        return sum(block.nbytes for block in self.blocks) + self.blocks[-1].nbytes

    def append(self, pieces: RowPieces) -> None:
        """Take in the scores of the newest block of the basis."""
        width = pieces[0][1].shape[1] if pieces else 0
        self.blocks.append(pieces.assemble(self.n_obs, (width,), np.float32))

    def times(self, Y: Float64s, offset: Float64s) -> Floats:
        """Return ``C K Y - 1 offset'`` (obs, k) in float32."""
        out = np.tile(-offset, (self.n_obs, 1))
        add_blocks(out, self.blocks, Y)
        return out.astype(np.float32)


def triplets(Y: Floats, V: Floats) -> tuple[Floats, Float64s, Float64s]:
    """Return ``U``, ``S``, ``V'`` with ``Y = B V = U S``, for a rotation of ``V``.

    With ``Y'Y = R S^2 R'``, the columns of ``U = Y R / S`` are orthonormal.
    """
    squares, R = np.linalg.eigh(cross(Y, Y))
    singular, R = np.sqrt(np.maximum(squares[::-1], 0)), R[:, ::-1]
    weights = inverse(singular, SCORE_TOLERANCE * singular[0])
    return Y @ (R * weights).astype(np.float32), singular, (V @ R).T
