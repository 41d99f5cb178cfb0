"""Folders and ZIP files as Zarr stores that tell a chunk that was lost from one of fill values."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from zarr.storage import LocalStore, ZipStore

from lazymu.store.whole import ATTRIBUTES, array_of, is_below, is_document, lost, says_whole

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype


class WholeStore:
    """What the stores have in common; the base class beside it is one of zarr's."""

    whole: set[str]
    """Paths of further arrays and groups of which every chunk was written."""

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        value: Buffer | None = await super().get(key, prototype, byte_range)  # type: ignore[misc]
        if value is None and not is_document(key):
            await self._check_lost(key, prototype)
        return value

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        return [await self.get(key, prototype, part) for key, part in key_ranges]

    async def _check_lost(self, key: str, prototype: BufferPrototype) -> None:
        if is_below(key, self.whole):
            raise lost(key, str(self))
        for name in ATTRIBUTES:
            document = await self.get(f"{array_of(key)}/{name}", prototype)
            if document is not None and says_whole(document.to_bytes()):
                raise lost(key, str(self))


class WholeFolder(WholeStore, LocalStore):  # type: ignore[misc] # zarr gives a default
    """A local folder."""

    def __init__(self, location: Any, whole: set[str]) -> None:
        super().__init__(location, read_only=True)
        self.whole = whole

    def with_read_only(self, read_only: bool = False) -> Any:  # noqa: FBT001, FBT002 - zarr's
        return self if read_only else LocalStore(self.root)

    def __str__(self) -> str:
        return str(self.root)

    def get_sync(self, key: str, **options: Any) -> Any:
        """Return what newer versions of zarr read without waiting."""
        value = super().get_sync(key, **options)  # older ones have none
        if value is None and not is_document(key):
            documents = (self.root / array_of(key) / name for name in ATTRIBUTES)
            said = (path.read_bytes() for path in documents if path.is_file())
            if is_below(key, self.whole) or any(map(says_whole, said)):
                raise lost(key, str(self))
        return value


class WholeZip(WholeStore, ZipStore):
    """A ZIP file."""

    def __init__(self, location: Any, whole: set[str]) -> None:
        super().__init__(location, mode="r")
        self.whole = whole

    def __str__(self) -> str:
        return str(self.path)

    def names(self) -> list[str]:
        """Return the files in it, each once."""
        return [name for name in set(self._file().namelist()) if not name.endswith("/")]

    def content(self, key: str) -> bytes:
        """Return what is in one of its files."""
        return self._file().read(key)

    def _file(self) -> zipfile.ZipFile:
        if not self._is_open:
            self._sync_open()
        return self._zf

    @cached_property
    def folders(self) -> dict[str, set[str]]:
        """The names of folders by the folder in which they are."""
        found: dict[str, set[str]] = {}
        for key in self.names():
            parts = key.split("/")[:-1]
            for n, part in enumerate(parts):
                found.setdefault("/".join(parts[:n]), set()).add(part)
        return found


def folders_of(store: Any, name: str) -> set[str]:
    """Return the names below a group of a folder or ZIP file that hold files."""
    if isinstance(store, WholeZip):
        return store.folders.get(name, set())
    if not isinstance(store, WholeFolder):
        return set()
    path = store.root / name
    if not path.is_dir():
        return set()
    return {entry.name for entry in os.scandir(path) if entry.is_dir() and _has_files(entry.path)}


def _has_files(folder: str) -> bool:
    return any(files for _, _, files in os.walk(folder))
