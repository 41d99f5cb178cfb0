"""Everything but matrices into AnnData's encodings, in the forms that every reader knows."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import pandas as pd
import scipy.sparse as sp

from lazymu.errors import ArgumentError, explain
from lazymu.keys import WHOLE
from lazymu.store.arrays import compressors, is_h5
from lazymu.store.names import check_key, check_keys
from lazymu.store.refusal import is_told

VECTOR_CHUNK = 1 << 17
ROWS_CHUNK = 1 << 15
MATRIX_CHUNK = 1 << 23
"""Values at most in a chunk of whole rows, which is held in memory even where there are fewer."""
SPARSE_CHUNK = 1 << 20


def write_element(group: Any, key: str, value: Any, *, checksums: bool = False) -> None:
    """Write a value through anndata, every chunk of it; an error says which element it was.

    Text without missing values is written as a plain string array, which old readers know too;
    text with missing values as a nullable one, for want of another encoding.

    Raises
    ------
    ArgumentError
        If a key cannot be kept, or there is no encoding for a value.
    """
    import anndata

    known = {"allow_write_nullable_strings": True, "auto_shard_zarr_v3": False}
    options = {name: on for name, on in known.items() if hasattr(anndata.settings, name)}
    check_key(key, zarr=not is_h5(group))
    value = plain(value, zarr=not is_h5(group))
    with warnings.catch_warnings(), anndata.settings.override(**options), all_chunks():
        # On encodings that zarr or pandas may change; what is written is read back in tests.
        warnings.simplefilter("ignore")
        try:
            form = _chunks(group, value) | _of_zarr(group, checksums=checksums)
            anndata.io.write_elem(group, key, value, dataset_kwargs=form)
        except (TypeError, ValueError, KeyError, NotImplementedError) as error:
            if is_told(error):
                raise
            said = "; ".join([str(error), *getattr(error, "__notes__", [])])
            rule = f"it cannot be stored ({' '.join(said.split())})"
            got = f"of {type(value).__name__} below {group.name}"
            raise ArgumentError(explain(key, got, rule, "change it, or leave it out")) from error
        except Exception as error:
            error.add_note(f"raised while writing {key!r} below {group.name}")
            raise


def all_chunks() -> Any:
    """Return a context in which zarr writes chunks of fill value too, so that absent ones tell."""
    import zarr

    return zarr.config.set({"array.write_empty_chunks": True})


def _of_zarr(group: Any, *, checksums: bool) -> dict[str, Any]:
    """Return what the arrays of a Zarr element are created with."""
    if is_h5(group):
        return {}
    whole: dict[str, Any] = {"attributes": {WHOLE: True}}
    if not checksums:
        return whole
    from zarr.codecs import ZstdCodec

    return {**whole, "compressors": compressors(ZstdCodec(), checksums)}


def _chunks(group: Any, value: Any) -> dict[str, Any]:
    """Return the chunks of a Zarr element, few and not large; HDF5 has its own."""
    if is_h5(group):
        return {}
    if isinstance(value, pd.DataFrame):
        return {"chunks": (VECTOR_CHUNK,)} if len(value) else {}
    if sp.issparse(value):
        return {"chunks": (SPARSE_CHUNK,)}
    if isinstance(value, np.ndarray) and value.dtype.names is None and value.size:
        if value.ndim == 1:
            return {"chunks": (VECTOR_CHUNK,)}
        if value.ndim == 2:
            rows = max(1, min(ROWS_CHUNK, MATRIX_CHUNK // value.shape[1]))
            return {"chunks": (rows, value.shape[1])}
    return {}


def plain(value: Any, *, zarr: bool = True) -> Any:
    """Return a value in a form that anndata writes the same whatever pandas' version."""
    if isinstance(value, pd.DataFrame):
        check_keys(value.columns, zarr=zarr)
        return plain_table(value)
    if isinstance(value, Mapping):
        check_keys(value, zarr=zarr)
        return {str(key): plain(item, zarr=zarr) for key, item in value.items()}
    if isinstance(value, pd.Series | pd.Index):
        return plain(value.array if isinstance(value.dtype, pd.CategoricalDtype) else value.values)
    if isinstance(value, pd.api.extensions.ExtensionArray):
        return _plain_extension(value)
    if isinstance(value, np.ndarray):
        return _plain_array(value)
    if isinstance(value, tuple):
        return list(value)
    if sp.issparse(value) and getattr(value, "format", "") not in ("csr", "csc"):
        return sp.csr_matrix(cast("Any", value))
    return value


def plain_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose texts are objects, in its columns, categories and index."""
    columns = {name: plain(column) for name, column in table.items()}
    out = pd.DataFrame(index=table.index)
    for name, values in columns.items():
        kept = values.dtype == object
        out[name] = pd.Series(values, index=out.index, dtype=object if kept else values.dtype)
    index = plain(table.index)
    out.index = pd.Index(index, name=table.index.name, dtype=index.dtype)
    out.columns = pd.Index([str(name) for name in table.columns], dtype=object)
    return out


def _plain_extension(values: Any) -> Any:
    if isinstance(values, pd.Categorical):
        categories = plain(values.categories)
        categories = pd.Index(categories, dtype=categories.dtype)
        return pd.Categorical.from_codes(values.codes, categories, ordered=values.ordered)
    if isinstance(values.dtype, pd.StringDtype):
        return _plain_texts(np.asarray(values, dtype=object))
    return values


def _plain_texts(values: Any) -> Any:
    """Return texts as objects, or as a nullable array where some are missing."""
    if pd.isna(values).any():
        return pd.array(values, dtype=pd.StringDtype("python"))
    return values


def _plain_array(values: Any) -> Any:
    if values.dtype.names is not None:
        return _fixed_width(values)
    if values.dtype.kind in "TU":
        return values.astype(object)
    if values.dtype == object and values.ndim == 1:
        texts = [isinstance(value, str) or pd.isna(value) for value in values]
        if all(texts) and any(isinstance(value, str) for value in values):
            return _plain_texts(values)
    return values


def _fixed_width(records: Any) -> Any:
    """Return a structured array with texts of fixed width: Zarr has no other."""
    names = records.dtype.names
    fields = [
        records[name].astype(str) if records[name].dtype == object else records[name]
        for name in names
    ]
    dtype = [(name, field.dtype) for name, field in zip(names, fields, strict=True)]
    out = np.empty(records.shape, dtype=dtype)
    for name, field in zip(names, fields, strict=True):
        out[name] = field
    return out
