"""Nearest neighbours of every cell in an embedding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

import numpy as np

from lazymu.errors import ArgumentError, explain
from lazymu.graph.checks import as_embedding, require_at_least, require_choice
from lazymu.graph.inverted import InvertedSearch
from lazymu.graph.search import (
    DescentSearch,
    ExactSearch,
    MetricSearch,
    Near,
    NeighborLists,
    Search,
)
from lazymu.graph.sharded import ShardedSearch
from lazymu.settings import settings
from lazymu.stream.cluster import active_client
from lazymu.stream.progress import advance, reporting
from lazymu.typing import Array, Float64s, Floats, Ints

Method: TypeAlias = Literal["auto", "exact", "inverted", "sharded", "pynndescent"]
EXACT_MAX_CELLS = 20_000
"""Cells up to which "auto" is exact: there it takes some seconds, and little more than else."""
SAMPLE_RUNS, SAMPLE_RUN = 8, 32
"""Cells whose lists are compared with exact ones: runs of neighbours in the order of the rows."""
METHODS: tuple[Method, ...] = ("auto", "exact", "inverted", "sharded", "pynndescent")


def nearest_neighbors(
    X: Array,
    n_neighbors: int,
    *,
    metric: str = "euclidean",
    method: Method = "auto",
    random_state: int | None = 0,
) -> NeighborLists:
    """Find the nearest other cells of each cell.

    Parameters
    ----------
    X
        Embedding, shape (n, d), finite.
    n_neighbors
        Neighbours of each cell, the cell itself not counted. At most n - 1 are there to be found.
    metric
        Of scikit-learn's metrics (exact) or pynndescent's; ``"inverted"`` and ``"sharded"``
        are Euclidean.
    method
        ``"exact"``: in float64, equal distances in order of the cells. ``"inverted"``: among the
        cells of the k-means clusters near a cell's own, so many that 99 % of a sample's neighbours
        are found. ``"sharded"``: the same by Dask tasks, each with a shard of the cells, for a
        cluster. ``"pynndescent"``: nearest-neighbour descent. ``"auto"``: exact up to 20,000
        cells, then inverted (sharded while a Dask client is active), or pynndescent where the
        metric is another.
    random_state
        Seed of the approximate search.

    Returns
    -------
    ``indices`` (int32) and ``distances`` (float64), shape (n, min(n_neighbors, n - 1)), nearest
    first. A cell is never in its own list; another at distance 0 may be.

    Raises
    ------
    ArgumentError
        If ``X`` is no finite matrix, ``n_neighbors`` is below 1, or ``method`` is unknown or does
        not go with ``metric``.
    MemoryLimitError
        If an approximate search would take more than `settings.memory_limit`.

    Notes
    -----
    The lists are the same for any number of threads. Peak memory is the result, a float32 copy of
    ``X``, and 2 MB a thread; inverted, some 100 bytes a cell more; with pynndescent, some ``41
    n_neighbors + 4 d + 8 n_trees`` bytes a cell (up to 64 trees); in other metrics than the
    Euclidean, 64 MB.

    References
    ----------
    Sivic & Zisserman 2003, https://doi.org/10.1109/ICCV.2003.1238663 (inverted files); Dong, Moses
    & Li 2011, https://doi.org/10.1145/1963405.1963487 (nearest-neighbour descent).

    Examples
    --------
    >>> import numpy as np
    >>> from lazymu.graph.knn import nearest_neighbors
    >>> nearest_neighbors(np.array([[0.0], [1.0], [3.0], [3.0]]), 2).indices
    array([[1, 2],
           [0, 2],
           [3, 1],
           [2, 1]], dtype=int32)
    """
    X = as_embedding(X)
    require_at_least("n_neighbors", n_neighbors, 1)
    k = min(n_neighbors, len(X) - 1)
    ones = np.ones(len(X))
    search = make_search(
        X, ones, metric=metric, method=method, n_built=k, random_state=random_state
    )
    return search_all(search, len(X), k, "neighbours")


def sampled_recall(
    X: Floats, lists: NeighborLists, *, metric: str = "euclidean", scale: Float64s | None = None
) -> float:
    """Return the part of the nearest neighbours that lists hold, of 256 cells in 8 runs.

    Parameters
    ----------
    X
        Embedding, shape (n, d).
    lists
        Neighbours within it, shape (n, k).
    metric
        As for :func:`nearest_neighbors`.
    scale
        Factor of each row of ``X``; None: 1.

    Notes
    -----
    Time is that of 256 exact searches, peak memory a float32 copy of ``X``.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[0.0], [1.0], [3.0]])
    >>> sampled_recall(X, NeighborLists(np.array([[1], [0], [0]]), np.zeros((3, 1))))
    0.6666666666666666
    """
    ones = np.ones(len(X)) if scale is None else scale
    exact = make_search(X, ones, metric=metric, method="exact", n_built=1, random_state=None)
    k = lists.indices.shape[1]
    shares = []
    starts = np.unique(np.linspace(0, max(0, len(X) - SAMPLE_RUN), SAMPLE_RUNS).astype(int))
    for start in starts.tolist():
        rows = np.arange(start, min(start + SAMPLE_RUN, len(X)))
        nearest = exact.nearest(rows, k).indices
        listed = lists.indices[rows]
        shares += [len(np.intersect1d(*rows)) / k for rows in zip(nearest, listed, strict=True)]
    return float(np.mean(shares))


def search_all(search: Search, n_cells: int, k: int, label: str) -> NeighborLists:
    """Return the ``k`` nearest cells of all cells; progress is told under ``label``."""
    indices, distances = np.empty((n_cells, k), np.int32), np.empty((n_cells, k))
    for rows, found in search_blocks(search, n_cells, k, label):
        indices[rows], distances[rows] = found.lists
    return NeighborLists(indices, distances)


def search_blocks(
    search: Search, n_cells: int, k: int, label: str, n_candidates: int = 0
) -> Iterator[tuple[Ints, Near]]:
    """Yield runs of cells with what is near them, until all have been asked for."""
    blocks = list(search.blocks())
    token = f"{label} {id(blocks)}"
    with reporting(token, label, len(blocks), n_cells * k):
        for rows in blocks:
            yield rows, search.near(rows, k, n_candidates)
            advance(token, len(rows) * k)


def is_approximate(method: str, n_cells: int) -> bool:
    """Return whether a method searches so many cells approximately."""
    if method == "auto":
        return n_cells > EXACT_MAX_CELLS
    return method != "exact"


def make_search(
    X: Floats,
    scale: Float64s,
    *,
    metric: str,
    method: str,
    n_built: int,
    random_state: int | None,
) -> Search:
    """Return a search among the rows ``scale[i] * X[i]`` that suits their number and the metric."""
    require_choice("method", method, METHODS)
    euclidean = metric == "euclidean"
    if method in ("inverted", "sharded") and not euclidean:
        rule, fix = "an inverted file is searched by Euclidean distance", 'pass method="auto"'
        raise ArgumentError(explain("metric", repr(metric), rule, fix))
    if is_approximate(method, len(X)) and len(X) > n_built + 1:
        if method == "pynndescent" or not euclidean:
            return DescentSearch(X, scale, metric, n_built, random_state)
        if method == "sharded" or (method == "auto" and _goes_to_workers(X)):
            return ShardedSearch(X, scale, random_state)
        return InvertedSearch(X, scale, random_state)
    return ExactSearch(X, scale) if euclidean else MetricSearch(X * scale[:, None], metric)


def _goes_to_workers(X: Floats) -> bool:
    """Return whether there is a cluster, and room here for what its search takes more."""
    return active_client() is not None and ShardedSearch.n_bytes(X) <= settings.memory_limit
