"""A matrix that lazymu wrote before, into another store as it stands: its files are copied."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from lazymu.store.arrays import Layout, chunks_of, has_checksums, is_h5
from lazymu.store.elements import is_array
from lazymu.store.roots import Place, ZarrRoot


def can_reuse(place: Place, parent: Any, layout: Layout) -> bool:
    """Return whether the files of a matrix are what writing it into a group would make.

    Parameters
    ----------
    place
        Where lazymu wrote the matrix.
    parent
        Group to be written to.
    layout
        Chunks and shards of what is written.
    """
    if is_h5(parent) or not hasattr(parent.store, "root"):
        return False
    root = place.root
    if not isinstance(root, ZarrRoot) or not root.is_folder:
        return False
    node = root.node(place.name)
    if node.metadata.zarr_format != parent.metadata.zarr_format:
        return False
    values = node if is_array(node) else node["data"]
    width = values.shape[1] if is_array(node) else None
    if has_checksums(values) != layout.checksums:
        return False
    return (values.chunks, values.shards) == chunks_of(width, layout)


def reuse(place: Place, parent: Any, name: str, *, link: bool) -> None:
    """Copy the files of a matrix below a group, or link them where the old store will go."""
    source = Path(place.root.location) / place.name
    target = Path(parent.store.root) / parent.path / name
    shutil.copytree(source, target, copy_function=_link if link else shutil.copyfile)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # the file system has no hard links, or not between these two
        shutil.copyfile(source, target)
