"""Groups in AnnData's and MuData's encodings, of an HDF5 file or a Zarr store, as elements."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lazymu.errors import DamagedFileError, UnknownFormatError, explain
from lazymu.io.anndata_values import read_values
from lazymu.io.elements import ModalityElements, StoreElements
from lazymu.io.matrix_reader import MatrixReader
from lazymu.io.records import without_records
from lazymu.store.elements import (
    as_text,
    encoding_of,
    is_array,
    keys_of,
    read_table,
)
from lazymu.store.roots import Root


def kind_of(root: Root, name: str = "") -> str:
    """Return ``"mudata"`` or ``"anndata"`` for a group in one of the encodings, else ``""``."""
    node = root.node(name)
    if is_array(node):
        return ""
    encoding = encoding_of(node).lower()
    if encoding in ("mudata", "anndata"):
        return encoding
    if "mod" in node:
        return "mudata"
    return "anndata" if "obs" in node and "var" in node else ""


def read_store(root: Root) -> StoreElements:
    """Return the elements of a MuData at the root."""
    mod = {name: read_modality(root, f"mod/{name}") for name in modality_names(root)}
    top = root.node()
    values = {key: read_values(root, key) for key in ("obsm", "varm", "obsp", "varp", "uns")}
    for key in ("obsm", "varm"):
        values[key] = {
            name: value for name, value in values[key].items() if not _is_mask(root, key, name, mod)
        }
    obs = None if root.find("obs") is None else read_table(root, "obs")
    share_names([obs, *(modality.obs for modality in mod.values())])
    return StoreElements(
        mod=mod,
        obs=obs,
        var=None if root.find("var") is None else read_table(root, "var"),
        axis=int(top.attrs.get("axis", 0)),
        **values,
    )


def share_names(tables: Sequence[pd.DataFrame | None]) -> None:
    """Give tables of the same cells one index: the names of a million take 80 MB."""
    different: list[pd.Index] = []
    for table in tables:
        if table is None:
            continue
        same = next((index for index in different if index.identical(table.index)), None)
        if same is None:
            different.append(table.index)
        else:
            table.index = same


def modality_names(root: Root) -> list[str]:
    """Return the modalities in their written order, or by name where that is not recorded."""
    names = keys_of(root, "mod")
    order = [as_text(name) for name in root.node("mod").attrs.get("mod-order", [])]
    if not set(order) <= set(names):
        order = []
    return order + [name for name in names if name not in order]


def _is_mask(root: Root, key: str, name: str, mod: dict[str, ModalityElements]) -> bool:
    """Return whether a value is mudata's mask of the cells or features of a modality."""
    if name not in mod:
        return False
    node = root.node(f"{key}/{name}")
    return is_array(node) and np.dtype(node.dtype).kind == "b"


def read_modality(root: Root, name: str = "") -> ModalityElements:
    """Return the elements of an AnnData group."""
    if kind_of(root, name) != "anndata":
        got = f"a group of {encoding_of(root.node(name)) or 'no encoding'} in {root}"
        rule = "a modality is an AnnData; nested MuData cannot be read"
        raise UnknownFormatError(explain(name or "path", got, rule, "write it as an AnnData"))
    prefix = f"{name}/" if name else ""
    for table in ("obs", "var"):
        if root.find(prefix + table) is None:
            rule = "an AnnData has obs and var"
            raise DamagedFileError(
                explain(prefix + table, f"absent from {root}", rule, "write the file again")
            )
    obs, var = read_table(root, f"{prefix}obs"), read_table(root, f"{prefix}var")
    values = {
        key: read_values(root, prefix + key) for key in ("obsm", "varm", "obsp", "varp", "uns")
    }
    values["uns"] = without_records(root, prefix, values["uns"])
    matrices = MatrixReader(root, prefix, (len(obs), len(var)))
    return ModalityElements(
        X=matrices.X, obs=obs, var=var, layers=matrices.layers, raw=matrices.raw, **values
    )
