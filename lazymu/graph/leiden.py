"""Clusters of a graph's vertices by the Leiden algorithm."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, TypeAlias

from lazymu.errors import ArgumentError, explain
from lazymu.graph.checks import require_choice
from lazymu.graph.communities import (
    LEIDENALG_BYTES_PER_EDGE,
    Clusters,
    WeightedGraph,
    clusters_at,
    require_memory,
    seeded,
    stored_graph,
    undirected_graph,
)
from lazymu.typing import CSR

Implementation: TypeAlias = Literal["igraph", "leidenalg"]
DEFAULT_ROUNDS: dict[str, int] = {"igraph": 2, "leidenalg": -1}


def leiden_labels(
    adjacency: CSR,
    *,
    resolution: float = 1.0,
    n_iterations: int | None = None,
    flavor: Implementation = "igraph",
    directed: bool | None = None,
    use_weights: bool = True,
    random_state: int | None = 0,
) -> Clusters:
    r"""Cluster cells by modularity.

    Maximises, with weights ``A``, degrees ``k`` and ``2m`` their sum,

    .. math:: Q = \frac{1}{2m} \sum_{ij} (A_{ij} - \gamma k_i k_j / 2m) \, [c_i = c_j]

    Parameters
    ----------
    adjacency
        Weights of the graph, shape (n, n).
    resolution
        gamma: larger values give more clusters.
    n_iterations
        Rounds of the algorithm; -1: on while Q improves. None: 2 with igraph, -1 with leidenalg.
    flavor
        The package to use. igraph is several times faster, and works on undirected graphs.
    directed
        Whether ``A_ij`` and ``A_ji`` are different edges; if not, their weights are added. None:
        only with leidenalg.
    use_weights
        Whether edges have their weights, or 1 each.
    random_state
        Seed; the global random state is left as it was.

    Raises
    ------
    ArgumentError
        If ``flavor`` is unknown, or igraph is asked for a directed graph.
    MemoryLimitError
        If the graph would take more than `settings.memory_limit`.

    Notes
    -----
    Labels are those of ``scanpy.tl.leiden`` with the same seed, ordered by size. Peak memory is
    about 70 bytes a stored weight with igraph, 190 with leidenalg, 120 if not directed.

    References
    ----------
    Traag, Waltman & van Eck 2019, https://doi.org/10.1038/s41598-019-41695-z; igraph, leidenalg.

    Examples
    --------
    >>> import numpy as np, scipy.sparse as sp
    >>> two_triangles = sp.csr_matrix(np.kron(np.eye(2), np.ones((3, 3)) - np.eye(3)))
    >>> leiden_labels(two_triangles)
    Clusters(labels=array([0, 0, 0, 1, 1, 1], dtype=int32), modularity=0.5)
    """
    (clusters,) = leiden_at_resolutions(
        adjacency,
        [resolution],
        n_iterations=n_iterations,
        flavor=flavor,
        directed=directed,
        use_weights=use_weights,
        random_state=random_state,
    )
    return clusters


def leiden_at_resolutions(
    adjacency: CSR,
    resolutions: Sequence[float],
    *,
    n_iterations: int | None,
    flavor: Implementation,
    directed: bool | None,
    use_weights: bool,
    random_state: int | None,
) -> list[Clusters]:
    """Return :func:`leiden_labels` at each resolution; the package's graph is built once."""
    require_choice("flavor", flavor, list(DEFAULT_ROUNDS))
    if flavor == "igraph" and directed:
        rule = "igraph's Leiden algorithm takes undirected graphs"
        raise ArgumentError(explain("directed", True, rule, 'pass flavor="leidenalg"'))
    rounds = DEFAULT_ROUNDS[flavor] if n_iterations is None else n_iterations
    if flavor == "igraph":
        require_memory([adjacency])
        graph = undirected_graph(adjacency, use_weights=use_weights)
        return clusters_at(resolutions, partial(_by_igraph, graph, rounds, random_state))
    both_ways = directed is not False
    require_memory([adjacency], LEIDENALG_BYTES_PER_EDGE[both_ways])
    graph = stored_graph(adjacency, directed=both_ways, use_weights=use_weights)
    return clusters_at(resolutions, partial(_by_leidenalg, graph, rounds, random_state))


def _by_igraph(graph: WeightedGraph, rounds: int, seed: int | None, resolution: float) -> Any:
    with seeded(seed):
        return graph.graph.community_leiden(
            objective_function="modularity",
            weights=graph.weights,
            resolution=resolution,
            n_iterations=rounds,
        )


def _by_leidenalg(graph: WeightedGraph, rounds: int, seed: int | None, resolution: float) -> Any:
    import leidenalg

    return leidenalg.find_partition(
        graph.graph,
        leidenalg.RBConfigurationVertexPartition,
        weights=graph.weights,
        resolution_parameter=resolution,
        n_iterations=rounds,
        seed=seed,
    )
