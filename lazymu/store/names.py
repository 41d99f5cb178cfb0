"""Names of the parts of a store: which can be kept, and come back as they are."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from lazymu.errors import ArgumentError, explain
from lazymu.store.bounds import METADATA

LONGEST_NAME = 255
"""Bytes of the name of a file, on every common file system."""


def check_key(key: object, *, zarr: bool) -> None:
    """Raise where a name is a path, means something to the format, or cannot be written.

    Names of groups and arrays in Zarr are names of folders: there, backslashes are slashes.

    Raises
    ------
    ArgumentError
        Saying what is wrong with the name.
    """
    text = str(key)
    try:
        n_bytes = len(text.encode())
    except UnicodeEncodeError:
        _raise(key, "keys of a store are valid Unicode, and this has half of a surrogate pair")
    if text in ("", ".", ".."):
        _raise(key, "keys of a store cannot be empty, or name the folder itself or that above")
    if "/" in text:
        _raise(key, "keys of a store cannot hold a slash")
    if "\0" in text:
        _raise(key, "keys of a store cannot hold a NUL")
    if zarr and "\\" in text:
        _raise(key, "keys of a Zarr store cannot hold a backslash, which Zarr takes for a slash")
    if zarr and n_bytes > LONGEST_NAME:
        got = f"{text[:20]!r}... of {n_bytes:,} bytes"
        rule = f"keys of a Zarr store are names of files, of up to {LONGEST_NAME} bytes"
        raise ArgumentError(explain("key", got, rule, "rename it"))
    if zarr and text.lower() in METADATA:
        _raise(key, "Zarr keeps its own file under that name")


def check_keys(keys: Iterable[object], *, zarr: bool, folded: bool = False) -> None:
    """Raise where a name cannot be kept, or two of a group would be the same.

    Parameters
    ----------
    keys
        The names of a group, as text or what becomes text.
    zarr
        The store is of Zarr, and not of HDF5.
    folded
        The file system takes names for the same that differ in case, or in how accents are coded.

    Raises
    ------
    ArgumentError
        Naming the first that cannot be kept.
    """
    seen: dict[str, object] = {}
    for key in keys:
        check_key(key, zarr=zarr)
        text = str(key)
        same = unicodedata.normalize("NFC", text).casefold() if folded else text
        if same in seen:
            rule = f"the store would keep it in the same place as {seen[same]!r}"
            _raise(key, rule)
        seen[same] = key


def _raise(key: object, rule: str) -> NoReturn:
    raise ArgumentError(explain("key", repr(key), rule, "rename it"))


def folds_case(path: Path) -> bool:
    """Return whether the file system of a path that may not exist yet ignores case in names."""
    for folder in path.absolute().parents:
        other = folder.with_name(folder.name.swapcase()) if folder.name else folder
        if folder.exists() and other.name != folder.name:
            return other.exists() and os.path.samefile(folder, other)
    return False
