"""Shards read directly: the same values as zarr-python's, and what is wrong with a file is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from lazymu.errors import DamagedFileError
from lazymu.store.roots import StoredArray, ZarrRoot
from lazymu.store.shards import FolderObjects, ShardedRows, sharded_rows

N, CHUNK, SHARD = 1003, 16, 64
VALUES = np.random.default_rng(0).integers(0, 9, N).astype(np.uint16)


def make(folder: Path, **options: Any) -> Any:
    group = zarr.open_group(folder, mode="w", zarr_format=3)
    array = group.create_array(
        "a", shape=(N,), dtype="uint16", chunks=(CHUNK,), shards=(SHARD,), fill_value=7, **options
    )
    array[:] = VALUES
    return array


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> ShardedRows:
    folder = tmp_path_factory.mktemp("shards")
    found = sharded_rows(make(folder), FolderObjects(str(folder)))
    assert found is not None
    return found


@given(start=st.integers(0, N), length=st.integers(0, N))
def test_read__gives_every_run(reader: ShardedRows, start: int, length: int) -> None:
    assert_array_equal(reader.read(start, start + length), VALUES[start : start + length])


def test_read__chunks_of_fill_value_are_not_stored(tmp_path: Path) -> None:
    array = make(tmp_path)
    array[16:48] = 7
    root = ZarrRoot(tmp_path)
    assert isinstance(StoredArray(root, "a")._chunk_files(root.node("a")), ShardedRows)
    assert_array_equal(StoredArray(root, "a")[10:60], array[10:60])


@pytest.mark.parametrize("rows", [slice(None), slice(3, 70), slice(64, 64), slice(20, 500)])
def test_read__rows_of_a_matrix(tmp_path: Path, rows: slice) -> None:
    group = zarr.open_group(tmp_path, mode="w", zarr_format=3)
    array = group.create_array(
        "a", shape=(101, 7), dtype="float32", chunks=(5, 7), shards=(20, 7), fill_value=0
    )
    array[:] = np.random.default_rng(0).random((101, 7))
    root = ZarrRoot(tmp_path)
    assert isinstance(StoredArray(root, "a")._chunk_files(root.node("a")), ShardedRows)
    assert_array_equal(StoredArray(root, "a")[rows], array[rows])


@pytest.mark.parametrize("damage", ["index", "chunk", "cut"])
def test_read__damage_is_said(tmp_path: Path, damage: str) -> None:
    from zarr.codecs import BloscCodec

    make(tmp_path, compressors=BloscCodec())
    path = tmp_path / "a" / "c" / "0"
    content = bytearray(path.read_bytes())
    content[-10 if damage == "index" else 4] ^= 255
    path.write_bytes(content[:-30] if damage == "cut" else content)
    with pytest.raises(DamagedFileError, match="values cannot be read"):
        StoredArray(ZarrRoot(tmp_path), "a")[:]


@pytest.mark.parametrize("kind", ["columns", "unsharded", "two codecs"])
def test_sharded_rows__leaves_the_rest_to_zarr(tmp_path: Path, kind: str) -> None:
    from zarr.codecs import GzipCodec, ZstdCodec

    group = zarr.open_group(tmp_path, mode="w", zarr_format=3)
    options: dict[str, Any] = {"shape": (64,), "chunks": (16,), "shards": (64,)}
    if kind == "columns":
        options = {"shape": (64, 4), "chunks": (16, 2), "shards": (64, 4)}
    if kind == "unsharded":
        options["shards"] = None
    if kind == "two codecs":
        options["compressors"] = [GzipCodec(), ZstdCodec()]
    array = group.create_array("a", dtype="int32", **options)
    assert sharded_rows(array, FolderObjects(str(tmp_path))) is None
