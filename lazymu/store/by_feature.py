"""A stored matrix once more, feature by feature, in a folder beside its store.

The copy is no part of the store: other tools do not see it, and where it is missing, or the matrix
is another by now, it is not used. It stands in ``<store>.lazymu``, with the fingerprint of what it
was made of.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lazymu.store.arrays import Layout, has_checksums
from lazymu.store.elements import is_array
from lazymu.store.fingerprint import fingerprint, still_holds
from lazymu.store.replace import replacing
from lazymu.store.roots import Place, Root, StoredArray, ZarrRoot
from lazymu.store.sources import CSRSource
from lazymu.store.writers import CSRWriter, write_all
from lazymu.typing import CSR

NAME = "features"
OF = "of"
"""Attribute that holds the fingerprint of the matrix."""


def copy_path(place: Place) -> Path:
    """Return where the copy of a matrix stands, which may not be there."""
    store = Path(place.root.location)
    name = place.name.strip("/").replace("/", "-")
    return store.with_name(f"{store.name}.lazymu") / f"{name}-by-feature.zarr"


def copies_of(store: Path, names: Iterable[str]) -> Iterator[tuple[Path, str]]:
    """Yield the copies beside a store, each with the name of its matrix among ``names``."""
    known = {copy_path(Place(Root(store), name)).name: name for name in names}
    for path in sorted(store.with_name(f"{store.name}.lazymu").glob("*-by-feature.zarr")):
        yield path, known.get(path.name, path.name.removesuffix("-by-feature.zarr"))


def write_copy(
    place: Place, features: Iterable[CSR], *, n_obs: int, dtype: np.dtype[Any], n_values: int
) -> None:
    """Write the features of a matrix, each a row (n_obs,), in the place of an older copy."""
    import zarr

    with replacing(copy_path(place), overwrite=True) as temporary:
        group = zarr.open_group(str(temporary), mode="w", zarr_format=3)
        node = place.root.node(place.name)
        layout = Layout(checksums=has_checksums(node if is_array(node) else node["data"]))
        writer = CSRWriter(group, NAME, n_obs, dtype=dtype, layout=layout, capacity=n_values)
        write_all(writer, features)
        group[NAME].attrs[OF] = fingerprint(node)


def copy_bytes(place: Place) -> int:
    """Return the space that the copy of a matrix takes on disk."""
    return sum(file.stat().st_size for file in copy_path(place).rglob("*") if file.is_file())


def open_copy(place: Place) -> CSRSource | None:
    """Return the features of a matrix, each a row, None where there is no copy that holds."""
    if not place.root.is_local or not (path := copy_path(place)).is_dir():
        return None
    root = ZarrRoot(path)
    node = root.find(NAME)
    if node is None or not still_holds(
        dict(node.attrs[OF]), place.root.node(place.name), read=True
    ):
        return None
    data, indices, indptr = (
        StoredArray(root, f"{NAME}/{part}") for part in ("data", "indices", "indptr")
    )
    n_vars, n_obs = node.attrs["shape"]
    copy = CSRSource(data, indices, indptr, (n_vars, n_obs))
    copy.is_canonical = True
    return copy
