"""The noise of each cell, and how much of it each protein takes up."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from lazymu.errors import MissingResultError, explain
from lazymu.stream import Block, LazyMatrix, Reducer, RowPieces, RowReducer, run_pass
from lazymu.typing import CSR, Float64s, Int64s, RandomState


class BackgroundMeans(RowReducer[Float64s]):
    """For each cell some of its values and, last, the mean of its background: (obs, any + 1)."""

    def __init__(self, n_obs: int, start: Float64s, columns: Int64s) -> None:
        self.n_obs, self.start, self.columns = n_obs, start, columns

    def of_block(self, X: CSR) -> Float64s:
        from lazymu.kernels.mixture import background_means

        Z = np.ascontiguousarray(X.toarray(), dtype=np.float64)
        means = background_means(Z, self.start)
        return np.column_stack([Z[:, self.columns], means])

    def finalize(self, state: RowPieces) -> Float64s:
        return state.assemble(self.n_obs, (len(self.columns) + 1,), np.float64)


class Projection(Reducer[Float64s, Float64s]):
    """``X' y`` (var,) for a vector ``y`` (obs,)."""

    per_row = ("y",)

    def __init__(self, n_vars: int, y: Float64s) -> None:
        self.n_vars, self.y = n_vars, y

    def init(self) -> Float64s:
        return np.zeros((self.n_vars, 1))

    def chunk(self, state: Float64s, block: Block) -> Float64s:
        from lazymu.kernels.products import t_dot_add

        X = block.X
        y = np.ascontiguousarray(block.of(self.y)[:, None])
        t_dot_add(X.data, X.indices, X.indptr, y, state)
        return state

    def combine(self, a: Float64s, b: Float64s) -> Float64s:
        a += b
        return a

    def finalize(self, state: Float64s) -> Float64s:
        return state[:, 0]


def technical_noise(
    matrix: LazyMatrix,
    names: pd.Index,
    isotype_controls: Iterable[str] | None,
    random_state: RandomState,
) -> Float64s:
    """Return the noise of each cell (obs,), with mean 0: one pass.

    It is the mean of the cell's background, or with isotype controls the first principal component
    of them and that mean.
    """
    columns = isotype_columns(names, isotype_controls)
    start = starting_membership(matrix.shape[1], random_state)
    (covariates,) = run_pass(
        matrix, BackgroundMeans(matrix.shape[0], start, columns), label="DSB noise"
    )
    centred: Float64s = covariates - covariates.mean(axis=0)
    return centred[:, 0] if isotype_controls is None else first_component(centred)


def isotype_columns(names: pd.Index, isotype_controls: Iterable[str] | None) -> Int64s:
    """Return the positions of the isotype controls."""
    if isotype_controls is None:
        return np.zeros(0, dtype=np.int64)
    wanted = list(isotype_controls)
    missing = [name for name in wanted if name not in names]
    if missing:
        rule = f"`data` has no protein {missing[0]!r}"
        raise MissingResultError(explain("isotype_controls", wanted, rule, "check var_names"))
    return np.flatnonzero(names.isin(wanted)).astype(np.int64)


def starting_membership(n_vars: int, random_state: RandomState) -> Float64s:
    """Return random shares of the two components for each protein (var, 2), rows summing to 1.

    A whole number seeds NumPy's older generator, which is what scikit-learn's mixtures start from.
    """
    if isinstance(random_state, np.random.Generator):
        shares: Float64s = random_state.uniform(size=(n_vars, 2))
    else:
        shares = np.random.RandomState(random_state).uniform(size=(n_vars, 2))
    normalised: Float64s = shares / shares.sum(axis=1, keepdims=True)
    return normalised


def first_component(centred: Float64s) -> Float64s:
    """Return the scores of the first principal component, with variance 1."""
    _, vectors = np.linalg.eigh(centred.T @ centred)
    scores: Float64s = centred @ vectors[:, -1]
    std = float(scores.std(ddof=1))
    return scores / std if std > 0 else scores


def noise_slopes(matrix: LazyMatrix, noise: Float64s) -> Float64s:
    """Return the slope of each protein's regression on the noise (var,): one pass.

    ``slope_j = sum_i c_i z_ij / sum_i c_i^2`` for noise with mean 0.
    """
    (products,) = run_pass(matrix, Projection(matrix.shape[1], noise), label="DSB regression")
    spread = float(noise @ noise)
    slopes: Float64s = products / spread if spread > 0 else np.zeros_like(products)
    return slopes
