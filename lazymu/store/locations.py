"""Locations of stores: local paths and URLs, and what of a URL may be shown."""

from __future__ import annotations

from urllib.parse import urlsplit

from lazymu.errors import ArgumentError, explain

READ_ONLY = ("http", "https")
"""Schemes that serve objects and take none."""


def is_url(location: str) -> bool:
    """Return whether a location is a URL rather than a local path."""
    return "://" in location


def scheme_of(url: str) -> str:
    """Return the scheme of a URL in small letters: ``"s3"``."""
    return url.partition("://")[0].lower()


def split_query(location: str) -> tuple[str, str]:
    """Return a URL without its query, and the query with its question mark; paths have none.

    Examples
    --------
    >>> split_query("https://host/cells.zarr?sig=abc")
    ('https://host/cells.zarr', '?sig=abc')
    """
    if not is_url(location) or "?" not in location:
        return location, ""
    path, _, query = location.partition("?")
    return path, f"?{query}"


def redacted(location: object) -> str:
    """Return a location as it may be shown, logged and stored: without what gives access.

    Of a URL these are user and password, the query (signatures and tokens) and the fragment. What
    is no URL is returned as it is.

    Examples
    --------
    >>> redacted("https://me:secret@host/cells.zarr?X-Amz-Signature=abc")
    'https://host/cells.zarr'
    >>> redacted("data/cells.zarr")
    'data/cells.zarr'
    """
    text = str(location)
    if not is_url(text):
        return text
    scheme, _, rest = text.partition("://")
    for mark in "?#":
        rest = rest.partition(mark)[0]
    # A secret may hold slashes, so that its URL is none by the rules: all up to the last @ goes.
    return f"{scheme}://{rest.rpartition('@')[2]}"


def check_url(url: str) -> None:
    """Raise where a URL of an object store carries credentials, which its clients do not take."""
    if scheme_of(url) not in READ_ONLY and "@" in url and scheme_of(url) not in ("abfs", "abfss"):
        rule = "credentials do not belong into the URL of a bucket"
        fix = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or pass storage_options"
        raise ArgumentError(explain("path", repr(redacted(url)), rule, fix))
    if scheme_of(url) != "memory" and not urlsplit(url).netloc:
        rule = "its bucket or host is missing"
        raise ArgumentError(explain("path", repr(redacted(url)), rule, "write s3://bucket/x.zarr"))


def check_writable(url: str) -> None:
    """Raise where nothing can be written to a URL."""
    if scheme_of(url) in READ_ONLY:
        rule = f"{scheme_of(url)} serves files and takes none"
        fix = "write to a local path or a bucket, as s3://bucket/x.zarr"
        raise ArgumentError(explain("path", repr(redacted(url)), rule, fix))
