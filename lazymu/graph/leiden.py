"""Clusters of a graph's vertices by the Leiden algorithm."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import scipy.sparse as sp

from lazymu.errors import ArgumentError, MemoryLimitError, explain
from lazymu.graph.checks import require_choice
from lazymu.settings import settings
from lazymu.stream.memory import return_freed
from lazymu.typing import CSR, Float64s, Int64s, Ints

Implementation: TypeAlias = Literal["igraph", "leidenalg"]
DEFAULT_ROUNDS: dict[str, int] = {"igraph": 2, "leidenalg": -1}
BYTES_PER_EDGE = 70
"""Peak of building and clustering an igraph graph, for each stored weight; 65 measured on 12
million of 300,000 cells."""
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
    about 110 bytes a stored weight.

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
    _require_memory(adjacency.nnz)
    rounds = DEFAULT_ROUNDS[flavor] if n_iterations is None else n_iterations
    both_ways = flavor == "leidenalg" and directed is not False
    if flavor == "igraph":
        edges = _undirected(adjacency, use_weights=use_weights)
    else:
        edges = _as_stored(adjacency, use_weights=use_weights)
    cluster = _by_igraph if flavor == "igraph" else _by_leidenalg
    graph, weights = _graph(adjacency.shape[0], edges, directed=both_ways), edges.weights
    # The ends are in the graph now.
    del edges
    return_freed()
    clusters = []
    for resolution in resolutions:
        found = cluster(graph, weights, resolution, rounds, random_state)
        labels = order_by_size(np.asarray(found.membership))
        clusters.append(Clusters(labels, float(found.modularity)))
    return clusters


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


def _undirected(adjacency: CSR, *, use_weights: bool) -> Edges:
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


def _as_stored(adjacency: CSR, *, use_weights: bool) -> Edges:
    """Return every stored entry as an edge."""
    graph = sp.coo_matrix(adjacency)
    weights = graph.data.astype(np.float64) if use_weights else np.ones(graph.nnz)
    return Edges(np.column_stack([graph.row, graph.col]).astype(np.int64), weights)


def _require_memory(n_edges: int) -> None:
    needed = n_edges * BYTES_PER_EDGE
    if needed > settings.memory_limit:
        got = f"a graph of {n_edges:,} edges"
        rule = f"they take {needed / 1e9:.2f} GB of {settings.memory_limit / 1e9:.2f} GB allowed"
        fix = f'set lazymu.settings.memory_limit = "{needed / 1e9:.2f}GB" or use fewer n_neighbors'
        raise MemoryLimitError(explain("adjacency", got, rule, fix))


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


@contextmanager
def _seeded(seed: int | None) -> Iterator[None]:
    """Have igraph draw from numbers of its own, then again from Python's `random`."""
    import igraph

    igraph.set_random_number_generator(_SeededBits(seed))
    try:
        yield
    finally:
        igraph.set_random_number_generator(random)


def _graph(n: int, edges: Edges, *, directed: bool) -> Any:
    import igraph

    graph = igraph.Graph(n=n, directed=directed)
    for start in range(0, len(edges.ends), ADDED_EDGES):
        graph.add_edges(edges.ends[start : start + ADDED_EDGES])
    return graph


def _by_igraph(
    graph: Any, weights: Float64s, resolution: float, rounds: int, seed: int | None
) -> Any:
    with _seeded(seed):
        return graph.community_leiden(
            objective_function="modularity",
            weights=weights,
            resolution=resolution,
            n_iterations=rounds,
        )


def _by_leidenalg(
    graph: Any, weights: Float64s, resolution: float, rounds: int, seed: int | None
) -> Any:
    import leidenalg

    return leidenalg.find_partition(
        graph,
        leidenalg.RBConfigurationVertexPartition,
        weights=weights,
        resolution_parameter=resolution,
        n_iterations=rounds,
        seed=seed,
    )
