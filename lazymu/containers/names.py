"""From what a user writes between brackets to positions on an axis."""

from __future__ import annotations

import difflib
import warnings
from typing import Any

import numpy as np
import pandas as pd

from lazymu.errors import DuplicateNamesError, MissingResultError, explain
from lazymu.stream.matrix import as_positions
from lazymu.typing import Int64s


def positions_of(key: Any, names: pd.Index, *, axis: int) -> Int64s | None:
    """Return the positions that ``key`` selects among ``names``, None for all.

    ``key`` is a slice, a mask (a Series is aligned by its index), whole numbers, a name, or names.

    Raises
    ------
    MissingResultError
        If a name is not there; close names are shown.
    """
    if isinstance(key, pd.Series) and key.dtype == bool and not key.index.equals(names):
        require_unique(names, axis=axis)
        key = key.reindex(names, fill_value=False)
    if isinstance(key, pd.Series | pd.Index):
        key = key.to_numpy()
    if isinstance(key, str) or _holds_names(key):
        return _positions_of_names([key] if isinstance(key, str) else list(key), names, axis=axis)
    return as_positions(key, len(names), axis=axis)


def _holds_names(key: Any) -> bool:
    if isinstance(key, slice) or np.ndim(key) != 1 or len(key) == 0:
        return False
    return all(isinstance(name, str) for name in key)


def _positions_of_names(wanted: list[str], names: pd.Index, *, axis: int) -> Int64s:
    found = names.get_indexer_for(pd.Index(wanted, dtype=object))
    if np.any(found < 0):
        missing = [name for name in wanted if name not in names]
        near = difflib.get_close_matches(missing[0], map(str, names[:100_000]), n=3)
        fix = f"near it are {', '.join(near)}" if near else "check the spelling"
        rule = f"{'obs' if axis == 0 else 'var'}_names has {len(missing)} of the names not"
        raise MissingResultError(explain("index", repr(missing[0]), rule, fix))
    return found.astype(np.int64)


def require_unique(names: pd.Index, *, axis: int, where: str = "") -> None:
    """Raise where names that something is joined by are not unique.

    Raises
    ------
    DuplicateNamesError
        Naming the first repeated name.
    """
    if names.is_unique:
        return
    what = ("obs_names", "var_names")[axis]
    repeated = names[names.duplicated()][0]
    raise DuplicateNamesError(
        explain(
            what,
            f"{where + ': ' if where else ''}with {repeated!r} more than once",
            "names that cells or features are joined by must be unique",
            f"call .{what}_make_unique() on the modality",
        )
    )


def warn_of_repeats(names: pd.Index, axis: int) -> None:
    """Warn that joint values of these names are lost, as it is not known whose they were."""
    what = ("obs", "var")[axis]
    shown = ", ".join(map(repr, names[:3])) + (", ..." if len(names) > 3 else "")
    message = (
        f"joint {what}: values of {len(names)} names ({shown}) are now missing, as a name that "
        f"repeats within a modality does not tell which entry was kept; call "
        f".{what}_names_make_unique() on the modality before filtering it"
    )
    warnings.warn(message, UserWarning, stacklevel=2)


def make_unique(names: pd.Index, join: str = "-") -> pd.Index:
    """Return the names with ``-1``, ``-2``, ... appended to repeats, none of them taken already."""
    taken, out = set(names), []
    counts: dict[str, int] = {}
    for name, repeated in zip(names, names.duplicated(), strict=True):
        new = name
        while repeated and (new in taken):
            counts[name] = counts.get(name, 0) + 1
            new = f"{name}{join}{counts[name]}"
        taken.add(new)
        out.append(new)
    unique: pd.Index = pd.Index(out, dtype=str, name=names.name)
    return unique
