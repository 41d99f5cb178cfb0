"""How much each modality says about a cell: whose neighbours predict the cell better."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lazymu.errors import ArgumentError, explain
from lazymu.graph.aligned import Fitted, Vectors
from lazymu.graph.bandwidth import Flavor, least_bandwidth, nearest_distances
from lazymu.stream.spread import over_rows
from lazymu.typing import Array, Float64s, Ints

BLOCK_ROWS = 1024
LARGEST_SCORE = 200.0


def modality_weights(fits: Sequence[Fitted], eps: float, flavor: Flavor) -> Float64s:
    """Return the weight of each modality in each cell.

    ``w^r = exp(l^r) / sum_r exp(l^r)`` over the modalities that the cell has. With ``theta^{rs}``
    how well the cell's neighbours in s predict it in r, ``l^r = log sum_s exp(min(200, theta^{rr} /
    (theta^{rs} + eps)))`` (Seurat) or ``theta^{rr} / (max_s theta^{rs} + eps)`` (muon).

    Parameters
    ----------
    fits
        The M modalities.
    eps
        As above.
    flavor
        Which of the two.

    Returns
    -------
    Shape (N, M); 0 where the cell is missing, rows sum to 1.
    """
    present = np.column_stack([fit.view.row_of >= 0 for fit in fits])
    several = present.sum(axis=1) > 1
    logits = np.where(present, 0.0, -np.inf)
    for own, fit in enumerate(fits):
        cells = several & present[:, own]
        others = [s for s in range(len(fits)) if s != own]
        within = np.nan_to_num(prediction_kernel(fit, fit, flavor)[cells], nan=0.0)[:, None]
        across = np.empty((len(within), len(others)))
        for column, other in enumerate(others):
            across[:, column] = prediction_kernel(fit, fits[other], flavor)[cells]
        # A modality that the cell has, but whose neighbours of it are all missing here, is neutral.
        across = np.where(np.isnan(across), within, across)
        across[~present[np.ix_(cells, others)]] = np.nan
        logits[cells, own] = _logits(within, across, eps, flavor)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    weights: Float64s = odds / odds.sum(axis=1, keepdims=True)
    return weights


def given_weights(weights: Array, fits: Sequence[Fitted]) -> Float64s:
    """Return weights that the user gave, (M,) or (N, M), scaled to sum to 1 in each cell.

    Raises
    ------
    ArgumentError
        If they do not fit, are negative or not finite, or a cell is left without any.
    """
    present = np.column_stack([fit.view.row_of >= 0 for fit in fits])
    given = np.asarray(weights, np.float64)
    if given.shape not in (present.shape, present.shape[1:]):
        rule = f"there are {present.shape[0]} cells and {present.shape[1]} modalities"
        fix = "pass a number for each modality, or a row of them for each cell"
        raise ArgumentError(explain("weights", f"of shape {given.shape}", rule, fix))
    if not np.isfinite(given).all() or given.min(initial=0) < 0:
        rule = "weights are finite and not negative"
        raise ArgumentError(explain("weights", f"from {given.min():g}", rule, "pass others"))
    used = np.where(present, given, 0.0)
    total = used.sum(axis=1, keepdims=True)
    if n_without := int((total == 0).sum()):
        rule = "every cell needs one above 0 in a modality that it has"
        raise ArgumentError(
            explain("weights", f"all 0 in {n_without} cells", rule, "raise them there")
        )
    scaled: Float64s = used / total
    return scaled


def _logits(within: Float64s, across: Float64s, eps: float, flavor: Flavor) -> Float64s:
    """Return ``l^r`` of some cells; ``across`` is NaN for modalities that a cell has not."""
    if flavor == "muon":
        best = np.where(np.isnan(across), -np.inf, across).max(axis=1, initial=-np.inf)
        ratio: Float64s = within[:, 0] / (best + eps)
        return ratio
    scores = np.minimum(within / (across + eps), LARGEST_SCORE)
    # exp(200) is far from overflow.
    logits: Float64s = np.log(np.nansum(np.exp(scores), axis=1))
    return logits


def prediction_kernel(fit: Fitted, other: Fitted, flavor: Flavor) -> Float64s:
    """Return how well neighbours in ``other`` predict each cell in ``fit``, between 0 and 1.

    ``theta = exp(-max(0, |x - p| - d1) / b)``, with ``p`` the neighbours' mean, ``d1`` the distance
    of the nearest neighbour in ``fit``, and ``b = sigma`` (Seurat) or ``sigma - d1`` (muon, the
    least bandwidth at least). NaN where there is no prediction.
    """
    view, cells = fit.view, other.view.cells
    found = over_rows(
        _prediction_errors,
        (cells, other.lists.indices),
        (view.shared, other.view.shared),
        block_rows=BLOCK_ROWS,
        label="weights",
    )
    errors = np.full(len(view.row_of), np.nan)
    errors[cells] = np.concatenate(found)
    offset = nearest_distances(fit.lists)
    width = fit.sigma
    if flavor == "muon":
        width = np.maximum(width - offset, least_bandwidth(view))
    theta = np.full(len(errors), np.nan)
    theta[view.cells] = np.exp(-np.maximum(errors[view.cells] - offset, 0.0) / width)
    return theta


def _prediction_errors(cells: Ints, lists: Ints, own: Vectors, other: Vectors) -> Float64s:
    """Return how far cells are from the mean of their neighbours; NaN where there is none."""
    from lazymu.kernels.wnn import prediction_errors

    out = np.full(len(cells), np.nan)
    prediction_errors(out, cells, lists, own.X, own.scale, own.row_of, other.cells)
    return out
