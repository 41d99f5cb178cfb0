"""Elements into files, by suffix."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import h5py

from lazymu.errors import ArgumentError, UnknownFormatError, explain
from lazymu.io.elements import ModalityElements, StoreElements
from lazymu.io.group_writer import Form, write_modality, write_store
from lazymu.io.records import layer_name
from lazymu.store.arrays import Layout
from lazymu.store.locations import check_writable, is_url, redacted
from lazymu.store.names import check_keys, folds_case
from lazymu.store.replace import replacing

Elements = StoreElements | ModalityElements
WRITTEN = (".zarr", ".h5mu", ".h5ad")
SHARD_CHUNKS = 8
"""Chunks of a shard behind URLs: objects of some megabytes to tens of them, a block each."""
USERBLOCK = 512
"""Bytes at the start of an `.h5mu` file that say what it is."""


def write_elements(
    elements: Elements,
    path: str | Path,
    *,
    overwrite: bool = False,
    zarr_format: Literal[2, 3] = 3,
    chunk_values: int = 1 << 20,
    shards: int | Literal["auto"] | None = "auto",
    X: Literal["counts", "normalized"] | None = None,
    compression: Literal["gzip", "lzf"] | None = "gzip",
    checksums: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> None:
    """Write a MuData or AnnData to ``.zarr``, ``.h5mu`` or ``.h5ad``, block by block.

    A Zarr store holds counts in the smallest unsigned type that keeps them, sparse or, above half
    nonzeros, dense. Transforms of `X`, layers and `raw` are kept as recipes, which lazymu applies
    when it opens the store; a layer or `raw` with the stored values of `X` is not stored again.
    Files of HDF5 hold values, with their transforms, in the type and encoding in which the matrix
    was first read.

    Parameters
    ----------
    elements
        What is written.
    path
        Target; its suffix is the format. A URL takes ``.zarr`` only.
    overwrite
        Replace what is there. It may be the file that is being read.
    zarr_format
        Version of Zarr's format.
    chunk_values
        Values of a chunk.
    shards
        Values of a shard, a multiple of ``chunk_values``; None for a file per chunk. By default
        8 chunks make a shard behind a URL, and local chunks are files.
    X
        Write ``"counts"`` (with recipes, in Zarr) or ``"normalized"`` values; by default counts
        in Zarr, values in HDF5.
    compression
        Filter of HDF5 arrays.
    checksums
        Keep a checksum (CRC-32C, a codec of Zarr's format 3) of each chunk, four bytes, so that
        every reader finds out what was changed on a disk or on the way.
    storage_options
        Of a URL, as of :func:`open_elements`.

    Raises
    ------
    StoreExistsError
        If the target exists and ``overwrite`` is False.
    UnknownFormatError
        If the suffix is none of the three.
    ArgumentError
        If a name of a modality, column, layer or key cannot be kept: it is empty, ``.``, ``..``,
        holds a slash or NUL or, in Zarr, a backslash, has more than 255 bytes, is one of Zarr's own
        files, or differs from another in case alone where the file system ignores case.
        If a MuData is to be written as ``.h5ad``, or a modality as ``.h5mu``; if ``checksums`` are
        asked for in HDF5 or in Zarr's format 2; if a URL takes no files (``https://``), or matrices
        are read from the store that would be replaced there.
    AccessError, RemoteError
        If an object store refuses, or does not answer.
    MemoryLimitError
        If shards and a block exceed the memory limit.

    Notes
    -----
    One pass over each stored matrix (matrices that select from the same rows of one source share
    a pass), plus a sample of it; in blocks that keep the memory limit, and a chunk or shard of each
    array. A matrix that was CSC is written as CSC to HDF5, in a pass for each third of the
    memory limit. A shard takes five times its size while it is written. The pass also makes the
    matrix's sums, which functions take from the store later.

    The target changes in one step when all is written. On an object store, which has no rename,
    chunks come first, under keys that the store there has not, then the metadata, the root's last:
    it has all of them (consolidated), so that a reader finds the old store or the new one. Chunks
    of the old store are removed then; who still reads it is told by lazymu that they are gone, and
    by other tools is given fill values. With ``zarr_format=2`` the old store is removed first. What
    a killed write leaves, the next one removes. Two writes to one URL at a time are not kept apart.

    With a Dask client active, a ``.zarr`` store is written by the workers, each task its own chunks
    or shards; they must see source and target. A further pass counts the values of rows where these
    are not known, and another one follows where a sample did not show the type of all values.
    Matrices in memory and HDF5 files are written by this process.
    """
    target = str(path)
    if X not in (None, "counts", "normalized"):
        rule = 'it says what X holds: "counts" or "normalized"'
        raise ArgumentError(explain("X", repr(X), rule, "pass one of them"))
    elements = fitting(elements, target)
    native = target.lower().endswith(".zarr")
    check_names(elements, zarr=native, folded=not is_url(target) and folds_case(Path(target)))
    if shards == "auto":
        in_shards = is_url(target) and zarr_format == 3
        shards = SHARD_CHUNKS * chunk_values if in_shards else None
    layout = Layout(chunk_values, shards, compression, checksums)
    if not native and checksums:
        rule = "checksums are kept of the chunks of .zarr stores"
        raise ArgumentError(explain("checksums", checksums, rule, "write to .zarr"))
    counts = native if X is None else X == "counts"
    replaced = None if is_url(target) else str(Path(target).resolve())
    form = Form(layout, counts=counts, native=native, replaced=replaced)
    if not native:
        with replacing(Path(target), overwrite=overwrite) as temporary:
            _write_h5(elements, temporary, form)
    elif is_url(target):
        from lazymu.store.remote_write import writing

        check_format(layout, zarr_format)
        with writing(
            target, storage_options, overwrite=overwrite, zarr_format=zarr_format
        ) as store:
            _write_zarr(elements, store, form, zarr_format)
    else:
        check_format(layout, zarr_format)
        with replacing(Path(target), overwrite=overwrite) as temporary:
            _write_zarr(elements, str(temporary), form, zarr_format)


def fitting(elements: Elements, target: str) -> Elements:
    """Return the elements in the kind that the target's suffix holds, or raise."""
    if is_url(target):
        check_writable(target)
    suffix = next((known for known in WRITTEN if target.lower().endswith(known)), None)
    if suffix is None or (suffix != ".zarr" and is_url(target)):
        rule = f"what can be written is {', '.join(WRITTEN)} (URLs: .zarr only)"
        raise UnknownFormatError(explain("path", repr(redacted(target)), rule, "change its suffix"))
    if suffix == ".h5mu" and isinstance(elements, ModalityElements):
        rule = ".h5mu holds a MuData and this is one modality"
        raise ArgumentError(explain("path", repr(target), rule, "write to .h5ad or .zarr"))
    if suffix == ".h5ad" and isinstance(elements, StoreElements):
        if len(elements.mod) != 1 or _joint_values(elements):
            rule = f".h5ad holds one modality and this is a MuData of {', '.join(elements.mod)}"
            fix = "write to .h5mu or .zarr, or write one modality of it"
            raise ArgumentError(explain("path", repr(target), rule, fix))
        return next(iter(elements.mod.values()))
    return elements


def _joint_values(elements: StoreElements) -> bool:
    """Return whether a MuData holds more than its modalities do."""
    return any((elements.obsm, elements.varm, elements.obsp, elements.varp, elements.uns))


def check_names(elements: Elements, *, zarr: bool, folded: bool) -> None:
    """Raise where a name of the elements cannot be kept by a store; keys within `uns` apart."""
    mod = elements.mod if isinstance(elements, StoreElements) else {}
    groups: list[Iterable[object]] = [mod]
    for part in (elements, *mod.values()):
        tables, values = [part.obs, part.var], [part.obsm, part.varm, part.obsp, part.varp]
        if isinstance(part, ModalityElements):
            groups += [part.layers, [layer_name(key) for key in part.layers]]
            if part.raw is not None:
                tables.append(part.raw.var)
                values.append(part.raw.varm)
        groups += [table.columns for table in tables if table is not None] + [*values, part.uns]
    for keys in groups:
        check_keys(keys, zarr=zarr, folded=zarr and folded)


def _write_groups(root: Any, elements: Elements, form: Form) -> None:
    if isinstance(elements, StoreElements):
        write_store(root, elements, form)
    else:
        write_modality(root, elements, form)


# --- HDF5 -----------------------------------------------------------------------------------------


def _write_h5(elements: Elements, path: Path, form: Form) -> None:
    size = USERBLOCK if isinstance(elements, StoreElements) else 0
    with h5py.File(path, "w", userblock_size=size) as root:
        _write_groups(root, elements, form)
    if size:
        said = f"MuData (format-version=0.1.0;creator=lazymu;creator-version={version('lazymu')})"
        with open(path, "r+b") as file:
            file.write(said.encode().ljust(size, b"\0"))


# --- Zarr -----------------------------------------------------------------------------------------


def check_format(layout: Layout, zarr_format: int) -> None:
    """Raise where there is no such version of the format, or it has no shards."""
    if zarr_format not in (2, 3):
        rule = "there are formats 2 and 3"
        raise ArgumentError(explain("zarr_format", zarr_format, rule, "pass 3"))
    if zarr_format == 2 and layout.shard_values is not None:
        rule = "format 2 of Zarr has no shards"
        raise ArgumentError(explain("shards", layout.shard_values, rule, "pass None"))
    if zarr_format == 2 and layout.checksums:
        rule = "format 2 of Zarr has no checksum behind its compressor"
        raise ArgumentError(explain("checksums", layout.checksums, rule, "pass zarr_format=3"))


def _write_zarr(elements: Elements, store: Any, form: Form, zarr_format: Literal[2, 3]) -> None:
    """Write into a folder or an open Zarr store."""
    import zarr

    root = zarr.open_group(store, mode="w", zarr_format=zarr_format)
    _write_groups(root, elements, form)
    modalities = elements.mod if isinstance(elements, StoreElements) else ()
    with warnings.catch_warnings():
        # Of format 3 that consolidation, and structured arrays, are not in its specification yet.
        warnings.simplefilter("ignore")
        for name in modalities:
            zarr.consolidate_metadata(root.store, path=f"mod/{name}")
        zarr.consolidate_metadata(root.store)
