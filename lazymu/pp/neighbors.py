"""Neighbour graphs: of one modality, or weighted over several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from lazymu import keys
from lazymu.containers import Modality, MuData, as_modality
from lazymu.containers.history import recorded
from lazymu.errors import ArgumentError, explain
from lazymu.graph.bandwidth import Flavor
from lazymu.graph.checks import as_embedding, require_at_least, require_choice
from lazymu.graph.connectivities import umap_connectivities
from lazymu.graph.knn import METHODS, Method, is_approximate, nearest_neighbors, sampled_recall
from lazymu.pp.embeddings import embedding_of
from lazymu.pp.graph_results import store_graph
from lazymu.pp.joint_graph import Weight, connect_jointly

DEFAULT_NEIGHBORS = 15
TRANSFORMERS: dict[str | None, Method] = {
    None: "auto",
    "sklearn": "exact",
    "pynndescent": "pynndescent",
}
"""scanpy's names of searches."""


@recorded
def neighbors(
    data: Modality | MuData,
    n_neighbors: int | None = None,
    *,
    n_bandwidth_neighbors: int = 20,
    n_multineighbors: int = 200,
    neighbor_keys: Mapping[str, str | None] | None = None,
    use_rep: str | Mapping[str, str] | None = None,
    n_pcs: int | Mapping[str, int] | None = None,
    knn: bool | Method = True,
    method: str = "umap",
    transformer: str | None = None,
    metric: str = "euclidean",
    flavor: Flavor = "seurat",
    l2_norm: bool | None = None,
    key_added: str | None = None,
    weight_key: str | None = keys.MOD_WEIGHT,
    add_weights_to_modalities: bool = False,
    weights: Mapping[str, Weight] | None = None,
    add_snn: bool = False,
    eps: float = 1e-4,
    low_memory: bool | None = None,
    random_state: int | None = 0,
) -> None:
    r"""Find each cell's neighbours: in one modality, or weighted over the modalities of a MuData.

    Of a modality: the ``n_neighbors - 1`` nearest other cells in an embedding, and UMAP's weights
    of the edges, as ``scanpy.pp.neighbors``. Of a MuData: the ``n_neighbors`` other cells with the
    largest similarity

    .. math:: a_{ij} = \sum_r w^r_i \exp(-\max(0, |x^r_i - x^r_j| - d^r_{1i}) / \sigma^r_i)

    where ``w`` says how well each modality predicts the cell from its neighbours, as Seurat's
    ``FindMultiModalNeighbors`` (see :func:`lazymu.graph.wnn.weighted_neighbors`).

    Parameters
    ----------
    data
        A modality or a MuData.
    n_neighbors
        Size of a neighbourhood. None: 15 (with the cell itself, as in scanpy) for a modality; for
        a MuData 20 with ``flavor="seurat"``, and with "muon" the mean of its modalities' graphs.
    n_bandwidth_neighbors
        Cells that a kernel's bandwidth is the mean distance of (MuData).
    n_multineighbors
        Candidates from each modality (MuData).
    neighbor_keys
        Modality -> name of its graph (None: "neighbors"). Only these modalities are used, and the
        embeddings that the graphs were made of (MuData).
    use_rep
        Embedding in `obsm`, ``"X_lsi[1:]"`` for one without its first component; for a MuData a
        name for all modalities or a mapping from modality to name, which also selects the
        modalities. None: for a MuData that of the modality's graph if there is one; else
        ``X_pca``, else ``X_lsi``, else ``X`` of at most 50 features.
    n_pcs
        Use the first so many components; for a MuData a mapping from modality to number too.
    knn
        How to search: True or "auto", exactly up to 20,000 cells, then by an inverted file; or
        "exact"; "inverted"; "sharded", the inverted file by Dask tasks, each with a shard of the
        cells, which "auto" takes on a cluster; "pynndescent". See
        :func:`lazymu.graph.knn.nearest_neighbors`.
    method
        Only scanpy's default: weights are UMAP's.
    transformer
        How to search, as scanpy says it: "sklearn" (exact) or "pynndescent".
    metric
        Of distances in a modality; a joint graph's are Euclidean.
    flavor
        Whose formulas: "seurat" or "muon", which starts from the modalities' own graphs where they
        are there (MuData).
    l2_norm
        Scale every cell of every embedding to length 1; None: with "seurat" alone (MuData).
    key_added
        Name of the graph; None: "neighbors".
    weight_key
        Column of modality weights, or None for no column (MuData).
    add_weights_to_modalities
        Write the weights into each modality's `obs`, instead of the joint one.
    weights
        Modality -> its weight, instead of those that predictions give: a number, a column of the
        joint `obs`, or one number for each cell (MuData).
    add_snn
        Write the shared-neighbour graph too, as Seurat's ``wsnn`` (MuData).
    eps
        Number that keeps the ratio of predictions finite (MuData).
    low_memory
        Accepted as muon does; memory is bounded either way.
    random_state
        Seed of the approximate search.

    Raises
    ------
    MissingResultError
        If an embedding or a graph that is named has not been computed.
    NoCommonCellsError
        If no cell is in all modalities.
    ArgumentError
        If ``data`` is neither, a number is too small, or an argument is unknown or does not go
        with the rest.
    MemoryLimitError
        If an approximate search would take more than `settings.memory_limit`.

    Notes
    -----
    Writes ``obsp["distances"]`` (float32; distances of 0 are stored), ``obsp["connectivities"]``
    and ``uns["neighbors"]``, or with ``key_added`` its name in front, in which scanpy's ``tl.umap``
    and ``tl.leiden`` find them; for a MuData also ``obs["<modality>:mod_weight"]`` and
    ``obsm["<name>_weights"]`` (columns in the order of ``params["modalities"]``), and with
    ``add_snn`` ``obsp["<name>_snn"]``: the Jaccard index of two cells' neighbours, from 1/15 on,
    for ``tl.leiden(obsp=...)``. Cells of modalities are matched by name; one that a modality lacks
    takes its neighbours from the others.

    Of an approximate search, ``uns["neighbors"]["recall"]`` is the part of 256 cells' nearest
    neighbours that it found (for a MuData by modality); the lists are the same for any number of
    threads.

    Passes over X: none, or one where ``X`` itself is the embedding. Peak memory: the embeddings
    twice, and some ``16 k`` bytes a cell and modality. Joint candidates that take more than a
    sixteenth of the limit are in a temporary file.

    References
    ----------
    McInnes, Healy & Melville 2018, https://arxiv.org/abs/1802.03426; Hao et al. 2021,
    https://doi.org/10.1016/j.cell.2021.04.048; the packages scanpy, Seurat and muon.

    Examples
    --------
    >>> import numpy as np, lazymu as mu
    >>> rng = np.random.default_rng(0)
    >>> rna = mu.Modality(np.ones((60, 3)), obsm={"X_pca": rng.random((60, 5))})
    >>> prot = mu.Modality(np.ones((60, 2)), obsm={"X_pca": rng.random((60, 2))})
    >>> mdata = mu.MuData({"rna": rna, "prot": prot})
    >>> mu.pp.neighbors(mdata, key_added="wnn")
    >>> sorted(mdata.obsp), mdata.obsm["wnn_weights"].shape
    (['wnn_connectivities', 'wnn_distances'], (60, 2))
    """
    search = _search(knn, method, transformer)
    if isinstance(data, MuData):
        connect_jointly(
            data,
            n_neighbors,
            n_bandwidth_neighbors=n_bandwidth_neighbors,
            n_multineighbors=n_multineighbors,
            neighbor_keys=neighbor_keys,
            use_rep=use_rep,
            n_pcs=n_pcs,
            metric=metric,
            flavor=flavor,
            l2_norm=l2_norm,
            key_added=key_added,
            weight_key=weight_key,
            add_weights_to_modalities=add_weights_to_modalities,
            weights=weights,
            add_snn=add_snn,
            eps=eps,
            method=search,
            random_state=random_state,
        )
        return
    if weights is not None or add_snn:
        rule = "they are of joint graphs"
        raise ArgumentError(explain("weights, add_snn", "given", rule, "pass a MuData"))
    if isinstance(use_rep, Mapping) or isinstance(n_pcs, Mapping) or neighbor_keys is not None:
        rule = "this modality has one embedding"
        fix = "pass one name, or the MuData with the mapping"
        raise ArgumentError(explain("use_rep", "a mapping over modalities", rule, fix))
    modality = as_modality(data)
    embedding = embedding_of(modality, use_rep, n_pcs)
    size = DEFAULT_NEIGHBORS if n_neighbors is None else n_neighbors
    require_at_least("n_neighbors", size, 2)
    lists = nearest_neighbors(
        embedding.values, size - 1, metric=metric, method=search, random_state=random_state
    )
    recall = None
    if is_approximate(search, modality.n_obs):
        recall = sampled_recall(as_embedding(embedding.values), lists, metric=metric)
    params = {"n_neighbors": min(size, modality.n_obs), "metric": metric, **embedding.params()}
    graph = umap_connectivities(lists)
    store_graph(modality, key_added, lists, graph, params, random_state, recall)


def _search(knn: bool | Method, method: str, transformer: str | None) -> Method:
    """Return how to search, out of lazymu's argument and scanpy's."""
    if method != "umap":
        rule = 'the weights of edges are UMAP\'s, as with "umap"'
        raise ArgumentError(explain("method", repr(method), rule, "leave it out"))
    if knn is False:
        rule = "a neighbourhood has a number of cells; there is no kernel over all of them"
        raise ArgumentError(explain("knn", knn, rule, "leave it out"))
    if transformer not in TRANSFORMERS:
        rule = f"it must be {' or '.join(repr(name) for name in TRANSFORMERS)}"
        raise ArgumentError(explain("transformer", repr(transformer), rule, "pass knn instead"))
    if knn in (True, "auto"):
        return TRANSFORMERS[transformer]
    require_choice("knn", str(knn), METHODS)
    if transformer is not None:
        rule = "it and `knn` name two searches"
        raise ArgumentError(explain("transformer", repr(transformer), rule, "leave out one"))
    return cast("Method", knn)
