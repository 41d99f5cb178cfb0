"""Louvain clusters."""

from __future__ import annotations

from collections.abc import Mapping

from lazymu import keys
from lazymu.containers import Modality, MuData
from lazymu.containers.history import recorded
from lazymu.errors import ArgumentError, explain
from lazymu.graph.louvain import louvain_at_resolutions
from lazymu.graph.multiplex import multiplex_louvain
from lazymu.tl.clusters import cluster_layers, resolutions_of, store_at_resolutions
from lazymu.tl.graphs import container_of, graph_of
from lazymu.tl.layers import Resolution, layers_of
from lazymu.typing import CSR


@recorded
def louvain(
    data: Modality | MuData,
    resolution: Resolution = 1.0,
    mod_weights: Mapping[str, float] | None = None,
    *,
    random_state: int | None = 0,
    key_added: str = keys.LOUVAIN,
    adjacency: CSR | None = None,
    directed: bool | None = None,
    use_weights: bool | None = None,
    n_iterations: int | None = None,
    neighbors_key: str | None = None,
    obsp: str | None = None,
) -> None:
    r"""Cluster cells by modularity as :func:`leiden` does, by the older Louvain algorithm.

    Maximises, with weights ``A``, degrees ``k`` and ``2m`` their sum,

    .. math:: Q = \frac{1}{2m} \sum_{ij} (A_{ij} - \gamma k_i k_j / 2m) \, [c_i = c_j]

    of one graph, or :func:`leiden`'s weighted sum over the modalities' own graphs: where
    ``mod_weights`` or resolutions by modality are given, and where a MuData has no graph of that
    name, but its modalities have. Clusters may be badly connected within, which Leiden's are not.

    Parameters
    ----------
    data
        A modality or MuData with a neighbour graph, or a MuData of such modalities.
    resolution
        gamma: larger values give more clusters. With several values there is a column for each.
        ``{modality: value}``: of each modality's graph; muon's list by modality is spelt so.
    mod_weights
        ``{modality: w}``: cluster by the modalities' graphs; who is not named counts 1, so that
        ``{}`` says no more than that.
    random_state
        Seed.
    key_added
        Column of `obs`; with several resolutions ``<key_added>_<resolution>``.
    adjacency
        Weights of the graph, shape (n_obs, n_obs), instead of a stored one.
    directed
        Whether ``A_ij`` and ``A_ji`` are different edges; only of several graphs, where None means
        so.
    use_weights
        Whether edges have their weights, or 1 each; None: of one graph their weights, of several
        1, as in muon.
    n_iterations
        Of several graphs: rounds of the algorithm, -1 for on while Q improves; None: 2. One graph
        has one round, which goes on while Q improves.
    neighbors_key
        Name of the graph, as given to ``pp.neighbors(key_added=...)``; None: "neighbors".
    obsp
        Name of an array of `obsp` instead.

    Notes
    -----
    Writes ``obs[key_added]`` (categories "0", "1", ... from the largest cluster down) and
    ``uns[key_added]`` with `params` and `modularity`; for a MuData into its joint `obs`. Of several
    graphs `params` has `mod_weights` and `partition_improvement` instead of the modularity. A cell
    that a modality lacks has no edges there. One graph is clustered by igraph, as in
    ``scanpy.tl.louvain(flavor="igraph")`` but seeded; several by an algorithm of lazymu's own.

    Passes over X: none. Peak memory: some 70 bytes a stored weight of all graphs.

    Raises
    ------
    MissingResultError
        If there is no such graph, or a modality that is named has none.
    ModalityNotFoundError
        If a modality that is named is not there.
    ArgumentError
        If both ``neighbors_key`` and ``obsp`` are given, or one graph is named but resolutions or
        weights are by modality, or ``directed`` or ``n_iterations`` are given for one graph; or
        several resolutions of several graphs, or weights that are none.
    MemoryLimitError
        If the graphs exceed the memory limit.

    References
    ----------
    Blondel, Guillaume, Lambiotte & Lefebvre 2008, https://doi.org/10.1088/1742-5468/2008/10/P10008;
    several graphs: Mucha et al. 2010, https://doi.org/10.1126/science.1184819.

    Examples
    --------
    >>> import numpy as np, lazymu
    >>> rng = np.random.default_rng(0)
    >>> centres = np.repeat([[0, 0], [9, 9]], 30, axis=0)
    >>> rna = lazymu.Modality(np.ones((60, 2)), obsm={"X_pca": centres + rng.random((60, 2))})
    >>> lazymu.pp.neighbors(rna, n_neighbors=30)
    >>> mdata = lazymu.MuData({"rna": rna, "atac": rna[:50]})
    >>> lazymu.tl.louvain(mdata, resolution=0.1)
    >>> mdata.obs["louvain"].value_counts().to_dict()
    {'0': 30, '1': 30}
    """
    container = container_of(data)
    given = {"adjacency": adjacency, "obsp": obsp}
    layers = layers_of(container, neighbors_key, resolution, mod_weights, given)
    if layers is not None:
        cluster_layers(
            container,
            layers,
            multiplex_louvain,
            key_added,
            resolution,
            n_iterations=n_iterations,
            directed=directed,
            use_weights=use_weights,
            random_state=random_state,
        )
        return
    if directed:
        rule = "igraph's Louvain algorithm takes undirected graphs"
        raise ArgumentError(explain("directed", directed, rule, "leave it out"))
    if n_iterations is not None:
        rule = "igraph's Louvain algorithm goes on while the modularity rises"
        raise ArgumentError(explain("n_iterations", n_iterations, rule, "leave it out"))
    graph = (
        graph_of(container, neighbors_key, obsp).connectivities if adjacency is None else adjacency
    )
    found = louvain_at_resolutions(
        graph,
        resolutions_of(resolution),
        use_weights=use_weights is not False,
        random_state=random_state,
    )
    store_at_resolutions(container, key_added, resolution, found, {}, random_state)
