"""MOFA's Gaussian model: variational updates whose only work on the data is two products.

An iteration asks each view ``Y`` (cells, features; centred without a dense copy) for ``Y'Z`` and
``Y V``, ``Z`` (cells, k) being the factors and ``V`` (features, k) the loadings times the noise's
precision. All else is small.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import digamma, expit, gammaln

from lazymu.decomposition.reducers import ColumnMoments, Dot, TDot
from lazymu.decomposition.staged import StagedMatrix
from lazymu.stream import LazyMatrix
from lazymu.stream.progress import advance, reporting
from lazymu.typing import Bools, Float64s, Int64s

TOLERANCE = {"fast": 5e-6, "medium": 5e-7, "slow": 5e-8}
"""Change of the bound, as part of the first one, below which an iteration counts as still."""
STILL = 2
"""Iterations in a row that must be still."""
START_PRODUCTS = 4
ROTATIONS = 200
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


STANDARD = Priors()


class FactorModel(NamedTuple):
    """A trained model, factors in falling order of the variance that they explain."""

    scores: Float64s
    """(cells, k)."""
    loadings: list[Float64s]
    """(features, k) of each view, in the units of its values."""
    variance: Float64s
    """Percent of variance explained, (views, k)."""
    elbo: Float64s
    """The bound after each iteration."""
    n_passes: int


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


def gaussian_factors(
    matrices: Sequence[LazyMatrix],
    cells: Sequence[Int64s],
    n_cells: int,
    n_factors: int,
    *,
    priors: Priors = STANDARD,
    scale_views: bool = False,
    n_iterations: int = 1000,
    convergence_mode: str = "fast",
    random_state: int | None = 0,
) -> FactorModel:
    r"""Return the factors of several views of the same cells.

    ``y^m_{nd} = \sum_k w^m_{dk} z_{nk} + noise`` with ``w = s \hat{w}``, ``s`` Bernoulli(theta_mk),
    ``\hat{w}`` N(0, 1/alpha_mk), ``z`` N(0, 1/alpha_k), noise N(0, 1/tau_md); broad Gamma priors of
    all precisions, uniform ones of theta. The posterior factorises; updates go on until the bound
    stands still.

    Parameters
    ----------
    matrices
        The views, each (own cells, features).
    cells
        For each view, the cell of each row, out of ``n_cells``; cells of no view keep 0.
    n_factors
        Factors at the start; those that explain nothing fade to 0.

    Notes
    -----
    Looks at a view: one for its moments, ``2 START_PRODUCTS`` for the start, two an iteration; each
    is a pass unless its blocks are kept (a third of the memory limit at most). Memory: eight
    float64 arrays (features, k) a view and three (cells, k).

    References
    ----------
    Argelaguet et al. 2018, https://doi.org/10.15252/msb.20178124; Argelaguet et al. 2020,
    https://doi.org/10.1186/s13059-020-02015-1.
    """
    views = [View(*own, scaled=scale_views) for own in zip(matrices, cells, strict=True)]
    present = np.zeros((n_cells, len(views)), bool)
    for m, view in enumerate(views):
        present[view.cells, m] = True
    rng = np.random.default_rng(random_state)
    scores = Scores(start(views, n_cells, n_factors, rng), present, ard=priors.ard_factors)
    loadings = [Loadings(view, n_factors, priors) for view in views]
    bounds: list[float] = []
    n_still = 0
    token = f"{LABEL} {id(scores)}"
    with reporting(token, LABEL, n_iterations, n_iterations):
        for _ in range(n_iterations):
            bounds.append(iterate(scores, loadings))
            advance(token, 1)
            step = abs(bounds[-1] - bounds[-2]) if len(bounds) > 1 else np.inf
            n_still = n_still + 1 if step < TOLERANCE[convergence_mode] * abs(bounds[0]) else 0
            if n_still == STILL:
                break
    return ordered(scores, loadings, np.array(bounds))


def iterate(scores: Scores, loadings: Sequence[Loadings]) -> float:
    """Update loadings, then factors; return the bound in between."""
    total = scores.bound()
    for m, own in enumerate(loadings):
        T, G, z2 = own.view.t_dot(scores.Z), scores.gram(m), scores.squares(m)
        for _ in range(SWEEPS):
            own.update(T, G, z2)
        total += own.bound(T, G, z2)
    A = np.zeros_like(scores.Z)
    for own in loadings:
        A[own.view.cells] += own.view.dot(own.V)
    scores.update(A, loadings)
    return total


def start(
    views: Sequence[View], n_cells: int, n_factors: int, rng: np.random.Generator
) -> Float64s:
    """Return factors of variance 1: leading components of all views, rotated to sparse loadings.

    A few steps of subspace iteration on ``sum_m Y_m Y_m' / |Y_m|^2``, then varimax: the bound is
    nearly flat under rotations, and the updates alone take hundreds of iterations over them.
    """
    Z = rng.normal(size=(n_cells, n_factors))
    for _ in range(START_PRODUCTS):
        Z, _ = np.linalg.qr(Z)
        product = np.zeros_like(Z)
        for view in views:
            total = max(float(view.squares.sum()), 1e-300)
            product[view.cells] += view.dot(view.t_dot(Z)) / total
        Z = product
    U, _, _ = np.linalg.svd(Z, full_matrices=False)
    weights = [view.t_dot(U) / np.sqrt(max(float(view.squares.sum()), 1e-300)) for view in views]
    return np.asarray(U @ varimax(np.concatenate(weights)) * np.sqrt(n_cells))


def varimax(W: Float64s) -> Float64s:
    """Return the rotation ``R`` that makes squared loadings ``(W R)^2`` vary most in each column.

    Kaiser 1958, by singular vectors; loadings as they are, not scaled to equal communalities.

    Examples
    --------
    >>> import numpy as np
    >>> W = np.array([[1.0, 1.0], [1.0, 1.0], [1.0, -1.0], [1.0, -1.0]])
    >>> np.abs(W @ varimax(W)).round(3).max(axis=1)
    array([1.414, 1.414, 1.414, 1.414])
    """
    k = W.shape[1]
    R, before = np.eye(k), 0.0
    for _ in range(ROTATIONS):
        L = W @ R
        U, S, Vt = np.linalg.svd(W.T @ (L**3 - L * np.mean(L**2, axis=0)))
        R = U @ Vt
        if S.sum() <= before * (1 + 1e-9):
            break
        before = float(S.sum())
    return R


def ordered(scores: Scores, loadings: Sequence[Loadings], bounds: Float64s) -> FactorModel:
    """Return the model, the factors that explain most first, their largest loading positive."""
    explained = []
    for m, own in enumerate(loadings):
        T, G, W = own.view.t_dot(scores.Z), scores.gram(m), own.W
        gain = np.sum(2 * W * T - W**2 * np.diag(G), axis=0)
        explained.append(100 * gain / max(float(own.view.squares.sum()), 1e-300))
    variance = np.stack(explained)
    order = np.argsort(-variance.sum(axis=0), kind="stable")
    every = np.concatenate([own.W for own in loadings])
    signs = np.sign(every[np.abs(every).argmax(axis=0), np.arange(every.shape[1])])
    signs = np.where(signs == 0, 1.0, signs)
    return FactorModel(
        (scores.Z * signs)[:, order],
        [(own.W * signs)[:, order] for own in loadings],
        variance[:, order],
        bounds,
        sum(own.view.n_passes for own in loadings),
    )
