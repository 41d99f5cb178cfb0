"""What a joint graph is made of: which modalities, their graphs, embeddings and common cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from lazymu import keys
from lazymu.containers import Modality, MuData
from lazymu.errors import ArgumentError, MissingResultError, NoCommonCellsError, explain
from lazymu.pp.embeddings import Embedding, embedding_of, named_in
from lazymu.typing import Int64s

NeighborKeys: TypeAlias = "str | Mapping[str, str | None] | None"
UseRep: TypeAlias = "str | Mapping[str, str] | None"
NPcs: TypeAlias = "int | Mapping[str, int] | None"


def graph_names(mdata: MuData, neighbor_keys: NeighborKeys, use_rep: UseRep) -> dict[str, str]:
    """Return the modalities to use, and the name of each one's graph, there or not.

    Raises
    ------
    MissingResultError
        If a graph that is named is not there.
    """
    if neighbor_keys is None:
        names = list(use_rep) if isinstance(use_rep, Mapping) else list(mdata.mod)
        return {name: keys.NEIGHBORS for name in names}
    if isinstance(neighbor_keys, str):
        neighbor_keys = dict.fromkeys(mdata.mod, neighbor_keys)
    graphs = {name: key or keys.NEIGHBORS for name, key in neighbor_keys.items()}
    for name, key in graphs.items():
        if key not in mdata.mod[name].uns:
            rule = f"{name} has no graph of that name"
            fix = f"call lazymu.pp.neighbors(mdata[{name!r}], ...) first, or pass use_rep"
            raise MissingResultError(explain("neighbor_keys", repr(key), rule, fix))
    return graphs


def embeddings_of(
    mdata: MuData, graphs: Mapping[str, str], use_rep: UseRep, n_pcs: NPcs
) -> dict[str, Embedding]:
    """Return each modality's embedding: named, else that of its graph, else the usual."""
    return {
        name: _embedding(name, mdata.mod[name], graph, _of(use_rep, name), _of(n_pcs, name))
        for name, graph in graphs.items()
    }


def _embedding(
    name: str, modality: Modality, graph: str, use_rep: str | None, n_pcs: int | None
) -> Embedding:
    if use_rep is None and graph in modality.uns:
        use_rep, known = named_in(modality.uns[graph].get("params", {}))
        n_pcs = known if n_pcs is None else n_pcs
    return embedding_of(modality, use_rep, n_pcs, where=name)


def _of(value: Any, name: str) -> Any:
    """Return a modality's own value of an argument that may be one for all."""
    return value.get(name) if isinstance(value, Mapping) else value


def common_positions(mdata: MuData, names: list[str]) -> dict[str, Int64s]:
    """Return the row of each joint cell in each modality, -1 where it has none.

    Raises
    ------
    NoCommonCellsError
        If no cell is in all of them.
    ArgumentError
        If a cell is in none.
    """
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


def origin(key_added: str | None, embeddings: Mapping[str, Embedding]) -> dict[str, Any]:
    """Return the parameters that say what a graph was made of."""
    params: dict[str, Any] = {
        # scanpy's tl.umap takes the shape of what is named here, and cannot take a mapping.
        "use_rep": weights_key(key_added),
        "modalities": list(embeddings),
        "mod_use_rep": {name: embedding.name for name, embedding in embeddings.items()},
    }
    if limits := {n: e.n_pcs for n, e in embeddings.items() if e.n_pcs is not None}:
        params["mod_n_pcs"] = limits
    return params


def weights_key(key_added: str | None) -> str:
    """Return the `obsm` key of the modality weights of a joint graph."""
    return keys.weights_of(keys.graph_keys(key_added)[0])
