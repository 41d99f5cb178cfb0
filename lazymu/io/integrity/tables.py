"""Tables and values of a container: lengths that agree, codes that have a category, names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from lazymu.errors import LazyMuError
from lazymu.io.anndata_groups import kind_of, modality_names
from lazymu.io.integrity.chunks import Check
from lazymu.io.integrity.findings import AGAIN, NOTE
from lazymu.io.integrity.matrices import named
from lazymu.store.elements import encoding_of, is_array, keys_of, read_element

UNIQUE = "make them unique (obs_names_make_unique, var_names_make_unique), where names must tell"
ALIGNED = {"layers": (0, 1), "obsm": (0,), "varm": (1,), "obsp": (0, 0), "varp": (1, 1)}
"""What the axes of the values of a slot are: cells 0, features 1."""
AXES = ("obs", "var")


def check_table(check: Check, name: str) -> None:
    """Check the columns of a table against its index."""
    node = check.root.node(name)
    index = str(node.attrs.get("_index", "_index"))
    order = [str(column) for column in node.attrs.get("column-order", [])]
    length = length_of(check, f"{name}/{index}")
    for column in [index, *order]:
        path = f"{name}/{column}"
        found = length_of(check, path)
        if found is None and check.root.find(path) is None:
            check.damaged(path, "the table names this column, and it is not there")
        elif found is not None and length is not None and found != length:
            check.damaged(path, f"it has {found:,} rows, and the table's index {length:,}")


def check_categories(check: Check, name: str) -> None:
    """Check that the codes of a categorical column have categories."""
    root = check.root
    if any(root.find(f"{name}/{part}") is None for part in ("codes", "categories")):
        check.damaged(name, "it is without codes or categories")
        return
    if check.findings.about(root, name):
        return
    codes = np.asarray(root.node(f"{name}/codes")[:])
    n_categories = root.node(f"{name}/categories").shape[0]
    wrong = np.flatnonzero((codes < -1) | (codes >= n_categories))
    if len(wrong):
        found = f"code {codes[wrong[0]]}, where there are {n_categories:,} categories"
        check.damaged(f"{name}/codes", found, rows=named(wrong))


def length_of(check: Check, name: str) -> int | None:
    """Return the length of an element's first axis, None where it has none or is not there."""
    shape = shape_of(check, name)
    return shape[0] if shape else None


def shape_of(check: Check, name: str) -> tuple[int, ...] | None:
    """Return the shape of an element: array, sparse matrix, table, or column of one."""
    try:
        node = check.root.find(name)
        if node is None:
            return None
        if is_array(node):
            return tuple(int(n) for n in node.shape)
        if (shape := node.attrs.get("shape", node.attrs.get("h5sparse_shape"))) is not None:
            return tuple(int(n) for n in shape)
    except LazyMuError:  # told of where its metadata were read
        return None
    inner = {"categorical": "codes", "dataframe": str(node.attrs.get("_index", "_index"))}
    encoding = encoding_of(node)
    part = inner.get(encoding, "values" if encoding.startswith("nullable") else "")
    if encoding.startswith("nullable"):
        _check_mask(check, name)
    found = shape_of(check, f"{name}/{part}") if part else None
    return found[:1] if found else None


def _check_mask(check: Check, name: str) -> None:
    values, mask = (shape_of(check, f"{name}/{part}") for part in ("values", "mask"))
    if values is not None and values != mask:
        check.damaged(name, f"it has {values} values and a mask of {mask}")


def check_container(check: Check, prefix: str) -> None:
    """Check what belongs to the cells and features of an AnnData, or to all of a MuData."""
    sizes = tuple(length_of(check, prefix + axis) for axis in AXES)
    for slot, axes in ALIGNED.items():
        if slot == "layers" and prefix == "" and kind_of(check.root) == "mudata":
            continue
        for key in _keys(check, prefix + slot):
            _check_shape(check, f"{prefix}{slot}/{key}", [sizes[axis] for axis in axes])
    _check_shape(check, f"{prefix}X", list(sizes))
    for place in ("raw/", "raw."):
        _check_shape(
            check, f"{prefix}{place}X", [sizes[0], length_of(check, f"{prefix}{place}var")]
        )
    for axis in AXES:
        _check_names(check, prefix + axis)


def _check_shape(check: Check, name: str, expected: list[int | None]) -> None:
    shape = shape_of(check, name)
    if shape is None or encoding_of(check.root.node(name)) == "null":
        return
    for axis, n in enumerate(expected):
        if n is None or (axis < len(shape) and shape[axis] == n):
            continue
        dims = " x ".join(f"{one:,}" for one in shape)
        check.damaged(name, f"it is {dims}, and its tables have {_sizes(expected)}")
        return


def _sizes(expected: list[int | None]) -> str:
    return " x ".join("?" if n is None else f"{n:,}" for n in expected)


def _keys(check: Check, name: str) -> list[str]:
    try:
        return keys_of(check.root, name)
    except LazyMuError as error:
        if not check.findings.about(check.root, name):
            check.damaged(name, str(error))
        return []


def names_in(check: Check, name: str) -> pd.Index | None:
    """Return the names of a table, None where they cannot be read."""
    try:
        node = check.root.find(name)
        if node is None or is_array(node):
            return None
        path = f"{name}/{node.attrs.get('_index', '_index')}"
        if check.findings.about(check.root, path):
            return None
        names: pd.Index = pd.Index(read_element(check.root, path))
        return names
    except LazyMuError as error:
        if not check.findings.about(check.root, name):
            check.damaged(name, str(error))
        return None


def _check_names(check: Check, name: str) -> None:
    names = names_in(check, name)
    if names is None or names.is_unique:
        return
    twice = names[names.duplicated()].unique()
    shown = ", ".join(str(one) for one in twice[:5])
    more = f" and {len(twice) - 5:,} more" if len(twice) > 5 else ""
    found = f"names are there more than once: {shown}{more}"
    check.findings.add(check.root, name, found, UNIQUE, kind=NOTE)


def check_maps(check: Check) -> None:
    """Check where a MuData says that its joint cells and features stand in its modalities."""
    for axis in AXES:
        joint = names_in(check, axis)
        for m in modality_names(check.root):
            name = f"{axis}map/{m}"
            own = names_in(check, f"mod/{m}/{axis}")
            if joint is None or own is None or check.findings.about(check.root, name):
                continue
            for found in _wrong_positions(check, name, joint, own):
                check.damaged(name, found, fix=f"{AGAIN}; mudata's update() makes them anew")


def _wrong_positions(check: Check, name: str, joint: pd.Index, own: pd.Index) -> Iterator[str]:
    shape = shape_of(check, name)
    if shape is None:
        return
    if shape != (len(joint),):
        yield f"it has {shape[0] if shape else 0:,} entries for {len(joint):,} joint names"
        return
    positions: Any = np.asarray(check.root.node(name)[:]).astype(np.int64)
    if positions.min(initial=0) < 0 or positions.max(initial=0) > len(own):
        yield f"it points up to {positions.max():,} of {len(own):,} names"
        return
    there = positions > 0
    if not np.array_equal(
        np.asarray(joint[there], dtype=object), np.asarray(own[positions[there] - 1], dtype=object)
    ):
        yield "it points to other names than the joint ones"
