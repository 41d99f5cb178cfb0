"""The background of each cell: a mixture of two normal distributions over its proteins."""

from __future__ import annotations

import numpy as np

from lazymu.kernels.jit import kernel
from lazymu.typing import Float64s

MAX_ITERATIONS = 100
TOLERANCE = 1e-3
"""Of the mean log likelihood between iterations."""
VARIANCE_FLOOR = 1e-6
"""Added to variances, so that none vanishes."""
TINY = 10 * 2.220446049250313e-16
"""Added to the weight of a component, so that none is empty."""


@kernel
def estimate(x: Float64s, resp: Float64s, n_variances: int, out: Float64s) -> None:
    """Write weight, mean and variance of both components to ``out`` (3, 2), given who is whose.

    With ``n_k = sum_i r_ik``: ``mean_k = sum_i r_ik x_i / n_k`` and ``var_k = sum_i r_ik (x_i -
    mean_k)^2 / n_k``; with one variance it is ``(sum_i x_i^2 - sum_k n_k mean_k^2) / sum_k n_k``.
    """
    squares = 0.0
    for i in range(len(x)):
        squares += x[i] * x[i]
    for k in range(2):
        n, total, spread = TINY, 0.0, 0.0
        for i in range(len(x)):
            n += resp[i, k]
            total += resp[i, k] * x[i]
        mean = total / n
        for i in range(len(x)):
            spread += resp[i, k] * (x[i] - mean) ** 2
        out[0, k], out[1, k], out[2, k] = n, mean, spread / n + VARIANCE_FLOOR
        squares -= n * mean * mean
    n_all = out[0, 0] + out[0, 1]
    for k in range(2):
        if n_variances == 1:
            out[2, k] = squares / n_all + VARIANCE_FLOOR
        out[0, k] /= n_all


@kernel
def expect(x: Float64s, params: Float64s, resp: Float64s) -> float:
    """Write each value's membership to ``resp`` (p, 2); return the mean log likelihood."""
    total = 0.0
    for i in range(len(x)):
        for k in range(2):
            z2 = (x[i] - params[1, k]) ** 2 / params[2, k]
            resp[i, k] = np.log(params[0, k]) - 0.5 * (np.log(2 * np.pi * params[2, k]) + z2)
        a, b = resp[i, 0], resp[i, 1]
        norm = max(a, b) + np.log1p(np.exp(-abs(a - b)))
        resp[i, 0], resp[i, 1] = np.exp(a - norm), np.exp(b - norm)
        total += norm
    return total / len(x)


@kernel
def fit(x: Float64s, start: Float64s, n_variances: int, resp: Float64s, params: Float64s) -> float:
    """Fit a mixture by expectation maximisation; return its Bayesian information criterion."""
    resp[:] = start
    estimate(x, resp, n_variances, params)
    likelihood = -np.inf
    for _ in range(MAX_ITERATIONS):
        before, likelihood = likelihood, expect(x, params, resp)
        estimate(x, resp, n_variances, params)
        if abs(likelihood - before) < TOLERANCE:
            break
    misfit = -2 * expect(x, params, resp) * len(x)
    return misfit + (3 + n_variances) * float(np.log(len(x)))


@kernel
def background_means(Z: Float64s, start: Float64s) -> Float64s:
    """Return the mean of the lower component of each row of ``Z`` (rows, p).

    Of a mixture with one variance and one with two, that with the lower information criterion
    counts. ``start`` (p, 2) is the membership from which both begin.
    """
    out = np.empty(len(Z))
    resp = np.empty(start.shape)
    params = np.empty((3, 2))
    for i in range(len(Z)):
        shared = fit(Z[i], start, 1, resp, params)
        of_shared = min(params[1, 0], params[1, 1])
        separate = fit(Z[i], start, 2, resp, params)
        out[i] = of_shared if shared < separate else min(params[1, 0], params[1, 1])
    return out
