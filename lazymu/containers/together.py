"""Modalities of a MuData over the cells that all of them have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce

import numpy as np
import pandas as pd

from lazymu import keys
from lazymu.containers.modality import Modality
from lazymu.containers.mudata import MuData
from lazymu.containers.names import require_unique
from lazymu.errors import ArgumentError, NoCommonCellsError, explain
from lazymu.stream.joined_steps import split_type
from lazymu.stream.matrix import LazyMatrix
from lazymu.stream.steps import Astype
from lazymu.stream.sums import require_count_values


def chosen_modalities(mdata: MuData, mods: Sequence[str] | None) -> dict[str, Modality]:
    """Return modalities of the same cells by name, all where ``mods`` is None.

    Raises
    ------
    ArgumentError
        If modalities share features instead of cells, or a name repeats.
    """
    if mdata.axis != 0:
        rule = "it takes modalities that share cells (axis 0)"
        fix = "join modalities that share features by lazymu.concat"
        raise ArgumentError(explain("mdata", f"of axis {mdata.axis}", rule, fix))
    names = list(mdata.mod) if mods is None else [mods] if isinstance(mods, str) else list(mods)
    if not names or len(set(names)) < len(names):
        rule = "it names at least one modality, each once"
        raise ArgumentError(explain("mods", names, rule, "name each once"))
    return {name: mdata[name] for name in names}


def common_cells(chosen: Mapping[str, Modality]) -> pd.Index:
    """Return the names of the cells that are in all modalities, in the order of the first.

    Raises
    ------
    NoCommonCellsError
        If there are none, though modalities have cells.
    """
    for name, modality in chosen.items():
        require_unique(modality.obs_names, axis=0, where=name)
    parts = [modality.obs_names for modality in chosen.values()]
    names: pd.Index = reduce(lambda a, b: a[a.isin(b)], parts)
    if not len(names) and any(map(len, parts)):
        rule = "no cell is in all of them, by name"
        fix = "bring obs_names into one form, or name fewer"
        raise NoCommonCellsError(explain("mods", ", ".join(chosen), rule, fix))
    return names


def matrix_over(modality: Modality, layer: str | None, name: str, cells: pd.Index) -> LazyMatrix:
    """Return `X` (None), a layer, or stored counts of a modality over some cells.

    ``"counts"`` are what is stored of `X` where there is no layer of this name.

    Raises
    ------
    ArgumentError
        If there is no such layer.
    NotCountsError
        If stored values are known not to be counts.
    """
    matrix = _matrix(modality, layer, name)
    own = modality.obs_names
    return matrix if own.equals(cells) else matrix[own.get_indexer(cells).astype(np.int64)]


def _matrix(modality: Modality, layer: str | None, name: str) -> LazyMatrix:
    if layer is None:
        return modality.X
    if layer in modality.layers:
        return modality.layers[layer]
    if layer != keys.COUNTS:
        rule = f"the layers of {name} are: {', '.join(modality.layers) or 'none'}"
        fix = f'pass None for X, or "{keys.COUNTS}" for stored counts'
        raise ArgumentError(explain("layer", repr(layer), rule, fix))
    dtype, _ = split_type(modality.X)
    counts = modality.X.counts
    if (extremes := counts.cache.extremes()) is not None:
        require_count_values(extremes, f'layer="{layer}" of {name}')
    return counts if counts.dtype == dtype else counts.with_steps(Astype(str(dtype)))
