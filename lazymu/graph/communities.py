"""What the ways to find communities share: igraph's graphs, its random numbers, numbered labels."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from lazymu.errors import MemoryLimitError, explain
from lazymu.settings import settings
from lazymu.stream.memory import return_freed
from lazymu.typing import CSR, Float64s, Int64s, Ints

BYTES_PER_EDGE = 70
"""Peak of clustering graphs by igraph or `graph.levels`, for each stored weight: 65 measured on 12
million of 300,000 cells, and on 14 million of 200,000 cells in two layers."""
LEIDENALG_BYTES_PER_EDGE = {True: 190, False: 120}
"""The same of leidenalg, by whether edges are directed: 189 and 113 measured on those two layers.
The graphs take a third of it, the optimiser's lists of neighbours and merged graphs the rest."""
ADDED_EDGES = 1 << 22
"""Edges that igraph is given at a time: it needs 150 bytes for each of these."""


class Clusters(NamedTuple):
    """A partition of cells."""

    labels: Ints
    """int32, shape (n,): 0 for the largest cluster, then on by size."""
    modularity: float


class Edges(NamedTuple):
    """Edges of a graph, each once, in order of their ends."""

    ends: Int64s
    """Shape (m, 2)."""
    weights: Float64s
    """Shape (m,)."""


class WeightedGraph(NamedTuple):
    """A graph of igraph's and the weights of its edges."""

    graph: Any
    weights: Float64s


def order_by_size(labels: Ints) -> Ints:
    """Return labels renamed to 0, 1, ... from the largest group down, ties by first member.

    Examples
    --------
    >>> import numpy as np
    >>> order_by_size(np.array([7, 3, 3, 5]))
    array([1, 0, 0, 2], dtype=int32)
    """
    _, first, inverse, sizes = np.unique(
        labels, return_index=True, return_inverse=True, return_counts=True
    )
    order = np.lexsort((first, -sizes))
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order))
    ordered: Ints = rank[inverse]
    return ordered


def require_memory(adjacencies: Sequence[CSR], bytes_per_edge: int = BYTES_PER_EDGE) -> None:
    """Raise MemoryLimitError if clustering graphs at once would exceed the memory limit."""
    n_edges = sum(adjacency.nnz for adjacency in adjacencies)
    needed = n_edges * bytes_per_edge
    if needed > settings.memory_limit:
        graphs = "a graph" if len(adjacencies) == 1 else f"{len(adjacencies)} graphs"
        got = f"{graphs} of {n_edges:,} edges"
        rule = f"they take {needed / 1e9:.2f} GB of {settings.memory_limit / 1e9:.2f} GB allowed"
        fix = f'set lazymu.settings.memory_limit = "{needed / 1e9:.2f}GB" or use fewer n_neighbors'
        raise MemoryLimitError(explain("adjacency", got, rule, fix))


def undirected_graph(adjacency: CSR, *, use_weights: bool) -> WeightedGraph:
    """Return a graph with an edge for each pair of cells, the weights of both directions added."""
    edges = _pairs(adjacency, use_weights=use_weights)
    graph = WeightedGraph(_graph(adjacency.shape[0], edges.ends, directed=False), edges.weights)
    # The ends are in the graph now.
    del edges
    return_freed()
    return graph


def stored_graph(adjacency: CSR, *, directed: bool, use_weights: bool) -> WeightedGraph:
    """Return a graph with an edge for each stored weight."""
    edges = _entries(adjacency, use_weights=use_weights)
    graph = WeightedGraph(_graph(adjacency.shape[0], edges.ends, directed=directed), edges.weights)
    del edges
    return_freed()
    return graph


def clusters_at(resolutions: Sequence[float], find: Callable[[float], Any]) -> list[Clusters]:
    """Return what a package finds at each resolution, numbered by size."""
    clusters = []
    for resolution in resolutions:
        found = find(resolution)
        labels = order_by_size(np.asarray(found.membership))
        clusters.append(Clusters(labels, float(found.modularity)))
    return clusters


@contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Have igraph draw from numbers of its own, then again from Python's `random`."""
    import igraph

    igraph.set_random_number_generator(_SeededBits(seed))
    try:
        yield
    finally:
        igraph.set_random_number_generator(random)


class _SeededBits:
    """The methods that igraph asks of a source of random numbers, with numpy's generator."""

    def __init__(self, seed: int | None) -> None:
        self._state = np.random.RandomState(seed)

    def getrandbits(self, k: int) -> int:
        return int(self._state.tomaxint()) & ((1 << k) - 1)

    def randint(self, low: int, high: int) -> int:
        return int(self._state.randint(low, high + 1))

    def random(self) -> float:
        return float(self._state.random_sample())

    def gauss(self, mean: float, deviation: float) -> float:
        return float(self._state.normal(mean, deviation))


def _pairs(adjacency: CSR, *, use_weights: bool) -> Edges:
    """Return each pair of cells once, by row, with the weights of both directions added."""
    matrix = sp.csr_matrix(adjacency)
    if not use_weights:
        matrix = sp.csr_matrix((np.ones(matrix.nnz), matrix.indices, matrix.indptr), matrix.shape)
    upper = sp.triu(matrix, 1, format="csr").astype(np.float64)
    lower = sp.tril(matrix, -1, format="csr").T.tocsr().astype(np.float64)
    total = upper + lower
    del upper, lower
    loops = matrix.diagonal()
    if loops.any():
        total = total + sp.diags(loops.astype(np.float64), format="csr")
    total.sort_indices()
    rows = np.repeat(np.arange(len(loops)), np.diff(total.indptr))
    return Edges(np.column_stack([rows, total.indices]), total.data)


def _entries(adjacency: CSR, *, use_weights: bool) -> Edges:
    """Return every stored entry as an edge."""
    graph = sp.coo_matrix(adjacency)
    weights = graph.data.astype(np.float64) if use_weights else np.ones(graph.nnz)
    return Edges(np.column_stack([graph.row, graph.col]).astype(np.int64), weights)


def _graph(n: int, ends: Int64s, *, directed: bool) -> Any:
    import igraph

    graph = igraph.Graph(n=n, directed=directed)
    for start in range(0, len(ends), ADDED_EDGES):
        graph.add_edges(ends[start : start + ADDED_EDGES])
    return graph
