"""Whether an input is still what it was: by its files, or by the matrices behind a URL."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lazymu.store.elements import is_array, keys_of
from lazymu.store.fingerprint import fingerprint
from lazymu.store.locations import is_url
from lazymu.store.roots import ZarrRoot


def input_fingerprint(location: str) -> str:
    """Return what tells an input: sizes and times of its files; of a URL, its matrices.

    A local file or folder is not read. Behind a URL offsets of rows and the first and last values
    are read (:func:`lazymu.store.fingerprint.fingerprint`). What is absent has a fingerprint too.
    """
    told: list[Any] = list(_matrices(location) if is_url(location) else _files(location))
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:32]


def _files(location: str) -> Iterator[tuple[str, int, int]]:
    path = Path(location).expanduser()
    # `file.h5mu/rna` names a modality inside a file.
    while not path.exists() and path.parent != path:
        path = path.parent
    if path.is_file():
        yield _told(path, path.parent)
        return
    if not Path(location).expanduser().exists():
        return
    for folder, folders, files in os.walk(path):
        folders.sort()
        for name in sorted(files):
            yield _told(Path(folder, name), path)


def _told(path: Path, beside: Path) -> tuple[str, int, int]:
    found = path.stat()
    return str(path.relative_to(beside)), found.st_size, found.st_mtime_ns


def _matrices(location: str) -> Iterator[tuple[str, Any]]:
    root = ZarrRoot(location)
    groups = [f"mod/{name}/" for name in keys_of(root, "mod")] or [""]
    for group in groups:
        for name in ("X", *(f"layers/{key}" for key in keys_of(root, f"{group}layers"))):
            node = root.find(group + name)
            if node is not None and (is_array(node) or "data" in node):
                yield group + name, fingerprint(node)
