"""Posteriors of MOFA's Gaussian model: a view's loadings and noise, the cells' factors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import digamma, expit, gammaln

from lazymu.decomposition.reducers import ColumnMoments, Dot, TDot
from lazymu.decomposition.staged import StagedMatrix
from lazymu.stream import LazyMatrix
from lazymu.typing import Bools, Float64s, Int64s

SWEEPS = 2
"""Rounds over the factors for each product: they cost no look at the data."""
BROAD_ARD, BROAD_NOISE = 1e-14, 1e-3
"""Shape and rate of the priors of relevance and of the noise's precision, as mofapy2's."""
LABEL = "factors"


class Priors(NamedTuple):
    """What a model assumes."""

    ard_weights: bool = True
    ard_factors: bool = True
    spikeslab_weights: bool = True


class Gamma(NamedTuple):
    """A posterior of precisions, each with a shape and a rate."""

    a: Float64s
    b: Float64s

    @property
    def mean(self) -> Float64s:
        return self.a / self.b

    @property
    def log(self) -> Float64s:
        return np.asarray(digamma(self.a) - np.log(self.b))

    def bound(self, a0: float, b0: float) -> float:
        """Return ``E[ln p] - E[ln q]`` under a Gamma(a0, b0) prior."""
        prior = a0 * np.log(b0) - gammaln(a0) + (a0 - 1) * self.log - b0 * self.mean
        entropy = self.a - np.log(self.b) + gammaln(self.a) + (1 - self.a) * digamma(self.a)
        return float(np.sum(prior + entropy))


class View:
    """The centred values ``Y = scale (C - 1 mean')`` of some cells, as products see them."""

    def __init__(self, matrix: LazyMatrix, cells: Int64s, *, scaled: bool) -> None:
        self._staged, self.cells = StagedMatrix(matrix), cells
        n, p = matrix.shape
        (moments,) = self._staged.look(ColumnMoments(p), label=f"{LABEL}: moments")
        self._mean = moments.mean
        spread = float(np.sqrt(moments.m2.sum() / max(n * p, 1)))
        self.scale = 1 / spread if scaled and spread > 0 else 1.0
        self.squares = moments.m2 * self.scale**2
        self.shape = (n, p)

    @property
    def n_passes(self) -> int:
        return self._staged.n_passes

    def dot(self, V: Float64s) -> Float64s:
        """Return ``Y V`` (own cells, k)."""
        reducer = Dot(self.shape[0], V, self._mean @ V)
        (product,) = self._staged.look(reducer, label=f"{LABEL}: Y W")
        return self.scale * np.asarray(product, np.float64)

    def t_dot(self, Z: Float64s) -> Float64s:
        """Return ``Y'Z`` (features, k) for the own cells' rows of ``Z``."""
        own = Z[self.cells]
        (product,) = self._staged.look(TDot(self.shape[1], own), label=f"{LABEL}: Y'Z")
        centred: Float64s = product - np.outer(self._mean, own.sum(axis=0))
        return self.scale * centred


class Loadings:
    """Posteriors of one view: spike-and-slab weights, their relevance, sparsity, and the noise."""

    def __init__(self, view: View, k: int, priors: Priors) -> None:
        n, p = view.shape
        self.view, self.priors = view, priors
        self.mean = np.zeros((p, k))
        self.var = np.ones((p, k))
        self.on = np.ones((p, k)) if not priors.spikeslab_weights else np.full((p, k), 0.5)
        self.alpha = Gamma(np.ones(k), np.ones(k))
        self.theta = np.ones((2, k))
        noise = np.maximum(view.squares, 1e-12 * max(view.squares.max(initial=0), 1e-300))
        self.tau = Gamma(np.full(p, n / 2), noise / 2)

    @property
    def W(self) -> Float64s:
        """``E[W]``."""
        weights: Float64s = self.on * self.mean
        return weights

    @property
    def W2(self) -> Float64s:
        """``E[W^2]``."""
        squares: Float64s = self.on * (self.mean**2 + self.var)
        return squares

    @property
    def slab2(self) -> Float64s:
        """``E`` of the squared weight beneath the switch; where it is off, the prior's."""
        squares: Float64s = self.W2 + (1 - self.on) / self.alpha.mean
        return squares

    @property
    def V(self) -> Float64s:
        """What the view is multiplied by: ``E[tau] E[W]``."""
        weighted: Float64s = self.tau.mean[:, None] * self.W
        return weighted

    def log_odds(self) -> tuple[Float64s, Float64s]:
        """Return ``E[ln theta]`` and ``E[ln(1 - theta)]``."""
        both = digamma(self.theta.sum(axis=0))
        return digamma(self.theta[0]) - both, digamma(self.theta[1]) - both

    def update(self, T: Float64s, G: Float64s, z2: Float64s) -> None:
        """Update all posteriors, given ``T = Y'E[Z]``, ``G = E[Z]'E[Z]``, ``z2 = sum E[z^2]``."""
        tau, W = self.tau.mean[:, None], self.W
        for k in range(W.shape[1]):
            others = W @ G[:, k] - W[:, k] * G[k, k]
            alpha = self.alpha.mean[k]
            precision = tau[:, 0] * z2[k] + alpha
            self.mean[:, k] = tau[:, 0] * (T[:, k] - others) / precision
            self.var[:, k] = 1 / precision
            if self.priors.spikeslab_weights:
                log_on, log_off = self.log_odds()
                gain = np.log(alpha) - np.log(precision) + precision * self.mean[:, k] ** 2
                self.on[:, k] = expit(log_on[k] - log_off[k] + 0.5 * gain)
            W[:, k] = self.on[:, k] * self.mean[:, k]
        p = len(W)
        if self.priors.ard_weights:
            a = np.full(W.shape[1], BROAD_ARD + p / 2)
            self.alpha = Gamma(a, BROAD_ARD + 0.5 * self.slab2.sum(axis=0))
        if self.priors.spikeslab_weights:
            used = self.on.sum(axis=0)
            self.theta = np.stack([1 + used, 1 + p - used])
        rate = BROAD_NOISE + 0.5 * self.residual(T, G, z2)
        self.tau = Gamma(np.full(p, BROAD_NOISE + self.view.shape[0] / 2), rate)

    def residual(self, T: Float64s, G: Float64s, z2: Float64s) -> Float64s:
        """Return ``E sum_n (y - W z)^2`` of each feature."""
        W = self.W
        explained = 2 * np.einsum("dk,dk->d", W, T) - np.einsum("dk,dk->d", W @ G, W)
        spread = self.W2 @ z2 - W**2 @ np.diag(G)
        return np.asarray(np.maximum(self.view.squares - explained + spread, 0.0))

    def bound(self, T: Float64s, G: Float64s, z2: Float64s) -> float:
        """Return the part of the evidence's lower bound that is this view's."""
        n, tau = self.view.shape[0], self.tau
        total = 0.5 * np.sum(n * (tau.log - np.log(2 * np.pi)))
        total -= 0.5 * float(tau.mean @ self.residual(T, G, z2))
        total += tau.bound(BROAD_NOISE, BROAD_NOISE)
        alpha = self.alpha
        total += 0.5 * np.sum(alpha.log - alpha.mean * self.slab2 + 1)
        total += 0.5 * np.sum(self.on * np.log(self.var) - (1 - self.on) * np.log(alpha.mean))
        if self.priors.ard_weights:
            total += alpha.bound(BROAD_ARD, BROAD_ARD)
        if self.priors.spikeslab_weights:
            total += self._switch_bound()
        return float(total)

    def _switch_bound(self) -> float:
        log_on, log_off = self.log_odds()
        on, off = self.on, 1 - self.on
        total = np.sum(on * log_on + off * log_off)
        total -= np.sum(on * np.log(np.maximum(on, 1e-300)) + off * np.log(np.maximum(off, 1e-300)))
        a, b = self.theta
        both = a + b
        entropy = gammaln(a) + gammaln(b) - gammaln(both)
        entropy -= (a - 1) * digamma(a) + (b - 1) * digamma(b) - (both - 2) * digamma(both)
        return float(total + np.sum(entropy))


class Scores:
    """Posterior of the factors: each cell's mean, and a variance for cells of the same views."""

    def __init__(self, Z: Float64s, present: Bools, *, ard: bool) -> None:
        self.Z, self.ard = Z, ard
        self.patterns, self.pattern = np.unique(present, axis=0, return_inverse=True)
        self.pattern = self.pattern.reshape(-1)
        self.n = np.bincount(self.pattern, minlength=len(self.patterns)).astype(float)
        self.var = np.ones((len(self.patterns), Z.shape[1]))
        self.alpha = Gamma(np.ones(Z.shape[1]), np.ones(Z.shape[1]))

    def squares(self, view: int | None = None) -> Float64s:
        """Return ``sum_n E[z^2]`` (k,) over the cells of a view, or of all."""
        used = np.ones(len(self.patterns), bool) if view is None else self.patterns[:, view]
        cells = used[self.pattern]
        own = self.Z[cells]
        total: Float64s = np.einsum("nk,nk->k", own, own) + (self.n * used) @ self.var
        return total

    def gram(self, view: int) -> Float64s:
        """Return ``E[Z]'E[Z]`` (k, k) over the cells of a view."""
        own = self.Z[self.patterns[:, view][self.pattern]]
        return np.asarray(own.T @ own)

    def update(self, A: Float64s, loadings: Sequence[Loadings]) -> None:
        """Update the factors, given ``A = sum_m Y_m V_m`` of each cell (0 where a view lacks)."""
        tau_w2 = np.stack([own.tau.mean @ own.W2 for own in loadings])
        cross = np.stack([own.V.T @ own.W for own in loadings])
        alpha = self.alpha.mean
        present = self.patterns.astype(float)
        precision = alpha + present @ tau_w2
        self.var = 1 / precision
        B = np.tensordot(present, cross, axes=1)  # (patterns, k, k)
        for _ in range(SWEEPS):
            for k in range(self.Z.shape[1]):
                for p in range(len(self.patterns)):
                    cells = slice(None) if len(self.patterns) == 1 else self.pattern == p
                    own = self.Z[cells]
                    others = own @ B[p, :, k] - own[:, k] * B[p, k, k]
                    self.Z[cells, k] = (A[cells, k] - others) / precision[p, k]
        if self.ard:
            a = np.full(self.Z.shape[1], BROAD_ARD + len(self.Z) / 2)
            self.alpha = Gamma(a, BROAD_ARD + 0.5 * self.squares())

    def bound(self) -> float:
        """Return the part of the evidence's lower bound that is the factors'."""
        alpha, n = self.alpha, len(self.Z)
        total = 0.5 * np.sum(n * alpha.log - alpha.mean * self.squares() + n)
        total += 0.5 * float(np.sum(self.n @ np.log(self.var)))
        if self.ard:
            total += alpha.bound(BROAD_ARD, BROAD_ARD)
        return float(total)
