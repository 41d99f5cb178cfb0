"""Groups in AnnData's and MuData's encodings, of an HDF5 file or a Zarr store, as elements."""

from __future__ import annotations

from functools import partial

import numpy as np

from lazymu.errors import DamagedFileError, UnknownFormatError, explain
from lazymu.io.elements import Deferred, ModalityElements, RawElements, StoreElements, Values
from lazymu.store.elements import (
    as_text,
    encoding_of,
    is_array,
    keys_of,
    open_matrix,
    read_element,
    read_table,
)
from lazymu.store.roots import Root
from lazymu.stream.matrix import LazyMatrix


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
    return StoreElements(
        mod=mod,
        obs=read_table(root, "obs") if "obs" in top else None,
        var=read_table(root, "var") if "var" in top else None,
        axis=int(top.attrs.get("axis", 0)),
        **values,
    )


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
    node, prefix = root.node(name), f"{name}/" if name else ""
    for table in ("obs", "var"):
        if table not in node:
            rule = "an AnnData has obs and var"
            raise DamagedFileError(
                explain(prefix + table, f"absent from {root}", rule, "write the file again")
            )
    obs, var = read_table(root, f"{prefix}obs"), read_table(root, f"{prefix}var")
    X = _read_matrix(root, f"{prefix}X", len(obs), len(var)) if "X" in node else None
    layers = {
        key: layer
        for key in keys_of(root, f"{prefix}layers")
        if (layer := _read_matrix(root, f"{prefix}layers/{key}", len(obs), len(var))) is not None
    }
    values = {
        key: read_values(root, prefix + key) for key in ("obsm", "varm", "obsp", "varp", "uns")
    }
    raw = _read_raw(root, prefix, len(obs))
    return ModalityElements(X=X, obs=obs, var=var, layers=layers, raw=raw, **values)


def read_values(root: Root, name: str) -> Values:
    """Return the values of a dictionary group, each read when first needed."""
    return {
        key: Deferred(partial(read_element, root, f"{name}/{key}")) for key in keys_of(root, name)
    }


def _read_raw(root: Root, prefix: str, n_obs: int) -> RawElements | None:
    """Return `raw`, also as versions before 0.7 wrote it (``raw.X``, ``raw.var``)."""
    node = root.node(prefix)
    if "raw.X" in node:
        prefix = f"{prefix}raw."
    elif "raw" in node and not is_array(node["raw"]) and "X" in node["raw"]:
        prefix = f"{prefix}raw/"
    else:
        return None
    var = read_table(root, f"{prefix}var")
    X = _read_matrix(root, f"{prefix}X", n_obs, len(var))
    return None if X is None else RawElements(X, var, read_values(root, f"{prefix}varm"))


def _read_matrix(root: Root, name: str, n_obs: int, n_vars: int) -> LazyMatrix | None:
    source = open_matrix(root, name)
    if source is None:
        return None
    if source.shape != (n_obs, n_vars):
        got = f"{source.shape[0]} × {source.shape[1]} in {root}"
        rule = f"obs has {n_obs} rows and var has {n_vars}"
        raise DamagedFileError(explain(name, got, rule, "write the file again"))
    return LazyMatrix(source)
