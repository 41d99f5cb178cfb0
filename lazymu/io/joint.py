"""What a MuData keeps beside its modalities: joint tables and where each name stands."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
import pandas as pd

from lazymu.io.elements import StoreElements
from lazymu.typing import Array


def joint_parts(elements: StoreElements) -> dict[str, Any]:
    """Return the joint tables, values and maps of positions as mudata writes them.

    ``obsmap[m]`` and ``varmap[m]`` hold, for each joint cell or feature, its 1-based position in
    modality ``m``, 0 where it is absent; masks in `obsm` and `varm` say the same in short. A map
    is left out where names repeat and do not tell it; readers then make it.
    """
    parts: dict[str, Any] = {"uns": elements.uns, "obsp": elements.obsp, "varp": elements.varp}
    for table, values, axis in (("obs", "obsm", 0), ("var", "varm", 1)):
        names = {m: getattr(modality, table).index for m, modality in elements.mod.items()}
        shared = elements.axis in (axis, -1)
        joint = getattr(elements, table)
        if joint is None:
            joint = pd.DataFrame(index=joint_names(list(names.values()), shared=shared))
        maps = position_maps(joint.index, names, shared=shared)
        masks = {m: positions > 0 for m, positions in maps.items()}
        parts[table] = joint
        parts[values] = {**masks, **getattr(elements, values)}
        parts[f"{table}map"] = maps
    return parts


def joint_names(names: list[pd.Index[Any]], *, shared: bool) -> pd.Index[Any]:
    """Return the union of names in order of appearance, or all names where no axis is shared."""
    if not names:
        return pd.Index([], dtype=object)
    if shared:
        return reduce(lambda a, b: a.union(b, sort=False), names)
    return names[0].append(names[1:])


def position_maps(
    joint: pd.Index[Any], names: dict[str, pd.Index[Any]], *, shared: bool
) -> dict[str, Array]:
    """Return for each modality the 1-based position of each joint name, 0 where absent."""
    maps = {}
    start = 0
    for m, own in names.items():
        stop = start + len(own)
        if not shared and joint[start:stop].equals(own):
            positions = np.zeros(len(joint), dtype=np.uint32)
            positions[start:stop] = np.arange(1, len(own) + 1)
            maps[m] = positions
        elif own.is_unique:
            maps[m] = (own.get_indexer(joint) + 1).astype(np.uint32)
        start = stop
    return maps
