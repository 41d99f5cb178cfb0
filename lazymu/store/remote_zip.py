"""A Zarr store in a ZIP file behind a URL, read-only: parts of the file come as they are needed."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from lazymu.store.locations import redacted, split_query
from lazymu.store.remote import connect, no_store, ranges_of, told
from lazymu.store.whole_stores import WholeZip

BUFFER_BYTES = 1 << 20
"""What a request brings at least: small chunks of a ZIP file are read one after the other."""


class ObjectFile(io.RawIOBase):
    """An object as a file that can be read anywhere."""

    def __init__(self, target: Any, key: str, size: int, location: str) -> None:
        self._target, self._key, self._size, self._location = target, key, size, location
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, origin + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        stop = min(self._at + len(buffer), self._size)
        if stop <= self._at:
            return 0
        (found,) = ranges_of(self._target, self._key, [self._at], [stop], self._location)
        n_bytes = len(found)
        buffer[:n_bytes] = memoryview(found)
        self._at += n_bytes
        return n_bytes


class RemoteZip(WholeZip):
    """A ZIP file that is read through a file object."""

    def __init__(self, file: Any, location: str, whole: set[str]) -> None:
        super().__init__("remote.zip", whole)
        self.path, self._location = file, redacted(location)

    def __str__(self) -> str:
        return self._location


def open_zip(url: str, options: Mapping[str, Any] | None, whole: set[str]) -> RemoteZip:
    """Return the store in a ZIP file behind a URL."""
    import obstore

    path, query = split_query(url)
    folder, _, name = path.rpartition("/")
    target = connect(folder + query, options)
    try:
        with told(url):
            size = int(obstore.head(target, name)["size"])
    except FileNotFoundError:
        raise no_store(url) from None
    raw = ObjectFile(target, name, size, redacted(url))
    return RemoteZip(io.BufferedReader(raw, BUFFER_BYTES), url, whole)
