"""Modalities side by side, against `anndata.concat(axis=1)` in memory."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import lazymu
from lazymu import pp
from lazymu.errors import (
    ArgumentError,
    MemoryLimitError,
    ModalityNotFoundError,
    NoCommonCellsError,
    NotCountsError,
    StoreExistsError,
)
from lazymu.stream import passes, recorded_passes
from lazymu.stream.plan import plan_blocks
from tests.conftest import make_counts
from tests.store_samples import assert_tables_equal, dense, even_counts, peak_bytes, peers


def parts(n_obs: int = 30) -> dict[str, ad.AnnData]:
    """Return modalities of overlapping cells in orders of their own, one of them dense."""
    rng = np.random.default_rng(0)
    rna = ad.AnnData(make_counts(n_obs, 12).copy())
    prot = ad.AnnData(make_counts(n_obs, 4, density=0.9, seed=1).toarray())
    atac = ad.AnnData(sp.csc_matrix(make_counts(n_obs, 9, seed=2)))
    for n, (name, adata) in enumerate({"rna": rna, "prot": prot, "atac": atac}.items()):
        adata.obs_names = rng.permutation([f"c{i}" for i in range(2 * n, n_obs + 2 * n)])
        adata.var_names = [f"{name}{i}" for i in range(adata.n_vars)]
        adata.obs["depth"] = rng.random(n_obs)
        adata.var["feature_types"] = name
        adata.var["length"] = np.arange(adata.n_vars)
    rna.var["symbol"] = "x"
    return {"rna": rna, "prot": prot, "atac": atac}


def expected_of(chosen: list[ad.AnnData]) -> ad.AnnData:
    with peers():
        return ad.concat(chosen, axis=1, join="inner")


@pytest.fixture
def mdata() -> lazymu.MuData:
    data = lazymu.MuData(parts())
    data.obs["donor"] = [f"d{i}" for i in range(data.n_obs)]
    data.obsm["X_wnn"] = np.arange(data.n_obs)[:, None].astype(np.float32)
    return data


@pytest.mark.parametrize("mods", [["rna", "prot"], ["atac", "prot", "rna"], ["prot"]])
def test_to_anndata__is_anndatas_concat(mdata: lazymu.MuData, mods: list[str]) -> None:
    found = mdata.to_anndata(mods)
    assert found is not None
    expected = expected_of([parts()[name] for name in mods])
    assert list(found.obs_names) == list(expected.obs_names)
    assert list(found.var_names) == list(expected.var_names)
    np.testing.assert_array_equal(dense(found.X), dense(expected.X))
    assert found.X.dtype == np.float32
    assert sp.isspmatrix_csr(found.X)
    assert_tables_equal(
        found.var[["feature_types", "length"]], expected.var[["feature_types", "length"]]
    )
    assert found.var["modality"].astype(str).tolist() == found.var["feature_types"].tolist()
    assert list(found.var["modality"].cat.categories) == mods


def test_to_anndata__annotation_of_cells(mdata: lazymu.MuData) -> None:
    found = lazymu.to_anndata(mdata, ["rna", "prot"])
    assert list(found.obs) == ["donor", "rna:depth", "prot:depth"]
    pd.testing.assert_series_equal(
        found.obs["prot:depth"], mdata["prot"].obs["depth"][found.obs_names], check_names=False
    )
    assert found.obs["donor"].tolist() == mdata.obs["donor"][found.obs_names].tolist()
    rows = mdata.obs_names.get_indexer(found.obs_names)
    np.testing.assert_array_equal(found.obsm["X_wnn"][:, 0], rows)


@pytest.mark.parametrize("suffix", [".h5ad", ".zarr"])
def test_to_anndata__streams_into_a_file(
    mdata: lazymu.MuData, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, path = tmp_path / "data.zarr", tmp_path / f"wide{suffix}"
    mdata.write(store)
    monkeypatch.setattr("lazymu.stream.plan.FEW_VALUES", 20)
    monkeypatch.setattr(passes, "plan_blocks", partial(plan_blocks, max_values=50))
    opened = lazymu.read(store)
    assert isinstance(opened, lazymu.MuData)
    with recorded_passes() as read:
        assert opened.to_anndata(path=path) is None
    assert len(read) == 1
    with peers():
        found = ad.read_h5ad(path) if suffix == ".h5ad" else ad.read_zarr(path)
    expected = expected_of(list(parts().values()))
    np.testing.assert_array_equal(dense(found.X), dense(expected.X))
    assert list(found.var["modality"].cat.categories) == ["rna", "prot", "atac"]
    assert list(found.obs_names) == list(expected.obs_names)
    if suffix == ".h5ad":
        assert found.X.dtype == np.float32
    again = lazymu.read(path)
    np.testing.assert_array_equal(again.X.toarray(), dense(expected.X))
    assert again.X.dtype == np.float32
    with pytest.raises(StoreExistsError):
        opened.to_anndata(path=path)
    opened.to_anndata(["rna"], path=path, overwrite=True)
    assert lazymu.read(path).n_vars == 12


def test_to_anndata__layers(mdata: lazymu.MuData) -> None:
    for modality in mdata.mod.values():
        pp.log1p(modality)
    counts = expected_of(list(parts().values()))
    np.testing.assert_array_equal(dense(lazymu.to_anndata(mdata).X), dense(counts.X))
    logs = lazymu.to_anndata(mdata, layer=None)
    order = {name: m.obs_names.get_indexer(logs.obs_names) for name, m in mdata.mod.items()}
    values = [m.X.toarray()[order[name]] for name, m in mdata.mod.items()]
    np.testing.assert_allclose(dense(logs.X), np.hstack(values), rtol=1e-6)
    for modality in mdata.mod.values():
        modality.layers["twice"] = modality.X.counts.toarray() * 2
    twice = lazymu.to_anndata(mdata, layer="twice")
    np.testing.assert_array_equal(dense(twice.X), 2 * dense(counts.X))
    mdata["rna"].layers["counts"] = mdata["rna"].layers["twice"]
    mixed = lazymu.to_anndata(mdata, ["rna", "prot"])
    rows = mdata["rna"].obs_names.get_indexer(mixed.obs_names)
    want = mdata["rna"].layers["twice"].toarray()[rows]
    np.testing.assert_array_equal(dense(mixed.X)[:, :12], want)


def test_to_anndata__values_with_a_dense_step(mdata: lazymu.MuData) -> None:
    pp.scale(mdata["rna"])
    scaled = lazymu.to_anndata(mdata, ["rna", "prot"], layer=None)
    rows = mdata["rna"].obs_names.get_indexer(scaled.obs_names)
    np.testing.assert_allclose(dense(scaled.X)[:, :12], mdata["rna"].X.toarray()[rows], rtol=1e-6)


def test_to_anndata__keeps_the_memory_limit() -> None:
    mdata = lazymu.MuData(parts(2000))
    with (
        lazymu.settings.override(memory_limit=100_000),
        pytest.raises(MemoryLimitError, match="memory_limit"),
    ):
        mdata.to_anndata()


def test_to_anndata__errors(mdata: lazymu.MuData) -> None:
    with pytest.raises(ModalityNotFoundError):
        mdata.to_anndata(["rna", "adt"])
    for mods in ([], ["rna", "rna"]):
        with pytest.raises(ArgumentError, match="name each once"):
            mdata.to_anndata(mods)
    with pytest.raises(ArgumentError, match="the layers of rna are: none"):
        mdata.to_anndata(layer="log")
    for options in ({"overwrite": True}, {"shards": 5}):
        with pytest.raises(ArgumentError, match="pass path="):
            mdata.to_anndata(**options)
    other = ad.AnnData(np.eye(2), obs=pd.DataFrame(index=["x", "y"]))
    with pytest.raises(NoCommonCellsError, match="by name"):
        lazymu.MuData({"rna": parts()["rna"], "other": other}).to_anndata()
    same = lazymu.MuData({"a": ad.AnnData(np.eye(2)), "b": ad.AnnData(np.eye(2))}, axis=1)
    with pytest.raises(ArgumentError, match="of axis 1"):
        same.to_anndata()


def test_to_anndata__stored_values_that_are_no_counts(tmp_path: Path) -> None:
    lazymu.MuData({"rna": ad.AnnData(-np.eye(3))}).write(tmp_path / "logs.zarr")
    opened = lazymu.read(tmp_path / "logs.zarr")
    with pytest.raises(NotCountsError, match="of rna needs a counts matrix"):
        lazymu.to_anndata(opened)


def test_to_anndata__no_cells() -> None:
    mdata = lazymu.MuData({name: adata[:0].copy() for name, adata in parts().items()})
    assert mdata.to_anndata().shape == (0, 25)


def test_to_anndata__real_cite_seq(data_dir: Path, tmp_path: Path) -> None:
    file = data_dir / "citeseq_pbmc1k_10x" / "filtered_feature_bc_matrix.h5"
    mdata = lazymu.read(file)
    mdata.to_anndata(["prot", "rna"], path=tmp_path / "wide.h5ad")
    with peers():
        found = ad.read_h5ad(tmp_path / "wide.h5ad")
        expected = expected_of([mdata["prot"].to_anndata(), mdata["rna"].to_anndata()])
    np.testing.assert_array_equal(dense(found.X), dense(expected.X))
    assert list(found.var_names) == list(expected.var_names)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".h5ad", ".zarr"])
def test_to_anndata__file_keeps_the_memory_limit(tmp_path: Path, suffix: str) -> None:
    """100 million values, 0.8 GB as float32 CSR, under a limit of 0.7 GB; cells are shuffled."""
    X, rng = even_counts(25_000), np.random.default_rng(0)
    store, path = str(tmp_path / "data.zarr"), str(tmp_path / f"wide{suffix}")
    names = np.array([f"c{i}" for i in range(X.shape[0])])
    mod = {}
    for name in ("rna", "atac"):
        mod[name] = lazymu.Modality(X, obs=pd.DataFrame(index=names))
        names = np.concatenate([rng.permutation(part) for part in np.array_split(names, 100)])
    lazymu.MuData(mod).write(store)
    limit = 700 * 10**6
    assert peak_bytes(f"lazymu.read({store!r}).to_anndata(path={path!r})", limit) < limit
    assert lazymu.read(path).shape == (X.shape[0], 2 * X.shape[1])
