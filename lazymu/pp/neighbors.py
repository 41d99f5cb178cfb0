"""Neighbour graphs: of one modality, or weighted over several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lazymu import keys
from lazymu.containers import Modality, MuData, as_modality
from lazymu.errors import NoCommonCellsError, explain
from lazymu.graph.bandwidth import Flavor
from lazymu.graph.connectivities import distance_matrix, umap_connectivities
from lazymu.graph.knn import Method, nearest_neighbors
from lazymu.graph.search import NeighborLists
from lazymu.graph.wnn import WeightedNeighbors, weighted_neighbors
from lazymu.pp.embeddings import Embedding, embedding_of
from lazymu.typing import CSR, Int64s

DEFAULT_NEIGHBORS = 15
DEFAULT_JOINT_NEIGHBORS = 20


def neighbors(
    data: Modality | MuData,
    n_neighbors: int | None = None,
    n_bandwidth_neighbors: int = 20,
    n_multineighbors: int = 200,
    *,
    use_rep: str | Mapping[str, str] | None = None,
    n_pcs: int | Mapping[str, int] | None = None,
    metric: str = "euclidean",
    flavor: Flavor = "seurat",
    l2_norm: bool | None = None,
    method: Method = "auto",
    key_added: str | None = None,
    weight_key: str = keys.MOD_WEIGHT,
    add_weights_to_modalities: bool = False,
    eps: float = 1e-4,
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
    use_rep
        Embedding in `obsm`, ``"X_lsi[1:]"`` for one without its first component; for a MuData a
        name for all modalities or a mapping from modality to name, which also selects the
        modalities. None: ``X_pca``, else ``X_lsi``, else ``X`` of at most 50 features.
    n_pcs
        Use the first so many components; for a MuData a mapping from modality to number too.
    metric
        Of distances in a modality; the joint graph's are euclidean.
    flavor
        Whose formulas: "seurat" or "muon".
    l2_norm
        Scale every cell of every embedding to length 1; None: with "seurat" alone (MuData).
    method
        "exact", "pynndescent", or "auto": exact up to 20,000 cells.
    key_added
        Name of the graph; None: "neighbors".
    weight_key
        Column of modality weights (MuData).
    add_weights_to_modalities
        Write the weights into each modality's `obs`, instead of the joint one.
    eps
        Number that keeps the ratio of predictions finite (MuData).
    random_state
        Seed of the approximate search.

    Notes
    -----
    Writes ``obsp[distances]``, ``obsp[connectivities]`` and ``uns[key_added]``, in which scanpy's
    ``tl.umap`` and ``tl.leiden`` find them; for a MuData also ``obs["<modality>:mod_weight"]`` and
    ``obsm["<key_added>_weights"]`` (columns in the order of ``uns[key_added]["params"]
    ["modalities"]``). Cells of modalities are matched by name; one that a modality lacks takes its
    neighbours from the others.

    Passes over X: none. Peak memory: embeddings twice, and some ``32 k`` bytes a cell.

    Raises
    ------
    MissingResultError
        If an embedding has not been computed.
    NoCommonCellsError
        If no cell is in all modalities.
    ArgumentError
        If ``data`` is neither, or a number is too small.

    References
    ----------
    McInnes et al. 2018, https://doi.org/10.48550/arXiv.1802.03426; Hao et al. 2021,
    https://doi.org/10.1016/j.cell.2021.04.048.

    Examples
    --------
    >>> import numpy as np, lazymu
    >>> rng = np.random.default_rng(0)
    >>> rna = lazymu.Modality(np.ones((60, 3)), obsm={"X_pca": rng.random((60, 5))})
    >>> prot = lazymu.Modality(np.ones((60, 2)), obsm={"X_pca": rng.random((60, 2))})
    >>> mdata = lazymu.MuData({"rna": rna, "prot": prot})
    >>> lazymu.pp.neighbors(mdata, key_added="wnn", use_rep="X_pca")
    >>> sorted(mdata.obsp), mdata.obsm["wnn_weights"].shape
    (['wnn_connectivities', 'wnn_distances'], (60, 2))
    """
    if not isinstance(data, MuData):
        _of_modality(
            as_modality(data),
            DEFAULT_NEIGHBORS if n_neighbors is None else n_neighbors,
            embedding_of(as_modality(data), _one(use_rep), _one(n_pcs)),
            metric=metric,
            method=method,
            key_added=key_added,
            random_state=random_state,
        )
        return
    embeddings = _embeddings(data, use_rep, n_pcs)
    positions = _common_positions(data, list(embeddings))
    if n_neighbors is None:
        n_neighbors = _default_joint(data, list(embeddings), flavor)
    found = weighted_neighbors(
        {name: embedding.values for name, embedding in embeddings.items()},
        positions,
        n_neighbors=n_neighbors,
        n_bandwidth_neighbors=n_bandwidth_neighbors,
        n_multineighbors=n_multineighbors,
        flavor=flavor,
        l2_norm=l2_norm,
        eps=eps,
        method=method,
        random_state=random_state,
    )
    lists = NeighborLists(found.indices, found.distances)
    params = {
        "n_neighbors": n_neighbors,
        "n_bandwidth_neighbors": n_bandwidth_neighbors,
        "n_multineighbors": n_multineighbors,
        "flavor": flavor,
        "metric": "euclidean",
        "random_state": random_state,
        "modalities": list(embeddings),
        "mod_use_rep": {name: embedding.name for name, embedding in embeddings.items()},
    }
    connectivities = umap_connectivities(lists, first_is_self=flavor == "muon")
    _store_graph(data, key_added, distance_matrix(lists), connectivities, params)
    _store_weights(data, list(embeddings), found, key_added, weight_key, add_weights_to_modalities)


def _of_modality(
    modality: Modality,
    n_neighbors: int,
    embedding: Embedding,
    *,
    metric: str,
    method: Method,
    key_added: str | None,
    random_state: int | None,
) -> None:
    lists = nearest_neighbors(
        embedding.values, n_neighbors - 1, metric=metric, method=method, random_state=random_state
    )
    params = {
        "n_neighbors": n_neighbors,
        "metric": metric,
        "random_state": random_state,
        "use_rep": embedding.name,
    }
    graph = umap_connectivities(lists)
    _store_graph(modality, key_added, distance_matrix(lists), graph, params)


def _one(value: Any) -> Any:
    """Return a modality's own value where a mapping with one entry was given for a MuData."""
    return next(iter(value.values())) if isinstance(value, Mapping) and len(value) == 1 else value


def _embeddings(mdata: MuData, use_rep: Any, n_pcs: Any) -> dict[str, Embedding]:
    names = list(use_rep) if isinstance(use_rep, Mapping) else list(mdata.mod)
    return {
        name: embedding_of(
            mdata[name],
            use_rep[name] if isinstance(use_rep, Mapping) else use_rep,
            n_pcs.get(name) if isinstance(n_pcs, Mapping) else n_pcs,
            where=name,
        )
        for name in names
    }


def _common_positions(mdata: MuData, names: list[str]) -> dict[str, Int64s]:
    positions = {name: mdata.obs_positions(name) for name in names}
    if not np.all([rows >= 0 for rows in positions.values()], axis=0).any():
        rule = "no cell name is in all of them"
        fix = "check that obs_names are written alike, e.g. with the same suffix"
        raise NoCommonCellsError(explain("modalities", " and ".join(names), rule, fix))
    return positions


def _default_joint(mdata: MuData, names: list[str], flavor: Flavor) -> int:
    if flavor == "seurat":
        return DEFAULT_JOINT_NEIGHBORS
    graphs = [
        mdata[name].uns[keys.NEIGHBORS] for name in names if keys.NEIGHBORS in mdata[name].uns
    ]
    sizes = [int(graph["params"]["n_neighbors"]) for graph in graphs] or [DEFAULT_NEIGHBORS]
    return round(float(np.mean(sizes)))


def _store_graph(
    data: Modality | MuData,
    key_added: str | None,
    distances: CSR,
    connectivities: CSR,
    params: dict[str, Any],
) -> None:
    key, distances_key, connectivities_key = keys.graph_keys(key_added)
    data.obsp[distances_key] = distances
    data.obsp[connectivities_key] = connectivities
    data.uns[key] = {
        "connectivities_key": connectivities_key,
        "distances_key": distances_key,
        "params": {"method": "umap", **params},
    }


def _store_weights(
    mdata: MuData,
    names: list[str],
    found: WeightedNeighbors,
    key_added: str | None,
    weight_key: str,
    add_to_modalities: bool,
) -> None:
    mdata.obsm[keys.weights_of(keys.graph_keys(key_added)[0])] = found.weights
    for column, name in enumerate(names):
        weights = found.weights[:, column]
        if add_to_modalities:
            rows = mdata.obs_positions(name)
            own = np.zeros(mdata[name].n_obs)
            own[rows[rows >= 0]] = weights[rows >= 0]
            mdata[name].obs[weight_key] = own
        else:
            mdata.obs[keys.of_modality(name, weight_key)] = weights
