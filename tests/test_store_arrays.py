from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.sparse as sp
import zarr

from lazymu.errors import ArgumentError
from lazymu.store import dtypes
from lazymu.store.arrays import Appender, Layout, chunks_of
from lazymu.store.dtypes import index_dtype, narrowest, wider
from lazymu.store.sources import CSRSource, DenseSource
from lazymu.store.writers import CSRWriter, DenseWriter
from tests.store_samples import random_counts

KINDS = ["h5", "zarr2", "zarr3", "shards"]


def group_of(kind: str, folder: Path) -> Any:
    if kind == "h5":
        return h5py.File(folder / "a.h5", "w")
    return zarr.open_group(folder / "a.zarr", mode="w", zarr_format=2 if kind == "zarr2" else 3)


def layout_of(kind: str) -> Layout:
    return Layout(chunk_values=10, shard_values=40 if kind == "shards" else None)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pieces", [[3, 3, 3], [10, 10], [25, 0, 1, 90, 7], [100], [], [0]])
def test_appender__pieces_of_any_length(kind: str, pieces: list[int], tmp_path: Path) -> None:
    group = group_of(kind, tmp_path)
    values = np.arange(sum(pieces), dtype=np.int32)
    appender = Appender(group, "x", None, np.int32, layout_of(kind), capacity=len(values) + 13)
    start = 0
    for length in pieces:
        appender.append(values[start : start + length])
        start += length
    appender.close()
    np.testing.assert_array_equal(group["x"][:], values)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [1, 3, 25, 0])
def test_appender__rows(kind: str, width: int, tmp_path: Path) -> None:
    group = group_of(kind, tmp_path)
    values = np.arange(17 * width, dtype=np.float32).reshape(17, width)
    appender = Appender(group, "x", width, np.float32, layout_of(kind), capacity=17)
    for start in range(0, 17, 4):
        appender.append(values[start : start + 4])
    appender.close()
    np.testing.assert_array_equal(group["x"][:], values)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("before", [0, 5, 95])
def test_appender__widens_what_was_written(kind: str, before: int, tmp_path: Path) -> None:
    group = group_of(kind, tmp_path)
    values = np.arange(before + 50)
    appender = Appender(group, "x", None, np.uint8, layout_of(kind), capacity=before + 50)
    appender.append(values[:before])
    appender.widen(np.uint16)
    appender.append(values[before:] + 1000)
    array = appender.close()
    assert array.dtype == np.uint16
    assert list(group.keys()) == ["x"]
    np.testing.assert_array_equal(array[:before], values[:before])
    np.testing.assert_array_equal(array[before:], values[before:] + 1000)


def test_appender__keeps_no_block_alive(tmp_path: Path) -> None:
    appender = Appender(group_of("zarr3", tmp_path), "x", None, np.int64, layout_of(""), 100)
    block = np.arange(13)
    appender.append(block)
    block[:] = -1  # the last three wait for their chunk
    np.testing.assert_array_equal(appender.close()[:], np.arange(13))


def test_arrays__layout_on_disk(tmp_path: Path) -> None:
    layout = Layout(chunk_values=1 << 10, shard_values=1 << 12)
    group = group_of("zarr3", tmp_path)
    array = Appender(group, "x", None, np.uint16, layout, 10_000).close()
    assert array.chunks == (1 << 10,)
    assert array.shards == (1 << 12,)
    (codec,) = array.compressors
    settings = codec.to_dict()["configuration"]
    assert (settings["cname"], settings["shuffle"], settings["typesize"]) == ("lz4", "shuffle", 2)
    array = Appender(group_of("zarr2", tmp_path), "x", None, np.uint16, Layout(), 10_000).close()
    (old_codec,) = array.compressors
    assert (old_codec.cname, old_codec.shuffle) == ("lz4", 1)
    assert array.chunks == (1 << 20,)


def test_chunks_of__rows_are_whole_where_they_fit() -> None:
    assert chunks_of(10, Layout(100)) == ((10, 10), None)
    assert chunks_of(300, Layout(100, 400)) == ((1, 100), (4, 100))
    assert chunks_of(None, Layout(100, 400)) == ((100,), (400,))


def test_layout__raises_on_sizes() -> None:
    with pytest.raises(ArgumentError, match=r"`chunk_values` is 0, but a chunk holds at least one"):
        Layout(0)
    with pytest.raises(ArgumentError, match=r"`shards` is 150, .* whole chunks of 100 .* 6400"):
        Layout(100, 150)


# --- types ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_values", "n_vars", "expected"),
    [
        (2**31 - 1, 2**31 - 1, "int32"),
        (2**31, 10, "int64"),
        (10, 2**31, "int64"),
        (2**40, 30_000, "int64"),
    ],
)
def test_index_dtype__one_signed_type(n_values: int, n_vars: int, expected: str) -> None:
    assert index_dtype(n_values, n_vars) == expected


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([0, 255], "float32", "uint8"),
        ([256], "float32", "uint16"),
        ([65536], "float32", "uint32"),
        ([2**32], "float32", "float32"),
        ([2**32], "int64", "int64"),
        ([70_000], "int32", "uint32"),
        ([300], "int16", "uint16"),
        ([100], "int8", "uint8"),
        ([-1, 3], "int32", "int32"),
        ([0.5], "float64", "float64"),
        ([float("nan")], "float32", "float32"),
        ([float("inf")], "float32", "float32"),
        ([], "float64", "uint8"),
    ],
)
def test_narrowest__holds_the_values_unchanged(values: Any, dtype: str, expected: str) -> None:
    array = np.array(values, dtype=dtype)
    found = narrowest(array)
    assert found == expected
    np.testing.assert_array_equal(array.astype(found).astype(dtype), array)


def test_wider__grows_and_never_shrinks() -> None:
    u8, u16, i32, f32 = (np.dtype(t) for t in ("uint8", "uint16", "int32", "float32"))
    assert wider(u8, u16) == u16
    assert wider(u16, u8) == u16
    assert wider(u8, f32) == f32
    assert wider(f32, u16) == f32
    assert wider(i32, u8) == i32


# --- writers --------------------------------------------------------------------------------------


def read_csr(group: Any, shape: tuple[int, int]) -> Any:
    source = CSRSource(group["data"], group["indices"], group["indptr"], shape)
    return source.read(0, shape[0])


@pytest.mark.parametrize("kind", KINDS)
def test_csr_writer__blocks_make_the_matrix(kind: str, tmp_path: Path) -> None:
    X = random_counts(50, 20)
    group = group_of(kind, tmp_path)
    writer = CSRWriter(
        group, "X", 20, dtype="uint8", layout=layout_of(kind), capacity=X.nnz + 5, narrow=True
    )
    for start in range(0, 50, 7):
        writer.append(X[start : start + 7])
    writer.close()
    node = group["X"]
    np.testing.assert_array_equal(read_csr(node, X.shape).toarray(), X.toarray())
    assert node["data"].dtype == np.uint8
    assert node["indices"].dtype == node["indptr"].dtype == np.int32
    assert node["data"].shape == node["indices"].shape == (X.nnz,)
    assert dict(node.attrs)["encoding-type"] == "csr_matrix"
    assert list(node.attrs["shape"]) == [50, 20]
    if kind != "h5":
        assert node["data"].nchunks_initialized >= node["data"].nchunks


def test_csr_writer__widens_where_a_larger_value_comes(tmp_path: Path) -> None:
    X = random_counts(40, 10).astype(np.float64)
    steps = {10: 300.0, 20: 70_000.0, 30: 0.25}
    group = group_of("zarr3", tmp_path)
    writer = CSRWriter(
        group, "X", 10, dtype="uint8", layout=layout_of("zarr3"), capacity=X.nnz, narrow=True
    )
    for start in range(0, 40, 10):
        block = X[start : start + 10]
        block.data[0] = steps.get(start, 1.0)
        X[start, block.indices[0]] = block.data[0]
        writer.append(block)
    writer.close()
    assert group["X/data"].dtype == np.float64
    assert sorted(group["X"].keys()) == ["data", "indices", "indptr"]
    np.testing.assert_array_equal(read_csr(group["X"], X.shape).toarray(), X.toarray())


def test_csr_writer__indices_widen_at_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit of 60 values stands for 2^31."""
    monkeypatch.setattr(dtypes, "INT32_VALUES", 60)
    monkeypatch.setattr("lazymu.store.writers.INT32_VALUES", 60)
    X = random_counts(40, 10)
    assert X.nnz > 60
    for capacity, expected in ((X.nnz, 10), (X.nnz, X.nnz), (X.nnz, None)):
        group = group_of("zarr3", tmp_path)
        writer = CSRWriter(
            group,
            "X",
            10,
            dtype="float32",
            layout=layout_of("zarr3"),
            capacity=capacity,
            expected=expected,
        )
        for start in range(0, 40, 10):
            writer.append(X[start : start + 10])
        writer.close()
        assert group["X/indices"].dtype == group["X/indptr"].dtype == np.int64
        np.testing.assert_array_equal(read_csr(group["X"], X.shape).toarray(), X.toarray())


class ManyRows:
    """Columns of 2^32 + 8 stored values, 2^30 in each of four rows and eight in a fifth."""

    def __init__(self) -> None:
        self.shape = ((1 << 32) + 8,)
        self.dtype = np.dtype(np.uint8)
        self.asked: list[slice] = []

    def __getitem__(self, key: slice) -> Any:
        self.asked.append(key)
        return np.arange(key.start, key.stop) % 7 + 1


def test_csr_source__more_than_2_to_31_values() -> None:
    indptr = np.array([0, 1 << 30, 1 << 31, 3 << 30, 1 << 32, (1 << 32) + 8])
    data, indices = ManyRows(), ManyRows()
    source = CSRSource(data, indices, indptr, (5, 10))
    X = source.read(4, 5)
    assert data.asked == [slice(1 << 32, (1 << 32) + 8)]
    assert X.indices.dtype == np.int32
    assert X.shape == (1, 10)
    assert X.sum() == (np.arange(1 << 32, (1 << 32) + 8) % 7 + 1).sum()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("narrow", [True, False])
def test_dense_writer__blocks_make_the_matrix(kind: str, narrow: bool, tmp_path: Path) -> None:
    X = random_counts(50, 20, density=0.8)
    X.data[-1] = 300
    group = group_of(kind, tmp_path)
    dtype = "uint8" if narrow else "float32"
    writer = DenseWriter(
        group, "X", 20, dtype=dtype, layout=layout_of(kind), capacity=50, narrow=narrow
    )
    for start in range(0, 50, 7):
        writer.append(X[start : start + 7])
    writer.close()
    assert group["X"].dtype == ("uint16" if narrow else "float32")
    assert group["X"].attrs["encoding-type"] == "array"
    np.testing.assert_array_equal(DenseSource(group["X"]).read(0, 50).toarray(), X.toarray())


def test_dense_writer__never_holds_a_sparse_block_as_dense(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """100,000 x 1,000 zeros would be 400 MB."""
    largest = []
    plain = sp.csr_matrix.toarray
    monkeypatch.setattr(
        sp.csr_matrix, "toarray", lambda self: largest.append(self.shape[0]) or plain(self)
    )
    X = sp.csr_matrix((10_000, 100), dtype=np.float32)
    layout = Layout(chunk_values=10_000)
    writer = DenseWriter(
        group_of("zarr3", tmp_path), "X", 100, dtype="f4", layout=layout, capacity=10_000
    )
    writer.append(X)
    writer.close()
    assert max(largest) == 100
