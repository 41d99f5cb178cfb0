"""Arrays of which every chunk was written: one that is absent later was lost, and is no zeros.

Zarr takes a chunk that is not there for one that holds the fill value alone. lazymu writes every
chunk, and says so in an attribute of each array. What reads chunks
looks for it where one is absent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from lazymu.errors import DamagedFileError, explain
from lazymu.keys import WHOLE

DOCUMENTS = ("zarr.json", ".zgroup", ".zarray", ".zattrs", ".zmetadata")
"""Names of metadata; all other keys are chunks or shards."""
ATTRIBUTES = ("zarr.json", ".zattrs")


def is_document(key: str) -> bool:
    """Return whether a key is that of metadata."""
    return key.rpartition("/")[2] in DOCUMENTS


def lost(key: str, location: str) -> DamagedFileError:
    """Return the error of a chunk or shard that was written and is not there."""
    rule = f"{key} is not there, and lazymu wrote all chunks"
    return DamagedFileError(explain(array_of(key), f"in {location}", rule, fix_of(location)))


def fix_of(location: object) -> str:
    """Return what to do about a damaged store or file."""
    again = "copy it or convert its source again"
    if str(location).split("?")[0].rstrip("/").endswith((".h5", ".h5ad", ".h5mu", ".hdf5")):
        return again
    return f"{again}, or open it again if it was replaced; `lazymu validate` names all such parts"


def array_of(key: str) -> str:
    """Return the path of an array from the key of a piece of it, of any kind.

    Examples
    --------
    >>> array_of("mod/rna/X/data/c/12"), array_of("obsm/pca/0.1"), array_of("uns/k/c")
    ('mod/rna/X/data', 'obsm/pca', 'uns/k')
    """
    parts = key.split("/")
    while len(parts) > 1 and parts[-1].replace(".", "").isdigit():
        parts.pop()
    if len(parts) > 1 and parts[-1] == "c":
        parts.pop()
    return "/".join(parts)


def says_whole(document: bytes) -> bool:
    """Return whether an array's metadata say that all of its chunks were written."""
    try:
        found = json.loads(document)
        return bool(found.get("attributes", found).get(WHOLE, False))
    except (AttributeError, ValueError):
        return False


def is_below(key: str, whole: Iterable[str]) -> bool:
    """Return whether a key is that of a part of one of some groups and arrays."""
    return any(key.startswith(f"{name}/") for name in whole)
