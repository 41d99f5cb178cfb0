"""Block Krylov iteration on `B'B` with one pass for each block: for matrices that stay on disk."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lazymu.decomposition.reducers import ColumnMoments, Dot, GramDot, Moments
from lazymu.decomposition.shifted import Shift
from lazymu.decomposition.tall import cross, orthonormal, subtract_product
from lazymu.stream import LazyMatrix, run_pass
from lazymu.typing import Float64s, Floats

RANK_TOLERANCE = 1e-10
"""New directions shorter than this share of ``B'B`` are rounding errors."""
SCORE_TOLERANCE = 1e-6
"""Singular values below this share of the first are rounding errors of the float32 scores."""


class Streamed(NamedTuple):
    """Leading triplets of a matrix that was streamed."""

    U: Floats
    S: Float64s
    Vt: Float64s
    residuals: Float64s
    n_passes: int
    moments: Moments


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

    def refined(self, R: Float64s, found: Ritz) -> Floats:
        """Return orthonormal ``B'B v`` of the vectors found: a power step that costs no pass."""
        V = np.zeros((len(R), found.Y.shape[1]))
        start = 0
        for block in self.blocks:
            subtract_product(V, block, -found.Y[start : start + block.shape[1]])
            start += block.shape[1]
        known = found.theta > RANK_TOLERANCE * found.theta[0]
        inverse = np.where(known, 1 / np.where(known, found.theta, 1), 0)
        subtract_product(V, R, -found.Y[-R.shape[1] :] * inverse)
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
) -> Streamed:
    """Return the leading triplets of ``B = C - 1 m'``; with ``m`` None, of ``C`` centred.

    Passes 1 to q-1 multiply the newest block with ``B'B``; pass q multiplies the vectors found
    with ``B``. The moments of the features come with the first pass.
    """
    n_obs, n_vars = C.shape
    width = min(n_comps + n_oversamples, n_obs, n_vars)
    basis = Basis(rng.standard_normal((n_vars, width), dtype=np.float32))
    first = GramDot(basis.blocks[-1])
    W, moments = run_pass(C, first, ColumnMoments(n_vars), label="SVD")
    shift = Shift(moments.n, moments.mean, moments.mean if m is None else m)
    R = shift.gram_dot(W, first.Q)
    basis.grow(R)
    found, n_passes = basis.leading(R, n_comps), 2
    while n_passes < max_passes and np.max(found.residuals) > tol and basis.extend(R):
        del R, W  # room for the pass
        product = GramDot(basis.blocks[-1], basis.nbytes)
        (W,) = run_pass(C, product, label="SVD")
        R = shift.gram_dot(W, product.Q)
        basis.grow(R)
        found, n_passes = basis.leading(R, n_comps), n_passes + 1
    V = basis.refined(R, found)
    del basis, R
    U, S, Vt = scores(C, shift, V)
    return Streamed(U, S, Vt, found.residuals, n_passes, moments)


def scores(C: LazyMatrix, shift: Shift, V: Floats) -> tuple[Floats, Float64s, Float64s]:
    """Return triplets with ``B V = U S`` for a rotation of ``V``: one pass.

    With ``Y = B V`` and ``Y'Y = R S^2 R'``, the columns of ``U = Y R / S`` are orthonormal.
    """
    (Y,) = run_pass(C, Dot(C.shape[0], V, shift.m @ V), label="SVD scores")
    squares, R = np.linalg.eigh(cross(Y, Y))
    singular, R = np.sqrt(np.maximum(squares[::-1], 0)), R[:, ::-1]
    known = singular > SCORE_TOLERANCE * singular[0]
    inverse = np.where(known, 1 / np.where(known, singular, 1), 0)
    return Y @ (R * inverse).astype(np.float32), singular, (V @ R).T
