from __future__ import annotations

import pickle
import shutil
import zipfile
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

from lazymu.errors import (
    DamagedFileError,
    MissingFileError,
    ModalityNotFoundError,
    UnknownFormatError,
)
from lazymu.io import ModalityElements, StoreElements, open_elements
from tests.counting import CountingStore
from tests.store_samples import (
    assert_matrix,
    assert_same,
    assert_same_store,
    dense,
    make_anndata,
    make_mudata,
    peers,
    random_counts,
)

FORMATS = ["h5", "zarr2", "zarr3"]


def written(data: Any, folder: Path, form: str) -> str:
    """Write with the peers' own writer and return the path."""
    is_mudata = isinstance(data, md.MuData)
    with peers():
        if form == "h5":
            path = str(folder / ("a.h5mu" if is_mudata else "a.h5ad"))
            md.write(path, data)
            return path
        path = str(folder / "a.zarr")
        with ad.settings.override(zarr_write_format=int(form[-1])):
            (md.write_zarr if is_mudata else ad.io.write_zarr)(path, data)
        return path


@pytest.fixture(scope="module", params=FORMATS)
def stores(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a MuData written by mudata in each format; tests leave it as it is."""
    return written(make_mudata(), tmp_path_factory.mktemp("peers"), request.param)


@pytest.fixture(scope="module")
def store_v3(tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(make_mudata(), tmp_path_factory.mktemp("peers"), "zarr3")


@pytest.mark.parametrize("form", FORMATS)
def test_open_elements__anndata_of_peers(form: str, tmp_path: Path) -> None:
    adata = make_anndata()
    path = written(adata, tmp_path, form)
    elements = open_elements(path)
    assert isinstance(elements, ModalityElements)
    assert_same(elements, adata)


def test_open_elements__mudata_of_peers(stores: str) -> None:
    assert_same_store(open_elements(stores), make_mudata())


def test_open_elements__reads_no_values(store_v3: str) -> None:
    path = store_v3
    store = CountingStore(zarr.storage.LocalStore(path, read_only=True))
    elements = open_elements(store)
    matrices = ("X/", "layers/", "raw/X", "obsm/", "uns/")
    assert [key for key in store.chunk_reads("mod/rna") if key[8:].startswith(matrices)] == []
    assert elements.mod["rna"].X.sum() > 0
    assert store.chunk_reads("mod/rna/X/data")


@pytest.mark.parametrize("inner", ["rna", "mod/rna", "/rna/"])
def test_open_elements__path_inside_a_file(stores: str, inner: str) -> None:
    assert_same(open_elements(f"{stores}/{inner}"), make_mudata()["rna"])


def test_open_elements__zip_of_a_store(store_v3: str, tmp_path: Path) -> None:
    mdata, folder = make_mudata(), Path(store_v3)
    with zipfile.ZipFile(tmp_path / "b.zarr.zip", "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder))
    assert_same_store(open_elements(tmp_path / "b.zarr.zip"), mdata)


def test_open_elements__folder_of_any_name_that_is_a_store(tmp_path: Path) -> None:
    adata = make_anndata()
    shutil.move(written(adata, tmp_path, "zarr3"), tmp_path / "pbmc")
    assert_same(open_elements(tmp_path / "pbmc"), adata)


@pytest.mark.parametrize(
    "dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
)
@pytest.mark.parametrize("encode", [sp.csr_matrix, sp.csc_matrix, np.asarray])
def test_open_elements__whole_numbers(dtype: str, encode: Any, tmp_path: Path) -> None:
    X = encode(random_counts(9, 7).toarray().astype(dtype))
    ad.AnnData(X).write_h5ad(tmp_path / "a.h5ad")
    assert_matrix(open_elements(tmp_path / "a.h5ad").X, X)


@pytest.mark.parametrize("stored", ["bool", ">f4", ">i8", "float16"])
def test_open_elements__types_without_kernels_are_widened(stored: str, tmp_path: Path) -> None:
    X = random_counts(9, 7).toarray().astype(stored)
    with h5py.File(tmp_path / "a.h5ad", "w") as file:
        ad.io.write_elem(file, "/", ad.AnnData(np.zeros(X.shape, "float32")))
        del file["X"]
        file["X"] = X
    elements = open_elements(tmp_path / "a.h5ad")
    np.testing.assert_array_equal(dense(elements.X), X.astype("float64"))
    assert elements.X.dtype in (np.uint8, np.float32, np.int64)


def test_open_elements__unsorted_indices_explicit_zeros_and_repeats(tmp_path: Path) -> None:
    X = sp.csr_matrix(
        (np.array([3, 0, 1, 2, 5, 4.0]), np.array([4, 1, 0, 2, 2, 0]), np.array([0, 3, 5, 5, 6])),
        shape=(4, 5),
    )
    expected = np.zeros((4, 5))
    expected[0, [4, 0]], expected[1, 2], expected[3, 0] = (3, 1), 7, 4
    for name, stored in (("csr", X), ("csc", sp.csc_matrix((X.data, X.indices, X.indptr), (5, 4)))):
        path = tmp_path / f"{name}.h5ad"
        with h5py.File(path, "w") as file:
            ad.io.write_elem(file, "/", ad.AnnData(shape=stored.shape))
            if "X" in file:
                del file["X"]
            ad.io.write_elem(file, "X", stored)
        found = open_elements(path).X.to_memory()
        expected_here = expected if name == "csr" else expected.T
        np.testing.assert_array_equal(found.toarray(), expected_here)
        assert found.has_canonical_format
        assert found.nnz == np.count_nonzero(expected)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0)])
@pytest.mark.parametrize("encode", [sp.csr_matrix, sp.csc_matrix, np.asarray])
def test_open_elements__empty_matrices(shape: tuple[int, int], encode: Any, tmp_path: Path) -> None:
    X = encode(np.zeros(shape, dtype=np.float32))
    ad.AnnData(X).write_h5ad(tmp_path / "a.h5ad")
    assert_matrix(open_elements(tmp_path / "a.h5ad").X, X)


def test_open_elements__without_X(tmp_path: Path) -> None:
    ad.AnnData(obs=pd.DataFrame(index=["a", "b"])).write_h5ad(tmp_path / "a.h5ad")
    assert open_elements(tmp_path / "a.h5ad").X is None


def test_open_elements__mixed_index_types(tmp_path: Path) -> None:
    X = random_counts(9, 7)
    ad.AnnData(X).write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "a") as file:
        indices, indptr = file["X/indices"][:], file["X/indptr"][:]
        del file["X/indices"], file["X/indptr"]
        file["X/indices"], file["X/indptr"] = indices.astype("uint16"), indptr.astype("int64")
    assert_matrix(open_elements(tmp_path / "a.h5ad").X, X)


def test_open_elements__sources_can_be_pickled(tmp_path: Path) -> None:
    adata = make_anndata()
    for form in ("h5", "zarr3"):
        elements = open_elements(written(adata, tmp_path, form))
        for matrix in (elements.X, elements.layers["columns"], elements.layers["dense"]):
            again = pickle.loads(pickle.dumps(matrix))
            np.testing.assert_array_equal(dense(again), dense(matrix))


# --- files of old versions ------------------------------------------------------------------------

WEIRD = [
    "anndata_v0.7.8.h5ad",
    "anndata_v0.7.8.zarr.zip",
    "bpcells_mini_mat.anndata-v0.10.9.h5ad",
    "mudata_v0.2.4_mdata_axis0.h5mu",
    "mudata_v0.2.4_mdata_axis0.zarr.zip",
    "mudata_v0.3.10_mdata_axis0.h5mu",
    "mudata_v0.3.10_mdata_axis0.zarr.zip",
    "mudata_v0.3.10_mdata_axis1.h5mu",
    "soma_pbmc-small-x-csr.h5ad",
    "soma_pbmc-small-x-dense.h5ad",
    "../tiny_10x/tiledbsoma_pbmc_multiome_subset_100x100.h5ad",
]


@pytest.mark.data
@pytest.mark.parametrize("name", WEIRD)
def test_open_elements__weird_files(name: str, data_dir: Path) -> None:
    path = data_dir / "weird_files" / name
    elements = open_elements(path)
    if "mudata" in name and "zarr" in name:
        # mudata 0.3 leaves raw of a Zarr modality out: each modality is compared on its own.
        root = zarr.open_group(zarr.storage.ZipStore(path, mode="r"), mode="r")
        assert list(elements.mod) == list(root["mod"].attrs["mod-order"])
        for m, modality in elements.mod.items():
            with peers():
                expected = ad.io.read_zarr(root[f"mod/{m}"])
            assert_same(modality, expected)
    elif "mudata" in name:
        with peers():
            expected = md.read_h5mu(path)
        assert_same_store(elements, expected)
    else:
        with peers():
            stored = zarr.storage.ZipStore(path, mode="r") if "zarr" in name else None
            expected = ad.read_h5ad(path) if stored is None else ad.io.read_zarr(stored)
        assert_same(elements, expected)


def test_open_elements__raw_and_tables_of_anndata_before_0_7(tmp_path: Path) -> None:
    X = random_counts(4, 3)
    obs = np.array(
        [(f"cell{i}".encode(), i) for i in range(4)], dtype=[("index", "S8"), ("depth", "i4")]
    )
    var = np.array([(f"g{i}".encode(), i) for i in range(3)], dtype=[("index", "S8"), ("n", "i4")])
    with h5py.File(tmp_path / "a.h5ad", "w") as file:
        file["obs"], file["var"], file["raw.var"] = obs, var, var
        for name in ("X", "raw.X"):
            group = file.create_group(name)
            group["data"], group["indices"], group["indptr"] = X.data, X.indices, X.indptr
            group.attrs["h5sparse_format"], group.attrs["h5sparse_shape"] = "csr", X.shape
    elements = open_elements(tmp_path / "a.h5ad")
    assert_matrix(elements.X, X)
    assert elements.obs.index.tolist() == ["cell0", "cell1", "cell2", "cell3"]
    assert elements.obs["depth"].tolist() == [0, 1, 2, 3]
    assert elements.raw is not None
    assert_matrix(elements.raw.X, X)
    assert elements.raw.var.index.tolist() == ["g0", "g1", "g2"]


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["absent.h5mu", "absent.zarr", "absent.h5", "absent/matrix.mtx"])
def test_open_elements__raises_on_missing_file(name: str, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="there is no such file or folder") as raised:
        open_elements(tmp_path / name)
    assert isinstance(raised.value, FileNotFoundError)


@pytest.mark.parametrize("name", ["table.csv", "folder"])
def test_open_elements__raises_on_unknown_suffix(name: str, tmp_path: Path) -> None:
    (tmp_path / "table.csv").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(UnknownFormatError, match=r"known are \.h5mu, \.h5ad, \.zarr"):
        open_elements(tmp_path / name)


def test_open_elements__raises_on_unknown_layout(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["numbers"] = [1, 2]
    with pytest.raises(UnknownFormatError, match=r"its layout is none of \.h5mu"):
        open_elements(tmp_path / "a.h5")


def test_open_elements__raises_on_unknown_modality(store_v3: str) -> None:
    with pytest.raises(ModalityNotFoundError, match=r"'atac'.*holds rna, prot"):
        open_elements(f"{store_v3}/atac")


def test_open_elements__raises_on_nested_mudata(tmp_path: Path) -> None:
    path = written(make_mudata(), tmp_path, "h5")
    with h5py.File(path, "a") as file:
        file["mod/rna"].attrs["encoding-type"] = "MuData"
    with pytest.raises(UnknownFormatError, match="nested MuData cannot be read"):
        open_elements(path)


def test_open_elements__raises_on_unknown_matrix_encoding(tmp_path: Path) -> None:
    path = written(make_anndata(), tmp_path, "h5")
    with h5py.File(path, "a") as file:
        file["X"].attrs["encoding-type"] = "coo_matrix"
    with pytest.raises(UnknownFormatError, match="encoded as 'coo_matrix'"):
        open_elements(path)


@pytest.mark.parametrize("name", ["a.h5ad", "a.zarr", "a.zarr.zip"])
def test_open_elements__raises_on_file_that_is_something_else(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"something else")
    with pytest.raises(DamagedFileError, match="cannot be opened as"):
        open_elements(tmp_path / name)


def test_open_elements__raises_on_file_cut_short(tmp_path: Path) -> None:
    path = Path(written(make_anndata(), tmp_path, "h5"))
    path.write_bytes(path.read_bytes()[:-20000])
    with pytest.raises(DamagedFileError, match="cannot be opened as HDF5"):
        open_elements(path)


def damage_group(path: str, what: str) -> None:
    with h5py.File(path, "a") as file:
        if what in file:
            del file[what]


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("var", "absent from .* an AnnData has obs and var"),
        ("X/indptr", "without indptr in"),
        ("obs/_index", "`obs` is in .* but the table cannot be read"),
    ],
)
def test_open_elements__raises_on_absent_part(what: str, message: str, tmp_path: Path) -> None:
    path = written(make_anndata(), tmp_path, "h5")
    damage_group(path, what)
    with pytest.raises(DamagedFileError, match=message):
        open_elements(path)


def test_open_elements__raises_on_matrix_without_shape(tmp_path: Path) -> None:
    path = written(make_anndata(), tmp_path, "h5")
    with h5py.File(path, "a") as file:
        del file["X"].attrs["shape"]
    with pytest.raises(DamagedFileError, match="`X` is without shape in"):
        open_elements(path)


def replace_array(path: str, name: str, change: Any) -> None:
    with h5py.File(path, "a") as file:
        values = file[name][:]
        del file[name]
        file[name] = change(values)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("X/indptr", lambda v: v[:-1], "must rise from 0 over 31 entries"),
        ("X/indptr", lambda v: v[::-1].copy(), "must rise from 0"),
        ("X/data", lambda v: v[:-1], "asks for"),
        ("X/indices", lambda v: v + 9, "must lie in 0..11"),
    ],
)
def test_open_elements__raises_when_read_on_contradictions(
    name: str, change: Any, message: str, tmp_path: Path
) -> None:
    path = written(make_anndata(), tmp_path, "h5")
    replace_array(path, name, change)
    matrix = open_elements(path).X
    with pytest.raises(DamagedFileError, match=message):
        matrix.to_memory()


def test_open_elements__raises_on_matrix_of_another_shape(tmp_path: Path) -> None:
    path = written(make_anndata(), tmp_path, "h5")
    with h5py.File(path, "a") as file:
        file["X"].attrs["shape"] = (31, 12)
    with pytest.raises(DamagedFileError, match=r"31 × 12 .* 30 cells and 12 features"):
        open_elements(path)


def test_open_elements__raises_on_vector_as_matrix(tmp_path: Path) -> None:
    path = written(make_anndata(), tmp_path, "h5")
    replace_array(path, "layers/dense", lambda v: v[:, 0])
    with pytest.raises(DamagedFileError, match="1-dimensional"):
        open_elements(path)


def test_open_elements__raises_when_read_on_damaged_chunk(tmp_path: Path) -> None:
    path = written(make_anndata(), tmp_path, "zarr3")
    for chunk in (Path(path) / "X/data/c").iterdir():
        chunk.write_bytes(b"damaged")
    matrix = open_elements(path).X
    with pytest.raises(DamagedFileError, match=r"`X/data` .* values cannot be read"):
        matrix.to_memory()


def test_open_elements__error_of_an_element_names_it_and_the_file(tmp_path: Path) -> None:
    path = written(make_anndata(), tmp_path, "h5")
    with h5py.File(path, "a") as file:
        file["obsm/X_pca"].attrs["encoding-version"] = "9.9.9"
    value = open_elements(path).obsm["X_pca"]
    with pytest.raises(DamagedFileError, match=r"9\.9\.9") as raised:
        value.read()
    assert f"`obsm/X_pca` is in {path}" in str(raised.value)


def test_open_elements__keeps_order_of_modalities(tmp_path: Path) -> None:
    path = written(make_mudata(), tmp_path, "h5")
    for order, expected in (
        (["prot", "rna"], ["prot", "rna"]),
        (["rna"], ["rna", "prot"]),
        (["rna", "gone"], ["prot", "rna"]),  # by name, as mudata does
    ):
        with h5py.File(path, "a") as file:
            file["mod"].attrs["mod-order"] = order
        elements = open_elements(path)
        assert isinstance(elements, StoreElements)
        assert list(elements.mod) == expected
        del elements


def test_read_store__same_cells_share_their_names(tmp_path: Path) -> None:
    same, others = [f"c{i}" for i in range(4)], ["c0", "c1", "c2", "x"]
    mod = {
        name: ad.AnnData(
            np.eye(4),
            pd.DataFrame(index=cells),
            pd.DataFrame(index=list(name[0] * n for n in range(1, 5))),
        )
        for name, cells in (("rna", same), ("atac", same), ("prot", others))
    }
    md.MuData(mod).write_zarr(tmp_path / "m.zarr")
    elements = open_elements(tmp_path / "m.zarr")
    assert isinstance(elements, StoreElements)
    rna, atac, prot = (elements.mod[name].obs.index for name in ("rna", "atac", "prot"))
    assert rna is atac
    assert list(rna) == same
    assert list(prot) == others
