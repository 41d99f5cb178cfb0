"""The weighted neighbour graph of a MuData's modalities: arguments to arrays, results to keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from lazymu import keys
from lazymu.containers import Modality, MuData
from lazymu.errors import ArgumentError, MissingResultError, NoCommonCellsError, explain
from lazymu.graph.bandwidth import Flavor
from lazymu.graph.connectivities import umap_connectivities
from lazymu.graph.knn import Method
from lazymu.graph.search import NeighborLists
from lazymu.graph.shared import shared_neighbors
from lazymu.graph.wnn import WeightedNeighbors, weighted_neighbors
from lazymu.pp.embeddings import Embedding, embedding_of, named_in
from lazymu.pp.graph_results import store_graph, stored_lists
from lazymu.typing import Array, Float64s, Int64s

Weight: TypeAlias = "float | str | Array | pd.Series[Any]"
DEFAULT_NEIGHBORS = 20
DEFAULT_MODALITY_NEIGHBORS = 15


def connect_jointly(
    mdata: MuData,
    n_neighbors: int | None,
    *,
    n_bandwidth_neighbors: int,
    n_multineighbors: int,
    neighbor_keys: Mapping[str, str | None] | None,
    use_rep: str | Mapping[str, str] | None,
    n_pcs: int | Mapping[str, int] | None,
    metric: str,
    flavor: Flavor,
    l2_norm: bool | None,
    key_added: str | None,
    weight_key: str | None,
    add_weights_to_modalities: bool,
    weights: Mapping[str, Weight] | None,
    add_snn: bool,
    eps: float,
    method: Method,
    random_state: int | None,
) -> None:
    """Find the joint neighbours and write them; arguments as :func:`lazymu.pp.neighbors`'s."""
    if metric != "euclidean":
        rule = "a joint graph's distances are Euclidean"
        raise ArgumentError(explain("metric", repr(metric), rule, "leave it out"))
    graphs = _graph_names(mdata, neighbor_keys, use_rep)
    embeddings = {
        name: _embedding(name, mdata.mod[name], graph, _of(use_rep, name), _of(n_pcs, name))
        for name, graph in graphs.items()
    }
    positions = _common_positions(mdata, list(embeddings))
    if n_neighbors is None:
        n_neighbors = _default_neighbors(mdata, graphs, flavor)
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
        lists=None if flavor == "seurat" or l2_norm else _own_lists(mdata, graphs, embeddings),
        weights=None if weights is None else _weights_given(mdata, list(embeddings), weights),
        random_state=random_state,
    )
    settings = {
        "n_neighbors": n_neighbors,
        "n_bandwidth_neighbors": n_bandwidth_neighbors,
        "n_multineighbors": n_multineighbors,
        "flavor": flavor,
        "metric": metric,
        "eps": eps,
    }
    lists = NeighborLists(found.indices, found.distances)
    connectivities = umap_connectivities(lists, first_is_self=flavor == "muon")
    params = settings | _origin(key_added, embeddings)
    store_graph(mdata, key_added, lists, connectivities, params, random_state, found.recall)
    mdata.obsm[_weights_key(key_added)] = found.weights
    if add_snn:
        mdata.obsp[keys.snn_of(keys.graph_keys(key_added)[0])] = shared_neighbors(found.indices)
    if weight_key is not None:
        _store_columns(mdata, list(embeddings), found, weight_key, add_weights_to_modalities)


def _origin(key_added: str | None, embeddings: Mapping[str, Embedding]) -> dict[str, Any]:
    """Return the parameters that say what a graph was made of."""
    origin: dict[str, Any] = {
        # scanpy's tl.umap takes the shape of what is named here, and cannot take a mapping.
        "use_rep": _weights_key(key_added),
        "modalities": list(embeddings),
        "mod_use_rep": {name: embedding.name for name, embedding in embeddings.items()},
    }
    if limits := {n: e.n_pcs for n, e in embeddings.items() if e.n_pcs is not None}:
        origin["mod_n_pcs"] = limits
    return origin


def _weights_key(key_added: str | None) -> str:
    return keys.weights_of(keys.graph_keys(key_added)[0])


def _weights_given(mdata: MuData, names: list[str], weights: Mapping[str, Weight]) -> Float64s:
    """Return the users' weights of the modalities in use, (N, M)."""
    if set(weights) != set(names):
        rule = f"the modalities in use are {', '.join(names)}"
        fix = "give a weight to each of them, and to no other"
        raise ArgumentError(explain("weights", f"of {', '.join(weights) or 'none'}", rule, fix))
    columns = np.empty((mdata.n_obs, len(names)))
    for column, name in enumerate(names):
        value = weights[name]
        if isinstance(value, str):
            if value not in mdata.obs:
                rule = "the joint obs has no such column"
                raise MissingResultError(
                    explain(f"weights[{name!r}]", repr(value), rule, "check its name")
                )
            value = mdata.obs[value]
        if isinstance(value, pd.Series):
            value = value.reindex(mdata.obs_names)
        columns[:, column] = np.asarray(value, np.float64)
    return columns


def _of(value: Any, name: str) -> Any:
    """Return a modality's own value of an argument that may be one for all."""
    return value.get(name) if isinstance(value, Mapping) else value


def _graph_names(
    mdata: MuData, neighbor_keys: Mapping[str, str | None] | None, use_rep: Any
) -> dict[str, str]:
    """Return the modalities to use, and the name of each one's graph, there or not."""
    if neighbor_keys is None:
        names = list(use_rep) if isinstance(use_rep, Mapping) else list(mdata.mod)
        return {name: keys.NEIGHBORS for name in names}
    for name, key in neighbor_keys.items():
        if (key or keys.NEIGHBORS) not in mdata.mod[name].uns:
            rule = f"{name} has no graph of that name"
            fix = f"call lazymu.pp.neighbors(mdata[{name!r}], ...) first, or pass use_rep"
            raise MissingResultError(explain("neighbor_keys", repr(key), rule, fix))
    return {name: key or keys.NEIGHBORS for name, key in neighbor_keys.items()}


def _embedding(
    name: str, modality: Modality, graph: str, use_rep: str | None, n_pcs: int | None
) -> Embedding:
    """Return the embedding that is named, else that of the modality's graph, else the usual."""
    if use_rep is None and graph in modality.uns:
        use_rep, known = named_in(modality.uns[graph].get("params", {}))
        n_pcs = known if n_pcs is None else n_pcs
    return embedding_of(modality, use_rep, n_pcs, where=name)


def _own_lists(
    mdata: MuData, graphs: Mapping[str, str], embeddings: Mapping[str, Embedding]
) -> dict[str, NeighborLists]:
    """Return the lists of the modalities' graphs that were made of these very embeddings."""
    found = {}
    for name, graph in graphs.items():
        lists = stored_lists(mdata.mod[name], graph)
        if lists is None:
            continue
        params = mdata.mod[name].uns[graph].get("params", {})
        same = named_in(params) in ((None, None), (embeddings[name].name, embeddings[name].n_pcs))
        if same and params.get("metric", "euclidean") == "euclidean":
            found[name] = lists
    return found


def _common_positions(mdata: MuData, names: list[str]) -> dict[str, Int64s]:
    positions = {name: mdata.obs_positions(name) for name in names}
    present = np.column_stack([rows >= 0 for rows in positions.values()])
    if not present.all(axis=1).any():
        rule = "no cell name is in all of them"
        fix = "check that obs_names are written alike, e.g. with the same suffix"
        raise NoCommonCellsError(explain("modalities", " and ".join(names), rule, fix))
    if n_absent := int((~present.any(axis=1)).sum()):
        rule = f"{n_absent} cells are in none of them"
        fix = "use all modalities, or keep common cells with lazymu.pp.intersect_obs"
        raise ArgumentError(explain("modalities", " and ".join(names), rule, fix))
    return positions


def _default_neighbors(mdata: MuData, graphs: Mapping[str, str], flavor: Flavor) -> int:
    if flavor == "seurat":
        return DEFAULT_NEIGHBORS
    known = [mdata.mod[name].uns[key] for name, key in graphs.items() if key in mdata.mod[name].uns]
    sizes = [int(graph["params"]["n_neighbors"]) for graph in known]
    return round(float(np.mean(sizes or [DEFAULT_MODALITY_NEIGHBORS])))


def _store_columns(
    mdata: MuData,
    names: list[str],
    found: WeightedNeighbors,
    weight_key: str,
    add_to_modalities: bool,
) -> None:
    for column, name in enumerate(names):
        weights = found.weights[:, column]
        if add_to_modalities:
            rows = mdata.obs_positions(name)
            own = np.zeros(mdata.mod[name].n_obs)
            own[rows[rows >= 0]] = weights[rows >= 0]
            mdata.mod[name].obs[weight_key] = own
        else:
            mdata.obs[keys.of_modality(name, weight_key)] = weights
