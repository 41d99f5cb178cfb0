"""Groups of cells, from a column, a Series or labels."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from lazymu.containers import Modality
from lazymu.errors import ArgumentError, MissingResultError, explain
from lazymu.typing import Array, Int64s


class Groups(NamedTuple):
    """Groups of cells that are compared."""

    codes: Int64s
    """Group of each cell, -1 where it is in none of them."""
    names: list[str]
    label: str
    """What the grouping is called."""


def groups_of(modality: Modality, groupby: str | pd.Series[Any] | Array) -> Groups:
    """Return the group of each cell, aligned by name where ``groupby`` is a Series.

    Raises
    ------
    ArgumentError
        If no cell has a label, or two labels have the same name.
    """
    labels, name = labels_of(modality, groupby)
    codes, categories = codes_and_categories(labels)
    names = pd.Index([str(category) for category in categories], dtype=object)
    if len(names) == 0:
        rule, fix = "no cell has a label", "check that a Series has the names of the cells"
        raise ArgumentError(explain("groupby", repr(name), rule, fix))
    if not names.is_unique:
        got = f"labels of different types, all written {names[names.duplicated()][0]!r}"
        rule = "groups are told apart by their names"
        raise ArgumentError(explain("groupby", got, rule, "make labels of one type"))
    return Groups(codes, list(names), name)


def labels_of(
    modality: Modality, groupby: str | pd.Series[Any] | Array, *, argument: str = "groupby"
) -> tuple[pd.Series[Any], str]:
    """Return the label of each cell and what they are called."""
    if isinstance(groupby, str):
        if groupby not in modality.obs:
            known = ", ".join(map(str, modality.obs.columns)) or "none"
            rule = f"columns of obs are: {known}"
            fix = "name one, or pass a Series of labels"
            raise MissingResultError(explain(argument, repr(groupby), rule, fix))
        return modality.obs[groupby], groupby
    if isinstance(groupby, pd.Series):
        name = "group" if groupby.name is None else str(groupby.name)
        if groupby.index.equals(modality.obs_names):
            return groupby, name
        if not groupby.index.is_unique:
            rule = "cells are found in it by name"
            fix = "drop the duplicates"
            raise ArgumentError(explain(argument, "a Series with repeated names", rule, fix))
        return groupby.reindex(modality.obs_names), name
    if len(groupby) != modality.n_obs:
        rule = f"there are {modality.n_obs} cells"
        fix = "pass one label for each cell, or a Series with their names"
        raise ArgumentError(explain(argument, f"{len(groupby)} labels", rule, fix))
    return pd.Series(groupby), "group"


def codes_and_categories(labels: pd.Series[Any]) -> tuple[Int64s, pd.Index]:
    """Return each label's position among the distinct ones, -1 where missing, and these.

    Categories keep their order; numbers are sorted, and other labels, numbers in them by value.
    """
    if isinstance(labels.dtype, pd.CategoricalDtype):
        found = labels.cat.remove_unused_categories().cat
        return found.codes.to_numpy().astype(np.int64), found.categories
    codes, distinct = pd.factorize(labels)
    distinct = pd.Index(distinct)
    if pd.api.types.is_numeric_dtype(distinct):
        order = np.argsort(distinct.to_numpy(), kind="stable")
    else:
        by_name = sorted(range(len(distinct)), key=lambda at: natural(str(distinct[at])))
        order = np.array(by_name, dtype=np.int64)
    place = np.full(len(distinct) + 1, -1, dtype=np.int64)
    place[order] = np.arange(len(distinct))
    return place[codes], distinct[order]


def natural(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Return a sort key by which "c2" comes before "c10", and "c02" before "c2"."""
    parts = [part for part in re.split(r"(\d+)", name) if part]
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts], name


def chosen_groups(
    found: Groups, groups: Literal["all"] | Iterable[str], reference: str
) -> tuple[Groups, int | None]:
    """Return the groups that take part, and which one is the reference (None for the rest).

    Raises
    ------
    ArgumentError
        If there is no such group, one has fewer than two cells, or none is left to test.
    """
    if isinstance(groups, str) and groups != "all":
        rule = 'it is "all" or a list'
        raise ArgumentError(explain("groups", repr(groups), rule, f"pass [{groups!r}]"))
    named = found.names if isinstance(groups, str) else list(map(str, groups))
    wanted = list(dict.fromkeys(named))
    if not wanted or (reference != "rest" and wanted == [str(reference)]):
        got = f"{wanted} with reference={reference!r}"
        rule, fix = "no group is left to test", "name another group"
        raise ArgumentError(explain("groups", got, rule, fix))
    if reference != "rest" and str(reference) not in wanted:
        wanted = [*wanted, str(reference)]
    for name in wanted:
        if name not in found.names:
            argument = "reference" if name == str(reference) else "groups"
            rule = f"groups of {found.label!r} are: {', '.join(found.names)}"
            raise ArgumentError(explain(argument, repr(name), rule, "name one of them"))
    place = np.full(len(found.names) + 1, -1, dtype=np.int64)
    place[[found.names.index(name) for name in wanted]] = np.arange(len(wanted))
    chosen = Groups(place[found.codes], wanted, found.label)
    sizes = np.bincount(chosen.codes + 1, minlength=len(wanted) + 1)[1:]
    if len(small := np.flatnonzero(sizes < 2)):
        got = f"with {sizes[small[0]]} cells in group {wanted[small[0]]!r}"
        fix = "leave the group out with groups=[...]"
        raise ArgumentError(explain("groupby", got, "a test needs two cells or more", fix))
    return chosen, None if reference == "rest" else wanted.index(str(reference))
