from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import mudata as md
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import zarr

from lazymu.errors import ArgumentError, DamagedFileError, StoreExistsError, UnknownFormatError
from lazymu.io import RawElements, StoreElements, open_elements, write_elements
from lazymu.settings import settings
from lazymu.stream import LazyMatrix, matrix_sums
from lazymu.stream.columns import ColumnPicker
from lazymu.stream.steps import (
    Binarize,
    Clip,
    Dsb,
    Expm1,
    Log1p,
    LogRatio,
    ScaleCols,
    ScaleRows,
    Standardize,
    Step,
    to_record,
)
from tests.counting import CountingStore
from tests.store_samples import (
    assert_matrix,
    assert_same,
    assert_same_anndata,
    assert_same_store,
    assert_values_equal,
    dense,
    elements_of,
    make_anndata,
    make_mudata,
    peers,
    random_counts,
)

OPTIONS: list[dict[str, Any]] = [
    {"zarr_format": 3},
    {"zarr_format": 2},
    {"zarr_format": 3, "chunk_values": 16, "shards": 64},
]


def opened(data: Any, folder: Path) -> Any:
    """Return the elements of what mudata writes."""
    path = str(folder / ("in.h5mu" if isinstance(data, md.MuData) else "in.h5ad"))
    with peers():
        md.write(path, data)
    return open_elements(path)


@pytest.fixture(scope="module", params=OPTIONS, ids=["v3", "v2", "shards"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the path of a MuData that was written once for several tests."""
    folder = tmp_path_factory.mktemp("store")
    write_elements(opened(make_mudata(), folder), folder / "a.zarr", **request.param)
    return str(folder / "a.zarr")


# --- what is written is read by others, and by us -------------------------------------------------


def test_write_zarr__peers_read_a_mudata(store: str) -> None:
    mdata, path = make_mudata(), store
    assert_same_store(open_elements(path), mdata)
    with peers():
        found = md.read_zarr(path)
    assert list(found.mod) == ["rna", "prot"]
    assert found.obs_names.tolist() == mdata.obs_names.tolist()
    np.testing.assert_array_equal(found.obsm["X_umap"], mdata.obsm["X_umap"])
    for name in found.mod:
        np.testing.assert_array_equal(found.obsmap[name], mdata.obsmap[name])
        np.testing.assert_array_equal(found.varmap[name], mdata.varmap[name])
        np.testing.assert_array_equal(dense(found[name].X), dense(mdata[name].X))
        with peers():
            alone = ad.io.read_zarr(f"{path}/mod/{name}")
        np.testing.assert_array_equal(dense(alone.raw.X), dense(mdata[name].raw.X))


def test_write_zarr__read_lazy_of_a_modality_uses_consolidated_metadata(store: str) -> None:
    """Without it, read_lazy warns; warnings are errors here."""
    path = store
    lazy = ad.experimental.read_lazy(f"{path}/mod/prot")
    with peers():
        found = lazy.to_memory()
    np.testing.assert_array_equal(dense(found.X), dense(make_mudata()["prot"].X))
    for place in (path, f"{path}/mod/rna", f"{path}/mod/prot"):
        group = zarr.open_group(place, mode="r")
        assert group.metadata.consolidated_metadata is not None
        names = set(group.metadata.consolidated_metadata.flattened_metadata)
        expected = {"uns/lazymu/matrices", "X/data"}
        if place == path:
            expected = {f"mod/{m}/{name}" for m in ("rna", "prot") for name in expected}
        assert expected <= names


def test_write_zarr__scanpy_runs_on_what_anndata_reads(tmp_path: Path) -> None:
    """Index arrays of one signed type: scanpy fails on a mix."""
    import scanpy as sc

    write_elements(opened(make_anndata(), tmp_path), tmp_path / "a.zarr")
    with peers():
        adata = ad.io.read_zarr(tmp_path / "a.zarr")
        assert adata.X.indices.dtype == adata.X.indptr.dtype == np.int32
        sc.pp.calculate_qc_metrics(adata, percent_top=None, inplace=True)
        sc.pp.normalize_total(adata)
    np.testing.assert_allclose(adata.obs["total_counts"], make_anndata().X.sum(axis=1).A1)


def test_write_zarr__root_holds_only_mudatas_own_keys(store: str) -> None:
    """mudata reads every other group of the root into memory."""
    root = zarr.open_group(store, mode="r")
    own = {"mod", "obs", "var", "obsm", "varm", "obsp", "varp", "uns", "obsmap", "varmap"}
    assert set(root.keys()) == own
    assert root["obsmap/prot"].dtype == root["varmap/prot"].dtype == np.uint32
    assert root["obsmap/prot"][:].tolist() == [0] * 5 + list(range(1, 26))
    assert set(os.listdir(Path(store).parent)) == {"a.zarr", "in.h5mu"}


def test_write_h5mu__begins_with_mudatas_words(tmp_path: Path) -> None:
    mdata = make_mudata()
    write_elements(opened(mdata, tmp_path), tmp_path / "a.h5mu")
    with open(tmp_path / "a.h5mu", "rb") as file:
        assert file.read(30).startswith(b"MuData (format-version=0.1.0;")
    with peers():
        found = md.read_h5mu(tmp_path / "a.h5mu")
    for name in mdata.mod:
        assert_same_anndata(found[name], mdata[name])


def test_write_h5ad__compression(tmp_path: Path) -> None:
    elements = opened(make_anndata(), tmp_path)
    for compression in ("gzip", "lzf", None):
        write_elements(elements, tmp_path / "a.h5ad", compression=compression, overwrite=True)
        with h5py.File(tmp_path / "a.h5ad") as file:
            assert file["X/data"].compression == compression
        assert_same(open_elements(tmp_path / "a.h5ad"), make_anndata())


# --- how matrices are stored ----------------------------------------------------------------------


def test_write_zarr__dense_and_sparse_by_density(tmp_path: Path) -> None:
    sparse, full = random_counts(20, 10), random_counts(20, 10, density=0.9)
    elements = elements_of(
        sparse,
        layers={
            "full": LazyMatrix(full),
            "sparse array": LazyMatrix(sparse.toarray()),
            "full array": LazyMatrix(full.toarray() + 0.5),
        },
    )
    write_elements(elements, tmp_path / "a.zarr")
    group = zarr.open_group(tmp_path / "a.zarr", mode="r")
    kinds = {key: node.attrs["encoding-type"] for key, node in group["layers"].members()}
    assert kinds == {"full": "array", "sparse array": "csr_matrix", "full array": "array"}
    assert group["X"].attrs["encoding-type"] == "csr_matrix"
    again = open_elements(tmp_path / "a.zarr")
    write_elements(again, tmp_path / "a.h5ad")
    found = ad.read_h5ad(tmp_path / "a.h5ad")
    assert {key: type(layer) for key, layer in found.layers.items() if key} == {
        "full": sp.csr_matrix,
        "sparse array": np.ndarray,
        "full array": np.ndarray,
    }
    for key, layer in elements.layers.items():
        np.testing.assert_array_equal(dense(found.layers[key]), dense(layer))


@pytest.mark.parametrize(
    ("largest", "stored_as"),
    [(255, "uint8"), (256, "uint16"), (70_000, "uint32"), (0.5, "float32"), (-1, "float32")],
)
def test_write_zarr__counts_in_the_smallest_type(
    largest: float, stored_as: str, tmp_path: Path
) -> None:
    X = random_counts(20, 10)
    X.data[-1] = largest
    write_elements(elements_of(X), tmp_path / "a.zarr")
    assert zarr.open_group(tmp_path / "a.zarr", mode="r")["X/data"].dtype == stored_as
    assert_matrix(open_elements(tmp_path / "a.zarr").X, X)


def test_write_zarr__type_widens_beyond_the_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lazymu.io.sampling.RUN_VALUES", 5)
    X = random_counts(2000, 10)
    for row, value in ((600, 300), (1100, 70_000), (1600, 1.5)):
        X.data[X.indptr[row]] = value
    with settings.override(memory_limit=60_000, n_threads=1):
        write_elements(elements_of(X), tmp_path / "a.zarr", chunk_values=100)
    assert_matrix(open_elements(tmp_path / "a.zarr").X, X)
    assert zarr.open_group(tmp_path / "a.zarr", mode="r")["X/data"].dtype == np.float32


TYPES = ["int8", "uint16", "int32", "int64", "float32", "float64", "bool"]


@pytest.mark.parametrize("encode", [sp.csr_matrix, sp.csc_matrix, np.asarray])
def test_write__types_and_encodings_come_back(encode: Any, tmp_path: Path) -> None:
    values = random_counts(20, 10).toarray()
    adata = ad.AnnData(encode(values), layers={t: encode(values.astype(t)) for t in TYPES})
    write_elements(opened(adata, tmp_path), tmp_path / "a.zarr")
    write_elements(open_elements(tmp_path / "a.zarr"), tmp_path / "b.zarr")  # once more
    write_elements(open_elements(tmp_path / "b.zarr"), tmp_path / "b.h5ad")
    found = ad.read_h5ad(tmp_path / "b.h5ad")
    for name in TYPES:
        assert type(found.layers[name]) is type(adata.layers[name])
        assert found.layers[name].dtype == name
        np.testing.assert_array_equal(dense(found.layers[name]), dense(adata.layers[name]))


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0), (5, 3)])
@pytest.mark.parametrize("options", OPTIONS[1:], ids=["v2", "shards"])
def test_write__empty_matrices(
    shape: tuple[int, int], options: dict[str, Any], tmp_path: Path
) -> None:
    X = np.zeros(shape, dtype=np.float32)
    adata = ad.AnnData(X, layers={"csr": sp.csr_matrix(X), "csc": sp.csc_matrix(X)})
    write_elements(opened(adata, tmp_path), tmp_path / "a.zarr", **options)
    elements = open_elements(tmp_path / "a.zarr")
    assert_same(elements, adata)
    write_elements(elements, tmp_path / "a.h5ad")
    assert_same_anndata(ad.read_h5ad(tmp_path / "a.h5ad"), adata)
    with peers():
        assert ad.io.read_zarr(tmp_path / "a.zarr").shape == shape


def test_write_zarr__chunks_and_shards_as_asked(tmp_path: Path) -> None:
    write_elements(
        elements_of(random_counts(50, 20)), tmp_path / "a.zarr", chunk_values=16, shards=64
    )
    X = zarr.open_group(tmp_path / "a.zarr", mode="r")["X"]
    for part in ("data", "indices", "indptr"):
        assert (X[part].chunks, X[part].shards) == ((16,), (64,))


def test_write__selection_in_any_order(tmp_path: Path) -> None:
    X = random_counts(30, 12)
    rows, cols = np.array([20, 3, 3, 29]), np.array([11, 0, 5])
    elements = elements_of(LazyMatrix(X)[rows, cols])
    for name in ("a.zarr", "a.h5ad"):
        write_elements(elements, tmp_path / name)
        np.testing.assert_array_equal(
            dense(open_elements(tmp_path / name).X), X[rows][:, cols].toarray()
        )


def test_write__modalities_of_one_source_are_read_once(tmp_path: Path) -> None:
    X = random_counts(40, 30)
    write_elements(elements_of(X), tmp_path / "in.zarr", chunk_values=1 << 20)
    store = CountingStore(zarr.storage.LocalStore(tmp_path / "in.zarr", read_only=True))
    whole = open_elements(store).X
    mod = {
        "rna": elements_of(whole[:, np.arange(20)]),
        "prot": elements_of(whole[:, np.arange(20, 30)]),
    }
    store.reads.clear()
    write_elements(StoreElements(mod), tmp_path / "a.zarr")
    n_samples = 2
    assert store.reads["X/data/c/0"] == n_samples + 1
    again = open_elements(tmp_path / "a.zarr")
    np.testing.assert_array_equal(dense(again.mod["rna"].X), X[:, :20].toarray())
    np.testing.assert_array_equal(dense(again.mod["prot"].X), X[:, 20:].toarray())
    for name, cols in (("rna", slice(0, 20)), ("prot", slice(20, 30))):
        known = again.mod[name].X.cache.features()
        np.testing.assert_array_equal(known.total, X[:, cols].sum(axis=0).A1)


def test_columns__picks_in_the_selected_order() -> None:
    X = random_counts(10, 8)
    pick = ColumnPicker(np.array([5, 1, 7]), 8)
    np.testing.assert_array_equal(pick(X).toarray(), X[:, [5, 1, 7]].toarray())


# --- sums -----------------------------------------------------------------------------------------


def test_write_zarr__sums_are_kept(tmp_path: Path) -> None:
    adata = make_anndata()
    write_elements(opened(adata, tmp_path), tmp_path / "a.zarr")
    store = CountingStore(zarr.storage.LocalStore(tmp_path / "a.zarr", read_only=True))
    elements = open_elements(store)
    expected = matrix_sums(LazyMatrix(adata.X))
    found = matrix_sums(elements.X)
    for part in ("cells", "features"):
        for a, b in zip(getattr(found, part), getattr(expected, part), strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
    assert found.extremes == expected.extremes
    assert store.reads["X/indices/c/0"] == 0
    for name in ("dense", "columns"):
        assert elements.layers[name].cache.cells() is not None
    assert elements.raw.X.cache.extremes() is not None


def test_write_zarr__sums_are_void_where_values_changed(tmp_path: Path) -> None:
    X = random_counts(20, 10)
    write_elements(elements_of(X), tmp_path / "a.zarr")
    array = zarr.open_group(tmp_path / "a.zarr", mode="a", use_consolidated=False)["X/data"]
    array[:] = array[:] * 2
    elements = open_elements(tmp_path / "a.zarr")
    assert elements.X.cache.cells() is None
    np.testing.assert_array_equal(matrix_sums(elements.X).cells.total, 2 * X.sum(axis=1).A1)


def test_write_zarr__sums_hold_where_another_tool_wrote_the_same_values(tmp_path: Path) -> None:
    X = random_counts(20, 10)
    write_elements(elements_of(X), tmp_path / "a.zarr")
    with peers():
        ad.io.read_zarr(tmp_path / "a.zarr").write_zarr(tmp_path / "b.zarr")
    elements = open_elements(tmp_path / "b.zarr")
    assert elements.X.cache.cells() is not None
    assert_matrix(elements.X, X)


def test_write_zarr__lost_chunk_is_not_read_as_zeros(tmp_path: Path) -> None:
    write_elements(elements_of(random_counts(50, 20)), tmp_path / "a.zarr", chunk_values=16)
    (tmp_path / "a.zarr/X/data/c/3").unlink()
    with pytest.raises(DamagedFileError, match="without 1 of its files"):
        open_elements(tmp_path / "a.zarr")


# --- recipes --------------------------------------------------------------------------------------


def normalized(X: LazyMatrix) -> LazyMatrix:
    total = np.maximum(matrix_sums(X).cells.total, 1)
    return X.with_steps(ScaleRows(1e4 / total), Log1p())


def with_recipes(X: LazyMatrix) -> Any:
    layers = {"counts": X.counts, "binary": X.with_steps(Binarize())}
    raw = RawElements(normalized(X), pd.DataFrame({"n": range(X.shape[1])}, index=list("abcdefgh")))
    elements = elements_of(normalized(X), layers=layers, raw=raw)
    elements.raw.var.index = elements.var.index
    elements.uns["lazymu"] = {"note": "mine"}
    return elements


def test_write_zarr__transforms_are_recipes_on_counts(tmp_path: Path) -> None:
    X = random_counts(30, 8)
    elements = with_recipes(LazyMatrix(X))
    write_elements(elements, tmp_path / "a.zarr")
    group = zarr.open_group(tmp_path / "a.zarr", mode="r")
    assert list(group["layers"].keys()) == []
    assert "raw" not in group
    with peers():
        np.testing.assert_array_equal(dense(ad.io.read_zarr(tmp_path / "a.zarr").X), X.toarray())
    again = open_elements(tmp_path / "a.zarr")
    assert [type(step).__name__ for step in again.X.steps] == ["Astype", "ScaleRows", "Log1p"]
    np.testing.assert_array_equal(dense(again.X), dense(elements.X))
    for name in ("counts", "binary"):
        np.testing.assert_array_equal(dense(again.layers[name]), dense(elements.layers[name]))
    np.testing.assert_array_equal(dense(again.raw.X), dense(elements.X))
    assert again.raw.var["n"].tolist() == list(range(8))
    assert again.layers["counts"].cache is again.X.cache
    assert_values_equal(again.uns, {"lazymu": {"note": "mine"}})


ANY_STEPS: list[tuple[Step, ...]] = [
    (Expm1(), Log1p(base=2.0)),
    (ScaleRows(np.arange(1.0, 31.0)), ScaleCols(np.arange(1, 9, dtype=np.float32))),
    (Log1p(), Clip(high=1.5)),
    (Standardize(np.full(8, 0.5), np.full(8, 2.0), max_value=1.0),),
    (LogRatio(1.0, of_col=np.arange(8.0)),),
    (Dsb(10.0, np.zeros(8), std=np.ones(8), low=-1.0, high=1.0),),
]


@pytest.mark.parametrize("steps", ANY_STEPS, ids=lambda steps: type(steps[-1]).__name__)
def test_write__any_transform(steps: tuple[Step, ...], tmp_path: Path) -> None:
    elements = elements_of(LazyMatrix(random_counts(30, 8)).with_steps(*steps))
    write_elements(elements, tmp_path / "a.zarr")
    found = open_elements(tmp_path / "a.zarr").X
    assert [to_record(step)["kind"] for step in found.steps[1:]] == [
        to_record(step)["kind"] for step in steps
    ]
    np.testing.assert_array_equal(dense(found), dense(elements.X))
    assert found.dtype == elements.X.dtype
    write_elements(elements, tmp_path / "a.h5ad")
    adata = ad.read_h5ad(tmp_path / "a.h5ad")
    np.testing.assert_array_equal(dense(adata.X), dense(elements.X))
    assert isinstance(adata.X, np.ndarray) == elements.X.is_dense


def test_write_zarr__recipes_are_aligned_to_the_selection(tmp_path: Path) -> None:
    X = LazyMatrix(random_counts(30, 8))
    factor = 1 / np.arange(1.0, 9.0)
    whole = normalized(X).with_steps(ScaleCols(factor))
    part = whole[np.array([20, 3, 4]), np.array([7, 2])]
    write_elements(elements_of(part), tmp_path / "a.zarr")
    again = open_elements(tmp_path / "a.zarr")
    assert again.X.shape == (3, 2)
    np.testing.assert_array_equal(dense(again.X), dense(part))
    np.testing.assert_array_equal(dense(again.X.counts), dense(part.counts))


def test_write_zarr__recipes_survive_a_second_writing(tmp_path: Path) -> None:
    elements = with_recipes(LazyMatrix(random_counts(30, 8)))
    write_elements(elements, tmp_path / "a.zarr")
    write_elements(open_elements(tmp_path / "a.zarr"), tmp_path / "b.zarr")
    again = open_elements(tmp_path / "b.zarr")
    np.testing.assert_array_equal(dense(again.X), dense(elements.X))
    np.testing.assert_array_equal(dense(again.layers["binary"]), dense(elements.layers["binary"]))


@pytest.mark.parametrize("name", ["a.zarr", "a.h5ad"])
def test_write__normalized_values_on_request(name: str, tmp_path: Path) -> None:
    elements = with_recipes(LazyMatrix(random_counts(30, 8)))
    write_elements(elements, tmp_path / name, X="normalized")
    with peers():
        found = ad.read_h5ad(tmp_path / name) if "h5" in name else ad.io.read_zarr(tmp_path / name)
    np.testing.assert_array_equal(dense(found.X), dense(elements.X))
    np.testing.assert_array_equal(dense(found.raw.X), dense(elements.X))
    for key, layer in elements.layers.items():
        np.testing.assert_array_equal(dense(found.layers[key]), dense(layer))
    assert found.X.dtype == np.float32
    again = open_elements(tmp_path / name)
    np.testing.assert_array_equal(dense(again.X), dense(elements.X))


def test_write_h5ad__counts_on_request(tmp_path: Path) -> None:
    X = random_counts(30, 8)
    write_elements(with_recipes(LazyMatrix(X)), tmp_path / "a.h5ad", X="counts")
    found = ad.read_h5ad(tmp_path / "a.h5ad")
    np.testing.assert_array_equal(dense(found.X), X.toarray())
    assert found.uns == {"lazymu": {"note": "mine"}}


def test_open__transforms_of_values_that_others_wrote_are_dropped(tmp_path: Path) -> None:
    """Else a matrix that scanpy has normalised would be normalised twice."""
    elements = with_recipes(LazyMatrix(random_counts(30, 8)))
    write_elements(elements, tmp_path / "a.zarr")
    with peers():
        adata = ad.io.read_zarr(tmp_path / "a.zarr")
        adata.X = adata.X.astype(np.float32) * 0.5
        adata.write_zarr(tmp_path / "b.zarr")
    with pytest.warns(UserWarning, match="are others than lazymu wrote") as warned:
        again = open_elements(tmp_path / "b.zarr")
    assert len(warned) == 1
    assert "recorded for X, layers:counts, layers:binary, raw are" in str(warned[0].message)
    np.testing.assert_array_equal(dense(again.X), dense(elements.X.counts) * 0.5)
    assert again.layers == {}
    assert again.raw is None


def test_write_zarr__layer_of_another_source_is_stored(tmp_path: Path) -> None:
    X, other = random_counts(30, 8), random_counts(30, 8, seed=3)
    elements = elements_of(X, layers={"other": LazyMatrix(other).with_steps(Log1p())})
    write_elements(elements, tmp_path / "a.zarr")
    again = open_elements(tmp_path / "a.zarr")
    np.testing.assert_array_equal(dense(again.layers["other"]), dense(elements.layers["other"]))
    np.testing.assert_array_equal(dense(again.layers["other"].counts), other.toarray())


def test_write_zarr__raw_of_more_features(tmp_path: Path) -> None:
    X = LazyMatrix(random_counts(30, 8))
    raw = RawElements(normalized(X), pd.DataFrame(index=[f"g{i}" for i in range(8)]))
    write_elements(elements_of(normalized(X)[:, :5], raw=raw), tmp_path / "a.zarr")
    again = open_elements(tmp_path / "a.zarr")
    np.testing.assert_array_equal(dense(again.raw.X), dense(raw.X))
    np.testing.assert_array_equal(dense(again.X), dense(raw.X)[:, :5])


# --- replacing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.zarr", "a.h5ad"])
def test_write__onto_the_file_that_is_read(name: str, tmp_path: Path) -> None:
    adata = make_anndata()
    write_elements(opened(adata, tmp_path), tmp_path / name)
    elements = open_elements(tmp_path / name)
    half = elements_of(elements.X[10:, :6], obsm={"X_pca": elements.obsm["X_pca"].read()[10:]})
    with pytest.raises(StoreExistsError, match="pass overwrite=True"):
        write_elements(half, tmp_path / name)
    write_elements(half, tmp_path / name, overwrite=True)
    again = open_elements(tmp_path / name)
    np.testing.assert_array_equal(dense(again.X), adata.X[10:, :6].toarray())
    # What was opened before still reads what it was opened on, also what it had not read yet.
    assert_same(elements, adata)
    del elements, half
    import gc

    gc.collect()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "in.h5ad"])


def test_write_zarr__unchanged_matrix_is_not_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elements = with_recipes(LazyMatrix(random_counts(30, 8)))
    write_elements(elements, tmp_path / "a.zarr")
    inode = (tmp_path / "a.zarr/X/data/c/0").stat().st_ino
    monkeypatch.setattr("lazymu.io.matrices.iterate_blocks", None)
    again = open_elements(tmp_path / "a.zarr")
    again.obs["new"] = 1.0
    write_elements(again, tmp_path / "a.zarr", overwrite=True)
    assert (tmp_path / "a.zarr/X/data/c/0").stat().st_ino == inode
    write_elements(again, tmp_path / "b.zarr")
    assert (tmp_path / "b.zarr/X/data/c/0").stat().st_ino != inode
    for name in ("a.zarr", "b.zarr"):
        found = open_elements(tmp_path / name)
        np.testing.assert_array_equal(dense(found.X), dense(elements.X))
        np.testing.assert_array_equal(dense(found.raw.X), dense(elements.raw.X))
        assert found.X.cache.cells() is not None
        assert found.obs.columns.tolist() == ["new"]


@pytest.mark.parametrize(
    "options", [{"zarr_format": 2}, {"chunk_values": 64}, {"shards": 1 << 22}, {"X": "normalized"}]
)
def test_write_zarr__matrix_in_another_layout_is_written_anew(
    options: dict[str, Any], tmp_path: Path
) -> None:
    elements = with_recipes(LazyMatrix(random_counts(30, 8)))
    write_elements(elements, tmp_path / "a.zarr")
    write_elements(open_elements(tmp_path / "a.zarr"), tmp_path / "b.zarr", **options)
    np.testing.assert_array_equal(dense(open_elements(tmp_path / "b.zarr").X), dense(elements.X))
    data = zarr.open_group(tmp_path / "b.zarr", mode="r")["X/data"]
    assert data.metadata.zarr_format == options.get("zarr_format", 3)
    assert data.chunks == (options.get("chunk_values", 1 << 20),)
    assert data.shards == ((1 << 22,) if "shards" in options else None)


def test_write_zarr__error_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    adata = make_anndata()
    write_elements(opened(adata, tmp_path), tmp_path / "a.zarr")
    broken = open_elements(tmp_path / "a.zarr")
    broken.uns["bad"] = object()
    with pytest.raises(Exception, match="No method registered"):
        write_elements(broken, tmp_path / "a.zarr", overwrite=True)
    assert_same(open_elements(tmp_path / "a.zarr"), adata)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zarr", "in.h5ad"]


def test_write_zarr__url(tmp_path: Path) -> None:
    X, url = random_counts(5, 4), f"memory://{tmp_path.name}.zarr"
    write_elements(StoreElements({"rna": elements_of(X)}), url)
    assert_matrix(open_elements(url).mod["rna"].X, X)
    assert_matrix(open_elements(f"{url}/mod/rna").X, X)
    with pytest.raises(StoreExistsError, match="pass overwrite=True"):
        write_elements(elements_of(X), url)
    write_elements(elements_of(X * 2), url, overwrite=True)
    assert_matrix(open_elements(url).X, X * 2)


# --- joint tables ---------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_write__joint_tables_are_made_from_names(axis: int, tmp_path: Path) -> None:
    rna, prot = elements_of(random_counts(4, 3)), elements_of(random_counts(3, 3))
    prot.obs.index = ["cell3", "new", "cell0"]
    write_elements(StoreElements({"rna": rna, "prot": prot}, axis=axis), tmp_path / "a.zarr")
    root = zarr.open_group(tmp_path / "a.zarr", mode="r")
    found = open_elements(tmp_path / "a.zarr")
    cells, features = ["cell0", "cell1", "cell2", "cell3"], ["g0", "g1", "g2"]
    if axis == 1:
        assert found.obs.index.tolist() == [*cells, "cell3", "new", "cell0"]
        assert root["obsmap/prot"][:].tolist() == [0, 0, 0, 0, 1, 2, 3]
    else:
        assert found.obs.index.tolist() == [*cells, "new"]
        assert root["obsmap/prot"][:].tolist() == [3, 0, 0, 1, 2]
    if axis == 0:
        assert found.var.index.tolist() == features * 2
        assert root["varmap/prot"][:].tolist() == [0, 0, 0, 1, 2, 3]
    else:
        assert found.var.index.tolist() == features
        assert root["varmap/prot"][:].tolist() == [1, 2, 3]
    assert found.axis == axis


def test_write__names_that_repeat_have_no_map(tmp_path: Path) -> None:
    rna = elements_of(random_counts(3, 3))
    rna.obs.index = ["cell0", "cell0", "cell1"]
    obs = pd.DataFrame(index=["cell0", "cell1"])
    write_elements(StoreElements({"rna": rna}, obs=obs), tmp_path / "a.zarr")
    assert list(zarr.open_group(tmp_path / "a.zarr", mode="r")["obsmap"].keys()) == []


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.csv", "a", "s3://bucket/a.h5ad", "a.zarr.zip"])
def test_write__raises_on_unknown_suffix(name: str) -> None:
    with pytest.raises(UnknownFormatError, match=r"can be written is \.zarr, \.h5mu, \.h5ad"):
        write_elements(elements_of(random_counts(3, 3)), name)


def test_write__raises_on_the_wrong_kind_of_file(tmp_path: Path) -> None:
    rna = elements_of(random_counts(3, 3))
    with pytest.raises(ArgumentError, match=r"\.h5mu holds a MuData and this is one modality"):
        write_elements(rna, tmp_path / "a.h5mu")
    with pytest.raises(ArgumentError, match="this is a MuData of rna, prot"):
        write_elements(StoreElements({"rna": rna, "prot": rna}), tmp_path / "a.h5ad")
    with pytest.raises(ArgumentError, match="this is a MuData of rna; write to"):
        write_elements(StoreElements({"rna": rna}, uns={"a": 1}), tmp_path / "a.h5ad")


def test_write__one_modality_of_a_mudata_as_h5ad(tmp_path: Path) -> None:
    X = random_counts(3, 3)
    write_elements(StoreElements({"rna": elements_of(X)}), tmp_path / "a.h5ad")
    assert_matrix(open_elements(tmp_path / "a.h5ad").X, X)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"X": "raw"}, '`X` is \'raw\', but it says what X holds: "counts" or "normalized"'),
        ({"zarr_format": 1}, "`zarr_format` is 1, but there are formats 2 and 3"),
        ({"zarr_format": 2, "shards": 1 << 22}, "format 2 of Zarr has no shards"),
        ({"shards": 5}, "`shards` is 5, but a shard holds whole chunks"),
    ],
)
def test_write__raises_on_options(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=message):
        write_elements(elements_of(random_counts(3, 3)), tmp_path / "a.zarr", **options)
    assert list(tmp_path.iterdir()) == []


def test_write__raises_on_slash_in_names(tmp_path: Path) -> None:
    rna = elements_of(random_counts(3, 3))
    for elements in (
        StoreElements({"a/b": rna}),
        elements_of(random_counts(3, 3), layers={"a/b": rna.X}),
        elements_of(random_counts(3, 3), obsm={"a/b": np.zeros((3, 2))}),
    ):
        with pytest.raises(ArgumentError, match="`key` is 'a/b'"):
            write_elements(elements, tmp_path / "a.zarr")


@pytest.mark.parametrize("name", ["a.zarr", "a.h5ad"])
def test_write__modality_without_X(name: str, tmp_path: Path) -> None:
    elements = elements_of(random_counts(3, 2))
    elements.X = None
    write_elements(elements, tmp_path / name)
    assert open_elements(tmp_path / name).X is None
    with peers():
        found = ad.read_h5ad(tmp_path / name) if "h5" in name else ad.io.read_zarr(tmp_path / name)
    assert found.shape == (3, 2)
