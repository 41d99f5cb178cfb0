"""Elements in AnnData's encodings: matrices as lazy sources, everything else through anndata."""

from __future__ import annotations

import warnings
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd

from lazymu.errors import DamagedFileError, UnknownFormatError, explain
from lazymu.store.bounds import DEEP, MOST_DEEP, MOST_PLACES, refuse
from lazymu.store.refusal import refusing
from lazymu.store.roots import Place, Root, StoredArray, reading
from lazymu.store.sources import CSRSource, DenseSource, MatrixSource, Origin
from lazymu.store.transpose import TransposedSource
from lazymu.store.whole import fix_of


def as_text(value: Any) -> str:
    """Return an attribute that may be bytes as text."""
    return value.decode() if isinstance(value, bytes) else str(value)


def encoding_of(node: Any) -> str:
    """Return the encoding type of a group or array, ``""`` where it has none."""
    attrs = node.attrs
    if "h5sparse_format" in attrs:  # anndata before 0.7
        return f"{as_text(attrs['h5sparse_format'])}_matrix"
    return as_text(attrs.get("encoding-type", ""))


def is_array(node: Any) -> bool:
    """Return whether a node is an array rather than a group."""
    return hasattr(node, "dtype")


def keys_of(root: Root, name: str) -> list[str]:
    """Return the names in a group, none where it is absent."""
    node = root.find(name)
    if node is None or is_array(node):
        return []
    with reading(root, name, "metadata"):
        keys = sorted(node.keys())
    for lost in sorted(set(root.folders(name)) - set(keys)):
        root.check_lost(f"{name}/{lost}")
    return keys


def read_element(root: Root, name: str, rule: str = "it cannot be read") -> Any:
    """Return an element in memory; an error says which element of which file it was.

    Formats of old anndata versions are read without their warnings: that they open is promised.

    Raises
    ------
    DamagedFileError
        If it cannot be read, though its encoding is known.
    """
    import anndata

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", anndata.OldFormatWarning)
        with refusing(name, f"in {root}", rule, fix_of(root)):
            check_tree(root, name)
            return anndata.io.read_elem(root.node(name))


def check_tree(root: Root, name: str) -> None:
    """Open all that is in an element, which checks it, and raise where it has no end."""
    pending, n_places = [name], Counter[object]()
    while pending:
        name = pending.pop()
        node = root.node(name)
        if is_array(node) or not hasattr(node, "keys"):
            continue
        n_places[root.identity(name)] += 1
        if max(n_places[root.identity(name)] - MOST_PLACES, name.count("/") - MOST_DEEP) > 0:
            refuse(name, root, DEEP)
        pending += [f"{name}/{key}" for key in node.keys()]  # noqa: SIM118 - of h5py and zarr


def read_table(root: Root, name: str) -> pd.DataFrame:
    """Return an annotation table, also one that an old anndata wrote as a structured array."""
    rule = "the table cannot be read"
    with refusing(name, f"in {root}", rule, fix_of(root)):
        table = read_element(root, name, rule)
        return table if isinstance(table, pd.DataFrame) else _table_of_records(table)


def _table_of_records(records: Any) -> pd.DataFrame:
    """Return a structured array as a table whose index is its field ``index``."""
    table = pd.DataFrame({name: _decoded(records[name]) for name in records.dtype.names})
    return table.set_index(table.columns[0]).rename_axis(None)


def _decoded(values: Any) -> Any:
    if values.dtype.kind == "S":
        return np.char.decode(values, "utf-8")
    if values.dtype.kind == "O":
        return np.array([as_text(value) for value in values], dtype=object)
    return values


def open_matrix(root: Root, name: str, origin: Origin | None = None) -> MatrixSource | None:
    """Return a matrix as a source that reads nothing yet; None where it is stored as null.

    ``origin`` is given of a matrix that lazymu wrote and nobody has changed since.
    """
    node = root.node(name)
    encoding = encoding_of(node)
    if is_array(node):
        if encoding == "null":
            return None
        if len(node.shape) != 2:
            got = f"{len(node.shape)}-dimensional in {root}"
            raise DamagedFileError(
                explain(name, got, "a matrix is (obs, var)", "write it as two dimensions")
            )
        dense = DenseSource(StoredArray(root, name), origin)
        dense.place = None if origin is None else Place(root, name)
        return dense
    if encoding not in ("csr_matrix", "csc_matrix"):
        got = f"encoded as {encoding!r} in {root}"
        rule = "matrices are arrays, csr_matrix or csc_matrix"
        raise UnknownFormatError(explain(name, got, rule, "write it again as one of them"))
    shape = node.attrs.get("shape", node.attrs.get("h5sparse_shape"))
    absent = [part for part in ("data", "indices", "indptr") if part not in node]
    absent += ["shape"] if shape is None else []
    if absent:
        got = f"without {', '.join(absent)} in {root}"
        raise DamagedFileError(explain(name, got, f"it is a {encoding}", "write it again"))
    n_obs, n_vars = shape
    data, indices, indptr = (
        StoredArray(root, f"{name}/{part}") for part in ("data", "indices", "indptr")
    )
    if encoding == "csc_matrix":
        return TransposedSource(CSRSource(data, indices, indptr, (n_vars, n_obs)))
    csr = CSRSource(data, indices, indptr, (n_obs, n_vars), origin)
    csr.place = None if origin is None else Place(root, name)
    csr.is_canonical = origin is not None
    return csr
