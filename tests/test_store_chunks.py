"""Chunks' files decoded directly, against zarr-python's own reading."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, GzipCodec, ZstdCodec

from lazymu.errors import DamagedFileError
from lazymu.keys import WHOLE
from lazymu.store.chunks import chunk_files
from lazymu.store.roots import StoredArray, ZarrRoot

V3 = {
    "blosc": BloscCodec(cname="lz4", shuffle="shuffle"),
    "zstd": ZstdCodec(),
    "gzip": GzipCodec(),
    "none": None,
    "blosc, checksums": [BloscCodec(cname="lz4"), Crc32cCodec()],
    "checksums": Crc32cCodec(),
}
V2 = {
    "blosc": numcodecs.Blosc("zstd", shuffle=numcodecs.Blosc.BITSHUFFLE),
    "zstd": numcodecs.Zstd(),
    "gzip": numcodecs.GZip(),
    "none": None,
}


def vector(folder: Path, values: Any, chunk: int, zarr_format: int = 3, codec: Any = "auto") -> Any:
    group: Any = zarr.open_group(folder, mode="w", zarr_format=zarr_format)
    array = group.create_array(
        "x", shape=values.shape, dtype=values.dtype, chunks=(chunk,), compressors=codec
    )
    array[:] = values
    return array


def reader(folder: Path) -> Any:
    return chunk_files(zarr.open_group(folder, mode="r")["x"], str(folder))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64, np.float32])
@pytest.mark.parametrize(
    ("zarr_format", "codec"),
    [*((3, c) for c in V3.values()), *((2, c) for c in V2.values())],
    ids=[*(f"3-{name}" for name in V3), *(f"2-{name}" for name in V2)],
)
def test_read__every_format_and_codec(
    tmp_path: Path, zarr_format: int, codec: Any, dtype: Any
) -> None:
    values = np.random.default_rng(0).integers(0, 100, 1003).astype(dtype)
    vector(tmp_path, values, 100, zarr_format, codec)
    files = reader(tmp_path)
    found = files.read(0, 1003)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, values)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vector")
    vector(folder, np.arange(1003, dtype=np.int32), 100)
    return folder


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1003), st.integers(0, 400)), min_size=1, max_size=8))
def test_read__any_runs_one_after_the_other(written: Path, runs: list[tuple[int, int]]) -> None:
    files = reader(written)
    for start, length in runs:
        stop = min(start + length, 1003)
        np.testing.assert_array_equal(files.read(start, start + length), np.arange(start, stop))


def test_read__goes_on_without_decoding_the_chunk_between_again(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = reader(written)
    decoded = []
    decode = files._decode
    monkeypatch.setattr(files, "_decode", lambda *args: (decoded.append(1), decode(*args)))
    files.read(0, 250)
    files.read(250, 500)
    assert len(decoded) == 5


def test_read__long_chunks_are_not_kept(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lazymu.store.chunks.KEPT_VALUES", 99)
    files = reader(written)
    files.read(0, 250)
    assert not hasattr(files._last, "values")


def test_read__absent_chunks_have_the_fill_value(tmp_path: Path) -> None:
    group: Any = zarr.open_group(tmp_path, mode="w")
    array = group.create_array("x", shape=(30,), dtype="int32", chunks=(10,), fill_value=7)
    array[10:20] = 1
    expected = np.repeat([7, 1, 7], 10)
    np.testing.assert_array_equal(reader(tmp_path).read(0, 30), expected)


@pytest.mark.parametrize("codec", ["blosc", "zstd", "none", "checksums"])
@pytest.mark.parametrize("n_left", [0, 5, 20, -1])
def test_read__a_chunk_cut_short(tmp_path: Path, codec: str, n_left: int) -> None:
    vector(tmp_path, np.arange(100, dtype=np.int32), 100, codec=V3[codec])
    file = tmp_path / "x" / "c" / "0"
    file.write_bytes(file.read_bytes()[:n_left])
    said = r"`x` is in .*, but its values cannot be read \(.*values 0 to 100\); copy it or convert"
    with pytest.raises(DamagedFileError, match=said):
        StoredArray(ZarrRoot(tmp_path), "x")[0:50]


@pytest.mark.parametrize("codec", ["blosc, checksums", "checksums"])
def test_read__checksums_find_every_flipped_bit(tmp_path: Path, codec: str) -> None:
    vector(tmp_path, np.arange(10, dtype=np.int32), 10, codec=V3[codec])
    file = tmp_path / "x" / "c" / "0"
    content = file.read_bytes()
    for bit in range(0, 8 * len(content), 7):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        file.write_bytes(damaged)
        with pytest.raises(DamagedFileError, match="checksum does not fit"):
            StoredArray(ZarrRoot(tmp_path), "x")[:]


def test_read__absent_chunks_of_what_was_written_whole_are_lost(tmp_path: Path) -> None:
    array = vector(tmp_path, np.arange(100, dtype=np.int32), 10)
    (tmp_path / "x" / "c" / "3").unlink()
    assert StoredArray(ZarrRoot(tmp_path), "x")[30:40].tolist() == [0] * 10
    array.attrs[WHOLE] = True
    with pytest.raises(DamagedFileError, match=r"`x` is in .*its chunk c/3 is not there"):
        StoredArray(ZarrRoot(tmp_path), "x")[0:50]


def test_read__a_chunk_of_another_length(tmp_path: Path) -> None:
    vector(tmp_path / "short", np.arange(10, dtype=np.int32), 10, codec=V3["blosc"])
    vector(tmp_path / "long", np.arange(100, dtype=np.int32), 100, codec=V3["blosc"])
    shutil.copy(tmp_path / "short" / "x" / "c" / "0", tmp_path / "long" / "x" / "c" / "0")
    with pytest.raises(DamagedFileError, match=r"40 bytes, where chunks have 400"):
        StoredArray(ZarrRoot(tmp_path / "long"), "x")[0:50]


@pytest.mark.parametrize(
    "options",
    [
        {"shards": (100,)},
        {"compressors": [ZstdCodec(), GzipCodec()]},
        {"serializer": BytesCodec(endian="big")},
        {"filters": [zarr.codecs.TransposeCodec(order=(0,))]},
    ],
    ids=["shards", "two codecs", "big endian", "filters"],
)
def test_chunk_files__what_zarr_has_to_read(tmp_path: Path, options: dict[str, Any]) -> None:
    group: Any = zarr.open_group(tmp_path, mode="w")
    array = group.create_array("x", shape=(100,), dtype="int32", chunks=(10,), **options)
    array[:] = np.arange(100)
    assert reader(tmp_path) is None
    found = StoredArray(ZarrRoot(tmp_path), "x")[5:95]
    np.testing.assert_array_equal(found, np.arange(5, 95))


def test_chunk_files__parts_of_rows_are_left_to_zarr(tmp_path: Path) -> None:
    group: Any = zarr.open_group(tmp_path, mode="w")
    group.create_array("x", shape=(10, 10), chunks=(10, 5), dtype="int32")
    assert reader(tmp_path) is None


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_read__rows_of_a_matrix(tmp_path: Path, zarr_format: Any) -> None:
    group: Any = zarr.open_group(tmp_path, mode="w", zarr_format=zarr_format)
    values = np.random.default_rng(0).random((23, 7), dtype=np.float32)
    codec = (V2 if zarr_format == 2 else V3)["blosc"]
    array = group.create_array(
        "x", shape=(23, 7), chunks=(5, 7), dtype="float32", compressors=codec
    )
    array[:] = values
    stored = StoredArray(ZarrRoot(tmp_path), "x")
    for start, stop in ((0, 23), (3, 4), (4, 17), (20, 23), (9, 9)):
        np.testing.assert_array_equal(stored[start:stop], values[start:stop])
    assert stored._files[1] is not None
    file = tmp_path / "x" / ("0.0" if zarr_format == 2 else "c/0/0")
    file.write_bytes(file.read_bytes()[:-9])  # which Blosc itself would read beyond
    with pytest.raises(DamagedFileError, match=r"cut short.*values 0 to 35"):
        stored[0:2]


def test_stored_array__reads_directly_from_folders_alone(written: Path) -> None:
    stored = StoredArray(ZarrRoot(written), "x")
    np.testing.assert_array_equal(stored[250:260], np.arange(250, 260))
    assert stored._files[1] is not None
    in_memory: Any = zarr.storage.MemoryStore()
    group = zarr.open_group(in_memory, mode="w")
    group.create_array("x", data=np.arange(10))
    stored = StoredArray(ZarrRoot(in_memory), "x")
    np.testing.assert_array_equal(stored[2:5], np.arange(2, 5))
    assert stored._files[1] is None


def test_stored_array__follows_a_store_written_anew(tmp_path: Path) -> None:
    root = ZarrRoot(tmp_path / "a")
    vector(tmp_path / "a", np.arange(20, dtype=np.int32), 10)
    vector(tmp_path / "b", np.arange(20, 40, dtype=np.int32), 10)
    stored = StoredArray(root, "x")
    assert stored[3:5].tolist() == [3, 4]
    root.move(str(tmp_path / "b"), None)
    assert stored[3:5].tolist() == [23, 24]
