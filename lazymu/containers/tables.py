"""`obs` and `var`: annotation tables and their names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from lazymu.errors import ArgumentError, explain


@dataclass
class Tables:
    """The two annotations of a modality, as they are now."""

    obs: pd.DataFrame
    var: pd.DataFrame

    @property
    def shape(self) -> tuple[int, int]:
        """Cells and features."""
        return len(self.obs), len(self.var)


def as_names(names: Any) -> pd.Index:
    """Return names as an index of strings."""
    index: pd.Index = pd.Index([str(name) for name in names], dtype=str)
    return index


def as_table(given: Any, length: int | None, what: str) -> pd.DataFrame:
    """Return annotation as a table of its own, of the axis' length, whose index are strings."""
    index = as_names(range(length or 0)) if given is None else None
    table = given.copy() if isinstance(given, pd.DataFrame) else pd.DataFrame(given, index=index)
    if length is not None and len(table) != length:
        rule = f"it must have one row for each of the {length} entries of its axis"
        raise ArgumentError(explain(what, f"{len(table)} rows", rule, "align it first"))
    return table.set_axis(table.index.astype(str), axis=0)


def in_order(table: pd.DataFrame, names: pd.Index, what: str) -> pd.DataFrame:
    """Return a table with its rows in the order of names.

    Raises
    ------
    ArgumentError
        If its index does not hold these names, or they repeat and are in another order.
    """
    if table.index.equals(names):
        return table
    if table.index.is_unique and names.is_unique and names.isin(table.index).all():
        return table.reindex(names)
    rule = f"its index must hold the names of the axis ({', '.join(map(str, names[:2]))}, ...)"
    got = f"a table of {', '.join(map(str, table.index[:2]))}, ..."
    raise ArgumentError(explain(what, got, rule, "set its index to them"))
