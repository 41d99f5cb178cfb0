"""Metadata of a Zarr store: each document by itself, consolidated copies, parts that have none."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lazymu.io.integrity.findings import AGAIN, CONSOLIDATE, Findings
from lazymu.store.roots import Root, ZarrRoot
from lazymu.store.whole import array_of, is_document

NODES = ("zarr.json", ".zgroup", ".zarray")
COMPARED = (
    "node_type",
    "shape",
    "data_type",
    "chunk_grid",
    "chunk_key_encoding",
    "codecs",
    "fill_value",
    "attributes",
)
NESTED = {"consolidated_metadata"}


class Keys(NamedTuple):
    """The files or objects of a Zarr store."""

    names: frozenset[str]
    content: Callable[[str], bytes]


def keys_in(root: Root) -> Keys | None:
    """Return the files of a Zarr store; None where they cannot be listed (web servers, HDF5)."""
    if not isinstance(root, ZarrRoot):
        return None
    if root.is_folder:
        top = Path(root.location)
        names = (
            Path(folder, file).relative_to(top).as_posix()
            for folder, _, files in os.walk(top)
            for file in files
        )
        return Keys(frozenset(names), lambda key: (top / key).read_bytes())
    store = root.node().store
    if root.is_zip:
        return Keys(frozenset(store.names()), store.content)
    if root.is_remote and (sizes := store.sizes()) is not None:
        return Keys(frozenset(sizes), store.content)
    return None


def check_documents(root: Root, keys: Keys, findings: Findings) -> None:
    """Find metadata that are cut short or gone, and consolidated ones that say something else."""
    documents: dict[str, Any] = {}
    for key in sorted(keys.names):
        if not is_document(key):
            continue
        findings.checked["documents"] += 1
        try:
            documents[key] = json.loads(keys.content(key))
        except Exception as error:  # of ZIP files and servers too
            found = f"its metadata cannot be read ({type(error).__name__}: {error})"
            findings.add(root, _folder(key), found, file=key)
    _check_parents(root, keys, findings)
    for key, document in documents.items():
        base, _, name = key.rpartition("/")
        if name == ".zmetadata":
            copies = {_join(base, k): v for k, v in (document.get("metadata") or {}).items()}
        elif isinstance(document, dict) and document.get("consolidated_metadata"):
            found_in = document["consolidated_metadata"].get("metadata") or {}
            copies = {_join(base, f"{path}/zarr.json"): copy for path, copy in found_in.items()}
        else:
            continue
        _check_copies(root, base, copies, documents, keys, findings)


def _check_parents(root: Root, keys: Keys, findings: Findings) -> None:
    """Find parts of groups and arrays whose own metadata are not there."""
    nodes = {_folder(key) for key in keys.names if key.rpartition("/")[2] in NODES}
    for key in keys.names:
        parts = (_folder(key) if is_document(key) else array_of(key)).split("/")
        paths = ("/".join(parts[:n]) for n in range(1, len(parts) + 1))
        if any(part.startswith((".", "__")) for part in parts) or "/" not in key:
            continue
        lost = next((path for path in paths if path not in nodes), None)
        if lost is not None:
            found = "its metadata (zarr.json, .zgroup or .zarray) are not there, its parts are"
            findings.add(root, lost, found)


def _check_copies(
    root: Root,
    base: str,
    copies: Mapping[str, Any],
    documents: Mapping[str, Any],
    keys: Keys,
    findings: Findings,
) -> None:
    place = base or "the root"
    for key, copy in copies.items():
        if key not in keys.names:
            if key.endswith("zarr.json") or "attributes" not in copy or copy["attributes"]:
                found = f"the consolidated metadata of {place} have it, and it is not there"
                findings.add(root, _folder(key), found, f"{AGAIN}; or {CONSOLIDATE}", file=key)
            continue
        own = documents.get(key)
        if own is None:
            continue
        names = COMPARED if key.endswith("zarr.json") else sorted({*own, *copy} - NESTED)
        differing = [name for name in names if own.get(name) != copy.get(name)]
        if differing:
            said = "; ".join(f"{name} {own.get(name)}, not {copy.get(name)}" for name in differing)
            found = f"its metadata differ from the consolidated ones of {place} ({said[:200]})"
            fix = f"{AGAIN}; or {CONSOLIDATE}"
            findings.add(root, _folder(key), found, fix, file=key, is_read=True)
    start = f"{base}/" if base else ""
    for key in keys.names:
        inside = key.startswith(start) and _folder(key) != base
        if inside and key.rpartition("/")[2] in NODES and key not in copies:
            found = f"the consolidated metadata of {place} do not have it"
            findings.add(root, _folder(key), found, CONSOLIDATE, is_read=True)


def _join(base: str, path: str) -> str:
    return f"{base}/{path}" if base else path


def _folder(key: str) -> str:
    return key.rpartition("/")[0]
