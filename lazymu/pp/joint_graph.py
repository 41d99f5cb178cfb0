"""The weighted neighbour graph of a MuData's modalities: arguments to arrays, results to keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from lazymu import keys
from lazymu.containers import MuData
from lazymu.errors import ArgumentError, MissingResultError, explain
from lazymu.graph.bandwidth import Flavor
from lazymu.graph.connectivities import umap_connectivities
from lazymu.graph.knn import Method
from lazymu.graph.search import NeighborLists
from lazymu.graph.shared import shared_neighbors
from lazymu.graph.wnn import WeightedNeighbors, weighted_neighbors
from lazymu.pp.embeddings import Embedding, named_in
from lazymu.pp.graph_results import store_graph, stored_lists
from lazymu.pp.joint_inputs import (
    NPcs,
    UseRep,
    common_positions,
    embeddings_of,
    graph_names,
    origin,
    weights_key,
)
from lazymu.typing import Array, Float64s

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
    use_rep: UseRep,
    n_pcs: NPcs,
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
    graphs = graph_names(mdata, neighbor_keys, use_rep)
    embeddings = embeddings_of(mdata, graphs, use_rep, n_pcs)
    positions = common_positions(mdata, list(embeddings))
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
    params = settings | origin(key_added, embeddings)
    store_graph(mdata, key_added, lists, connectivities, params, random_state, found.recall)
    mdata.obsm[weights_key(key_added)] = found.weights
    if add_snn:
        mdata.obsp[keys.snn_of(keys.graph_keys(key_added)[0])] = shared_neighbors(found.indices)
    if weight_key is not None:
        _store_columns(mdata, list(embeddings), found, weight_key, add_weights_to_modalities)


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
