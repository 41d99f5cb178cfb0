"""What a store or file holds: axes, arrays with their chunks and sizes on disk, block plans."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from lazymu.containers import Modality, MuData, read
from lazymu.errors import ArgumentError
from lazymu.io.open import split_path
from lazymu.store.elements import is_array
from lazymu.store.locations import is_url, redacted
from lazymu.store.roots import H5Root, ZarrRoot
from lazymu.stream import BlockPlan, LazyMatrix
from lazymu.stream.by_feature import stored_bytes
from lazymu.stream.passes import pass_plan

_ZARR_METADATA = ("zarr.json", ".zgroup")
_SLOTS = ("obs", "var", "layers", "obsm", "varm", "obsp", "varp", "uns")


@dataclass(frozen=True)
class ArrayInfo:
    """One array on disk."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...] | None
    shards: tuple[int, ...] | None
    codec: str
    stored_bytes: int | None
    """None where a web server does not tell."""


@dataclass(frozen=True)
class MatrixInfo:
    """One matrix and the blocks in which it will be read under the memory limit."""

    name: str
    summary: str
    plan: BlockPlan
    by_feature_bytes: int | None
    """Space on disk of its copy by feature, None where there is none."""


@dataclass(frozen=True)
class PartInfo:
    """One modality, or (without a name) what belongs to all of them."""

    name: str
    shape: tuple[int, int]
    matrices: list[MatrixInfo]
    contents: dict[str, list[str]]
    """Names in `obs`, `var`, `obsm`, ... where there are any."""


@dataclass(frozen=True)
class StoreInfo:
    """A store or file as a whole."""

    path: str
    parts: list[PartInfo]
    arrays: list[ArrayInfo]

    @property
    def stored_bytes(self) -> int | None:
        """Bytes of all arrays where they are stored, None where that is not known."""
        return total_bytes(self.arrays)


def total_bytes(arrays: Iterable[ArrayInfo]) -> int | None:
    """Return the stored bytes of arrays, None where those of any are not known."""
    found = [array.stored_bytes for array in arrays]
    known = [n_bytes for n_bytes in found if n_bytes is not None]
    return sum(known) if len(known) == len(found) else None


def describe(path: str | Path) -> StoreInfo:
    """Return what a store or file holds; counts are not read.

    Raises
    ------
    LazyMuError
        If the path cannot be opened as any known format, or the largest cell exceeds the memory
        limit.
    """
    data = read(path)
    if isinstance(data, Modality):
        parts = [_part("", data)]
    else:
        joint = PartInfo("", data.shape, [], _contents(data))
        parts = [joint, *(_part(name, modality) for name, modality in data.mod.items())]
    return StoreInfo(redacted(path), parts, list(_arrays_in(str(path))))


def _part(name: str, modality: Modality) -> PartInfo:
    found: dict[str, LazyMatrix] = {}
    with suppress(ArgumentError):  # annotation only
        found["X"] = modality.X
    found |= {f"layers/{key}": layer for key, layer in modality.layers.items()}
    matrices = [
        MatrixInfo(key, repr(matrix), pass_plan(matrix), stored_bytes(matrix.source))
        for key, matrix in found.items()
    ]
    return PartInfo(name, modality.shape, matrices, _contents(modality))


def _contents(data: MuData | Modality) -> dict[str, list[str]]:
    slots = [slot for slot in _SLOTS if hasattr(data, slot)]
    found = {slot: [str(key) for key in getattr(data, slot)] for slot in slots}
    return {slot: names for slot, names in found.items() if names}


def _arrays_in(path: str) -> Iterator[ArrayInfo]:
    file, inner = split_path(path)
    folder = Path(file)
    if folder.is_dir() and not any((folder / name).is_file() for name in _ZARR_METADATA):
        return  # a Cell Ranger folder of text files
    zarr = folder.is_dir() or is_url(file) or file.endswith(".zip")
    root = ZarrRoot(file) if zarr else H5Root(file)
    # A modality may be named without the folder `mod`; one of a 10x file is no group of its own.
    places = (f"mod/{inner}", inner, "") if inner else ("",)
    top = next(n for n in map(root.find, places) if n is not None)
    remote = isinstance(root, ZarrRoot) and root.is_remote
    sizes = top.store.sizes() if remote else None
    stored = partial(_bytes_of_objects, sizes) if remote else _own_bytes
    yield from _arrays_below(top, "", stored)


Stored: TypeAlias = Callable[[Any], int | None]


def _bytes_of_objects(sizes: dict[str, int] | None, node: Any) -> int | None:
    """Return what the objects of an array take: one listing is for all arrays."""
    if sizes is None:
        return None
    return sum(size for key, size in sizes.items() if key.startswith(f"{node.path}/"))


def _arrays_below(group: Any, prefix: str, stored: Stored) -> Iterator[ArrayInfo]:
    for name in sorted(group.keys()):
        node = group[name]
        if is_array(node):
            yield _array_info(f"{prefix}{name}", node, stored)
        else:
            yield from _arrays_below(node, f"{prefix}{name}/", stored)


def _array_info(name: str, node: Any, stored_bytes: Stored) -> ArrayInfo:
    """Describe an array of Zarr (which counts its own stored bytes in a folder) or of HDF5."""
    stored: int | None
    if hasattr(node, "nbytes_stored"):
        codecs = [type(codec).__name__.removesuffix("Codec") for codec in node.compressors]
        stored, shards = stored_bytes(node), node.shards
    else:
        codecs = [node.compression] if node.compression else []
        stored, shards = node.id.get_storage_size(), None
    codec = " ".join(codecs).lower() or "none"
    return ArrayInfo(name, str(node.dtype), node.shape, node.chunks, shards, codec, stored)


def _own_bytes(node: Any) -> int:
    """Return the stored bytes of a Zarr array as it counts them."""
    return int(node.nbytes_stored())
