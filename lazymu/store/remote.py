"""Object stores and web servers as Zarr stores, read-only or not, with errors that say what to do.

obstore brings the objects: it keeps connections, asks again after errors that pass (reset
connections, time-outs, 5xx, slow-down) with a growing pause, and merges neighbouring ranges.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from errno import ENOENT
from typing import TYPE_CHECKING, Any, NoReturn

from zarr.storage import ObjectStore

from lazymu.errors import (
    AccessError,
    ArgumentError,
    DamagedFileError,
    LazyMuError,
    MissingFileError,
    MissingPackageError,
    RemoteError,
    explain,
)
from lazymu.store.credentials import CHECK, no_credentials, s3_config
from lazymu.store.locations import READ_ONLY, check_url, redacted, scheme_of
from lazymu.store.whole_stores import WholeStore

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

ROOTS = ("zarr.json", ".zgroup", ".zarray")
"""Those by which a store is known."""
RETRIES: dict[str, Any] = {
    "max_retries": 6,
    "retry_timeout": timedelta(minutes=2),
    "backoff": {
        "init_backoff": timedelta(milliseconds=200),
        "max_backoff": timedelta(seconds=15),
        "base": 2,
    },
}
TIMEOUTS = {"connect_timeout": "10s", "read_timeout": "30s", "timeout": "10m"}
"""To connect, between two pieces of an answer, and for a whole object."""
LISTINGS = 3
"""Tries at a list beyond one: of all answers only broken off lists are not asked for again."""
KEYS_WRONG = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken")

_memory: dict[str, Any] = {}
"""Stores of ``memory://`` URLs, which live as long as the process."""


def connect(url: str, options: Mapping[str, Any] | None) -> Any:
    """Return obstore's store of a URL: an S3, Google, Azure, HTTP or memory store.

    Parameters
    ----------
    url
        Root of a Zarr store.
    options
        `storage_options`: names of s3fs or obstore. ``headers`` and ``client_options`` go to the
        HTTP client.

    Raises
    ------
    MissingPackageError
        If obstore is not installed.
    ArgumentError
        If the URL carries credentials where it must not, or an option is not known.
    """
    try:
        from obstore import exceptions, store
    except ImportError as error:
        rule = "URLs need the package obstore"
        fix = "pip install 'lazymu[s3]'"
        raise MissingPackageError(explain("path", repr(redacted(url)), rule, fix)) from error
    check_url(url)
    if scheme_of(url) == "memory":
        return _memory.setdefault(url.rstrip("/"), store.MemoryStore())
    given = dict(options or {})
    client = {**TIMEOUTS, **given.pop("client_options", {})}
    if headers := given.pop("headers", None):
        client["default_headers"] = headers
    config = s3_config(url, given) if scheme_of(url) in ("s3", "s3a") else given
    if f"{config.get('aws_endpoint', '')} {url}".lower().startswith(("http://", " http://")):
        client["allow_http"] = True
    extra = {"config": config} if config else {}
    try:
        return store.from_url(url, client_options=client, retry_config=RETRIES, **extra)  # type: ignore[call-overload]
    except (exceptions.BaseError, TypeError, ValueError) as error:
        named = re.search(r"key: '?\"?(\w+)", str(error))
        rule = f"{named[1]!r} is no option of it" if named else "it is no URL of a known kind"
        fix = "known are s3://, gs://, az://, https:// and memory://, with options of s3fs"
        raise ArgumentError(explain("path", repr(redacted(url)), rule, fix)) from None


class RemoteStore(WholeStore, ObjectStore):  # type: ignore[type-arg] # of older zarr it takes none
    """The objects below a URL.

    Parameters
    ----------
    store
        What :func:`connect` returns.
    location
        Its URL; shown without secrets.
    read_only
        Whether nothing may be written.
    whole
        Paths of arrays of which every chunk was written: one that is absent was lost.
    """

    is_remote = True

    def __init__(
        self,
        store: Any,
        location: str = "",
        *,
        read_only: bool = False,
        whole: set[str] | None = None,
    ) -> None:
        super().__init__(store, read_only=read_only)
        self.location = redacted(location)
        self.whole = set() if whole is None else whole
        self.version: int | None = None
        """Checksum of the root's metadata as they were first read."""

    def with_read_only(self, read_only: bool = False) -> Any:  # noqa: FBT001, FBT002 - zarr's
        return type(self)(self.store, self.location, read_only=read_only, whole=self.whole)

    def __str__(self) -> str:
        return self.location

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        with told(self.location):
            value = await super().get(key, prototype, byte_range)
        if value is not None and self.version is None and key in ROOTS:
            self.version = zlib.crc32(value.to_bytes())
        return value

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        wanted = list(key_ranges)
        with told(self.location):
            values = await ObjectStore.get_partial_values(self, prototype, wanted)
        for (key, _), value in zip(wanted, values, strict=True):
            if value is None:
                await self._check_lost(key, prototype)
        return values

    async def exists(self, key: str) -> bool:
        with told(self.location):
            return await super().exists(key)

    async def set(self, key: str, value: Buffer) -> None:
        with told(self.location):
            await super().set(key, value)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        if not await self.exists(key):
            await self.set(key, value)

    async def delete(self, key: str) -> None:
        with told(self.location):
            await super().delete(key)

    async def getsize(self, key: str) -> int:
        with told(self.location):
            return await super().getsize(key)

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:  # type: ignore[override]
        self._check_lists()
        with told(self.location):
            async for key in super().list_prefix(prefix):
                yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:  # type: ignore[override]
        self._check_lists()
        with told(self.location):
            async for key in super().list_dir(prefix):
                yield key

    def _check_lists(self) -> None:
        if scheme_of(self.location) in READ_ONLY:
            rule = "its metadata are not consolidated, and a web server does not list files"
            fix = "run zarr.consolidate_metadata on the store, or write it with lazymu"
            raise DamagedFileError(explain("path", repr(self.location), rule, fix))

    def sizes(self) -> dict[str, int] | None:
        """Return the bytes of every object by its key; None where they cannot be listed."""
        if scheme_of(self.location) in READ_ONLY:
            return None
        return {entry["path"]: entry["size"] for entry in listed(self.store, self.location)}

    def content(self, key: str) -> bytes:
        """Return an object."""
        import obstore

        with told(self.location):
            return bytes(obstore.get(self.store, key).bytes())

    def ranges(self, key: str, starts: Sequence[int], stops: Sequence[int]) -> list[Any]:
        """Return ranges of bytes of an object; neighbouring ones come in one request."""
        return ranges_of(self.store, key, starts, stops, self.location)

    def tail(self, key: str, n_bytes: int) -> Any:
        """Return the last bytes of an object."""
        import obstore

        options: Any = {"range": {"suffix": n_bytes}}
        with told(self.location):
            return obstore.get(self.store, key, options=options).bytes()


def listed(target: Any, location: str) -> list[Any]:
    """Return what is known of every object; a list that breaks off is asked for again."""
    import obstore

    for _ in range(LISTINGS):
        try:
            return list(obstore.list(target).collect())
        except obstore.exceptions.GenericError as error:
            if "ListResponseBody" not in str(error):
                break
    with told(location):
        return list(obstore.list(target).collect())


def ranges_of(
    target: Any, key: str, starts: Sequence[int], stops: Sequence[int], location: str
) -> list[Any]:
    """Return ranges of bytes of an object."""
    import obstore

    with told(location):
        return list(obstore.get_ranges(target, key, starts=starts, ends=stops))


@contextmanager
def told(location: str) -> Iterator[None]:
    """Turn obstore's errors into ours, which hold no secrets: its own show URLs and answers."""
    try:
        yield
    except LazyMuError:
        raise
    except FileNotFoundError:
        raise FileNotFoundError(ENOENT, "no such object", redacted(location)) from None
    except Exception as error:
        if not type(error).__module__.startswith("obstore"):
            raise
        _raise(error, redacted(location))


def _raise(error: Exception, location: str) -> NoReturn:
    from obstore import exceptions

    text = str(error)
    status = re.search(r"status code: (\d{3})([A-Za-z ]*)", text)
    code = re.search(r"<Code>(\w+)</Code>", text)
    number = status[1] if status else ""
    said = " ".join(
        part for part in (number, code[1] if code else (status or ["", "", ""])[2]) if part
    )
    refused = isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError)
    if "169.254.169.254" in text or "/latest/" in text or "CredentialProvider" in text:
        raise no_credentials(location) from None
    if code and code[1] in KEYS_WRONG:
        rule = f"its server does not accept the credentials ({said})"
        raise AccessError(explain("path", repr(location), rule, CHECK)) from None
    if refused or number in ("401", "403"):
        rule = f"its server refuses access ({said.strip() or 'denied'})"
        fix = f"ask for permission to read, list or write there, or {CHECK}"
        raise AccessError(explain("path", repr(location), rule, fix)) from None
    if "configured region" in text or number == "301":
        rule = "its bucket is in another region"
        raise AccessError(explain("path", repr(location), rule, "set AWS_REGION to it")) from None
    if number == "404":
        raise no_store(location) from None
    cause = said.strip() or _without_answer(text)
    rule = f"its server does not answer, also when asked again ({cause})"
    fix = "check the network and the endpoint (AWS_ENDPOINT_URL), and try again later"
    raise RemoteError(explain("path", repr(location), rule, fix)) from None


def _without_answer(text: str) -> str:
    late = re.search("kind: Timeout|TimedOut|timed out", text)
    return "it timed out" if late else "the connection failed"


def no_store(location: str) -> MissingFileError:
    """Return the error of a URL at which there is nothing."""
    rule = "there is no such store or bucket"
    fix = "check its spelling, and the endpoint (AWS_ENDPOINT_URL)"
    return MissingFileError(explain("path", repr(redacted(location)), rule, fix))
