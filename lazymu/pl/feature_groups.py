"""Names of features, one after the other or in labelled groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from lazymu.errors import ArgumentError, explain

VarNames: TypeAlias = str | Sequence[str] | Mapping[str, str | Sequence[str]]
"""A feature, several, or several in groups by label."""


def flat_names(var_names: VarNames) -> tuple[list[str], list[tuple[int, int, str]]]:
    """Return all names, and the first, last and label of each group of them.

    Examples
    --------
    >>> flat_names({"T": ["CD3E", "CD4"], "B": "CD19"})
    (['CD3E', 'CD4', 'CD19'], [(0, 1, 'T'), (2, 2, 'B')])
    """
    if isinstance(var_names, str):
        return [var_names], []
    names: list[str] = []
    groups = []
    if isinstance(var_names, Mapping):
        for label, members in var_names.items():
            listed = [members] if isinstance(members, str) else list(members)
            if listed:
                groups.append((len(names), len(names) + len(listed) - 1, str(label)))
            names += listed
    else:
        names = list(var_names)
    if not names:
        raise ArgumentError(explain("var_names", "empty", "it names the features", "pass names"))
    return names, groups
