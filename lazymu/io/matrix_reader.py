"""The matrices of a modality: lazy, with the transforms and sums that a lazymu store keeps."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import pandas as pd

from lazymu.errors import DamagedFileError, explain
from lazymu.io.anndata_values import read_values
from lazymu.io.elements import RawElements, Values
from lazymu.io.records import (
    LAYER,
    MatrixRecord,
    layer_name,
    load_records,
    sums_loader,
    warn_of_lost,
)
from lazymu.keys import LAZYMU
from lazymu.store.elements import keys_of, open_matrix, read_table
from lazymu.store.fingerprint import absent_files, still_holds
from lazymu.store.notes import note_written
from lazymu.store.roots import Root, ZarrRoot, reading
from lazymu.store.sources import MatrixSource, native_dtype
from lazymu.store.whole import fix_of
from lazymu.stream.matrix import LazyMatrix
from lazymu.stream.steps import Astype, Step


class MatrixReader:
    """`X`, layers and `raw` of an AnnData group; what was recorded of a matrix goes with it.

    Parameters
    ----------
    root
        The file.
    prefix
        Path of the group with a slash at its end, ``""`` for the root.
    shape
        Cells and features, as the tables have them.
    """

    def __init__(self, root: Root, prefix: str, shape: tuple[int, int]) -> None:
        self._root, self._prefix, self._shape = root, prefix, shape
        self._records = load_records(root, prefix)

    @cached_property
    def X(self) -> LazyMatrix | None:
        """`X`, None where the group has none."""
        return None if self._find("X") is None else self._open("X", "X", self._shape)

    @cached_property
    def layers(self) -> dict[str, LazyMatrix]:
        """The layers, stored ones and those that are other transforms of the values of `X`."""
        keys = keys_of(self._root, f"{self._prefix}layers")
        stored = {key: self._open(f"layers/{key}", layer_name(key), self._shape) for key in keys}
        recipes = {
            name.removeprefix(LAYER): self._recipe(name)
            for name, record in self._records.items()
            if name.startswith(LAYER) and record.fingerprint is None
        }
        both = recipes | stored
        return {key: layer for key, layer in sorted(both.items()) if layer is not None}

    @cached_property
    def raw(self) -> RawElements | None:
        """`raw`, also as versions before 0.7 wrote it (``raw.X``, ``raw.var``)."""
        if self._find("raw.X") is not None:
            return self._stored_raw("raw.")
        if self._find("raw/X") is not None:
            return self._stored_raw("raw/")
        X = self._recipe("raw") if "raw" in self._records else None
        place = f"{self._prefix}uns/{LAZYMU}/raw/"
        return None if X is None else RawElements(X, *self._raw_tables(place))

    def _stored_raw(self, place: str) -> RawElements | None:
        var, varm = self._raw_tables(self._prefix + place)
        X = self._open(f"{place}X", "raw", (self._shape[0], len(var)))
        return None if X is None else RawElements(X, var, varm)

    def _raw_tables(self, place: str) -> tuple[pd.DataFrame, Values]:
        return read_table(self._root, f"{place}var"), read_values(self._root, f"{place}varm")

    def _find(self, name: str) -> Any:
        return self._root.find(self._prefix + name)

    def _open(self, path: str, name: str, shape: tuple[int, int]) -> LazyMatrix | None:
        """Return a stored matrix with the steps recorded for it."""
        path = self._prefix + path
        record = self._valid(name, path)
        source = open_matrix(self._root, path, None if record is None else record.origin)
        if source is None:
            return None
        if source.shape != shape:
            got = f"{source.shape[0]} × {source.shape[1]} in {self._root}"
            rule = f"its tables have {shape[0]} cells and {shape[1]} features"
            raise DamagedFileError(explain(path, got, rule, fix_of(self._root)))
        if record is None:
            return LazyMatrix(source)
        if record.fingerprint is not None:
            note_written(source, record.fingerprint)
        loader = sums_loader(self._root, self._prefix, name, record, path)
        return LazyMatrix(source, steps=_steps(source, record), sums=loader)

    def _recipe(self, name: str) -> LazyMatrix | None:
        """Return a matrix with the stored values of `X`, None where those are others by now."""
        if self.X is None or self._recorded_X is None:
            return None
        return self.X.counts.with_steps(*_steps(self.X.source, self._records[name]))

    @cached_property
    def _recorded_X(self) -> MatrixRecord | None:
        """What was recorded of `X` where it is still the same."""
        recipes = [name for name, record in self._records.items() if record.fingerprint is None]
        return self._still("X", f"{self._prefix}X", recipes)

    def _valid(self, name: str, path: str) -> MatrixRecord | None:
        """Return what was recorded of a stored matrix where it is still the same."""
        return self._recorded_X if name == "X" else self._still(name, path, [])

    def _still(self, name: str, path: str, recipes: list[str]) -> MatrixRecord | None:
        """Return a record if it holds; else warn where it or recipes on it have transforms."""
        record = self._records.get(name)
        if record is None or record.fingerprint is None:
            return None
        node = self._root.node(path)
        with reading(self._root, path):
            holds = still_holds(record.fingerprint, node, read=False)
        if not holds:
            if names := [name] * bool(record.steps) + recipes:
                warn_of_lost(path, names, self._root)
            return None
        if not isinstance(self._root, ZarrRoot):
            return record
        self._root.expect_whole(path)
        if self._root.is_remote:  # where listing takes time, or is not possible
            return record
        if n_absent := absent_files(node):
            got = f"without {n_absent} of its files in {self._root}"
            rule = "lazymu wrote all of them"
            raise DamagedFileError(explain(path, got, rule, fix_of(self._root)))
        return record


def _steps(source: MatrixSource, record: MatrixRecord) -> tuple[Step, ...]:
    """Return a matrix's steps, first the one to its own type where it is stored in a smaller."""
    dtype: Any = native_dtype(record.origin.dtype)
    widen = () if dtype == source.dtype else (Astype(str(dtype)),)
    return (*widen, *record.steps)
