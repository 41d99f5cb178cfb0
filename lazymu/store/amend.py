"""Single values of a store that is written, changed in place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lazymu.store.element_writer import all_chunks


def set_last_entries(path: Path, values: Mapping[str, float]) -> None:
    """Set the last entry of one-dimensional arrays of a Zarr store, by their paths in it.

    Types, shapes and metadata stay as they are, so that whoever has the store open is not
    disturbed.
    """
    import zarr

    root = zarr.open_group(path, mode="r+", use_consolidated=False)
    with all_chunks():
        for name, value in values.items():
            array = root[name]
            assert isinstance(array, zarr.Array)  # the caller has just written it
            array[-1] = value
