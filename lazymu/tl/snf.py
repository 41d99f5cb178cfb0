"""Similarity network fusion: one neighbour graph of several modalities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lazymu.containers import MuData
from lazymu.containers.history import recorded
from lazymu.errors import ArgumentError, explain
from lazymu.graph.checks import require_at_least, require_choice
from lazymu.graph.knn import METHODS, Method
from lazymu.graph.search import NeighborLists
from lazymu.graph.snf import EPS, fused_neighbors
from lazymu.pp.graph_results import store_graph
from lazymu.pp.joint_inputs import (
    NeighborKeys,
    NPcs,
    UseRep,
    common_positions,
    embeddings_of,
    graph_names,
    origin,
    weights_key,
)

SELF = 0.5
"""A cell's similarity to itself, the largest that there is; distances are what is missing to it."""


@recorded
def snf(
    mdata: MuData,
    n_neighbors: int = 20,
    neighbor_keys: NeighborKeys = None,
    key_added: str | None = None,
    n_iterations: int = 20,
    sigma: float = 0.5,
    eps: float = EPS,
    *,
    use_rep: UseRep = None,
    n_pcs: NPcs = None,
    n_pairs: int | None = None,
    knn: Method = "auto",
    random_state: int | None = 0,
) -> None:
    r"""Fuse the similarity networks of a MuData's modalities into one neighbour graph.

    Each modality r has similarities ``P_r`` of its cells and, as rows ``S_r``, the
    ``n_neighbors`` largest of them. Every iteration takes what the others say to each cell's
    neighbours, then scales anew:

    .. math::

        P_r \leftarrow S_r \Big( \frac{1}{M - 1} \sum_{s \ne r} P_s \Big) S_r', \quad
        P_{ij} \leftarrow (P_{ij} / 2 \sum_{l \ne i} P_{il} + P_{ij} / 2 \sum_{l \ne j} P_{jl}) / 2,
        \quad P_{ii} = 1 / 2

    The mean of all ``P_r`` is the fused network, of which each cell's ``n_neighbors`` largest
    similarities are kept. See :func:`lazymu.graph.snf.fused_neighbors`.

    Parameters
    ----------
    mdata
        With an embedding in two or more modalities.
    n_neighbors
        Cells in a neighbourhood: those whose mean distance scales a cell's affinities, entries of
        a row of ``S`` (the cell itself among them), and neighbours in the result.
    neighbor_keys
        Name of the modalities' graphs, or modality -> name (None: "neighbors"), which also selects
        the modalities. The embeddings that the graphs were made of are used.
    key_added
        Name of the graph; None: "neighbors".
    n_iterations
        As above.
    sigma
        Width of the affinities, in units of the mean distance of a cell's neighbours.
    eps
        Number that keeps widths above 0.
    use_rep
        Embedding instead of the graphs': a key of `obsm`, as ``"X_lsi[1:]"``, or a mapping from
        modality, which also selects the modalities. None, and no graph: ``X_pca``, else ``X_lsi``,
        else ``X`` of at most 50 features.
    n_pcs
        Use the first so many components; or a mapping from modality.
    n_pairs
        Pairs of cells that each cell keeps, and neighbours that are searched in a modality; None:
        ``3 n_neighbors``. From n_obs - 1 on it is the method as published, with all pairs.
    knn
        How to search for neighbours, as in :func:`lazymu.pp.neighbors`.
    random_state
        Seed of the approximate search, and of the 4,096 cells that stand for those far away.

    Raises
    ------
    MissingResultError
        If an embedding or a graph that is named has not been computed.
    NoCommonCellsError
        If no cell is in all modalities.
    ArgumentError
        If there are fewer than two modalities, a graph is not of Euclidean distances, or a number
        is too small.
    MemoryLimitError
        If pairs or an approximate search would take more than `settings.memory_limit`.

    Notes
    -----
    Writes ``obsp["connectivities"]``, the similarities of the cells that are among either one's
    ``n_neighbors`` most similar (float32, symmetric), ``obsp["distances"]``, 1/2 less the
    similarity of a cell's own ``n_neighbors`` (1/2 is a cell's to itself), and
    ``uns["neighbors"]``, or with ``key_added`` its name in front; and ``obsm["<name>_weights"]``,
    equal parts of the modalities that a cell has, by which ``tl.umap`` finds the embeddings.

    muon writes the same distances, but as connectivities each cell's *least* similar cells; it
    takes 0 for all distances that a modality's graph does not hold, where here all are measured
    anew; and it scales the columns of ``S`` instead of the rows. This follows the publication and
    the package SNFtool.

    Cells are matched by name. A mean over modalities runs over those that have both cells of a
    pair. Of an approximate search, ``uns["neighbors"]["recall"]`` is the part of the nearest
    neighbours found, by modality. The graph is the same for any number of threads.

    Passes over X: none, or one where ``X`` itself is the embedding. Peak memory: the embeddings
    twice, and at most ``8 n_pairs (2 M + 2) + 24 n_neighbors M`` bytes a cell with M modalities,
    mostly some half of it.

    References
    ----------
    Wang et al. 2014, https://doi.org/10.1038/nmeth.2810; the packages SNFtool and muon.

    Examples
    --------
    >>> import numpy as np, lazymu as mu
    >>> rng = np.random.default_rng(0)
    >>> rna = mu.Modality(np.ones((60, 3)), obsm={"X_pca": rng.random((60, 5))})
    >>> prot = mu.Modality(np.ones((60, 2)), obsm={"X_pca": rng.random((60, 2))})
    >>> mdata = mu.MuData({"rna": rna, "prot": prot})
    >>> mu.tl.snf(mdata, n_neighbors=10, key_added="snf")
    >>> sorted(mdata.obsp), mdata.uns["snf"]["params"]["method"]
    (['snf_connectivities', 'snf_distances'], 'snf')
    """
    require_at_least("n_neighbors", n_neighbors, 2)
    require_choice("knn", knn, METHODS)
    if not isinstance(mdata, MuData):
        rule, fix = "it must be a lazymu MuData", "pass one of two or more modalities"
        raise ArgumentError(explain("mdata", f"a {type(mdata).__name__}", rule, fix))
    graphs = graph_names(mdata, neighbor_keys, use_rep)
    if len(graphs) < 2:
        rule, fix = "a fusion is of two or more", "name another, or leave out the selection"
        raise ArgumentError(explain("modalities", ", ".join(graphs) or "none", rule, fix))
    if use_rep is None:
        _require_euclidean(mdata, graphs)
    embeddings = embeddings_of(mdata, graphs, use_rep, n_pcs)
    positions = common_positions(mdata, list(graphs))
    fused = fused_neighbors(
        {name: embedding.values for name, embedding in embeddings.items()},
        positions,
        n_neighbors=n_neighbors,
        n_iterations=n_iterations,
        sigma=sigma,
        eps=eps,
        n_pairs=n_pairs,
        method=knn,
        random_state=random_state,
    )
    params: dict[str, Any] = {
        "method": "snf",
        "n_neighbors": n_neighbors,
        "n_iterations": n_iterations,
        "sigma": sigma,
        "eps": float(eps),
        **origin(key_added, embeddings),
    }
    lists = NeighborLists(fused.indices, SELF - fused.similarities)
    store_graph(mdata, key_added, lists, fused.graph(), params, random_state, fused.recall)
    present = np.column_stack([rows >= 0 for rows in positions.values()])
    mdata.obsm[weights_key(key_added)] = present / present.sum(axis=1, keepdims=True)


def _require_euclidean(mdata: MuData, graphs: Mapping[str, str]) -> None:
    """Raise ArgumentError where a graph, whose embedding would be taken, is of another metric."""
    for name, graph in graphs.items():
        params = mdata.mod[name].uns.get(graph, {}).get("params", {})
        if params.get("metric", "euclidean") != "euclidean":
            got = f"{graph!r}, in {name} a graph of metric {params['metric']!r}"
            rule, fix = (
                "a fusion measures Euclidean distances",
                "pass use_rep to do so all the same",
            )
            raise ArgumentError(explain("neighbor_keys", got, rule, fix))
