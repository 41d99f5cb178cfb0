"""A Zarr store written to an object store, which has no rename: it is there in one step even so.

Chunks go up as they are made; metadata are held and go up at the end, the root's last, with all
metadata of the store in it. A store that is replaced keeps its objects until then: the chunks of
the new one have keys of the other of two kinds, both of which Zarr's specification has.
"""

from __future__ import annotations

import gc
import json
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from lazymu.errors import ArgumentError, LazyMuError, StoreExistsError, explain
from lazymu.store.locations import check_writable, redacted
from lazymu.store.remote import (
    ROOTS,
    RemoteStore,
    connect,
    listed,
    no_store,
    told,
)
from lazymu.store.roots import live_roots
from lazymu.store.whole import is_document

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

MARKER = ".lazymu-writing"
"""Object that says that a write has begun: what stands there without a root is to be cleaned."""
LAST = (".zattrs", ".zmetadata", ".zgroup", "zarr.json")
"""The root's documents in the order in which they are written."""
FOLDERS = {"name": "default", "configuration": {"separator": "/"}}
FLAT = {"name": "v2", "configuration": {"separator": "."}}
"""Two kinds of chunk keys, ``c/0/1`` and ``0.1``, of which no key is of both."""
_CHUNK = re.compile(r"(^|/)c((?:/\d+)*)$")
N_REQUESTS = 16


@contextmanager
def writing(
    url: str, options: Mapping[str, Any] | None, *, overwrite: bool, zarr_format: int
) -> Iterator[WritingStore]:
    """Give a store to write to; what was written becomes the store at a URL at the end.

    An error leaves the store that was there as it was. What a killed write leaves is removed by the
    next one. Where the new store is of Zarr's format 2, or the old one has keys of several kinds,
    the old one goes before the first chunk comes. Two writes to one URL are not kept apart.

    Raises
    ------
    StoreExistsError
        If there is a store and ``overwrite`` is False.
    ArgumentError
        If nothing can be written there, objects are there that are no store, or data in use are
        read from it.
    """
    check_writable(url)
    target = connect(url, options)
    location = redacted(url)
    keys = _keys(target, location)
    _check(keys, url, overwrite=overwrite)
    flat = zarr_format == 3 and _next_is_flat(target, keys, location)
    store = WritingStore(url, options, flat=bool(flat))
    _delete(target, location, _in_the_way(keys, flat=flat))
    _put(target, location, {MARKER: b"{}"})
    try:
        yield store
        store.publish()
    except BaseException:
        with suppress(LazyMuError):
            _delete(target, location, store.left())
        raise
    kept = {*store.placed.values(), *store.documents}
    _delete(target, location, [key for key in _keys(target, location) if key not in kept])


def _check(keys: list[str], url: str, *, overwrite: bool) -> None:
    location = repr(redacted(url))
    if any(name in keys for name in ROOTS):
        if not overwrite:
            raise StoreExistsError(explain("path", location, "it exists", "pass overwrite=True"))
        gc.collect()
        if live_roots(url):
            rule = "data in use are read from it, and an object store cannot keep them beside"
            fix = "write to another name, or to a local path, or drop what reads it"
            raise ArgumentError(explain("path", location, rule, fix))
    elif keys and MARKER not in keys:
        rule = "there are objects that are no store, and they would be removed"
        raise ArgumentError(explain("path", location, rule, "write somewhere else"))


def _next_is_flat(target: Any, keys: list[str], location: str) -> bool | None:
    """Return whether new chunks take flat keys, so that old ones stay; None where both are used."""
    import obstore

    if "zarr.json" not in keys:
        return False
    with told(location):
        document = json.loads(bytes(obstore.get(target, "zarr.json").bytes()))
    names = {node["chunk_key_encoding"]["name"] for node in _arrays_in(document)}
    if len(names) > 1 or not document.get("consolidated_metadata"):
        return None
    return names != {"v2"}


def _in_the_way(keys: list[str], *, flat: bool | None) -> list[str]:
    """Return what goes before a write: keys that it may make, or all of them where that is open."""
    if not any(name in keys for name in ROOTS) or flat is None:
        return sorted(keys, key=lambda key: key not in ROOTS)
    chunks = [key for key in keys if not is_document(key)]
    return [key for key in chunks if (_CHUNK.search(key) is None) == flat]


class WritingStore(RemoteStore):
    """The objects of a store that is being written; its metadata are in memory.

    Pickled, it is a store to put chunks into; only that of the writing process knows of all.

    Parameters
    ----------
    url, options
        As of :func:`~lazymu.store.remote.connect`.
    flat
        Give chunks flat keys.
    """

    def __init__(
        self, url: str, options: Mapping[str, Any] | None = None, *, flat: bool = False
    ) -> None:
        super().__init__(connect(url, options), url)
        self._origin = (url, options)
        self._expects = False
        self.documents: dict[str, Buffer] = {}
        self.placed: dict[str, str] = {}
        """Keys of chunks as Zarr asks for them, and as they are."""
        self.flat = flat

    def with_read_only(self, read_only: bool = False) -> Any:  # noqa: FBT001, FBT002 - zarr's
        if not read_only:
            return self
        rule = "it is being written"
        raise ArgumentError(explain("path", repr(self.location), rule, "read it afterwards"))

    def _place(self, key: str) -> str:
        found = _CHUNK.search(key) if self.flat else None
        if found is None:
            return key
        numbers = found[2].removeprefix("/").replace("/", ".") or "0"
        return f"{key[: found.start()]}{found[1]}{numbers}"

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        if is_document(key):
            return self.documents.get(key)
        if key not in self.placed:
            return None
        return await super().get(self._place(key), prototype, byte_range)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        return [await self.get(key, prototype, part) for key, part in key_ranges]

    async def set(self, key: str, value: Buffer) -> None:
        if is_document(key):
            self.documents[key] = value
            return
        try:
            await super().set(self._place(key), value)
        except FileNotFoundError:  # of the bucket
            raise no_store(self.location) from None
        self.placed[key] = self._place(key)

    def __reduce__(self) -> tuple[Any, ...]:
        return (partial(WritingStore, flat=self.flat), self._origin)

    def expect(self, keys: Iterable[str]) -> None:
        """Take it that chunks are there, which other processes will write."""
        self.placed.update((key, self._place(key)) for key in keys)
        self._expects = True

    def left(self) -> list[str]:
        """Return what a failed write leaves; the marker stays where tasks may still write."""
        if not self._expects:
            return [*self.placed.values(), MARKER]
        there = set(_keys(self.store, self.location))
        return [key for key in self.placed.values() if key in there]

    async def exists(self, key: str) -> bool:
        return key in self.documents or key in self.placed

    async def delete(self, key: str) -> None:
        self.documents.pop(key, None)
        if self.placed.pop(key, None) is not None:
            await super().delete(self._place(key))

    async def delete_dir(self, prefix: str) -> None:
        for key in [key async for key in self.list_prefix(f"{prefix}/" if prefix else "")]:
            await self.delete(key)

    async def list(self) -> AsyncIterator[str]:  # type: ignore[override]
        for key in [*self.documents, *self.placed]:
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:  # type: ignore[override]
        async for key in self.list():
            if key.startswith(prefix):
                yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:  # type: ignore[override]
        """Yield the names of groups and arrays below a group."""
        start = f"{prefix.rstrip('/')}/" if prefix else ""
        names = {key[len(start) :].split("/")[0] for key in self.documents if key.startswith(start)}
        for name in sorted(names):
            yield name

    def publish(self) -> None:
        """Write the metadata, the root's last: with it the store is there."""
        documents = {key: value.to_bytes() for key, value in self.documents.items()}
        if self.flat:
            documents = {key: _with_flat_keys(text) for key, text in documents.items()}
        below = {key: text for key, text in documents.items() if key not in LAST}
        _put(self.store, self.location, below)
        for name in LAST:
            if name in documents:
                _put(self.store, self.location, {name: documents[name]})


def _with_flat_keys(text: bytes) -> bytes:
    """Return a document of metadata in which all arrays have flat keys."""
    document = json.loads(text)
    for node in _arrays_in(document):
        node["chunk_key_encoding"] = FLAT
    return json.dumps(document).encode()


def _arrays_in(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the metadata of arrays: the document's own, and those that are consolidated in it."""
    nodes = (document.get("consolidated_metadata") or {}).get("metadata") or {}
    return [node for node in (document, *nodes.values()) if node.get("node_type") == "array"]


# --- requests -------------------------------------------------------------------------------------


def _keys(target: Any, location: str) -> list[str]:
    return [entry["path"] for entry in listed(target, location)]


def _put(target: Any, location: str, objects: Mapping[str, bytes]) -> None:
    import obstore

    try:
        _side_by_side(location, lambda key: obstore.put(target, key, objects[key]), list(objects))
    except FileNotFoundError:  # of the bucket
        raise no_store(location) from None


def _delete(target: Any, location: str, keys: list[str]) -> None:
    import obstore

    def remove(names: str | list[str]) -> None:
        with suppress(FileNotFoundError):
            obstore.delete(target, names)

    # Roots come first in what is to be removed: a store goes before its parts do.
    for key in [key for key in keys if key in ROOTS]:
        _side_by_side(location, remove, [key])
    rest = [key for key in keys if key not in ROOTS]
    runs = [rest[start : start + 1000] for start in range(0, len(rest), 1000)]
    _side_by_side(location, remove, runs)


def _side_by_side(location: str, work: Callable[[Any], object], items: list[Any]) -> None:
    def one(item: Any) -> None:
        with told(location):
            work(item)

    with ThreadPoolExecutor(max_workers=N_REQUESTS) as pool:
        for _ in pool.map(one, items):
            pass
