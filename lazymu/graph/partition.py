"""Cells of an embedding divided into clusters that lie side by side."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np

from lazymu.stream.threads import for_row_blocks, one_native_thread
from lazymu.typing import Float64s, Floats, Int64s, Ints

TRAINING_CELLS = 64
"""Cells a cluster that the centres are fitted to."""
TRAINING_ROUNDS = 10
LARGEST = 4
"""Clusters of more than so many times the mean size are divided into pieces of one centre."""
ASSIGNED_ROWS = 4096


class Partition(NamedTuple):
    """Cells in clusters."""

    centers: Floats
    """Shape (C, d)."""
    cells: Ints
    """int32, shape (n,): the cells, one cluster after the other."""
    bounds: Int64s
    """Shape (C + 1,): where each cluster begins and ends among them."""


def standardized(X: Floats, scale: Float64s, rows: Ints, center: Float64s, unit: float) -> Floats:
    """Return the vectors of some cells, centred and in units of the largest entry."""
    vectors = (X[rows] * scale[rows, None] - center) / unit
    return vectors.astype(np.float32)


def frame(X: Floats, scale: Float64s) -> tuple[Float64s, float]:
    """Return the mean vector and the largest entry of a difference to it: no product overflows."""
    center = (scale @ X) / len(X)
    extremes = [
        np.abs(X[i : i + ASSIGNED_ROWS] * scale[i : i + ASSIGNED_ROWS, None] - center).max()
        for i in range(0, len(X), ASSIGNED_ROWS)
    ]
    return center, float(max(extremes)) or 1.0


def partition(
    X: Floats, scale: Float64s, center: Float64s, unit: float, rng: np.random.Generator
) -> Partition:
    """Divide cells into about ``sqrt(n)`` clusters by k-means on a sample."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    n = len(X)
    n_clusters = max(1, round(n**0.5))
    chosen = np.sort(rng.choice(n, min(n, TRAINING_CELLS * n_clusters), replace=False))
    fit = KMeans(
        n_clusters,
        init="random",
        n_init=1,
        max_iter=TRAINING_ROUNDS,
        random_state=int(rng.integers(2**31)),
    )
    with one_native_thread(), warnings.catch_warnings():
        # Equal cells can be fewer than the clusters; empty ones do no harm.
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit.fit(standardized(X, scale, chosen, center, unit))
    centers = np.asarray(fit.cluster_centers_, np.float32)
    sizes = np.bincount(fit.labels_, minlength=n_clusters)
    centers = centers[side_by_side(centers, sizes)]
    labels = _nearest_centers(X, scale, center, unit, centers)
    return _divided(centers, labels, LARGEST * -(-n // n_clusters))


def _nearest_centers(
    X: Floats, scale: Float64s, center: Float64s, unit: float, centers: Floats
) -> Ints:
    labels = np.empty(len(X), np.int32)
    half = 0.5 * np.einsum("ij,ij->i", centers, centers)

    def assign(first: int, last: int) -> None:
        rows = np.arange(first, last)
        products = standardized(X, scale, rows, center, unit) @ centers.T
        labels[first:last] = np.argmax(np.subtract(products, half, out=products), axis=1)

    for_row_blocks(assign, 0, len(X), ASSIGNED_ROWS)
    return labels


def _divided(centers: Floats, labels: Ints, largest: int) -> Partition:
    """Return the partition of these labels, large clusters in pieces that share a centre."""
    cells = np.argsort(labels, kind="stable").astype(np.int32)
    sizes = np.bincount(labels, minlength=len(centers))
    pieces = [
        (cluster, min(largest, int(size) - start))
        for cluster, size in enumerate(sizes.tolist())
        for start in range(0, size, largest)
    ]
    owners = np.array([cluster for cluster, _ in pieces])
    bounds = np.cumsum([0, *(size for _, size in pieces)])
    return Partition(centers[owners], cells, bounds)


def side_by_side(centers: Floats, sizes: Int64s) -> Ints:
    """Return an order of clusters in which those near each other stand together.

    They are halved, by the number of their cells, across the direction in which they spread most,
    and the halves again.

    Examples
    --------
    >>> import numpy as np
    >>> side_by_side(np.array([[0.0], [9.0], [1.0], [8.0]]), np.array([5, 5, 5, 5]))
    array([0, 2, 3, 1])
    """
    pending, order = [np.arange(len(centers))], []
    while pending:
        some = pending.pop()
        if len(some) == 1:
            order.append(int(some[0]))
            continue
        points = centers[some] - centers[some].mean(axis=0)
        _, _, directions = np.linalg.svd(points, full_matrices=False)
        # The sign of a direction is the algorithm's: its largest entry is made positive.
        first = directions[0] * np.sign(directions[0, np.abs(directions[0]).argmax()])
        some = some[np.argsort(points @ first, kind="stable")]
        passed = np.cumsum(sizes[some])
        half = int(np.searchsorted(passed, passed[-1] / 2, side="right"))
        half = min(max(half, 1), len(some) - 1)
        pending += [some[half:], some[:half]]
    return np.array(order)
