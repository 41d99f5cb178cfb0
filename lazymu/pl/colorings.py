"""What colours the cells: numbers or categories, with those that are not to be shown missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from lazymu.errors import ArgumentError, explain
from lazymu.pl.draw.points import Categories, PointValues
from lazymu.pl.groups import Palette, category_colors
from lazymu.pl.values import CellValues, Data, Groups, Lookup, cell_values
from lazymu.typing import Bools, Floats


class Coloring(NamedTuple):
    """What colours a panel, and its name."""

    name: str | None
    values: PointValues


def colorings_of(
    data: Data,
    color: str | Sequence[str] | None,
    lookup: Lookup,
    mask_obs: Bools | str | None,
    groups: str | Sequence[str] | None,
    palette: Palette,
) -> list[Coloring]:
    """Return what colours each panel, with cells outside the mask and the groups missing."""
    if color is None:
        return [Coloring(None, None)]
    names = color_names(color)
    values = cell_values(data, names, lookup)
    return colorings_from(data, names, values, mask_obs, groups, palette)


def color_names(color: str | Sequence[str]) -> list[str]:
    """Return the names of the colours, of which there must be one."""
    names = [color] if isinstance(color, str) else list(color)
    if not names:
        raise ArgumentError(explain("color", "empty", "it names what to colour by", "pass a name"))
    return names


def colorings_from(
    data: Data,
    names: Sequence[str],
    found: Sequence[CellValues],
    mask_obs: Bools | str | None,
    groups: str | Sequence[str] | None,
    palette: Palette,
) -> list[Coloring]:
    """Return what colours each panel, given the values that the names stand for."""
    hidden = ~_mask(data, mask_obs)
    shown = [groups] if isinstance(groups, str) else groups
    colorings = []
    for name, values in zip(names, found, strict=True):
        if isinstance(values, pd.Categorical):
            coloring: PointValues = _categories(data, name, values, hidden, shown, palette)
        else:
            coloring = np.where(hidden, np.nan, values)
        colorings.append(Coloring(name, coloring))
    return colorings


def _mask(data: Data, mask_obs: Bools | str | None) -> Bools:
    if mask_obs is None:
        return np.ones(data.n_obs, dtype=bool)
    mask = np.asarray(data.obs.get(mask_obs) if isinstance(mask_obs, str) else mask_obs)
    if mask.dtype != bool or mask.shape != (data.n_obs,):
        rule = f"it must be a mask of the {data.n_obs} cells"
        got = f"{mask.dtype} of shape {mask.shape}"
        raise ArgumentError(explain("mask_obs", got, rule, "pass booleans, one for each cell"))
    return mask


def _categories(
    data: Data,
    name: str,
    values: Groups,
    hidden: Bools,
    groups: Sequence[str] | None,
    palette: Palette,
) -> Categories:
    """Return the categories that any cell has, in their order, with their colours."""
    labels = [str(label) for label in values.categories]
    codes = np.where(hidden, -1, values.codes)
    if groups is not None:
        unknown = [group for group in groups if group not in labels]
        if unknown:
            rule = f"{name} has the categories {', '.join(labels[:20])}"
            raise ArgumentError(explain("groups", repr(unknown[0]), rule, "name some of them"))
        codes = np.where(np.isin(codes, [labels.index(group) for group in groups]), codes, -1)
    present = np.unique(codes[codes >= 0])
    colors = category_colors(data, name, labels, palette)
    renumbered = np.full(len(labels) + 1, -1)  # the last entry is for code -1
    renumbered[present] = np.arange(len(present))
    return Categories(
        renumbered[codes],
        tuple(labels[code] for code in present),
        tuple(colors[code] for code in present),
    )


def of_cells(values: PointValues, cells: Bools) -> PointValues:
    """Return the values of some cells."""
    if isinstance(values, Categories):
        return Categories(values.codes[cells], values.labels, values.colors)
    return None if values is None else values[cells]


def sizes_of(size: float | Sequence[float] | None, cells: Bools) -> float | Floats | None:
    """Return the size of all points, or that of each of some cells."""
    if size is None:
        return None
    sizes = np.asarray(size, dtype=np.float64)
    if sizes.ndim == 0:
        return float(sizes)
    if sizes.shape != cells.shape:
        got, rule = f"of shape {sizes.shape}", f"there are {len(cells)} cells"
        raise ArgumentError(explain("size", got, rule, "pass one number, or one for each cell"))
    return sizes[cells]
