"""`validate`: a store read from end to end, and all that is wrong with it by name."""

from __future__ import annotations

import math
import uuid
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from lazymu.errors import DamagedFileError, LazyMuError
from lazymu.io.anndata_groups import kind_of
from lazymu.io.integrity.chunks import Check, check_array, n_windows
from lazymu.io.integrity.documents import check_documents, keys_in
from lazymu.io.integrity.findings import Finding, Findings
from lazymu.io.integrity.matrices import Totals, check_dense, check_sparse
from lazymu.io.integrity.recorded import check_copies, check_record, records_in
from lazymu.io.integrity.tables import (
    check_categories,
    check_container,
    check_maps,
    check_table,
)
from lazymu.io.open import open_elements, root_of, split_path
from lazymu.io.records import MatrixRecord
from lazymu.store.elements import encoding_of, is_array
from lazymu.store.locations import is_url
from lazymu.store.roots import Root, ZarrRoot
from lazymu.stream.progress import reporting

SPARSE = ("csr_matrix", "csc_matrix")


def validate(
    store: str | Path, *, storage_options: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """Read a store from end to end and return what is wrong with it.

    Found are metadata and chunks that are cut short, gone, or cannot be decoded (with checksums,
    which :func:`lazymu.convert` can keep, every flipped bit), offsets that fall or do not end at
    the number of values, columns out of range, out of order or repeated, lengths and codes that
    disagree, names that repeat, consolidated metadata that say something else than an array's own,
    and what lazymu recorded (fingerprints, sums, copies by feature) that no longer holds.

    Parameters
    ----------
    store
        Zarr store, of lazymu or another tool, its URL, a ``.zarr.zip``, or an HDF5 file.
    storage_options
        Of a URL, as of :func:`lazymu.read`.

    Returns
    -------
    A row for each finding: ``kind`` (``"damage"``, or ``"note"`` of what is legal and perhaps not
    meant), ``store``, ``array``, ``rows``, ``file``, ``found``, ``fix``; empty where nothing was
    found. ``.attrs["checked"]`` has the numbers of documents, arrays, chunks and sums looked at.

    Raises
    ------
    MissingFileError, UnknownFormatError, AccessError, RemoteError
        As opening does. What is damaged is returned, not raised.

    Notes
    -----
    One reading of every array; what is not covered by a checksum, a sum or a structure cannot be
    seen: a flipped bit in an embedding of a store without checksums. Memory: a few chunks a thread
    within `settings.memory_limit`, ``indptr`` and names, and 16 bytes for each cell and feature.

    Examples
    --------
    >>> import anndata, lazymu, numpy as np, pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> anndata.AnnData(np.eye(3, dtype="float32")).write_h5ad(folder / "eye.h5ad")
    >>> lazymu.convert(folder / "eye.h5ad", folder / "eye.zarr", checksums=True)
    >>> len(lazymu.validate(folder / "eye.zarr"))
    0
    >>> (folder / "eye.zarr/X/data/c/0").write_bytes(b"")
    0
    >>> lazymu.validate(folder / "eye.zarr")["array"].tolist()
    ['X/data']
    """
    findings = check_store(store, storage_options=storage_options)
    frame = pd.DataFrame(findings.all, columns=Finding._fields)
    frame.attrs["checked"] = dict(findings.checked)
    return frame


def check_store(store: str | Path, *, storage_options: Mapping[str, Any] | None = None) -> Findings:
    """Return what :func:`validate` does, as a list of findings and counts."""
    location = str(store) if is_url(str(store)) else str(Path(store).expanduser())
    root = root_of(split_path(location)[0], storage_options)
    findings = Findings()
    try:
        root.node()
    except DamagedFileError as error:
        findings.add(root, "", _said(error))
        if not (isinstance(root, ZarrRoot) and root.is_folder):
            return findings
    keys = keys_in(root)
    check = Check(root, keys, findings, uuid.uuid4().hex)
    if keys is not None:
        check_documents(root, keys, findings)
    if findings.about(root, "") and any(not one.array for one in findings.all):
        return findings
    groups, arrays = _nodes(check)
    n_values = sum(math.prod(root.node(name).shape) for name in arrays)
    n_blocks = sum(n_windows(root.node(name)) for name in arrays)
    with reporting(check.token, "validate", n_blocks, n_values):
        _check_content(check, groups, arrays)
    _check_opens(check, location, storage_options)
    return findings


def _nodes(check: Check) -> tuple[list[str], list[str]]:
    """Return the paths of all groups and arrays that can be opened."""
    groups: list[str] = []
    arrays: list[str] = []
    pending = [""]
    while pending:
        name = pending.pop()
        groups.append(name)
        for path, node in _children(check, name):
            if is_array(node):
                arrays.append(path)
            else:
                pending.append(path)
    check.findings.checked["arrays"] += len(arrays)
    return sorted(groups), sorted(arrays)


def _children(check: Check, name: str) -> Iterator[tuple[str, Any]]:
    try:
        keys = sorted(_names(check.root, name))
    except Exception as error:  # what zarr raises on damaged metadata is of many kinds
        check.damaged(name, f"its parts cannot be listed ({error})")
        return
    for key in keys:
        path = f"{name}/{key}" if name else key
        try:
            node = check.root.find(path)
            if node is not None:
                encoding_of(node)
                yield path, node
        except LazyMuError as error:
            if not check.findings.about(check.root, path):
                check.damaged(path, _said(error))


def _names(root: Root, name: str) -> Iterator[str]:
    """Yield the names in a group, also of those whose metadata are damaged."""
    node = root.node(name)
    if isinstance(root, ZarrRoot) and root.folders(name):
        yield from root.folders(name)
        return
    yield from node.keys()


def _check_content(check: Check, groups: list[str], arrays: list[str]) -> None:
    root = check.root
    encodings = {name: encoding_of(root.node(name)) for name in groups}
    containers = [name for name in groups if _kind(check, name) == "anndata"]
    records: dict[str, tuple[str, MatrixRecord]] = {}
    for name in containers:
        prefix = f"{name}/" if name else ""
        records |= {path: (prefix, record) for path, record in records_in(check, prefix).items()}
    if isinstance(root, ZarrRoot):
        for path in records:
            root.expect_whole(path)
    sparse = [name for name, encoding in encodings.items() if encoding in SPARSE]
    parts = {f"{name}/{part}" for name in sparse for part in ("data", "indices", "indptr")}
    totals: dict[str, Totals | None] = {}
    for name in sparse:
        with _told(check, name):
            totals[name] = check_sparse(check, name, is_ours=name in records)
    for name in arrays:
        with _told(check, name):
            if name in records:
                totals[name] = check_dense(check, name)
            elif name not in parts:
                check_array(check, name)
    for name, encoding in encodings.items():
        with _told(check, name):
            if encoding == "dataframe":
                check_table(check, name)
            elif encoding == "categorical":
                check_categories(check, name)
    for name in [*containers, *([""] if _kind(check, "") == "mudata" else [])]:
        with _told(check, name):
            check_container(check, f"{name}/" if name else "")
    with _told(check, "mod"):
        if _kind(check, "") == "mudata":
            _check_modalities(check)
    for path, (prefix, record) in records.items():
        with _told(check, path):
            check_record(check, prefix, path, record, totals.get(path))
    check_copies(check, totals)


@contextmanager
def _told(check: Check, name: str) -> Iterator[None]:
    """Tell of damage that ends a check, where it was not met before."""
    try:
        yield
    except DamagedFileError as error:
        known = {one.array for one in check.findings.all if one.array}
        if not any(array in str(error) for array in known):
            check.damaged(name, _said(error))


def _kind(check: Check, name: str) -> str:
    try:
        return kind_of(check.root, name)
    except LazyMuError:
        return ""


def _check_modalities(check: Check) -> None:
    node = check.root.node("mod")
    absent = [str(m) for m in node.attrs.get("mod-order", []) if not _is_there(check, f"mod/{m}")]
    for m in absent:
        if not check.findings.about(check.root, f"mod/{m}"):
            check.damaged(f"mod/{m}", "the store names this modality, and it is not there")
    if not absent:
        check_maps(check)


def _is_there(check: Check, name: str) -> bool:
    """Return whether there is a node, perhaps a damaged one, of which is told elsewhere."""
    try:
        return check.root.find(name) is not None
    except LazyMuError:
        return True


def _check_opens(check: Check, location: str, options: Mapping[str, Any] | None) -> None:
    """Open the store as any function does: what that raises and is not told yet is told."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            open_elements(location, storage_options=options)
        except LazyMuError as error:
            if not any(one.kind == "damage" for one in check.findings.all):
                check.damaged("", _said(error))


def _said(error: Exception) -> str:
    return str(error).rstrip(".")
