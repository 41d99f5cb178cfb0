"""The joint axes of a MuData: whose names they hold and where each entry is in a modality."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lazymu.containers.names import make_unique, require_unique
from lazymu.typing import Int64s

if TYPE_CHECKING:
    from lazymu.containers.modality import Modality


def names_of(modality: Modality, axis: int) -> pd.Index:
    """Return a modality's names along an axis."""
    return modality.obs_names if axis == 0 else modality.var_names


def joint_names(mod: Mapping[str, Modality], axis: int, *, shared: bool) -> pd.Index:
    """Return the names of a joint axis.

    A shared axis has the union of the modalities' names, in the order of the first modality that
    has each; another has all names of one modality after those of the other, each in its order.
    """
    parts = own_names(mod, axis)
    if shared:
        for name, names in parts.items():
            require_unique(names, axis=axis, where=name)
        return union(parts.values())
    joined: pd.Index = pd.Index([n for names in parts.values() for n in names], dtype=str)
    return joined


def own_names(mod: Mapping[str, Modality], axis: int) -> dict[str, pd.Index]:
    """Return each modality's names along an axis."""
    return {name: names_of(modality, axis) for name, modality in mod.items()}


def matches(before: pd.Index, now: pd.Index) -> Int64s:
    """Return where each name stood before, -1 where it is new or repeated and so does not tell."""
    if now.equals(before) or (not before.is_unique and now.equals(make_unique(before))):
        return np.arange(len(now), dtype=np.int64)
    single = np.flatnonzero(~before.duplicated(keep=False))
    found = before[single].get_indexer(now)
    known = (found >= 0) & ~now.duplicated(keep=False)
    positions = np.full(len(now), -1, dtype=np.int64)
    positions[known] = single[found[known]]
    return positions


def matches_by_modality(
    before: Mapping[str, pd.Index], now: Mapping[str, pd.Index]
) -> tuple[Int64s, pd.Index]:
    """Return where each entry of an unshared axis stood before, and the names that do not tell.

    A name is looked for in its own modality alone, as another may have it too (CD4 the gene and
    CD4 the antibody). A modality that has gone and a new one of the same names are one, renamed.
    """
    starts = dict(zip(before, np.cumsum([0, *map(len, before.values())]).tolist(), strict=False))
    gone = [name for name in before if name not in now]
    positions, unclear = [], []
    for name, names in now.items():
        former = name if name in before else _renamed(names, {old: before[old] for old in gone})
        found = np.full(len(names), -1, dtype=np.int64)
        if former is not None:
            found = matches(before[former], names)
            unclear.append(names[(found < 0) & names.isin(before[former])])
            found[found >= 0] += starts[former]
        positions.append(found)
    return np.concatenate([np.zeros(0, np.int64), *positions]), union(unclear).unique()


def _renamed(names: pd.Index, gone: Mapping[str, pd.Index]) -> str | None:
    return next((old for old, former in gone.items() if former.equals(names)), None)


def union(parts: Iterable[pd.Index]) -> pd.Index:
    """Return all names in order of first appearance."""
    joint = pd.Index([], dtype=str)
    for names in parts:
        new = names if joint.empty else names[~names.isin(joint)]
        joint = pd.Index(new if joint.empty else joint.append(new), dtype=str)
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
