"""`obsm`, `obsp`, `layers`, `uns`: dictionaries of checked, perhaps unread values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from lazymu.containers.tables import in_order
from lazymu.errors import ArgumentError, MissingResultError, explain
from lazymu.io.elements import Deferred
from lazymu.stream.matrix import LazyMatrix
from lazymu.typing import CSR, Int64s


class LazyDict(MutableMapping[str, Any]):
    """A dictionary whose :class:`Deferred` values are read on first access."""

    def __init__(self, values: Mapping[str, Any] | None = None, *, name: str = "uns") -> None:
        self._name = name
        self._values: dict[str, Any] = {}
        for key, value in (values or {}).items():
            self[key] = value

    def __getitem__(self, key: str) -> Any:
        if key not in self._values:
            known = ", ".join(self._values) or "none"
            raise MissingResultError(
                explain(self._name, repr(key), f"its keys are: {known}", "compute or name another")
            )
        value = self._values[key]
        if isinstance(value, Deferred):
            value = self._values[key] = value.read()
        return value

    def __setitem__(self, key: str, value: Any) -> None:
        self._values[key] = value

    def __delitem__(self, key: str) -> None:
        del self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __repr__(self) -> str:
        return f"{self._name} with keys: {', '.join(self._values)}" if self._values else "{}"

    def deferred(self) -> dict[str, Any]:
        """Return the values as they are, those not read yet as :class:`Deferred`."""
        return dict(self._values)

    def copy(self) -> dict[str, Any]:
        """Return a plain dictionary of all values."""
        return dict(self)


class AxisArrays(LazyDict):
    """Arrays with one entry along an axis for each cell or feature.

    Parameters
    ----------
    names
        Returns the names along the axis now; a table is brought into their order.
    pairwise
        Whether arrays are square (`obsp`, `varp`).
    """

    def __init__(
        self,
        values: Mapping[str, Any] | None,
        *,
        name: str,
        names: Callable[[], pd.Index],
        pairwise: bool = False,
    ) -> None:
        self._names, self._pairwise = names, pairwise
        super().__init__(values, name=name)

    def __setitem__(self, key: str, value: Any) -> None:
        self._values[key] = value if isinstance(value, Deferred) else self._checked(key, value)

    def _checked(self, key: str, value: Any) -> Any:
        if not (isinstance(value, pd.DataFrame) or sp.issparse(value)):
            value = np.asarray(value)
        n, shape = len(self._names()), value.shape
        wanted = shape[:2] == (n, n) if self._pairwise else bool(shape) and shape[0] == n
        if not wanted:
            rule = f"its shape must begin with {(n, n) if self._pairwise else (n,)}"
            argument = f"{self._name}[{key!r}]"
            raise ArgumentError(explain(argument, f"of shape {shape}", rule, "align it first"))
        if isinstance(value, pd.DataFrame):
            return in_order(value, self._names(), f"{self._name}[{key!r}]")
        return value

    def relabel(self, names: pd.Index) -> None:
        """Give tables new names of their rows, as the axis has been renamed."""
        n = np.arange(len(names), dtype=np.int64)
        tables = {
            key: value
            for key, value in self._values.items()
            if isinstance(value, pd.DataFrame | Deferred) and not self._pairwise
        }
        self._values.update({k: self._taken(value, n, names) for k, value in tables.items()})

    def take(self, index: Int64s, names: pd.Index | None = None) -> dict[str, Any]:
        """Return the arrays of some entries, tables with new names; those not read stay unread."""
        return {key: self._taken(value, index, names) for key, value in self._values.items()}

    def copies(self) -> dict[str, Any]:
        """Return arrays that share no memory with these; those not read yet stay so."""
        return {
            key: value if isinstance(value, Deferred) else value.copy()
            for key, value in self._values.items()
        }

    def _taken(self, value: Any, index: Int64s, names: pd.Index | None) -> Any:
        if isinstance(value, Deferred):
            return Deferred(lambda: self._taken(value.read(), index, names))
        if self._pairwise:
            return take_pairs(value, index)
        taken = take_entries(value, index)
        return taken.set_axis(names, axis=0) if _is_table(taken) and names is not None else taken


def _is_table(value: Any) -> bool:
    return isinstance(value, pd.DataFrame)


def take_entries(value: Any, index: Int64s) -> Any:
    """Return rows of an array or table; rows at -1 come out as missing (NaN, or 0 where whole).

    A table keeps the names of its rows where all are there; else they are positions.
    """
    if isinstance(value, pd.DataFrame):
        if np.all(index >= 0):
            return value.iloc[index]
        return value.set_axis(range(len(value)), axis=0).reindex(index)
    present = index >= 0
    if np.all(present):
        return value[index]
    if sp.issparse(value):
        stored: Any = value
        return sp.csr_matrix(_selector(index, stored.shape[0]) @ stored)
    missing = np.nan if value.dtype.kind == "f" else 0
    taken = np.full((len(index), *value.shape[1:]), missing, dtype=value.dtype)
    taken[present] = value[index[present]]
    return taken


def take_pairs(value: Any, index: Int64s) -> Any:
    """Return the square part of an array at some entries; pairs with an entry at -1 are empty."""
    if np.all(index >= 0):
        return value[index][:, index]
    select = _selector(index, value.shape[0])
    return sp.csr_matrix(select @ sp.csr_matrix(value) @ select.T)


def _selector(index: Int64s, n: int) -> CSR:
    """Return the matrix (len(index), n) that takes rows, none where the index is -1."""
    present = np.flatnonzero(index >= 0)
    ones = np.ones(len(present), dtype=bool)  # the product has the value's own dtype
    return sp.csr_matrix((ones, (present, index[present])), shape=(len(index), n))


class Layers(MutableMapping[str, LazyMatrix]):
    """Matrices of the modality's own shape, each lazy."""

    def __init__(
        self, values: Mapping[str, Any] | None, *, shape: Callable[[], tuple[int, int]]
    ) -> None:
        self._shape = shape
        self._values: dict[str, LazyMatrix] = {}
        for key, value in (values or {}).items():
            self[key] = value

    def __getitem__(self, key: str) -> LazyMatrix:
        if key not in self._values:
            known = ", ".join(self._values) or "none"
            raise MissingResultError(
                explain("layers", repr(key), f"its keys are: {known}", "set it, or name another")
            )
        return self._values[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._values[key] = as_lazy(value, self._shape(), f"layers[{key!r}]")

    def __delitem__(self, key: str) -> None:
        del self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"layers with keys: {', '.join(self._values)}" if self._values else "{}"


def as_lazy(value: Any, shape: tuple[int, int] | None, what: str) -> LazyMatrix:
    """Return a matrix as a lazy one, checked against a shape where one is given."""
    matrix = value if isinstance(value, LazyMatrix) else LazyMatrix(value)
    if shape is not None and matrix.shape != shape:
        got = f"of shape {matrix.shape}"
        raise ArgumentError(explain(what, got, f"its shape must be {shape}", "align it first"))
    return matrix
