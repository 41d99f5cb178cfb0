"""Clusters of a graph's vertices by the Louvain algorithm."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from lazymu.graph.communities import (
    Clusters,
    WeightedGraph,
    clusters_at,
    require_memory,
    seeded,
    undirected_graph,
)
from lazymu.typing import CSR


def louvain_at_resolutions(
    adjacency: CSR,
    resolutions: Sequence[float],
    *,
    use_weights: bool = True,
    random_state: int | None = 0,
) -> list[Clusters]:
    """Cluster cells by modularity with igraph, once for each resolution.

    The modularity is :func:`lazymu.graph.leiden.leiden_labels`'s. Vertices move to the neighbouring
    cluster that raises it most; then clusters become the vertices of a smaller graph; and so on
    while it rises.

    Parameters
    ----------
    adjacency
        Weights of the graph, shape (n, n); those of both directions are added.
    resolutions
        gamma: larger values give more clusters.
    use_weights
        Whether edges have their weights, or 1 each.
    random_state
        Seed of the order of vertices; the global random state is left as it was.

    Raises
    ------
    MemoryLimitError
        If the graph would take more than `settings.memory_limit`.

    References
    ----------
    Blondel, Guillaume, Lambiotte & Lefebvre 2008, https://doi.org/10.1088/1742-5468/2008/10/P10008;
    igraph.

    Examples
    --------
    >>> import numpy as np, scipy.sparse as sp
    >>> two_triangles = sp.csr_matrix(np.kron(np.eye(2), np.ones((3, 3)) - np.eye(3)))
    >>> louvain_at_resolutions(two_triangles, [1.0])
    [Clusters(labels=array([0, 0, 0, 1, 1, 1], dtype=int32), modularity=0.5)]
    """
    require_memory([adjacency])
    graph = undirected_graph(adjacency, use_weights=use_weights)
    return clusters_at(resolutions, partial(_by_igraph, graph, random_state))


def _by_igraph(graph: WeightedGraph, seed: int | None, resolution: float) -> Any:
    with seeded(seed):
        return graph.graph.community_multilevel(weights=graph.weights, resolution=resolution)
