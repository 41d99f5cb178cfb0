"""An orthonormal basis of a block Krylov subspace of `B'B`, and the best vectors in it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lazymu.decomposition.eigen import inverse
from lazymu.decomposition.tall import add_blocks, cross, orthonormal, subtract_product
from lazymu.typing import Float64s, Floats

RANK_TOLERANCE = 1e-10
"""New directions shorter than this share of ``B'B`` are rounding errors."""


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
