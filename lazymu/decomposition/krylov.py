"""Block Krylov iteration on `B'B` with one pass for each block: for matrices that stay on disk."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lazymu.decomposition.reducers import ColumnMoments, Dot, GramDot, Moments
from lazymu.decomposition.shifted import Shift
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
    """Leading approximate eigenpairs of ``B'B``, after one step of the power method."""

    V: Floats
    residuals: Float64s


class Basis:
    """An orthonormal basis ``K`` of a Krylov subspace, in blocks (var, l), and ``T = K'B'B K``."""

    def __init__(self, start: Float64s) -> None:
        self.blocks: list[Floats] = [orthonormal(start)]
        self.T: Float64s = np.zeros((0, 0))

    @property
    def nbytes(self) -> int:
        return sum(block.nbytes for block in self.blocks)

    def grow(self, W: Float64s) -> Float64s:
        """Take in ``W = B'B Q`` of the newest block ``Q``; return what of it is new (var, l)."""
        H = np.zeros((sum(block.shape[1] for block in self.blocks), W.shape[1]))
        R = W.copy()
        for _ in range(2):  # twice is enough for orthogonality
            H += self.project_out(R)
        old = len(self.T)
        T = np.zeros((len(H), len(H)))
        T[:old, :old] = self.T
        T[:, old:] = H
        T[old:, :] = H.T
        T[old:, old:] = (H[old:] + H[old:].T) / 2
        self.T = T
        return R

    def project_out(self, R: Float64s) -> Float64s:
        """Take from ``R`` what lies in the basis, in place; return its coefficients."""
        coefficients = []
        for block in self.blocks:
            K = block.astype(np.float64)
            coefficients.append(K.T @ R)
            R -= K @ coefficients[-1]
        return np.concatenate(coefficients)

    def leading(self, R: Float64s, k: int) -> Ritz:
        """Return the best ``k`` vectors of the space, with one power step by the known ``R``.

        For a Ritz pair ``(theta, v = K y)``, ``B'B v = theta v + R y_last``: the second term is
        its residual, and the whole is a better vector than ``v`` that costs no pass.
        """
        theta, Y = np.linalg.eigh(self.T)
        theta, Y = np.maximum(theta[::-1][:k], 0), Y[:, ::-1][:, :k]
        rest = R @ Y[-R.shape[1] :]
        V = self.times(Y)
        residuals = np.linalg.norm(rest, axis=0) / np.where(theta > 0, theta, 1)
        return Ritz(orthonormal(V * theta + rest), residuals)

    def times(self, Y: Float64s) -> Float64s:
        """Return ``K Y``."""
        out = np.zeros((self.blocks[0].shape[0], Y.shape[1]))
        start = 0
        for block in self.blocks:
            out += block.astype(np.float64) @ Y[start : start + block.shape[1]]
            start += block.shape[1]
        return out

    def extend(self, R: Float64s) -> bool:
        """Add the directions of ``R`` as a new block; return whether there are any."""
        U, s, _ = np.linalg.svd(R, full_matrices=False)
        U = U[:, s > RANK_TOLERANCE * np.linalg.norm(self.T, 2)]
        if U.shape[1] == 0:
            return False
        self.project_out(U)
        self.blocks.append(orthonormal(U))
        return True


def orthonormal(X: Float64s) -> Floats:
    """Return an orthonormal basis of the columns, float32: the operand of the next pass."""
    return np.linalg.qr(X)[0].astype(np.float32)


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
    basis = Basis(rng.standard_normal((n_vars, width)))
    first = GramDot(basis.blocks[-1])
    W, moments = run_pass(C, first, ColumnMoments(n_vars), label="SVD")
    shift = Shift(moments.n, moments.mean, moments.mean if m is None else m)
    R = basis.grow(shift.gram_dot(W, first.Q))
    found, n_passes = basis.leading(R, n_comps), 2
    while n_passes < max_passes and np.max(found.residuals) > tol and basis.extend(R):
        product = GramDot(basis.blocks[-1], basis.nbytes + W.nbytes)
        (W,) = run_pass(C, product, label="SVD")
        R = basis.grow(shift.gram_dot(W, product.Q))
        found, n_passes = basis.leading(R, n_comps), n_passes + 1
    U, S, Vt = scores(C, shift, found.V)
    return Streamed(U, S, Vt, found.residuals, n_passes, moments)


def scores(C: LazyMatrix, shift: Shift, V: Floats) -> tuple[Floats, Float64s, Float64s]:
    """Return triplets with ``B V = U S`` for a rotation of ``V``: one pass.

    With ``Y = B V`` and ``Y'Y = R S^2 R'``, the columns of ``U = Y R / S`` are orthonormal.
    """
    (Y,) = run_pass(C, Dot(C.shape[0], V, shift.m @ V), label="SVD scores")
    inner = np.zeros((V.shape[1], V.shape[1]))
    for start in range(0, len(Y), 1 << 16):
        piece = Y[start : start + (1 << 16)].astype(np.float64)
        inner += piece.T @ piece
    squares, R = np.linalg.eigh(inner)
    singular, R = np.sqrt(np.maximum(squares[::-1], 0)), R[:, ::-1]
    known = singular > SCORE_TOLERANCE * singular[0]
    inverse = np.where(known, 1 / np.where(known, singular, 1), 0)
    return Y @ (R * inverse).astype(np.float32), singular, (V @ R).T
