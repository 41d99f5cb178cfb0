"""A container's parts as JSON, with its arrays kept beside it, each once.

Of a matrix there is only which rows and columns of which source it selects, its steps, and what is
known of its sums: no counts. What is read back is what was kept: types, the order of an array in
memory, the order of keys; so that whatever is computed of it is the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from lazymu.io.elements import Deferred, ModalityElements, RawElements, StoreElements, Values
from lazymu.store.objects import Objects
from lazymu.store.sources import MatrixSource
from lazymu.stream.cache import KnownSums, SumsCache
from lazymu.stream.matrix import LazyMatrix
from lazymu.stream.paged import let_go
from lazymu.stream.steps import from_record, to_record
from lazymu.stream.sums import CellSums, Extremes, FeatureSums

Record = dict[str, Any]
_VALUES = ("obsm", "varm", "obsp", "varp", "uns")
_DEFERRED_BYTES = 1 << 20
"""Arrays of so many bytes are read when they are asked for."""
_SHORT = 256
"""Entries at most of an array that stands in the JSON: a store of its own takes longer."""
_SPARSE = {
    kind.__name__: kind for kind in (sp.csr_matrix, sp.csc_matrix, sp.csr_array, sp.csc_array)
}


def matrix_sources(elements: StoreElements) -> dict[str, MatrixSource]:
    """Return the sources of all matrices by their places (``rna/X``, ``rna/layers/counts``)."""
    return {
        f"{name}/{place}": matrix.source
        for name, modality in elements.mod.items()
        for place, matrix in _matrices(modality)
    }


def _matrices(modality: ModalityElements) -> Iterator[tuple[str, LazyMatrix]]:
    if modality.X is not None:
        yield "X", modality.X
    for key, layer in modality.layers.items():
        yield f"layers/{key}", layer
    if modality.raw is not None:
        yield "raw", modality.raw.X


class Keeper:
    """Turns a container's parts into JSON and back.

    Parameters
    ----------
    objects
        Where arrays are.
    sources
        The sources that matrices select from, by name, as :func:`matrix_sources` gives them.
    """

    def __init__(self, objects: Objects, sources: Mapping[str, MatrixSource]) -> None:
        self.objects, self.sources = objects, sources
        # What has not been read since it was kept needs not be read to be kept again.
        self._unread: dict[int, tuple[Deferred, Record]] = {}
        # Nor have names to be hashed again, as an index cannot be changed.
        self._kept_names: dict[int, tuple[pd.Index[Any], Record]] = {}
        self._kept_before = self._kept_names
        self._names: dict[str, pd.Index[Any]] = {}
        self._caches: dict[str, SumsCache] = {}

    def keep(self, elements: StoreElements) -> Record:
        """Return the record of a MuData's parts, its arrays kept."""
        # Names that a filter has replaced are let go.
        self._kept_before, self._kept_names = self._kept_names, {}
        record = self._keep_parts(elements)
        mod = {name: self._keep_modality(modality) for name, modality in elements.mod.items()}
        return record | {"axis": elements.axis, "mod": mod}

    def restore(self, record: Record) -> StoreElements:
        """Return the parts that were kept; every array is read, and checked, once.

        Raises
        ------
        DamagedFileError
            If an array is absent or another.
        """
        parts = self._restore_parts(record)
        mod = {name: self._restore_modality(one) for name, one in record["mod"].items()}
        self._names.clear()
        self._caches.clear()
        return StoreElements(mod=mod, axis=record["axis"], **parts)

    # --- containers ------------------------------------------------------------------------------

    def _keep_parts(self, parts: StoreElements | ModalityElements) -> Record:
        record: Record = {key: self._keep(getattr(parts, key)) for key in ("obs", "var")}
        for slot in _VALUES:
            record[slot] = {k: self._keep(v) for k, v in getattr(parts, slot).items()}
        return record

    def _restore_parts(self, record: Record) -> dict[str, Any]:
        parts = {key: self._restore(record[key]) for key in ("obs", "var")}
        return parts | {slot: self._restore_values(record[slot]) for slot in _VALUES}

    def _keep_modality(self, modality: ModalityElements) -> Record:
        record = self._keep_parts(modality)
        record["matrices"] = {place: self._keep_matrix(X) for place, X in _matrices(modality)}
        if modality.raw is not None:
            varm = {key: self._keep(value) for key, value in modality.raw.varm.items()}
            record["raw"] = {"var": self._keep(modality.raw.var), "varm": varm}
        return record

    def _restore_modality(self, record: Record) -> ModalityElements:
        found = {place: self._restore_matrix(one) for place, one in record["matrices"].items()}
        layers = {
            place.removeprefix("layers/"): matrix
            for place, matrix in found.items()
            if place.startswith("layers/")
        }
        raw = None
        if "raw" in record:
            varm = self._restore_values(record["raw"]["varm"])
            raw = RawElements(found["raw"], self._restore(record["raw"]["var"]), varm)
        parts = self._restore_parts(record)
        return ModalityElements(X=found.get("X"), layers=layers, raw=raw, **parts)

    def _restore_values(self, record: Record) -> Values:
        """Return the values of a slot; large ones are checked, and read when asked for."""
        values: Values = {}
        for key, one in record.items():
            value = self._restore(one)
            if _nbytes(value) >= _DEFERRED_BYTES:
                value = Deferred(partial(self._restore, one))
                self._unread[id(value)] = (value, one)
            values[key] = value
        return values

    # --- matrices --------------------------------------------------------------------------------

    def _keep_matrix(self, matrix: LazyMatrix) -> Record:
        names = [name for name, source in self.sources.items() if source is matrix.source]
        return {
            "source": names[0],
            "rows": self._keep(matrix.rows),
            "cols": self._keep(matrix.cols),
            "steps": [self._keep(to_record(step)) for step in matrix.steps],
            "sums": self._keep(_sums_record(matrix.cache.known())),
        }

    def _restore_matrix(self, record: Record) -> LazyMatrix:
        steps = tuple(from_record(self._restore(step)) for step in record["steps"])
        # Matrices of the same values share what becomes known of them.
        values = str({key: one for key, one in record.items() if key != "steps"})
        if values not in self._caches:
            self._caches[values] = SumsCache.of(_known_sums(self._restore(record["sums"])))
        return LazyMatrix(
            self.sources[record["source"]],
            self._restore(record["rows"]),
            self._restore(record["cols"]),
            steps,
            _cache=self._caches[values],
        )

    # --- values ----------------------------------------------------------------------------------

    def _keep(self, value: Any) -> Any:
        """Return a value as JSON: what JSON has as itself, all else as a record of its kind."""
        if value is None or type(value) in (bool, int, float, str):
            return value
        if isinstance(value, Deferred):
            if id(value) not in self._unread:
                self._unread[id(value)] = (value, self._keep(value.read()))
            return self._unread[id(value)][1]
        if isinstance(value, Mapping):
            return {"is": "dict", "items": [[str(k), self._keep(v)] for k, v in value.items()]}
        if isinstance(value, list | tuple):
            return {"is": "list", "items": [self._keep(one) for one in value]}
        if isinstance(value, np.generic) and value.dtype.kind in "biuf":
            return {"is": "number", "dtype": str(value.dtype), "value": value.item()}
        if isinstance(value, str):  # NumPy's
            return str(value)
        if isinstance(value, pd.DataFrame):
            return self._keep_table(value)
        if sp.issparse(value):
            return self._keep_sparse(value)
        if isinstance(value, np.ndarray) and value.ndim == 0:
            return self._keep(value[()])
        if isinstance(value, np.ndarray) and value.dtype.names is not None:
            return self._keep_records(value)
        return self._keep_array(value)

    def _restore(self, record: Any) -> Any:
        if not isinstance(record, dict):
            return record
        kind = record["is"]
        if kind == "dict":
            return {key: self._restore(one) for key, one in record["items"]}
        if kind == "list":
            return [self._restore(one) for one in record["items"]]
        if kind == "number":
            return np.dtype(record["dtype"]).type(record["value"])
        if kind == "table":
            return self._restore_table(record)
        if kind == "sparse":
            return self._restore_sparse(record)
        if kind == "records":
            return self._restore_records(record)
        if kind == "categorical":
            return self._restore_categorical(record)
        return self._restore_array(record)

    def _keep_table(self, table: pd.DataFrame) -> Record:
        columns = [[str(name), self._keep(column)] for name, column in table.items()]
        # Texts are objects or pandas' own; an empty index may be anything.
        dtype = str(table.columns.dtype) if columns else "object"
        return {
            "is": "table",
            "index": self._keep_names(table.index),
            "columns": columns,
            "dtype": dtype,
        }

    def _restore_table(self, record: Record) -> pd.DataFrame:
        index = self._restore_names(record["index"])
        columns = {n: self._restore(one) for n, (_, one) in enumerate(record["columns"])}
        # With its type named, as pandas would make texts of objects.
        columns = {n: pd.Series(one, index=index, dtype=one.dtype) for n, one in columns.items()}
        table = pd.DataFrame(columns, index=index)
        names = [name for name, _ in record["columns"]]
        text = record["dtype"] if record["dtype"] in ("str", "object", "string") else "object"
        table.columns = pd.Index(names, dtype=text)
        table.index = index  # itself, rather than a view of it
        return table

    def _keep_names(self, index: pd.Index[Any]) -> Record:
        found = self._kept_before.get(id(index)) or self._kept_names.get(id(index))
        _, record = self._kept_names[id(index)] = found or (index, self._keep(index))
        return record | {"name": None if index.name is None else str(index.name)}

    def _restore_names(self, record: Record) -> pd.Index[Any]:
        """Return an index; tables of the same cells share one."""
        known = str(record)
        if known not in self._names:
            values = self._restore(record)
            dtype = record.get("dtype")
            self._names[known] = pd.Index(values, dtype=dtype, name=record.get("name"))
        return self._names[known]

    def _keep_array(self, values: Any) -> Record:
        """Keep an array of NumPy or pandas, a column, or an index."""
        if isinstance(getattr(values, "dtype", None), pd.CategoricalDtype):
            categorical = values if isinstance(values, pd.Categorical) else values.array
            return {
                "is": "categorical",
                "codes": self._keep(np.asarray(categorical.codes)),
                "categories": self._keep(categorical.categories),
                "ordered": bool(categorical.ordered),
            }
        record: Record = {"is": "array"}
        if isinstance(values, pd.Index):
            record["name"] = None if values.name is None else str(values.name)
        if isinstance(values, pd.Index | pd.Series) and isinstance(values.dtype, np.dtype):
            values = values.to_numpy()
        if isinstance(values, np.ndarray):
            if values.flags.f_contiguous and not values.flags.c_contiguous:
                record["order"] = "F"
        elif not isinstance(getattr(values, "dtype", None), pd.api.extensions.ExtensionDtype):
            values = np.asarray(values)
        record["dtype"] = str(values.dtype)
        if _is_short(values):
            return record | {"shape": list(values.shape), "values": values.tolist()}
        record["object"] = self.objects.add(values)
        if isinstance(values, np.ndarray):
            let_go(values)
        return record

    def _restore_array(self, record: Record) -> Any:
        if "values" in record:
            values = np.array(record["values"], dtype=record["dtype"]).reshape(record["shape"])
        else:
            values = self.objects.read(record["object"])
        if "order" in record:
            return np.asfortranarray(values)
        if record["dtype"] in ("str", "string"):
            return pd.array(np.asarray(values, dtype=object), dtype=record["dtype"])
        if record["dtype"] == "object":  # texts, read as nullable ones where some are missing
            texts = np.array(values, dtype=object)
            texts[np.asarray(pd.isna(texts))] = None
            return texts
        return values

    def _restore_categorical(self, record: Record) -> pd.Categorical:
        categories = self._restore_names(record["categories"])
        codes = self._restore(record["codes"])
        return pd.Categorical.from_codes(codes, categories, ordered=record["ordered"])

    def _keep_records(self, records: Any) -> Record:
        """Keep a structured array field by field, as Zarr has no texts in it."""
        names = records.dtype.names
        kinds = [[name, str(records.dtype[name])] for name in names]
        values = [self._keep(np.asarray(records[name])) for name in names]
        whole = isinstance(records, np.recarray)
        return {"is": "records", "fields": kinds, "values": values, "recarray": whole}

    def _restore_records(self, record: Record) -> Any:
        values = [self._restore(one) for one in record["values"]]
        kinds = [(name, kind) for name, kind in record["fields"]]
        records = np.empty(values[0].shape if values else 0, dtype=kinds)
        for (name, _), column in zip(kinds, values, strict=True):
            records[name] = column
        return records.view(np.recarray) if record["recarray"] else records

    def _keep_sparse(self, matrix: Any) -> Record:
        if type(matrix).__name__ not in _SPARSE:
            matrix = sp.csr_matrix(matrix)
        parts = {part: self._keep(getattr(matrix, part)) for part in ("data", "indices", "indptr")}
        shape = list(map(int, matrix.shape))
        return {"is": "sparse", "kind": type(matrix).__name__, "shape": shape, **parts}

    def _restore_sparse(self, record: Record) -> Any:
        parts = [self._restore(record[part]) for part in ("data", "indices", "indptr")]
        shape = tuple(record["shape"])
        matrix = _SPARSE[record["kind"]](shape, dtype=parts[0].dtype)
        # Set one by one, as the constructor would change the type of indices.
        matrix.data, matrix.indices, matrix.indptr = parts
        return matrix


def _is_short(values: Any) -> bool:
    """Return whether an array is of numbers or texts that JSON holds, and so few that it may."""
    if not isinstance(values, np.ndarray) or values.size > _SHORT:
        return False
    if values.dtype == object:
        return all(type(value) is str for value in values.flat)
    return values.dtype.kind in "biuf"


def _nbytes(value: Any) -> int:
    if sp.issparse(value):
        return sum(getattr(value, part).nbytes for part in ("data", "indices", "indptr"))
    return int(value.nbytes) if isinstance(value, np.ndarray) else 0


def _sums_record(known: KnownSums) -> dict[str, Any]:
    """Return what is known as plain values."""
    pairs = {name: getattr(known, name) for name in ("cells", "features", "extremes")}
    return {
        **{name: None if one is None else one._asdict() for name, one in pairs.items()},
        "feature_bounds": known.feature_bounds if known.features is None else None,
    }


def _known_sums(record: dict[str, Any]) -> KnownSums:
    kinds = {"cells": CellSums, "features": FeatureSums, "extremes": Extremes}
    found = {
        name: None if record[name] is None else kind(**record[name]) for name, kind in kinds.items()
    }
    return KnownSums(**found, feature_bounds=record["feature_bounds"])
