"""Search of nearest cells: bounded heaps of (distance, id), filled from tiles of products.

Cell ``i`` stands for the vector ``scale[i] * X[i]``: with ``scale = 1 / |X[i]|`` the vectors have
length one without a second copy of ``X``. All distances are float64 and of differences, so that
equal rows are at distance 0 exactly; equal distances are ordered by id.
"""

from __future__ import annotations

import numpy as np

from lazymu.kernels.jit import kernel
from lazymu.kernels.panels import LANES, any_above, squares_apart
from lazymu.typing import Array, Float64s, Floats, Ints

RUN = 32
"""Products that are compared at a time."""


@kernel
def square_between(X: Floats, i: int, a: float, Y: Floats, j: int, b: float) -> float:
    """Return ``sum_c (a X_ic - b Y_jc)^2``, in float64."""
    n = X.shape[1]
    whole = n - n % LANES
    total: float = squares_apart(X, i, a, Y, j, b, whole)
    for c in range(whole, n):
        apart = X[i, c] * a - Y[j, c] * b
        total += apart * apart
    return total


@kernel
def squared_distance(X: Floats, scale: Float64s, i: int, j: int) -> float:
    """Return ``sum_c (scale_i X_ic - scale_j X_jc)^2``, in float64."""
    return square_between(X, i, scale[i], X, j, scale[j])


@kernel
def replace_farthest(distances: Float64s, ids: Ints, size: int, distance: float, j: int) -> None:
    """Put ``(distance, j)`` in the place of the root of a heap whose root is the farthest."""
    at = 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        other = child + 1
        if other < size and (
            distances[other] > distances[child]
            or (distances[other] == distances[child] and ids[other] > ids[child])
        ):
            child = other
        if distances[child] < distance or (distances[child] == distance and ids[child] < j):
            break
        distances[at] = distances[child]
        ids[at] = ids[child]
        at = child
    distances[at] = distance
    ids[at] = j


@kernel
def sort_heaps(distances: Float64s, ids: Ints) -> None:
    """Turn every row from a heap into a list in ascending order of (distance, id)."""
    for row in range(len(ids)):
        for last in range(ids.shape[1] - 1, 0, -1):
            distance, j = distances[row, last], ids[row, last]
            distances[row, last] = distances[row, 0]
            ids[row, last] = ids[row, 0]
            replace_farthest(distances[row], ids[row], last, distance, j)


@kernel
def offer_products(
    distances: Float64s,
    ids: Ints,
    products: Floats,
    rows: Ints,
    first_col: int,
    X: Floats,
    scale: Float64s,
    lengths: Float64s,
    unit: float,
) -> None:
    """Offer the cells of a tile to the heaps of cells ``rows``, which hold squared distances.

    ``products[a, b] = f_i . f_j - lengths[j] / 2`` is of rounded vectors ``f``, in units of
    ``unit``. With ``lengths[i] = |f_i|^2`` lowered by the rounding's bound, ``lengths[i] - 2
    products`` is never above the squared distance: pairs for which even that is too far are passed
    over, a run of them at a time, and for all others the distance is computed from ``X``.
    """
    k = ids.shape[1]
    n = products.shape[1]
    for a in range(products.shape[0]):
        i = rows[a]
        bar = lowest_product(distances[a, 0], lengths[i], unit)
        for run in range(0, n, RUN):
            stop = min(run + RUN, n)
            if stop == run + RUN and not any_above(products, a, run, RUN, bar):
                continue
            for b in range(run, stop):
                j = first_col + b
                if products[a, b] <= bar or j == i:
                    continue
                distance = squared_distance(X, scale, i, j)
                if distance < distances[a, 0] or (distance == distances[a, 0] and j < ids[a, 0]):
                    replace_farthest(distances[a], ids[a], k, distance, j)
                    bar = lowest_product(distances[a, 0], lengths[i], unit)


@kernel
def lowest_product(farthest: float, length: float, unit: float) -> float:
    """Return a float32 below all products of cells that may be nearer than ``farthest``."""
    bar = (length - farthest / unit**2) / 2
    return float(np.float32(bar - 2.0**-22 * abs(bar) - 1e-35)) if np.isfinite(bar) else -np.inf


@kernel
def offer_distances(distances: Float64s, ids: Ints, matrix: Array, rows: Ints) -> None:
    """Offer every cell to the heaps of cells ``rows``, given ``matrix`` of their distances."""
    k = ids.shape[1]
    for a in range(matrix.shape[0]):
        for j in range(matrix.shape[1]):
            distance = np.float64(matrix[a, j])
            if j != rows[a] and (
                distance < distances[a, 0] or (distance == distances[a, 0] and j < ids[a, 0])
            ):
                replace_farthest(distances[a], ids[a], k, distance, j)


@kernel
def drop_self(distances: Float64s, ids: Ints, found: Ints, found_distances: Floats) -> Ints:
    """Fill the lists of all cells with what a search found, leaving out each cell itself.

    Returns the number found of each row: below ``ids.shape[1]`` where an approximate search did not
    find enough and gave -1.
    """
    k = ids.shape[1]
    counts = np.zeros(len(ids), np.int64)
    for a in range(len(ids)):
        n = 0
        for t in range(found.shape[1]):
            j = found[a, t]
            if n < k and j >= 0 and j != a:
                ids[a, n] = j
                distances[a, n] = found_distances[a, t]
                n += 1
        counts[a] = n
    return counts


@kernel
def order_by_distance(distances: Float64s, ids: Ints, X: Floats, scale: Float64s) -> None:
    """Replace the distances of all cells' lists by exact squared ones, and sort by them."""
    k = ids.shape[1]
    heap_distances = np.empty(k, np.float64)
    heap_ids = np.empty(k, ids.dtype)
    for a in range(len(ids)):
        heap_distances[:] = np.inf
        heap_ids[:] = len(X)
        for t in range(k):
            distance = squared_distance(X, scale, a, ids[a, t])
            replace_farthest(heap_distances, heap_ids, k, distance, ids[a, t])
        distances[a] = heap_distances
        ids[a] = heap_ids
    sort_heaps(distances, ids)
