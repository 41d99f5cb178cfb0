"""The joint axes of a MuData: whose names they hold and where each entry is in a modality."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lazymu.containers.names import require_unique
from lazymu.typing import Int64s

if TYPE_CHECKING:
    from lazymu.containers.modality import Modality


def names_of(modality: Modality, axis: int) -> pd.Index:
    """Return a modality's names along an axis."""
    return modality.obs_names if axis == 0 else modality.var_names


def joint_names(mod: Mapping[str, Modality], axis: int, *, shared: bool) -> pd.Index:
    """Return the names of a joint axis.

    A shared axis has the union of the modalities' names, in the order of the first modality that
    has each; another has all names one after the other.
    """
    parts = {name: names_of(modality, axis) for name, modality in mod.items()}
    if shared:
        for name, names in parts.items():
            require_unique(names, axis=axis, where=name)
        return union(parts.values())
    joined: pd.Index = pd.Index([n for names in parts.values() for n in names], dtype=object)
    return joined


def union(parts: Iterable[pd.Index]) -> pd.Index:
    """Return all names in order of first appearance."""
    joint = pd.Index([], dtype=object)
    for names in parts:
        new = names if joint.empty else names[~names.isin(joint)]
        joint = pd.Index(new if joint.empty else joint.append(new), dtype=object)
    return joint


def joint_positions(
    mod: Mapping[str, Modality], name: str, axis: int, joint: pd.Index, *, shared: bool
) -> Int64s:
    """Return the row in modality ``name`` of each entry of a joint axis, -1 where it has none."""
    if shared:
        return names_of(mod[name], axis).get_indexer(joint).astype(np.int64)
    positions = np.full(len(joint), -1, dtype=np.int64)
    start = 0
    for other, modality in mod.items():
        length = len(names_of(modality, axis))
        if other == name:
            positions[start : start + length] = np.arange(length)
        start += length
    return positions
