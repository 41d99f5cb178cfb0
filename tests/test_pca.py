"""`pp.pca` and `pp.scale` against scanpy on the same values."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

import lazymu
from lazymu import settings
from lazymu.decomposition.staged import StagedMatrix
from lazymu.errors import ArgumentError, MissingResultError
from lazymu.pp.pca import pca
from lazymu.pp.scale import scale
from tests.counting import counting_scheduler, raise_if_dask_computes
from tests.matrix_cases import low_rank_counts, quiet, small_blocks

__all__ = ["small_blocks"]  # a fixture

sc = pytest.importorskip("scanpy")


@pytest.fixture(scope="module")
def adata() -> ad.AnnData:
    """Log-normalised counts, half of the features marked, one layer."""
    X = low_rank_counts(120, 80, rank=12)
    adata = ad.AnnData(sp.csr_matrix(np.log1p(X.toarray().astype(np.float64))))
    adata.var["highly_variable"] = np.arange(80) % 2 == 0
    adata.var["other"] = np.arange(80) % 3 > 0
    adata.layers["counts"] = X
    return adata


def assert_pca_equal(modality: lazymu.Modality, adata: ad.AnnData, atol: float = 2e-5) -> None:
    scale_of = np.abs(adata.obsm["X_pca"]).max()
    assert_allclose(modality.obsm["X_pca"], adata.obsm["X_pca"], atol=atol * scale_of)
    assert_allclose(modality.varm["PCs"], adata.varm["PCs"], atol=atol)
    for key in ("variance", "variance_ratio"):
        assert_allclose(modality.uns["pca"][key], adata.uns["pca"][key], rtol=atol)
    ours, theirs = modality.uns["pca"]["params"], adata.uns["pca"]["params"]
    assert ours.keys() == theirs.keys()
    assert_array_equal(ours["mask_var"], theirs["mask_var"])
    assert_array_equal(ours["use_highly_variable"], np.any(theirs["use_highly_variable"]))
    assert all(ours[key] == theirs[key] for key in set(ours) - {"mask_var", "use_highly_variable"})


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"n_comps": 7},
        {"mask_var": None, "n_comps": 10},
        {"mask_var": "other", "n_comps": 10},
        {"mask_var": np.arange(80) < 30, "n_comps": 10},
        {"layer": "counts", "n_comps": 10},
        {"zero_center": False, "n_comps": 10},
    ],
    ids=["default", "n_comps", "no mask", "column", "mask", "layer", "not centred"],
)
def test_pca__equals_scanpy(adata: ad.AnnData, arguments: dict[str, Any]) -> None:
    modality, expected = lazymu.Modality(adata.copy()), adata.copy()
    pca(modality, **arguments)
    sc.pp.pca(expected, **{"svd_solver": "arpack"} | arguments)
    assert modality.obsm["X_pca"].dtype == np.float32
    assert_pca_equal(modality, expected)


@pytest.mark.parametrize("flag", [True, False])
def test_pca__use_highly_variable_is_the_older_mask(adata: ad.AnnData, flag: bool) -> None:
    older, newer = lazymu.Modality(adata.copy()), lazymu.Modality(adata.copy())
    pca(older, n_comps=5, use_highly_variable=flag)
    pca(newer, n_comps=5, mask_var="highly_variable" if flag else None)
    assert_array_equal(older.obsm["X_pca"], newer.obsm["X_pca"])
    assert older.uns["pca"]["params"] == newer.uns["pca"]["params"]
    assert np.any(older.varm["PCs"][1::2]) is np.bool_(not flag)


def test_pca__without_highly_variable_takes_all_features(adata: ad.AnnData) -> None:
    plain = adata.copy()
    del plain.var["highly_variable"]
    modality = lazymu.Modality(plain)
    pca(modality, n_comps=5)
    sc.pp.pca(plain, n_comps=5, svd_solver="arpack")
    assert_pca_equal(modality, plain)


def test_pca__key_added_and_dtype(adata: ad.AnnData) -> None:
    modality = lazymu.Modality(adata.copy())
    pca(modality, n_comps=4, key_added="mine", dtype="float64")
    assert modality.obsm["mine"].dtype == np.float64
    assert modality.varm["mine"].shape == (80, 4)
    assert set(modality.uns["mine"]) == {"params", "variance", "variance_ratio"}
    assert "X_pca" not in modality.obsm


@pytest.mark.parametrize("svd_solver", ["auto", "arpack", "full", "randomized", None])
def test_pca__every_solver_is_exact(adata: ad.AnnData, svd_solver: str | None) -> None:
    modality, expected = lazymu.Modality(adata.copy()), adata.copy()
    pca(modality, n_comps=5, svd_solver=svd_solver)
    sc.pp.pca(expected, n_comps=5, svd_solver="arpack")
    assert_pca_equal(modality, expected)


def test_pca__one_pass_or_two_and_no_dependence_on_blocks(
    adata: ad.AnnData, small_blocks: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, blocks = lazymu.Modality(adata.copy()), lazymu.Modality(adata.copy())
    with counting_scheduler() as scheduler:
        pca(whole, n_comps=8)
    assert scheduler.n_computes == 1
    small_blocks()
    monkeypatch.setattr(StagedMatrix, "fits", False)
    with settings.override(n_threads=1), counting_scheduler() as scheduler:
        pca(blocks, n_comps=8)
    assert scheduler.n_computes == 2
    assert_allclose(blocks.obsm["X_pca"], whole.obsm["X_pca"], atol=1e-5)
    assert_allclose(blocks.varm["PCs"], whole.varm["PCs"], atol=1e-10)


@pytest.mark.data
def test_pca__real_data_equals_scanpy(data_dir: Path) -> None:
    with quiet():
        adata = ad.read_h5ad(data_dir / "rna_pbmc5k_hvg" / "rna_pbmc5k_hvg.h5ad")[:1500].copy()
    adata.X = sp.csr_matrix(np.log1p(adata.X.astype(np.float64)))
    adata.var["highly_variable"] = np.arange(adata.n_vars) % 8 == 0
    modality = lazymu.Modality(adata.copy())
    pca(modality, n_comps=30)
    sc.pp.pca(adata, n_comps=30, svd_solver="arpack")
    assert_pca_equal(modality, adata)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_comps": 40}, ArgumentError, "`n_comps` is 40"),
        ({"svd_solver": "qr"}, ArgumentError, "`svd_solver` is 'qr'"),
        ({"mask_var": "absent"}, MissingResultError, "`mask_var` is 'absent'"),
        ({"mask_var": np.ones(3, bool)}, ArgumentError, "boolean mask of the 80 features"),
        ({"mask_var": np.arange(80)}, ArgumentError, "boolean mask of the 80 features"),
        ({"mask_var": np.zeros(80, bool)}, ArgumentError, "`mask_var` is empty"),
        ({"mask_var": None, "use_highly_variable": True}, ArgumentError, "one of the two"),
        ({"layer": "absent"}, MissingResultError, "absent"),
    ],
)
def test_pca__wrong_arguments(
    adata: ad.AnnData, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        pca(lazymu.Modality(adata.copy()), **arguments)


def test_pca__no_highly_variable_column_to_use(adata: ad.AnnData) -> None:
    modality = lazymu.Modality(adata.X)
    with pytest.raises(MissingResultError, match=r"run pp\.highly_variable_genes first"):
        pca(modality, use_highly_variable=True)


# --- scale ---------------------------------------------------------------------------------------

SCALINGS = [
    {},
    {"max_value": 1.5},
    {"zero_center": False},
    {"zero_center": False, "max_value": 1.5},
    {"layer": "counts"},
]


@pytest.mark.parametrize("arguments", SCALINGS, ids=str)
def test_scale__equals_scanpy(adata: ad.AnnData, arguments: dict[str, Any]) -> None:
    modality, expected = lazymu.Modality(adata.copy()), adata.copy()
    with counting_scheduler() as scheduler:
        scale(modality, **arguments)
    assert scheduler.n_computes == 1
    with quiet():
        sc.pp.scale(expected, **arguments)
    layer = arguments.get("layer")
    values = expected.X if layer is None else expected.layers[layer]
    ours = modality.X if layer is None else modality.layers[layer]
    dense = values.toarray() if sp.issparse(values) else values
    assert_allclose(ours.toarray(), dense, rtol=1e-5, atol=1e-5)
    assert_allclose(modality.var["mean"], expected.var["mean"], rtol=1e-6)
    assert_allclose(modality.var["std"], expected.var["std"], rtol=1e-6)


def test_scale__selection_takes_the_same_entries(adata: ad.AnnData) -> None:
    modality = lazymu.Modality(adata.copy())
    scale(modality, max_value=2)
    whole = modality.X.toarray()
    rows, cols = [5, 3, 70], [1, 0, 40]
    with raise_if_dask_computes():
        selected = modality[rows, cols]
    assert_array_equal(selected.X.toarray(), whole[np.ix_(rows, cols)])


@pytest.mark.parametrize("max_value", [None, 1.5])
def test_scale__pca_of_it_equals_scanpy(adata: ad.AnnData, max_value: float | None) -> None:
    modality, expected = lazymu.Modality(adata.copy()), adata.copy()
    scale(modality, max_value=max_value)
    pca(modality, n_comps=6)
    with quiet():
        sc.pp.scale(expected, max_value=max_value)
    sc.pp.pca(expected, n_comps=6, svd_solver="full")
    assert_pca_equal(modality, expected)


def test_scale__constant_features_are_only_centred() -> None:
    modality = lazymu.Modality(np.column_stack([np.full(4, 3.0), np.arange(4.0)]))
    scale(modality)
    assert_array_equal(modality.X.toarray()[:, 0], 0)
    assert modality.var["std"].iloc[0] == 1


def test_scale__max_value_out_of_range(adata: ad.AnnData) -> None:
    with pytest.raises(ArgumentError, match="`max_value` is 0"):
        scale(lazymu.Modality(adata.copy()), max_value=0)
