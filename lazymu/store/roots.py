"""HDF5 files and Zarr hierarchies that are read from, and the arrays in them.

A root may be pickled: the other side opens it again. A root follows its file: where a write
replaces the file, the one that was there lives on beside it for as long as a root reads it
(:mod:`lazymu.store.replace`).
"""

from __future__ import annotations

import weakref
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from errno import EACCES
from os import strerror
from os.path import realpath
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from lazymu.errors import DamagedFileError, LazyMuError, MissingFileError, explain
from lazymu.keys import WHOLE
from lazymu.store.bounds import check_h5, check_links, check_zarr, check_zip
from lazymu.store.chunks import ChunkFiles, chunk_files
from lazymu.store.h5_probe import probe
from lazymu.store.locations import is_url, redacted, split_query
from lazymu.store.refusal import refusing
from lazymu.store.shards import FolderObjects, ShardedRows, sharded_rows
from lazymu.store.whole import fix_of, is_below
from lazymu.typing import Array

_live: weakref.WeakSet[Root] = weakref.WeakSet()


class Root:
    """An HDF5 file or a Zarr hierarchy, opened for reading when first needed.

    Parameters
    ----------
    location
        A local path, a URL, or an open Zarr store.
    options
        `storage_options` of a URL. They are pickled with the root, and never shown.
    """

    def __init__(self, location: Any, options: Mapping[str, Any] | None = None) -> None:
        local = isinstance(location, str | Path) and not is_url(str(location))
        self.location: Any = str(Path(location).resolve()) if local else location
        self.is_local = local
        self._options = options
        self._nodes: dict[str, Any] = {}
        self._keep: Any = None
        _live.add(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.location, self._options))

    def __str__(self) -> str:
        return redacted(self.location)

    def _open(self) -> Any:
        raise NotImplementedError

    def node(self, name: str = "") -> Any:
        """Return the group or array at a path below the root."""
        name = name.strip("/")
        if name not in self._nodes:
            self._nodes[name] = self._child(name) if name else self._open()
        return self._nodes[name]

    def _child(self, name: str) -> Any:
        absent = None
        with reading(self, name, "metadata"):
            try:
                node = self.node()[name]
                self._check(name, node)
            except KeyError as error:
                absent = error
        if absent is not None:
            raise absent
        return node

    def _check(self, name: str, node: Any) -> None:
        """Raise where a group or array leads out of the file, or claims more than it holds."""

    def find(self, name: str) -> Any:
        """Return the group or array at a path below the root, None where there is none."""
        try:
            return self.node(name)
        except KeyError as error:
            # zarr keeps the error, and the error all frames that led here, with what they hold.
            error.__traceback__ = None
            self.check_lost(name)
            return None

    def check_lost(self, name: str) -> None:
        """Raise where a group or array is not found whose parts are there."""

    def folders(self, name: str) -> Collection[str]:
        """Return the names below a group that hold files, where they can be listed at once."""
        return ()

    def identity(self, name: str) -> object:
        """Return what tells a group from others, by whatever links one comes to it."""
        return name

    def move(self, location: str, keep: object) -> None:
        """Follow a file that was moved; ``keep`` lives as long as the root does."""
        self.location, self._keep = location, keep


class H5Root(Root):
    """An HDF5 file."""

    def _open(self) -> Any:
        import hdf5plugin  # noqa: F401 - registers the filters that other tools write with

        path = Path(self.location)
        if path.exists() and not path.is_file():
            rule = "it is no regular file, as HDF5 is"
            raise DamagedFileError(
                explain("path", repr(self.location), rule, "name the file, or a Zarr store")
            )
        try:
            probe(self.location)
            file = h5py.File(self.location, "r")
        except OSError as error:
            if not path.exists():
                raise missing(self.location) from error
            if isinstance(error, PermissionError):  # whose text by HDF5 takes three lines
                raise PermissionError(EACCES, strerror(EACCES), self.location) from error
            rule = "it cannot be opened as HDF5"
            raise DamagedFileError(
                explain("path", repr(self.location), f"{rule} ({error})", "copy or write it again")
            ) from error
        try:
            with refusing("path", repr(self.location)):
                check_h5(file)
        except BaseException:
            file.close()
            raise
        return file

    def identity(self, name: str) -> object:
        return h5py.h5o.get_info(self.node(name).id).addr


class ZarrRoot(Root):
    """A Zarr hierarchy of format 2 or 3: a folder, a ``.zip`` of one, or a URL of either."""

    def __init__(self, location: Any, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(location, options)
        self._whole: set[str] = set()
        self._version: int | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        state = {"_whole": self._whole, "_version": self._version}
        return (*super().__reduce__(), state)

    @property
    def is_folder(self) -> bool:
        """Whether the arrays are files in a local folder."""
        return self.is_local and not self.is_zip

    @property
    def is_zip(self) -> bool:
        """Whether the hierarchy is in a ZIP file."""
        return isinstance(self.location, str) and split_query(self.location)[0].endswith(".zip")

    @property
    def is_remote(self) -> bool:
        """Whether the arrays are objects below a URL."""
        return isinstance(self.location, str) and not self.is_local and not self.is_zip

    def expect_whole(self, name: str) -> None:
        """Take it that every chunk of a matrix was written, so that one that is absent was lost."""
        self._whole.add(name)

    def is_whole(self, array: Any) -> bool:
        """Return whether every chunk of an array was written."""
        return bool(array.attrs.get(WHOLE, False)) or is_below(f"{array.path}/", self._whole)

    def check_lost(self, name: str) -> None:
        group, _, last = name.strip("/").rpartition("/")
        if last in self.folders(group):
            rule = "its metadata (zarr.json, .zgroup or .zarray) are not there"
            raise DamagedFileError(explain(name, f"in {self}", rule, fix_of(self)))

    def folders(self, name: str) -> Collection[str]:
        if not self.is_folder and not self.is_zip:
            return ()
        from lazymu.store.whole_stores import folders_of

        with reading(self, name):
            found = folders_of(self.node().store, name)
        return {folder for folder in found if not folder.startswith((".", "__"))}

    def _open(self) -> Any:
        import zarr

        if self.is_remote:
            return self._open_remote()
        if not self.is_local and not self.is_zip:
            return zarr.open_group(self.location, mode="r")
        if self.is_local and not Path(self.location).exists():
            raise missing(self.location)
        # A folder is listed as it is: consolidated metadata that others wrote may be stale.
        try:
            store = self._zip_store() if self.is_zip else self._folder_store()
            return zarr.open_group(store, mode="r", use_consolidated=False)
        except LazyMuError:
            raise
        except Exception as error:  # zarr and zipfile raise many kinds on damaged metadata
            raise _no_group(self, error) from error

    def identity(self, name: str) -> object:
        return realpath(Path(self.location) / name) if self.is_folder else name

    def _check(self, name: str, node: Any) -> None:
        folder = self.location if self.is_folder else None
        is_array = hasattr(node, "dtype")
        if folder is not None:
            check_links(folder, name, is_array=is_array)
        if is_array:
            check_zarr(node, name, self, folder)

    def _zip_store(self) -> Any:
        if not self.is_local:
            from lazymu.store.remote_zip import open_zip

            return open_zip(self.location, self._options, self._whole)
        from lazymu.store.whole_stores import WholeZip

        check_zip(self.location)
        return WholeZip(self.location, self._whole)

    def _folder_store(self) -> Any:
        from lazymu.store.whole_stores import WholeFolder

        return WholeFolder(self.location, self._whole)

    def _open_remote(self) -> Any:
        import zarr

        from lazymu.store.remote import RemoteStore, connect, no_store

        found = connect(self.location, self._options)
        store = RemoteStore(found, self.location, read_only=True, whole=self._whole)
        try:
            group = zarr.open_group(store, mode="r")
        except LazyMuError:
            raise
        except FileNotFoundError:
            raise no_store(self.location) from None
        except Exception as error:
            raise _no_group(self, error) from error
        version = store.version
        if self._version not in (None, version):
            rule = "it was replaced after it was opened"
            raise DamagedFileError(explain("path", repr(str(self)), rule, "open it again"))
        self._version = version
        return group

    def move(self, location: str, keep: object) -> None:
        super().move(location, keep)
        self._nodes = {}


def _no_group(root: Root, error: Exception) -> DamagedFileError:
    rule = f"it cannot be opened as a Zarr group ({error})"
    return DamagedFileError(explain("path", repr(str(root)), rule, fix_of(root)))


class Place(NamedTuple):
    """A group or array of a root."""

    root: Root
    name: str


def missing(location: str) -> MissingFileError:
    """Return the error of a path that does not exist."""
    return MissingFileError(
        explain("path", repr(location), "there is no such file or folder", "check its spelling")
    )


def live_roots(location: str) -> list[Root]:
    """Return the roots that read a local path, in full, or a URL."""
    wanted = redacted(location).rstrip("/")
    return [root for root in list(_live) if str(root).rstrip("/") == wanted]


class StoredArray:
    """An array of a root, opened when first read, and again after pickling or a move."""

    def __init__(self, root: Root, name: str) -> None:
        self.root, self.name = root, name
        self._files: tuple[Any, ChunkFiles | ShardedRows | None] = (None, None)

    @property
    def node(self) -> Any:
        """The HDF5 dataset or Zarr array."""
        return self.root.node(self.name)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.node.shape)

    @property
    def dtype(self) -> Any:
        return self.node.dtype

    def __getitem__(self, key: Any) -> Array:
        with reading(self.root, self.name):
            node = self.node
            files = self._chunk_files(node)
            if files is None or not isinstance(key, slice) or key.step is not None:
                return np.asarray(node[key])
            return files.read(*key.indices(node.shape[0])[:2])

    def _chunk_files(self, node: Any) -> ChunkFiles | ShardedRows | None:
        """Return the direct reader of the array's chunks or shards, where there is one for it."""
        if self._files[0] is not node:
            self._files = (node, _direct_reader(self.root, node))
        return self._files[1]

    def __reduce__(self) -> tuple[Any, ...]:
        return (StoredArray, (self.root, self.name))


def _direct_reader(root: Root, node: Any) -> ChunkFiles | ShardedRows | None:
    if not isinstance(root, ZarrRoot) or not (root.is_folder or root.is_remote):
        return None
    is_whole = root.is_whole(node)
    if root.is_remote:
        return sharded_rows(node, node.store, is_whole=is_whole)
    sharded = sharded_rows(node, FolderObjects(root.location), is_whole=is_whole)
    return sharded or chunk_files(node, root.location, is_whole=is_whole)


def reading(root: Root, name: str, what: str = "values") -> AbstractContextManager[None]:
    """Say which array of which file could not be read."""
    return refusing(name or "path", f"in {root}", f"its {what} cannot be read", fix_of(root))
