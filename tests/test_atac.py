"""`atac.pp.binarize`, `atac.pp.tfidf` and `atac.tl.lsi` against muon on the same counts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

import lazymu
from lazymu.atac.pp import binarize, tfidf
from lazymu.atac.tl import lsi
from lazymu.decomposition import in_memory
from lazymu.decomposition.staged import StagedMatrix
from lazymu.errors import (
    ArgumentError,
    EmptyResultError,
    MissingResultError,
    ModalityNotFoundError,
    NotCountsError,
)
from lazymu.stream import matrix_sums
from tests.counting import counting_scheduler, raise_if_dask_computes
from tests.matrix_cases import low_rank_counts, quiet, small_blocks

__all__ = ["small_blocks"]  # a fixture

with quiet():
    mu = pytest.importorskip("muon")


@pytest.fixture
def counts() -> sp.csr_matrix:
    """Counts with a cell and a feature that are empty."""
    dense = low_rank_counts(90, 130, rank=8).toarray()
    dense[:, dense.sum(0) == 0] = 1
    dense[dense.sum(1) == 0] = 1
    dense[3] = 0
    dense[:, 5] = 0
    return sp.csr_matrix(dense)


def real_counts(data_dir: Path, name: str) -> ad.AnnData:
    if name == "atac_hemato600":
        with quiet():
            adata = ad.read_h5ad(data_dir / name / "atac_hemato600.h5ad")
    else:
        with quiet():
            mdata = mu.read_h5mu(data_dir / name / "pbmc40_multiome.h5mu")
        adata = mdata.mod["atac"]
    return ad.AnnData(sp.csr_matrix(adata.X, dtype=np.float32))


REAL = ["atac_hemato600", "multiome_pbmc40_10x"]


def dense_of(matrix: Any) -> np.ndarray:
    return matrix.toarray() if sp.issparse(matrix) else np.asarray(matrix)


def by_muon(X: Any, **arguments: Any) -> np.ndarray:
    adata = ad.AnnData(X.copy())
    with quiet():
        mu.atac.pp.tfidf(adata, **arguments)
    return dense_of(adata.X)


# --- binarize ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_binarize__ones_where_not_zero(counts: sp.csr_matrix, dtype: str) -> None:
    modality = lazymu.Modality(counts.astype(dtype))
    with raise_if_dask_computes():
        binarize(modality)
    assert_array_equal(modality.X.toarray(), (counts.toarray() != 0).astype(dtype))
    assert modality.X.dtype == dtype


# --- tfidf ---------------------------------------------------------------------------------------

FLAGS = [
    {},
    {"log_tf": False},
    {"log_idf": False},
    {"log_tf": False, "log_idf": False},
    {"log_tf": False, "log_idf": False, "log_tfidf": True},
    {"scale_factor": None},
    {"scale_factor": 1},
    {"scale_factor": 0, "log_tf": False},
    {"scale_factor": 1e6},
]


@pytest.mark.parametrize("flags", FLAGS, ids=str)
@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_tfidf__equals_muon(counts: sp.csr_matrix, dtype: str, flags: dict[str, Any]) -> None:
    modality = lazymu.Modality(counts.astype(dtype))
    tfidf(modality, **flags)
    expected = by_muon(counts, **flags)
    # muon divides by 0 where there are no counts.
    expected[~np.isfinite(expected)] = 0
    assert_allclose(modality.X.toarray(), expected, rtol=1e-5)
    assert modality.X.dtype == np.float32


def test_tfidf__equals_muon_on_dense_counts(counts: sp.csr_matrix) -> None:
    dense = counts.toarray()[:, np.arange(130) != 5]
    dense = dense[np.arange(90) != 3]
    modality = lazymu.Modality(dense)
    tfidf(modality)
    assert_allclose(modality.X.toarray(), by_muon(dense), rtol=1e-5)


@pytest.mark.data
@pytest.mark.parametrize("name", REAL)
def test_tfidf__equals_muon_on_real_counts(data_dir: Path, name: str) -> None:
    adata = real_counts(data_dir, name)
    modality = lazymu.Modality(adata.X.copy())
    tfidf(modality)
    expected = by_muon(adata.X)
    assert_allclose(modality.X.toarray(), np.nan_to_num(expected), rtol=1e-5)


def test_tfidf__signac_methods(counts: sp.csr_matrix) -> None:
    x = counts.toarray().astype(np.float64)
    n, s = x.sum(1, keepdims=True), x.sum(0)
    tf = np.divide(x, n, out=np.zeros_like(x), where=n > 0)
    idf = np.divide(len(x), s, out=np.zeros_like(s), where=s > 0)
    expected = {
        "signac1": np.log1p(tf * idf * 1e4),
        "signac2": tf * np.log1p(idf),
        "signac3": np.log1p(tf * 1e4) * np.log1p(idf),
        "signac4": x * idf,
    }
    for method, values in expected.items():
        modality = lazymu.Modality(counts)
        tfidf(modality, method=method)
        assert_allclose(modality.X.toarray(), values, rtol=1e-5)
        assert modality.uns["tfidf"]["method"] == method


def test_tfidf__one_pass_for_the_sums_and_none_where_known(counts: sp.csr_matrix) -> None:
    modality = lazymu.Modality(counts)
    with counting_scheduler() as scheduler:
        tfidf(modality)
    assert scheduler.n_computes == 1
    known = lazymu.Modality(counts)
    matrix_sums(known.X)
    with raise_if_dask_computes():
        tfidf(known)
    assert_array_equal(known.X.toarray(), modality.X.toarray())


def test_tfidf__after_binarize_takes_what_is_known(counts: sp.csr_matrix) -> None:
    modality = lazymu.Modality(counts)
    matrix_sums(modality.X)
    with raise_if_dask_computes():
        binarize(modality)
        tfidf(modality)
    ones = (counts != 0).astype(np.float32)
    assert_allclose(modality.X.toarray(), np.nan_to_num(by_muon(ones)), rtol=1e-5)


def test_tfidf__of_transformed_values_sums_them_anew(counts: sp.csr_matrix) -> None:
    modality = lazymu.Modality(counts)
    tfidf(modality, method="signac4")
    once = sp.csr_matrix(modality.X.toarray())
    tfidf(modality)
    assert_allclose(modality.X.toarray(), np.nan_to_num(by_muon(once)), rtol=1e-5)


def test_tfidf__layers_in_and_out(counts: sp.csr_matrix) -> None:
    modality = lazymu.Modality(counts, layers={"counts": counts})
    tfidf(modality, from_layer="counts", to_layer="tfidf")
    assert_array_equal(modality.X.toarray(), counts.toarray())
    expected = np.nan_to_num(by_muon(counts))
    assert_allclose(modality.layers["tfidf"].toarray(), expected, rtol=1e-5)


def test_tfidf__copy_and_not_inplace(counts: sp.csr_matrix) -> None:
    mdata = lazymu.MuData({"atac": ad.AnnData(counts)})
    copied = tfidf(mdata, copy=True)
    values = tfidf(mdata, inplace=False)
    assert isinstance(copied, lazymu.Modality)
    assert isinstance(values, lazymu.LazyMatrix)
    assert mdata["atac"].X.steps == lazymu.Modality(ad.AnnData(counts)).X.steps
    assert "tfidf" not in mdata["atac"].uns
    assert_array_equal(copied.X.toarray(), values.toarray())
    assert tfidf(mdata) is None
    assert_array_equal(mdata["atac"].X.toarray(), values.toarray())


def test_tfidf__idf_of_a_reference(counts: sp.csr_matrix) -> None:
    reference, query = lazymu.Modality(counts), lazymu.Modality(counts[:20])
    tfidf(reference)
    tfidf(query, idf=reference.var["idf"])
    assert_allclose(query.X.toarray(), reference.X.toarray()[:20], rtol=1e-6)


def test_tfidf__filtering_afterwards_keeps_values(counts: sp.csr_matrix) -> None:
    modality = lazymu.Modality(counts)
    tfidf(modality)
    whole = modality.X.toarray()
    with raise_if_dask_computes():
        part = modality[[7, 2, 50], np.arange(130) % 3 == 0]
    assert_array_equal(part.X.toarray(), whole[[7, 2, 50]][:, ::3])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"log_tfidf": True}, ArgumentError, "`log_tfidf` is True"),
        ({"inplace": False, "copy": True}, ArgumentError, "excludes copy=True"),
        ({"inplace": False, "to_layer": "a"}, ArgumentError, "excludes to_layer='a'"),
        ({"method": "signac5"}, ArgumentError, "`method` is 'signac5'"),
        ({"idf": np.ones(3)}, ArgumentError, r"`idf` is of shape \(3,\)"),
        ({"idf": np.full(130, np.inf)}, ArgumentError, "130 finite numbers"),
        ({"from_layer": "absent"}, MissingResultError, "absent"),
    ],
)
def test_tfidf__wrong_arguments(
    counts: sp.csr_matrix, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        tfidf(lazymu.Modality(counts), **arguments)


def test_tfidf__negative_values(counts: sp.csr_matrix) -> None:
    with pytest.raises(NotCountsError, match="tfidf needs a counts matrix"):
        tfidf(lazymu.Modality(-counts))


def test_tfidf__mudata_without_atac(counts: sp.csr_matrix) -> None:
    mdata = lazymu.MuData({"rna": ad.AnnData(counts)})
    with pytest.raises(ModalityNotFoundError, match="no modality named 'atac'"):
        tfidf(mdata)


# --- lsi -----------------------------------------------------------------------------------------


def lsi_by_muon(adata: ad.AnnData, n_comps: int, **arguments: Any) -> ad.AnnData:
    """Muon's result, each component with its largest loading positive."""
    with quiet():
        mu.atac.tl.lsi(adata, n_comps=n_comps, **arguments)
    V = adata.varm["LSI"]
    sign = np.sign(V[np.argmax(np.abs(V), axis=0), np.arange(n_comps)])
    adata.obsm["X_lsi"] = adata.obsm["X_lsi"] * sign
    adata.varm["LSI"] = V * sign
    return adata


@pytest.mark.parametrize("scale_embeddings", [True, False])
def test_lsi__equals_muon(counts: sp.csr_matrix, scale_embeddings: bool) -> None:
    modality = lazymu.Modality(counts)
    tfidf(modality)
    expected = lsi_by_muon(
        ad.AnnData(sp.csr_matrix(modality.X.toarray().astype(np.float64))),
        12,
        scale_embeddings=scale_embeddings,
    )
    with counting_scheduler() as scheduler:
        lsi(modality, scale_embeddings, 12)
    assert scheduler.n_computes == 1
    assert_allclose(modality.obsm["X_lsi"], expected.obsm["X_lsi"], atol=1e-5)
    assert_allclose(modality.varm["LSI"], expected.varm["LSI"], atol=1e-6)
    assert_allclose(modality.uns["lsi"]["stdev"], expected.uns["lsi"]["stdev"], rtol=1e-6)
    assert modality.obsm["X_lsi"].dtype == np.float32


@pytest.mark.data
@pytest.mark.parametrize("name", REAL)
def test_lsi__equals_muon_on_real_counts(data_dir: Path, name: str) -> None:
    adata = real_counts(data_dir, name)
    modality = lazymu.Modality(adata.X.copy())
    tfidf(modality)
    lsi(modality, n_comps=20)
    with quiet():
        mu.atac.pp.tfidf(adata)
    adata.X = sp.csr_matrix(adata.X, dtype=np.float64)
    adata.X.data = np.nan_to_num(adata.X.data)
    expected = lsi_by_muon(adata, 20)
    assert_allclose(modality.obsm["X_lsi"], expected.obsm["X_lsi"], atol=1e-4)
    assert_allclose(modality.varm["LSI"], expected.varm["LSI"], atol=1e-5)
    assert_allclose(modality.uns["lsi"]["stdev"], expected.uns["lsi"]["stdev"], rtol=1e-5)


def test_lsi__depth_is_measured_on_raw_counts(counts: sp.csr_matrix) -> None:
    modality = lazymu.Modality(counts)
    tfidf(modality)
    lsi(modality, n_comps=6)
    depth = np.log1p(counts.toarray().sum(1))
    expected = [np.corrcoef(depth, u)[0, 1] for u in modality.obsm["X_lsi"].T]
    assert_allclose(modality.uns["lsi"]["depth_corr"], expected, atol=1e-5)


def test_lsi__drop_auto_leaves_out_what_follows_depth() -> None:
    rng = np.random.default_rng(0)
    depth = rng.lognormal(2, 1, (120, 1))
    groups = np.repeat(np.eye(3), 40, axis=0) @ rng.gamma(1, 1, (3, 60))
    modality = lazymu.Modality(rng.poisson(depth * (0.3 + groups / 3)))
    tfidf(modality)
    whole = modality.copy()
    lsi(whole, n_comps=5)
    lsi(modality, n_comps=5, drop="auto")
    follows = np.abs(whole.uns["lsi"]["depth_corr"]) > 0.75
    assert 0 < follows.sum() < 5
    assert_array_equal(modality.uns["lsi"]["dropped"], np.flatnonzero(follows))
    assert_array_equal(modality.obsm["X_lsi"], whole.obsm["X_lsi"][:, ~follows])
    assert_array_equal(modality.varm["LSI"], whole.varm["LSI"][:, ~follows])
    for key in ("stdev", "depth_corr", "residuals"):
        assert_array_equal(modality.uns["lsi"][key], whole.uns["lsi"][key][~follows])


def test_lsi__drop_auto_of_everything() -> None:
    depth = np.arange(1.0, 31)
    modality = lazymu.Modality(np.outer(np.log1p(depth.cumsum()), np.arange(1.0, 9)))
    with pytest.raises(EmptyResultError, match="all 1 components follow sequencing depth"):
        lsi(modality, n_comps=1, drop="auto")


def test_lsi__whole_numbers_and_layer(counts: sp.csr_matrix) -> None:
    whole = counts.astype(np.uint16)
    modality = lazymu.Modality(np.zeros(counts.shape), layers={"counts": whole})
    lsi(modality, n_comps=5, layer="counts")
    expected = np.linalg.svd(counts.toarray())[1][:5]
    assert_allclose(modality.uns["lsi"]["stdev"], expected / np.sqrt(89), rtol=1e-6)


@pytest.mark.parametrize("argument", ["mask_var", "column", "use_highly_variable"])
def test_lsi__of_some_features(counts: sp.csr_matrix, argument: str) -> None:
    mask = np.arange(130) % 2 == 1
    modality = lazymu.Modality(counts, var={"highly_variable": mask})
    arguments: dict[str, dict[str, Any]] = {
        "mask_var": {"mask_var": mask},
        "column": {"mask_var": "highly_variable"},
        "use_highly_variable": {"use_highly_variable": True},
    }
    tfidf(modality)
    lsi(modality, n_comps=4, **arguments[argument])
    part = modality[:, mask]
    lsi(part, n_comps=4, use_highly_variable=False)
    assert_array_equal(modality.varm["LSI"][~mask], 0)
    assert_allclose(modality.varm["LSI"][mask], part.varm["LSI"], atol=1e-6)
    assert_allclose(modality.obsm["X_lsi"], part.obsm["X_lsi"], atol=1e-5)


def test_lsi__by_default_highly_variable_is_not_looked_at(counts: sp.csr_matrix) -> None:
    modality = lazymu.Modality(counts, var={"highly_variable": np.arange(130) < 3})
    lsi(modality, n_comps=5)
    assert np.any(modality.varm["LSI"][3:] != 0)


def test_lsi__streamed_in_five_passes_whatever_the_blocks(
    counts: sp.csr_matrix, monkeypatch: pytest.MonkeyPatch, small_blocks: Callable[[], None]
) -> None:
    modality = lazymu.Modality(counts)
    tfidf(modality)
    lsi(modality, n_comps=5)
    monkeypatch.setattr(in_memory, "MAX_VALUES", 0)
    monkeypatch.setattr(StagedMatrix, "fits", False)
    streamed, blocks = modality.copy(), modality.copy()
    with counting_scheduler() as scheduler:
        lsi(streamed, n_comps=5)
    assert scheduler.n_computes == streamed.uns["lsi"]["n_passes"] <= 5
    small_blocks()
    lsi(blocks, n_comps=5)
    assert_allclose(blocks.obsm["X_lsi"], streamed.obsm["X_lsi"], atol=1e-4)
    assert_allclose(streamed.uns["lsi"]["stdev"], modality.uns["lsi"]["stdev"], rtol=1e-3)
    assert_allclose(streamed.obsm["X_lsi"][:, :2], modality.obsm["X_lsi"][:, :2], atol=0.02)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_comps": 90}, "`n_comps` is 90"),
        ({"drop": "first"}, "`drop` is 'first'"),
        ({"mask_var": "m", "use_highly_variable": True}, "one of the two"),
    ],
)
def test_lsi__wrong_arguments(
    counts: sp.csr_matrix, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        lsi(lazymu.Modality(counts), **arguments)
