"""What a file says of itself, checked before it is believed.

Sizes are compared with what is stored, links must stay in the file, and no codec may run code.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn
from zipfile import ZipFile

import h5py
import numpy as np

from lazymu.errors import DamagedFileError, explain
from lazymu.settings import settings

MOST_PACKED = 1 << 16
"""Bytes that one stored byte may stand for: more than any compressor reaches (Zstandard 2^15)."""
MOST_PLACES = 16
"""Where one group may stand in an element, by links; beyond, they lead in a circle, or multiply."""
MOST_DEEP = 64
DEEP = f"its groups are more than {MOST_DEEP} deep, or lead in a circle"
ZIPPED = 1 << 10
"""Bytes that one byte of a ZIP file may stand for."""
OBJECT_BYTES = 64
"""What a text takes in memory at least."""
UNSAFE_CODECS = ("pickle", "dill", "cloudpickle")
METADATA = ("zarr.json", ".zgroup", ".zattrs", ".zarray", ".zmetadata")
OBJECT_CODECS = ("vlen-utf8", "vlen-bytes", "vlen-array", "json2", "msgpack2", "categorize")


def refuse(name: str, file: object, rule: str, fix: str = "do not trust the file") -> NoReturn:
    """Raise about a part of a file."""
    raise DamagedFileError(explain(name or "/", f"in {file}", rule, fix))


def check_size(
    name: str, file: object, shape: tuple[int, ...], chunk: tuple[int, ...], dtype: Any, stored: Any
) -> None:
    """Raise where an array is declared larger than the memory limit and than what is stored.

    Parameters
    ----------
    name, file
        What is named in the error.
    shape, chunk, dtype
        As the file has them.
    stored
        Function that returns the bytes that are stored of the array.
    """
    dtype = np.dtype(dtype)
    itemsize = OBJECT_BYTES if dtype.hasobject else max(1, dtype.itemsize)
    declared = itemsize * max(math.prod(map(int, shape)), math.prod(map(int, chunk)))
    if declared <= settings.memory_limit:
        return
    n_stored = int(stored())
    if declared > MOST_PACKED * n_stored:
        rule = f"it claims {declared:,} bytes, and {n_stored:,} are stored"
        refuse(name, file, rule, "copy or write the file again")


# --- HDF5 -----------------------------------------------------------------------------------------


def check_h5(file: h5py.File) -> None:
    """Raise where an HDF5 file leads out of itself, or declares what it does not hold.

    External links, external and virtual storage would read other files of whoever opens it.
    """
    found: list[tuple[bytes, int]] = []

    def visit(name: bytes, info: Any) -> bool | None:
        found.append((name, info.type))  # h5py loses what is raised here
        return True if name.count(b"/") > MOST_DEEP else None

    if file.id.links.visit(visit, info=True):
        refuse(f"{found[-1][0].decode(errors='backslashreplace')[:40]}...", file.filename, DEEP)
    for path, kind in found:
        name = path.decode(errors="backslashreplace")
        if kind == h5py.h5l.TYPE_EXTERNAL:
            refuse(name, file.filename, "it is a link to another file, which is not followed")
        if kind == h5py.h5l.TYPE_HARD:
            _check_object(h5py.h5o.open(file.id, path), name, file.filename)


def _check_object(node: Any, name: str, file: str) -> None:
    if not isinstance(node, h5py.h5d.DatasetID):
        return
    if node.shape is None:  # it holds nothing
        return
    plist = node.get_create_plist()
    layout = plist.get_layout()
    if plist.get_external_count() or layout == h5py.h5d.VIRTUAL:
        refuse(name, file, "its values are in other files, which are not read")
    chunk = plist.get_chunk() if layout == h5py.h5d.CHUNKED else ()
    check_size(name, file, node.shape, chunk, node.dtype, node.get_storage_size)


# --- Zarr -----------------------------------------------------------------------------------------


def check_zarr(array: Any, name: str, file: object, folder: str | None) -> None:
    """Raise where a Zarr array declares what it does not hold, or a codec would run code.

    ``folder`` is that of the store, None where it is none.
    """
    codecs = list(_codec_names(_codecs(array.metadata)))
    unsafe = [codec for codec in codecs if codec.split(".")[-1].lower() in UNSAFE_CODECS]
    if unsafe:
        refuse(name, file, f"its codec {unsafe[0]!r} runs code of the file, and is never used")
    dtype = np.dtype(array.dtype)
    of_objects = array.metadata.zarr_format == 2 and dtype.kind == "O"
    if of_objects and not set(codecs) & set(OBJECT_CODECS):
        refuse(name, file, f"objects are read through {', '.join(OBJECT_CODECS)} alone")
    if folder is not None:
        place = Path(folder) / name
        check_size(name, file, array.shape, array.chunks, dtype, lambda: stored_bytes(place))
    elif isinstance(path := getattr(array.store, "path", None), Path):  # a ZIP file
        check_size(
            name, file, array.shape, array.chunks, dtype, lambda: ZIPPED * path.stat().st_size
        )


def _codecs(metadata: Any) -> list[Any]:
    """Return the codecs of an array; ``metadata.to_dict()`` would warn of some types besides."""
    if metadata.zarr_format == 2:
        return [c.get_config() for c in (*(metadata.filters or ()), metadata.compressor) if c]
    return [codec.to_dict() for codec in metadata.codecs]


def _codec_names(metadata: Any) -> Iterator[str]:
    """Yield the names of codecs in an array's metadata of either format, also in shards."""
    if isinstance(metadata, dict):
        for key in ("id", "name"):
            if isinstance(metadata.get(key), str):
                yield metadata[key]
        metadata = [value for key, value in metadata.items() if key != "attributes"]
    if isinstance(metadata, list | tuple):
        for value in metadata:
            yield from _codec_names(value)


def stored_bytes(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(entry.stat().st_size for entry in entries_of(folder) if entry.is_file())


def entries_of(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield all files and folders below a folder; links are not followed."""
    pending = [str(folder)]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                yield entry
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)


def check_links(folder: str, name: str, *, is_array: bool) -> None:
    """Raise where a group or array of a store, or a file of it, is a link that leads out of it."""
    root, place = os.path.realpath(folder), Path(folder) / name
    links = [place]
    if is_array:
        links += [Path(entry.path) for entry in entries_of(place) if entry.is_symlink()]
    else:
        links += [place / found for found in METADATA if (place / found).is_symlink()]
    for link in links:
        if not Path(os.path.realpath(link)).is_relative_to(root):
            rule = "it is a link that leads out of the store, and is not followed"
            refuse(str(link.relative_to(folder)), folder, rule, "put there what it links to")


def check_zip(path: str) -> None:
    """Raise where a member of a ZIP file is larger than the memory limit when it is unpacked."""
    with ZipFile(path) as file:
        for member in file.infolist():
            if member.file_size > settings.memory_limit:
                rule = f"it unpacks to {member.file_size:,} bytes, more than the memory limit"
                refuse(member.filename, path, rule, "set a larger one, or unpack the file")
