"""Tables and arrays of several samples as those of all: cells joined, features matched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial, reduce
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from lazymu.io import Deferred
from lazymu.stream.stacked import Columns

# --- cells ----------------------------------------------------------------------------------------


def stacked_rows(tables: Sequence[pd.DataFrame], names: pd.Index) -> pd.DataFrame:
    """Return tables one below the other, with the columns of all; a missing one is missing there.

    Categories are those of all tables in order of appearance, and stay ordered where all have the
    same.
    """
    lengths = [len(table) for table in tables]
    columns = dict.fromkeys(column for table in tables for column in table)
    values = {}
    for column in columns:
        pieces = [table.get(column) for table in tables]
        values[column] = stacked_column(pieces, lengths).array
    return pd.DataFrame(values, index=names)


def stacked_column(pieces: Sequence[pd.Series | None], lengths: Sequence[int]) -> pd.Series:
    """Return columns one below the other, missing where a piece is None."""
    starts = np.cumsum([0, *lengths]).tolist()
    present = [
        piece.set_axis(range(start, start + len(piece)), axis=0)
        for piece, start in zip(pieces, starts, strict=False)
        if piece is not None
    ]
    present = _with_common_categories([p for p in present if len(p)] or present[:1])
    whole = present[0] if len(present) == 1 else pd.concat(present)
    if len(whole) == starts[-1]:
        return whole
    if whole.dtype == bool:
        whole = whole.astype("boolean")  # else it would become of objects
    return whole.reindex(range(starts[-1]))


def _with_common_categories(pieces: list[pd.Series]) -> list[pd.Series]:
    dtypes = [piece.dtype for piece in pieces]
    if not all(isinstance(dtype, pd.CategoricalDtype) for dtype in dtypes):
        return pieces
    if all(dtype == dtypes[0] for dtype in dtypes[1:]):
        return [piece.astype(dtypes[0]) for piece in pieces]  # equal ones differ in their order
    categories = reduce(
        lambda a, b: a.append(b[~b.isin(a)]), (piece.cat.categories for piece in pieces)
    )
    return [piece.astype(pd.CategoricalDtype(categories)) for piece in pieces]


def stacked_arrays(parts: Sequence[Mapping[str, Any]], names: pd.Index) -> dict[str, Any]:
    """Return the arrays that all parts have in the same width, one below the other.

    What has not been read is read to learn its width, let go, and read again when it is used.
    """
    out: dict[str, Any] = {}
    for key in parts[0]:
        if not all(key in part for part in parts):
            continue
        pieces = [part[key] for part in parts]
        if any(_width(_value(piece)) != _width(_value(pieces[0])) for piece in pieces[1:]):
            continue
        deferred = any(isinstance(piece, Deferred) for piece in pieces)
        read = partial(_stack_arrays, pieces, names)
        out[key] = Deferred(read) if deferred else read()
    return out


def _value(piece: Any) -> Any:
    return piece.read() if isinstance(piece, Deferred) else piece


def _width(value: Any) -> tuple[Any, ...]:
    """Return what must agree in two arrays for one to go below the other."""
    if isinstance(value, pd.DataFrame):
        return ("table", *value.columns)
    return ("sparse" if sp.issparse(value) else "array", *value.shape[1:])


def _stack_arrays(pieces: Sequence[Any], names: pd.Index) -> Any:
    values = [_value(piece) for piece in pieces]
    if isinstance(values[0], pd.DataFrame):
        return stacked_rows(values, names)
    return sp.vstack(values, format="csr") if sp.issparse(values[0]) else np.concatenate(values)


# --- features -------------------------------------------------------------------------------------


def agreeing_columns(
    tables: Sequence[pd.DataFrame], columns: Sequence[Columns], names: pd.Index
) -> pd.DataFrame:
    """Return the columns of all tables whose values agree for every feature that tables share.

    Parameters
    ----------
    tables
        A table for each part, with a row for each of its features.
    columns
        Of each part, the row of each feature of the whole, -1 where it has none; None for all.
    names
        Features of the whole.
    """
    values = {}
    for column in tables[0]:
        if all(column in table for table in tables[1:]):
            pieces = [table[column] for table in tables]
            if (agreed := _agreed(pieces, columns, len(names))) is not None:
                values[column] = agreed.array
    return pd.DataFrame(values, index=names)


def _agreed(pieces: list[pd.Series], columns: Sequence[Columns], n: int) -> pd.Series | None:
    """Return the value of each feature, None where two parts have different ones."""
    distinct: list[tuple[pd.Series, Columns]] = []
    for piece, cols in zip(pieces, columns, strict=True):
        alike = distinct and cols is None and distinct[-1][1] is None
        if not (alike and piece.equals(distinct[-1][0])):
            distinct.append((piece, cols))
    lengths = [len(piece) for piece, _ in distinct]
    whole = stacked_column([piece for piece, _ in distinct], lengths)
    first = np.full(n, -1, dtype=np.int64)
    own = [np.arange(n) if cols is None else cols for _, cols in distinct]
    places = [
        np.where(at >= 0, at + start, -1)
        for at, start in zip(own, np.cumsum([0, *lengths]), strict=False)
    ]
    for place in places:
        first = np.where(first < 0, place, first)
    for place in places:
        here = place >= 0
        if not _same_values(whole.take(place[here]), whole.take(first[here])):
            return None
    return whole.take(first)


def _same_values(a: pd.Series, b: pd.Series) -> bool:
    return bool(a.reset_index(drop=True).equals(b.reset_index(drop=True)))
