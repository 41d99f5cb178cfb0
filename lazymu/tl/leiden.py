"""Leiden clusters."""

from __future__ import annotations

from collections.abc import Mapping

from lazymu import keys
from lazymu.containers import Modality, MuData
from lazymu.containers.history import recorded
from lazymu.graph.leiden import DEFAULT_ROUNDS, Implementation, leiden_at_resolutions
from lazymu.graph.multiplex import multiplex_leiden
from lazymu.tl.clusters import cluster_layers, resolutions_of, store_at_resolutions
from lazymu.tl.graphs import container_of, graph_of
from lazymu.tl.layers import Resolution, layers_of
from lazymu.typing import CSR


@recorded
def leiden(
    data: Modality | MuData,
    resolution: Resolution = 1.0,
    mod_weights: Mapping[str, float] | None = None,
    *,
    random_state: int | None = 0,
    key_added: str = keys.LEIDEN,
    adjacency: CSR | None = None,
    directed: bool | None = None,
    use_weights: bool | None = None,
    n_iterations: int | None = None,
    neighbors_key: str | None = None,
    obsp: str | None = None,
    flavor: Implementation = "igraph",
) -> None:
    r"""Cluster cells by modularity of a neighbour graph, or of several modalities' graphs at once.

    Maximises, with weights ``A``, degrees ``k`` and ``2m`` their sum,

    .. math:: Q = \frac{1}{2m} \sum_{ij} (A_{ij} - \gamma k_i k_j / 2m) \, [c_i = c_j]

    of one graph: a modality's, or a MuData's joint graph. Of a MuData without such a graph, or
    where ``mod_weights`` or resolutions by modality are given, it maximises the weighted sum over
    its modalities' own graphs (a multiplex, muon's ``tl.leiden``), in which cells go by name and a
    modality with twice the edges counts twice:

    .. math:: Q = \sum_m w_m \sum_{ij} (A^m_{ij} - \gamma_m k^m_i k^m_j / 2m_m) \, [c_i = c_j]

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
        Whether ``A_ij`` and ``A_ji`` are different edges; not with igraph. None: where it can be.
    use_weights
        Whether edges have their weights, or 1 each; None: of one graph their weights, of several
        1, as in muon.
    n_iterations
        Rounds of the algorithm, -1 for on while Q improves; None: 2, with leidenalg on one graph
        -1.
    neighbors_key
        Name of the graph, as given to ``pp.neighbors(key_added=...)``; None: "neighbors".
    obsp
        Name of an array of `obsp` instead.
    flavor
        The package to use on one graph: "igraph" (fast) or "leidenalg" (scanpy's former default).
        Several graphs are leidenalg's.

    Notes
    -----
    Writes ``obs[key_added]`` (categories "0", "1", ... from the largest cluster down) and
    ``uns[key_added]`` with `params` and `modularity`; for a MuData into its joint `obs`. With
    igraph the clusters are those of ``scanpy.tl.leiden(flavor="igraph", n_iterations=2)`` with the
    same seed, numbered by size. Of several graphs they are those of ``muon.tl.leiden`` with the
    same seed, and `params` has `mod_weights` and `partition_improvement` instead of the modularity.
    A cell that a modality lacks has no edges there.

    Passes over X: none. Peak memory: some 70 bytes a stored weight; with leidenalg, and of several
    graphs together, 190, or 120 with ``directed=False``.

    Raises
    ------
    MissingResultError
        If there is no such graph, or a modality that is named has none.
    ModalityNotFoundError
        If a modality that is named is not there.
    ArgumentError
        If both ``neighbors_key`` and ``obsp`` are given, or ``directed`` with igraph, or one graph
        is named but resolutions or weights are by modality; or several resolutions of several
        graphs, or weights that are none.
    MemoryLimitError
        If the graphs exceed the memory limit.

    References
    ----------
    Traag, Waltman & van Eck 2019, https://doi.org/10.1038/s41598-019-41695-z; several graphs:
    Mucha et al. 2010, https://doi.org/10.1126/science.1184819.

    Examples
    --------
    >>> import numpy as np, lazymu
    >>> rng = np.random.default_rng(0)
    >>> centres = np.repeat([[0, 0], [9, 9]], 30, axis=0)
    >>> rna = lazymu.Modality(np.ones((60, 2)), obsm={"X_pca": centres + rng.random((60, 2))})
    >>> lazymu.pp.neighbors(rna, n_neighbors=30)
    >>> lazymu.tl.leiden(rna, resolution=0.1)
    >>> rna.obs["leiden"].value_counts().to_dict()
    {'0': 30, '1': 30}
    >>> mdata = lazymu.MuData({"rna": rna, "atac": rna[:50]})
    >>> lazymu.tl.leiden(mdata, {"rna": 0.1, "atac": 0.2}, mod_weights={"rna": 2})
    >>> mdata.obs["leiden"].value_counts().to_dict()
    {'0': 30, '1': 30}
    """
    container = container_of(data)
    given = {"adjacency": adjacency, "obsp": obsp}
    layers = layers_of(container, neighbors_key, resolution, mod_weights, given)
    if layers is not None:
        cluster_layers(
            container,
            layers,
            multiplex_leiden,
            key_added,
            resolution,
            n_iterations=n_iterations,
            directed=directed,
            use_weights=use_weights,
            random_state=random_state,
        )
        return
    graph = (
        graph_of(container, neighbors_key, obsp).connectivities if adjacency is None else adjacency
    )
    found = leiden_at_resolutions(
        graph,
        resolutions_of(resolution),
        n_iterations=n_iterations,
        flavor=flavor,
        directed=directed,
        use_weights=use_weights is not False,
        random_state=random_state,
    )
    params = {"n_iterations": DEFAULT_ROUNDS[flavor] if n_iterations is None else n_iterations}
    store_at_resolutions(container, key_added, resolution, found, params, random_state)
