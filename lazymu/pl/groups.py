"""The groups that cells are split into, and the colours that go with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd

from lazymu.errors import ArgumentError, explain
from lazymu.pl.draw.palette import distinct_colors
from lazymu.pl.values import Column, Data, Groups, Lookup, cell_values, find, plain_values
from lazymu.typing import Float64s

if TYPE_CHECKING:
    from cycler import Cycler

Palette: TypeAlias = "str | Sequence[Any] | Mapping[str, Any] | Cycler[Any, Any] | None"
"""A matplotlib colour map's name, colours in the order of categories, or colours by category."""
GroupBy: TypeAlias = "str | pd.Series | Sequence[Any]"
"""A column's name (``"leiden"``, ``"rna:leiden"``) or the groups: by cell name, or by position."""

_MOST_CATEGORIES = 256


def colors_key(column: str) -> str:
    """Return scanpy's `uns` key of a column's colours."""
    return f"{column}_colors"


def grouping(data: Data, groupby: GroupBy, *, bins: int = 7) -> Groups:
    """Return the group of each cell of ``data``, missing where it has none.

    A Series is aligned by its index, the cells' names. Fractional numbers are cut into ``bins``
    ranges of one width, as scanpy does; whole numbers are labels; infinite ones are missing.

    Raises
    ------
    ArgumentError
        If groups without names are not as many as cells, or a Series knows none of the cells or
        one of them twice.
    """
    if isinstance(groupby, str):
        (values,) = cell_values(data, [groupby])
    elif isinstance(groupby, pd.Series):
        values = plain_values(_aligned(groupby, data.obs_names))
    else:
        values = plain_values(pd.Series(list(groupby)))
        if len(values) != data.n_obs:
            rule = f"there are {data.n_obs} cells"
            raise ArgumentError(
                explain("groupby", f"{len(values)} groups", rule, "pass one for each cell")
            )
    return values if isinstance(values, pd.Categorical) else _from_numbers(values, bins)


def _aligned(groups: pd.Series, obs_names: pd.Index) -> pd.Series:
    if groups.index.equals(obs_names):
        return groups
    if not groups.index.isin(obs_names).any():
        rule = "its index names none of the cells"
        raise ArgumentError(
            explain("groupby", "a Series", rule, "set its index to obs_names, or pass a list")
        )
    if not groups.index.is_unique:
        rule, fix = "cells are found in it by name", "drop the duplicates"
        raise ArgumentError(explain("groupby", "a Series with repeated names", rule, fix))
    return groups.reindex(obs_names)


def _from_numbers(values: Float64s, bins: int) -> Groups:
    values = np.where(np.isfinite(values), values, np.nan)
    known = values[np.isfinite(values)]
    if (known == np.floor(known)).all():
        whole = pd.Series(values).astype("Int64").astype("string")
        labels = [str(int(value)) for value in np.unique(known)]
        return pd.Categorical(whole, dtype=pd.CategoricalDtype(labels))
    ranges = pd.Series(pd.cut(values, bins))
    labels = [str(one) for one in ranges.cat.categories]
    return pd.Categorical(ranges.cat.rename_categories(labels))


def label_of(groupby: GroupBy | None) -> str:
    """Return what to call the groups: the column's or the Series' name, if any."""
    if isinstance(groupby, pd.Series):
        return "" if groupby.name is None else str(groupby.name)
    return groupby if isinstance(groupby, str) else ""


def in_order(groups: Groups, order: Sequence[str] | None) -> list[int]:
    """Return the codes of the groups to show: those named, else all that have cells.

    Raises
    ------
    ArgumentError
        If there is no group of a name, or none with cells.
    """
    labels = [str(label) for label in groups.categories]
    if order is not None:
        unknown = [name for name in order if str(name) not in labels]
        if unknown:
            rule = f"the groups are {', '.join(labels[:20])}"
            raise ArgumentError(explain("order", repr(unknown[0]), rule, "name some of them"))
        return [labels.index(str(name)) for name in order]
    present = np.unique(groups.codes[groups.codes >= 0])
    if len(present) == 0:
        rule = "no cell has a group"
        raise ArgumentError(explain("groupby", "all missing", rule, "pass another column"))
    return [int(code) for code in present]


def category_colors(
    data: Data, name: str | None, categories: Sequence[str], palette: Palette = None
) -> list[str]:
    """Return a colour for each category, as hex.

    Colours in ``uns["<column>_colors"]`` of the column's owner are used again where they suffice;
    new ones, and those of a ``palette``, are stored there. Without ``name`` nothing is read or
    written.

    Raises
    ------
    ArgumentError
        If there are more categories than colours can tell apart, or the palette is unknown.
    """
    if len(categories) > _MOST_CATEGORIES:
        rule = f"colours cannot tell more than {_MOST_CATEGORIES} categories apart"
        fix = "pass `groups=` with those to show"
        raise ArgumentError(explain("color", f"{len(categories)} categories", rule, fix))
    found = None if name is None else find(data, name, Lookup())
    if not isinstance(found, Column):
        return new_colors(categories, palette)
    uns, key = found.owner.uns, colors_key(found.column)
    if palette is None and key in uns and (stored := _valid(uns[key], len(categories))):
        return stored
    uns[key] = new_colors(categories, palette)
    return list(uns[key])


def _valid(stored: Any, n: int) -> list[str]:
    """Return stored colours as hex, or none where one is no colour or there are too few."""
    from matplotlib.colors import is_color_like, to_hex

    colors = list(np.atleast_1d(np.asarray(stored, dtype=object)))
    if len(colors) < n or not all(map(is_color_like, colors)):
        return []
    return [to_hex(color) for color in colors[:n]]


def new_colors(categories: Sequence[str], palette: Palette) -> list[str]:
    """Return a colour for each category as hex, from the palette where there is one."""
    from matplotlib.colors import is_color_like, to_hex

    if palette is None:
        return list(distinct_colors(len(categories)))
    colors = _palette_colors(palette, categories)
    wrong = [color for color in colors if not is_color_like(color)]
    if wrong or not colors:
        rule = "matplotlib knows no such colour" if wrong else "it holds no colour"
        raise ArgumentError(explain("palette", repr(wrong or palette), rule, 'use e.g. "#0072b2"'))
    return [to_hex(colors[code % len(colors)]) for code in range(len(categories))]


def _palette_colors(palette: Any, categories: Sequence[str]) -> list[Any]:
    from matplotlib import colormaps

    if isinstance(palette, str):
        if palette not in colormaps:
            rule = "matplotlib has no colour map of that name"
            raise ArgumentError(explain("palette", repr(palette), rule, 'write e.g. "tab20"'))
        colormap = colormaps[palette]
        listed = getattr(colormap, "colors", None)
        if listed is not None and colormap.N < _MOST_CATEGORIES:
            return list(listed)
        return list(colormap(np.linspace(0, 1, len(categories))))
    if isinstance(palette, Mapping):
        missing = [name for name in categories if name not in palette]
        if missing:
            rule = f"it lacks {', '.join(map(repr, missing[:5]))}"
            raise ArgumentError(explain("palette", "a mapping", rule, "add a colour for each"))
        return [palette[name] for name in categories]
    if hasattr(palette, "by_key"):
        return list(palette.by_key()["color"])
    return list(palette)
