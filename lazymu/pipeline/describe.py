"""What a store or file holds: axes, arrays with their chunks and sizes on disk, block plans."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lazymu.containers import Modality, MuData, read
from lazymu.errors import ArgumentError
from lazymu.io.open import split_path
from lazymu.store.elements import is_array
from lazymu.store.roots import H5Root, ZarrRoot, is_url
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
    stored_bytes: int


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
    def stored_bytes(self) -> int:
        """Bytes of all arrays on disk."""
        return sum(array.stored_bytes for array in self.arrays)


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
    return StoreInfo(str(path), parts, list(_arrays_in(str(path))))


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
    yield from _arrays_below(next(n for n in map(root.find, places) if n is not None), "")


def _arrays_below(group: Any, prefix: str) -> Iterator[ArrayInfo]:
    for name in sorted(group.keys()):
        node = group[name]
        if is_array(node):
            yield _array_info(f"{prefix}{name}", node)
        else:
            yield from _arrays_below(node, f"{prefix}{name}/")


def _array_info(name: str, node: Any) -> ArrayInfo:
    """Describe an array of Zarr (which counts its own stored bytes) or of HDF5."""
    if hasattr(node, "nbytes_stored"):
        codecs = [type(codec).__name__.removesuffix("Codec") for codec in node.compressors]
        stored, shards = node.nbytes_stored(), node.shards
    else:
        codecs = [node.compression] if node.compression else []
        stored, shards = node.id.get_storage_size(), None
    codec = " ".join(codecs).lower() or "none"
    return ArrayInfo(name, str(node.dtype), node.shape, node.chunks, shards, codec, stored)
