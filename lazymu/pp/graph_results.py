"""Where a neighbour graph is kept in a container: written and read back as scanpy does."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from lazymu import keys
from lazymu.containers import Modality, MuData
from lazymu.graph.connectivities import distance_matrix
from lazymu.graph.search import NeighborLists
from lazymu.typing import CSR


def store_graph(
    data: Modality | MuData,
    key_added: str | None,
    lists: NeighborLists,
    connectivities: CSR,
    params: dict[str, Any],
    random_state: int | None,
    recall: float | dict[str, float] | None = None,
) -> None:
    """Write `obsp` and `uns` of a graph; a seed of None, which files cannot hold, is left out.

    ``recall`` is that of approximate lists, or of each modality's.
    """
    key, distances_key, connectivities_key = keys.graph_keys(key_added)
    data.obsp[distances_key] = distance_matrix(lists)
    data.obsp[connectivities_key] = connectivities
    if random_state is not None:
        params = {**params, "random_state": random_state}
    data.uns[key] = {
        "connectivities_key": connectivities_key,
        "distances_key": distances_key,
        "params": {"method": "umap", **params},
    }
    if recall:
        data.uns[key]["recall"] = recall


def stored_lists(modality: Modality, key: str) -> NeighborLists | None:
    """Return the lists of a modality's graph, nearest first.

    None where there is no such graph, or where cells were dropped since, so that lists have holes.
    """
    known = modality.uns.get(key, {})
    if known.get("distances_key") not in modality.obsp:
        return None
    stored = sp.csr_matrix(modality.obsp[known["distances_key"]], copy=True)
    # A cell that is listed twice would be counted twice.
    stored.sum_duplicates()
    lengths = np.diff(stored.indptr)
    if not lengths.size or lengths.min() < 1 or lengths.min() != lengths.max():
        return None
    shape = (len(lengths), int(lengths[0]))
    indices, distances = stored.indices.reshape(shape), stored.data.reshape(shape)
    order = np.argsort(distances, axis=1, kind="stable")
    return NeighborLists(
        np.take_along_axis(indices, order, axis=1), np.take_along_axis(distances, order, axis=1)
    )
