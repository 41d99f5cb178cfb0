"""Whether a MuData's joint graph is clustered, or its modalities' graphs together."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, TypeAlias

import numpy as np

from lazymu import keys
from lazymu.containers import Modality, MuData
from lazymu.errors import ArgumentError, MissingResultError, explain
from lazymu.graph.multiplex import Layer
from lazymu.tl.graphs import graph_names, graph_of

logger = logging.getLogger("lazymu")

Resolution: TypeAlias = float | Sequence[float] | Mapping[str, float]


def layers_of(
    data: Modality | MuData,
    neighbors_key: str | None,
    resolution: Resolution,
    mod_weights: Mapping[str, float] | None,
    given: Mapping[str, Any],
) -> dict[str, Layer] | None:
    """Return the modalities' graphs where they are to be clustered together, else None.

    That is where the arguments speak of modalities, or a MuData has no graph of that name, but its
    modalities have. ``given`` are the arguments that name one graph, with None for those left out.

    Raises
    ------
    MissingResultError
        If there is no such graph, or a modality that is named has none.
    ModalityNotFoundError
        If a modality that is named is not there.
    ArgumentError
        If arguments do not go together, or do not fit the modalities.
    """
    asked = _asked(resolution, mod_weights)
    one = next((name for name, value in given.items() if value is not None), None)
    if asked is not None and (one is not None or not isinstance(data, MuData)):
        rule = f"`{one}` names one graph" if one is not None else "a modality has one graph"
        fix = f"leave out `{one}`" if one is not None else "pass the MuData, or one number"
        raise ArgumentError(explain(asked, "of several modalities", rule, fix))
    if one is not None or not isinstance(data, MuData):
        return None
    key = keys.NEIGHBORS if neighbors_key is None else neighbors_key
    if asked is None and key in data.uns:
        return None
    names = [name for name, modality in data.mod.items() if key in modality.uns]
    if not names:
        raise _no_graphs(data, key, joint=asked is None)
    resolutions = _resolutions(data, resolution, names, key)
    weights = _weights(data, mod_weights or {}, names, key)
    if left_out := [name for name in data.mod if name not in names]:
        logger.warning("No graph %r in %s: clusters without", key, ", ".join(left_out))
    return {
        name: Layer(
            graph_of(data.mod[name], key, where=name).connectivities,
            data.obs_positions(name),
            resolutions[name],
            weights[name],
        )
        for name in names
    }


def _asked(resolution: Resolution, mod_weights: Mapping[str, float] | None) -> str | None:
    """Return the argument that speaks of several graphs, if any does."""
    if mod_weights is not None and not isinstance(mod_weights, Mapping):
        got, rule = repr(mod_weights), "weights go by the modalities' names"
        fix = 'pass a mapping, e.g. {"rna": 2, "atac": 1}'
        raise ArgumentError(explain("mod_weights", got, rule, fix))
    if isinstance(resolution, Mapping):
        return "resolution"
    return None if mod_weights is None else "mod_weights"


def _resolutions(
    mdata: MuData, resolution: Resolution, names: list[str], key: str
) -> dict[str, float]:
    """Return each modality's resolution."""
    if isinstance(resolution, Mapping):
        _require_graphs(mdata, "resolution", resolution, key)
        if missing := [name for name in names if name not in resolution]:
            rule = f"{', '.join(missing)} would have none"
            fix = "give one to each modality that has a graph, or one number to all"
            raise ArgumentError(explain("resolution", repr(dict(resolution)), rule, fix))
        values = [resolution[name] for name in names]
        require_numbers("resolution", resolution, values)
        return dict(zip(names, map(float, values), strict=True))
    if np.ndim(resolution):
        example = ", ".join(f"{name!r}: ..." for name in names)
        rule = "the modalities' graphs give one clustering, not one for each value"
        fix = f"pass one number, or one by modality: {{{example}}}"
        raise ArgumentError(explain("resolution", repr(resolution), rule, fix))
    require_numbers("resolution", resolution, [resolution])
    return dict.fromkeys(names, float(np.asarray(resolution)))


def _weights(
    mdata: MuData, mod_weights: Mapping[str, float], names: list[str], key: str
) -> dict[str, float]:
    """Return each modality's weight, 1 where it is not given."""
    _require_graphs(mdata, "mod_weights", mod_weights, key)
    values = [mod_weights.get(name, 1) for name in names]
    require_numbers("mod_weights", mod_weights, values)
    if not any(values):
        rule = "the modalities would count nothing"
        fix = "pass a number above 0 for one at least"
        raise ArgumentError(explain("mod_weights", repr(dict(mod_weights)), rule, fix))
    return dict(zip(names, map(float, values), strict=True))


def require_numbers(argument: str, got: object, values: Sequence[object]) -> None:
    """Raise ArgumentError unless all values are finite numbers, and none is negative."""
    numbers = [value for value in values if isinstance(value, Real)]
    if len(numbers) < len(values) or not all(0 <= value < np.inf for value in map(float, numbers)):
        rule = "it must be made of numbers of 0 or more"
        raise ArgumentError(explain(argument, repr(got), rule, "pass e.g. 1.0"))


def _require_graphs(mdata: MuData, argument: str, names: Mapping[str, float], key: str) -> None:
    """Raise unless all modalities that an argument names are there, and have the graph."""
    for name in names:
        if key not in mdata.mod[name].uns:
            known = ", ".join(graph_names(mdata.mod[name])) or "none"
            rule = f"{name} has no graph {key!r}, only: {known}"
            fix = f"call lazymu.pp.neighbors(mdata[{name!r}], key_added={key!r}) first"
            raise MissingResultError(explain(argument, repr(dict(names)), rule, fix))


def _no_graphs(mdata: MuData, key: str, *, joint: bool) -> MissingResultError:
    """Return the error where modalities have no graph of a name, and perhaps the MuData neither."""
    known = graph_names(mdata) if joint else []
    known += [f"{own} of {name}" for name, mod in mdata.mod.items() for own in graph_names(mod)]
    whose = "there is no graph of that name" if joint else "no modality has a graph of that name"
    each = f"lazymu.pp.neighbors(mdata[name], key_added={key!r}) for each modality"
    fix = f"call {each} first"
    if joint:
        fix = f"call lazymu.pp.neighbors(mdata, key_added={key!r}) first, or {each}"
    rule = f"{whose}, only: {', '.join(known) or 'none'}"
    return MissingResultError(explain("neighbors_key", repr(key), rule, fix))
