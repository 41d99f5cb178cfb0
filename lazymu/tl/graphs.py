"""Which neighbour graph a tool works on."""

from __future__ import annotations

from typing import Any, NamedTuple

import scipy.sparse as sp

from lazymu import keys
from lazymu.containers import Modality, MuData, as_modality
from lazymu.errors import ArgumentError, MissingResultError, explain
from lazymu.typing import CSR


class Graph(NamedTuple):
    """A neighbour graph and how it was made."""

    connectivities: CSR
    params: dict[str, Any]


def container_of(data: Any) -> Modality | MuData:
    """Return ``data`` if it is a container of lazymu's, with or without modalities."""
    return data if isinstance(data, MuData) else as_modality(data)


def graph_names(data: Modality | MuData) -> list[str]:
    """Return the names of the graphs that a container has itself."""
    return [name for name, value in data.uns.items() if _describes_graph(value)]


def graph_of(
    data: Modality | MuData,
    neighbors_key: str | None,
    obsp: str | None = None,
    *,
    where: str | None = None,
) -> Graph:
    """Return the graph that `pp.neighbors` stored under a key, or an array of `obsp`.

    Of one modality among several, errors say ``where``.

    Raises
    ------
    MissingResultError
        If it has not been computed.
    ArgumentError
        If both a key and an array are named.
    """
    if obsp is not None:
        if neighbors_key is not None:
            rule = "it and `neighbors_key` name two graphs"
            raise ArgumentError(explain("obsp", repr(obsp), rule, "leave out one"))
        return Graph(sp.csr_matrix(data.obsp[obsp]), {})
    key = keys.NEIGHBORS if neighbors_key is None else neighbors_key
    if key not in data.uns:
        rule = f"there is no graph of that name, only: {', '.join(graph_names(data)) or 'none'}"
        fix = f"call lazymu.pp.neighbors(..., key_added={key!r}) first"
        raise MissingResultError(explain("neighbors_key", repr(key), rule, fix))
    stored = data.uns[key]
    name = stored.get("connectivities_key", keys.CONNECTIVITIES)
    if name not in data.obsp:
        of_modality = "" if where is None else f" of {where}"
        rule = f"its graph obsp[{name!r}]{of_modality} is gone, perhaps since cells were added"
        raise MissingResultError(
            explain("neighbors_key", repr(key), rule, "call lazymu.pp.neighbors again")
        )
    return Graph(sp.csr_matrix(data.obsp[name]), dict(stored.get("params", {})))


def _describes_graph(value: Any) -> bool:
    return isinstance(value, dict) and "connectivities_key" in value
