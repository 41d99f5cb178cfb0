"""Clusters of cells that several graphs share: a multiplex of layers, by Leiden or Louvain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from lazymu.graph.communities import (
    LEIDENALG_BYTES_PER_EDGE,
    order_by_size,
    require_memory,
    stored_graph,
)
from lazymu.graph.levels import level_of, louvain, quality
from lazymu.typing import CSR, Int64s, Ints

DEFAULT_ROUNDS = 2
"""leidenalg's for several graphs."""


class Layer(NamedTuple):
    """One modality's graph among all N cells."""

    adjacency: CSR
    """Weights, shape (n, n)."""
    rows: Int64s
    """Shape (N,): the row of each cell in it, -1 where it has none."""
    resolution: float = 1.0
    """gamma: larger values give more clusters."""
    weight: float = 1.0
    """What its quality counts in the sum."""


class MultiplexClusters(NamedTuple):
    """A partition of cells that several graphs share."""

    labels: Ints
    """int32, shape (N,): 0 for the largest cluster, then on by size."""
    improvement: float
    """Of the quality over that of single cells."""


def multiplex_leiden(
    layers: Mapping[str, Layer],
    *,
    n_iterations: int = DEFAULT_ROUNDS,
    directed: bool = True,
    use_weights: bool = False,
    random_state: int | None = 0,
) -> MultiplexClusters:
    r"""Cluster cells by the Leiden algorithm on several graphs at once.

    Maximises, with weights ``A``, degrees ``k`` and their sum ``M`` of each layer l,

    .. math:: Q = \sum_l w_l \sum_{ij} (A^l_{ij} - \gamma_l k^l_{i \to} k^l_{\to j} / M^l)
        \, [c_i = c_j]

    Parameters
    ----------
    layers
        Graphs by name. A cell that one has not is a vertex without edges there.
    n_iterations
        Rounds of the algorithm; -1: on while Q improves.
    directed
        Whether ``A_ij`` and ``A_ji`` are different edges; if not, each of them goes both ways.
    use_weights
        Whether edges have their weights, or 1 each.
    random_state
        Seed; None: another one each time.

    Raises
    ------
    MemoryLimitError
        If the graphs together would take more than `settings.memory_limit`.

    Notes
    -----
    Labels are those of ``muon.tl.leiden`` with the same seed, ordered by size, where all layers
    have the same cells in the same order. Peak memory is about 190 bytes a stored weight, 120 if
    not directed.

    References
    ----------
    Traag, Waltman & van Eck 2019, https://doi.org/10.1038/s41598-019-41695-z; leidenalg.

    Examples
    --------
    >>> import numpy as np, scipy.sparse as sp
    >>> pairs = sp.csr_matrix(np.kron(np.eye(3), [[0, 1], [1, 0]]))
    >>> atac = Layer(pairs[:4, :4], np.array([0, 1, 2, 3, -1, -1]))
    >>> multiplex_leiden({"rna": Layer(pairs, np.arange(6)), "atac": atac}).labels
    array([0, 0, 1, 1, 2, 2], dtype=int32)
    """
    import leidenalg

    adjacencies = [layer.adjacency for layer in layers.values()]
    require_memory(adjacencies, LEIDENALG_BYTES_PER_EDGE[directed])
    partitions = []
    for layer in layers.values():
        adjacency = among_all_cells(layer)
        graph = stored_graph(adjacency, directed=directed, use_weights=use_weights)
        del adjacency
        partition = leidenalg.RBConfigurationVertexPartition(
            graph.graph,
            weights=graph.weights if use_weights else None,
            resolution_parameter=layer.resolution,
        )
        partitions.append(partition)
    optimiser = leidenalg.Optimiser()
    if random_state is not None:
        optimiser.set_rng_seed(random_state)
    improvement = optimiser.optimise_partition_multiplex(
        partitions, [layer.weight for layer in layers.values()], n_iterations
    )
    labels = order_by_size(np.asarray(partitions[0].membership))
    return MultiplexClusters(labels, float(improvement))


def multiplex_louvain(
    layers: Mapping[str, Layer],
    *,
    n_iterations: int = DEFAULT_ROUNDS,
    directed: bool = True,
    use_weights: bool = False,
    random_state: int | None = 0,
) -> MultiplexClusters:
    """Cluster cells by the Louvain algorithm on several graphs at once.

    Quality, parameters and errors are :func:`multiplex_leiden`'s.

    Notes
    -----
    leidenalg's optimiser without its refinement would be this algorithm, but reads beyond its
    graphs once their vertices have merged. Peak memory is about 70 bytes a stored weight.

    References
    ----------
    Blondel, Guillaume, Lambiotte & Lefebvre 2008, https://doi.org/10.1088/1742-5468/2008/10/P10008.

    Examples
    --------
    >>> import numpy as np, scipy.sparse as sp
    >>> pairs = sp.csr_matrix(np.kron(np.eye(2), [[0, 1], [1, 0]]))
    >>> multiplex_louvain({"rna": Layer(pairs, np.arange(4)), "atac": Layer(pairs, np.arange(4))})
    MultiplexClusters(labels=array([0, 0, 1, 1], dtype=int32), improvement=6.0)
    """
    require_memory([layer.adjacency for layer in layers.values()])
    adjacencies = []
    for layer in layers.values():
        adjacency = among_all_cells(layer)
        if not use_weights:
            adjacency.data = np.ones(adjacency.nnz)
        adjacencies.append(adjacency if directed else sp.csr_matrix(adjacency + adjacency.T))
    level = level_of(
        adjacencies,
        [layer.resolution for layer in layers.values()],
        [layer.weight for layer in layers.values()],
    )
    del adjacencies
    community = louvain(level, n_iterations, np.random.default_rng(random_state))
    improvement = quality(level, community) - quality(level, np.arange(len(community)))
    return MultiplexClusters(order_by_size(community), improvement)


def among_all_cells(layer: Layer) -> CSR:
    """Return a layer's weights that are not 0 in the order of all cells, (N, N), canonical CSR."""
    graph = sp.coo_matrix(layer.adjacency)
    present = np.flatnonzero(layer.rows >= 0)
    cell_of = np.full(graph.shape[0], -1, graph.row.dtype)
    cell_of[layer.rows[present]] = present
    ends = cell_of[graph.row], cell_of[graph.col]
    kept = (graph.data != 0) & (ends[0] >= 0) & (ends[1] >= 0)
    n = len(layer.rows)
    placed = sp.coo_matrix((graph.data[kept], (ends[0][kept], ends[1][kept])), shape=(n, n))
    return sp.csr_matrix(placed)
