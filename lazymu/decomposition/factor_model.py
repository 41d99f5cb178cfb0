"""MOFA's Gaussian model: variational updates whose only work on the data is two products.

An iteration asks each view ``Y`` (cells, features; centred without a dense copy) for ``Y'Z`` and
``Y V``, ``Z`` (cells, k) being the factors and ``V`` (features, k) the loadings times the noise's
precision. All else is small.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lazymu.decomposition.factor_posteriors import (
    LABEL,
    SWEEPS,
    Loadings,
    Priors,
    Scores,
    View,
)
from lazymu.stream import LazyMatrix
from lazymu.stream.progress import advance, reporting
from lazymu.typing import Float64s, Int64s

TOLERANCE = {"fast": 5e-6, "medium": 5e-7, "slow": 5e-8}
"""Change of the bound, as part of the first one, below which an iteration counts as still."""
STILL = 2
"""Iterations in a row that must be still."""
START_PRODUCTS = 4
ROTATIONS = 200


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
    >>> turn = np.array([[0.8, 0.6], [-0.6, 0.8]])
    >>> W = np.array([[2.0, 0.0], [1.0, 0.0], [0.0, 3.0]]) @ turn
    >>> np.abs(W @ varimax(W)).max(axis=1).round(3)
    array([2., 1., 3.])
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
