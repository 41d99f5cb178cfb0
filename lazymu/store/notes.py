"""What is known of sources beside their values: from where they were read, what was recorded."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from lazymu.store.fingerprint import Fingerprint, fingerprint_of_values

Note = dict[str, Any]
_opened: WeakKeyDictionary[Any, Note] = WeakKeyDictionary()
_written: WeakKeyDictionary[Any, Fingerprint] = WeakKeyDictionary()


def note_opened(source: Any, note: Note) -> None:
    """Keep what is to be told of the file that a source was read from."""
    _opened[source] = note


def note_written(source: Any, fingerprint: Fingerprint) -> None:
    """Keep the fingerprint that was recorded when lazymu wrote a matrix."""
    _written[source] = fingerprint


def opened_note(source: Any) -> Note:
    """Return what was kept of a source's file, nothing where it was not read from one."""
    return _opened.get(source, {}) if _has_identity(source) else {}


def fingerprint_of_source(source: Any) -> Fingerprint:
    """Return what tells a source, without reading: of what lazymu wrote, its fingerprint.

    Of a matrix in memory there is a checksum of its first and last values; of others' files just
    type and shape.
    """
    if _has_identity(source) and source in _written:
        return _written[source]
    found = {"dtype": str(source.dtype), "shape": [int(n) for n in source.shape]}
    values = getattr(source, "values", None)
    return found if values is None else {**found, **fingerprint_of_values(values)}


def _has_identity(source: Any) -> bool:
    """Return whether objects are told apart by what they are, not by what they hold."""
    return "__eq__" not in vars(type(source))
