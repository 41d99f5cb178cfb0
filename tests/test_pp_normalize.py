"""`pp.normalize_total` and `pp.log1p` against scanpy; that they compute nothing but sums."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pytest
import scanpy as sc
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from lazymu.containers import Modality
from lazymu.errors import ArgumentError, MissingResultError, NotCountsError
from lazymu.pp import filter_cells, log1p, normalize_total
from lazymu.pp.normalize_total import highly_expressed, size_factors
from lazymu.stream import LazyMatrix, matrix_sums
from lazymu.stream.steps import Log1p, ScaleRows
from tests.counting import counting_scheduler, raise_if_dask_computes
from tests.rna_data import LOADERS, made_counts, real_counts, small_blocks


def without_empty_cells() -> ad.AnnData:
    adata = made_counts()
    return adata[np.asarray(adata.X.sum(axis=1)).ravel() > 0].copy()


def dense(adata: ad.AnnData) -> ad.AnnData:
    """Return the data as scanpy is given it: dense, as it compiles its sparse loops anew."""
    return ad.AnnData(np.asarray(adata.X.toarray()), adata.obs.copy(), adata.var.copy())


@pytest.mark.data
@pytest.mark.parametrize("name", LOADERS)
def test_normalize_total_log1p__equal_scanpy_on_real_data(name: str, data_dir: Path) -> None:
    adata = real_counts(name, data_dir)
    modality = Modality(adata)
    adata = dense(adata)
    normalize_total(modality, key_added="size")
    log1p(modality)
    sc.pp.normalize_total(adata, key_added="size")
    sc.pp.log1p(adata)
    np.testing.assert_allclose(modality.obs["size"], adata.obs["size"], rtol=1e-5)
    found = modality.X.to_memory()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.data, adata.X[found.nonzero()], rtol=1e-5)
    assert found.nnz == np.count_nonzero(adata.X)


@pytest.mark.parametrize("target_sum", [None, 1e4, 7])
@pytest.mark.parametrize("max_fraction", [None, 0.2, 1.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_normalize_total__equals_scanpy_in_blocks(
    target_sum: float | None, max_fraction: float | None, dtype: Any
) -> None:
    adata = without_empty_cells()
    adata.X = adata.X.astype(dtype)
    options: dict[str, Any] = {"target_sum": target_sum, "key_added": "size"}
    if max_fraction is not None:
        options |= {"exclude_highly_expressed": True, "max_fraction": max_fraction}
    modality, adata = Modality(adata), dense(adata)
    with small_blocks(3, 60, state_bytes=16 * 60, operand_bytes=16 * 90):
        normalize_total(modality, **options)
    sc.pp.normalize_total(adata, **options)
    np.testing.assert_allclose(modality.obs["size"], adata.obs["size"], rtol=1e-5)
    np.testing.assert_allclose(modality.X.toarray(), adata.X, rtol=1e-5)
    assert modality.X.dtype == adata.X.dtype


def test_normalize_total__empty_cells_stay_zero() -> None:
    modality = Modality(made_counts())
    with pytest.warns(UserWarning, match=r"Some cells have zero counts: 1 of 90, which stay zero"):
        normalize_total(modality, key_added="size")
    values = modality.X.toarray()
    assert not values[4].any()
    assert np.isfinite(values).all()
    assert modality.obs["size"].iloc[4] == 0
    others = np.delete(values.sum(axis=1), 4)
    totals = np.asarray(made_counts().X.sum(axis=1)).ravel()
    np.testing.assert_allclose(others, np.median(totals[totals > 0]), rtol=1e-5)


@pytest.mark.filterwarnings("ignore:Some cells have zero counts:UserWarning")
def test_normalize_total__of_empty_cells_alone() -> None:
    modality = Modality(sp.csr_matrix((3, 4), dtype=np.float32))
    normalize_total(modality)
    np.testing.assert_array_equal(modality.X.toarray(), np.zeros((3, 4)))


def test_normalize_total__of_normalized_values_sums_them() -> None:
    modality, adata = Modality(without_empty_cells()), dense(without_empty_cells())
    for run in (log1p, normalize_total):
        run(modality)
    sc.pp.log1p(adata)
    sc.pp.normalize_total(adata)
    np.testing.assert_allclose(modality.X.toarray(), adata.X, rtol=1e-5)


@pytest.mark.parametrize("place", [{"layer": "counts"}, {"obsm": "counts"}])
def test_normalize_total_log1p__of_a_layer_or_an_embedding(place: dict[str, str]) -> None:
    adata = without_empty_cells()
    modality = Modality(adata.copy())
    modality.layers["counts"] = adata.X.copy()
    modality.obsm["counts"] = adata.X.copy()
    normalize_total(modality, target_sum=100, **place)  # type: ignore[arg-type]
    log1p(modality, **place)  # type: ignore[arg-type]
    adata = dense(adata)
    sc.pp.normalize_total(adata, target_sum=100)
    sc.pp.log1p(adata)
    found = modality.layers["counts"] if "layer" in place else modality.obsm["counts"]
    np.testing.assert_allclose(found.toarray(), adata.X, rtol=1e-5)
    assert modality.X.steps == ()


def test_normalize_total__not_in_place_returns_scanpys_dictionary() -> None:
    modality, adata = Modality(without_empty_cells()), dense(without_empty_cells())
    found = normalize_total(modality, target_sum=50, inplace=False)
    expected = sc.pp.normalize_total(adata, target_sum=50, inplace=False)
    assert isinstance(found, dict)
    np.testing.assert_allclose(found["norm_factor"], expected["norm_factor"], rtol=1e-6)
    np.testing.assert_allclose(found["X"].toarray(), expected["X"], rtol=1e-5)
    assert modality.X.steps == ()


def test_normalize_total_log1p__copies_leave_the_modality() -> None:
    modality = Modality(without_empty_cells())
    normalized = normalize_total(modality, copy=True)
    assert isinstance(normalized, Modality)
    logged = log1p(normalized, copy=True)
    assert logged is not None
    assert [len(m.X.steps) for m in (modality, normalized, logged)] == [0, 1, 2]
    assert "log1p" not in normalized.uns


def test_normalize_total_log1p__compute_nothing_beyond_sums() -> None:
    modality = Modality(without_empty_cells())
    with counting_scheduler() as scheduler:
        normalize_total(modality)
        assert scheduler.n_computes == 1
        log1p(modality)
        filter_cells(modality.copy(), min_counts=0)
        assert scheduler.n_computes == 2, "one for the sums of logarithms"
    again = Modality(without_empty_cells())
    matrix_sums(again.X)
    with raise_if_dask_computes():
        normalize_total(again, target_sum=1e4)
        log1p(again)


def test_normalize_total__passes_with_highly_expressed_features() -> None:
    modality = Modality(without_empty_cells())
    matrix_sums(modality.X)
    with counting_scheduler() as scheduler:
        normalize_total(modality, exclude_highly_expressed=True, max_fraction=0.1)
    assert scheduler.n_computes == 2


def test_normalize_total__logs_what_it_leaves_out(caplog: pytest.LogCaptureFixture) -> None:
    X = np.array([[90.0, 5, 5], [4, 4, 2]])
    with caplog.at_level(logging.INFO, logger="lazymu"):
        normalize_total(Modality(X), exclude_highly_expressed=True, max_fraction=0.5)
    assert caplog.messages == ["left 1 highly expressed features out of the sums: ['0']"]


def test_size_factors__arrays_alone() -> None:
    matrix = LazyMatrix(np.array([[90.0, 5, 5], [4, 4, 2]]))
    np.testing.assert_allclose(size_factors(matrix), np.array([100, 10]) / 55)
    excluded = highly_expressed(matrix, 0.5)
    assert excluded.tolist() == [True, False, False]
    np.testing.assert_allclose(size_factors(matrix, 4, excluded), [2.5, 1.5])


@given(
    counts=st.lists(st.lists(st.integers(0, 200), min_size=3, max_size=3), min_size=1, max_size=9),
    target=st.floats(1e-3, 1e7),
)
@settings(max_examples=60, deadline=None)
@pytest.mark.filterwarnings("ignore:Some cells have zero counts:UserWarning")
def test_normalize_total__every_cell_sums_to_the_target(
    counts: list[list[int]], target: float
) -> None:
    X = np.array(counts, dtype=np.float64)
    modality = Modality(X)
    normalize_total(modality, target_sum=target)
    sums = modality.X.sum(axis=1)
    np.testing.assert_allclose(sums, np.where(X.sum(axis=1) > 0, target, 0), rtol=1e-9)


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_normalize_total__values_that_are_no_counts(value: float) -> None:
    with pytest.raises(NotCountsError, match=r"normalize_total needs a counts matrix: finite"):
        normalize_total(Modality(np.array([[1.0, value]])))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target_sum": 0}, r"`target_sum` is 0, but it is what cells are to sum to"),
        ({"target_sum": -5}, r"`target_sum` is -5"),
        (
            {"exclude_highly_expressed": True, "max_fraction": 1.5},
            r"`max_fraction` is 1.5, but it is a share of a cell's sum; pass 0 to 1",
        ),
        ({"copy": True, "inplace": False}, r"`copy` is True, but inplace=False returns values"),
        ({"layer": "a", "obsm": "b"}, r"`layer` is a, but only one matrix .* leave out obsm"),
    ],
)
def test_normalize_total__argument_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        normalize_total(Modality(made_counts()), **options)


def test_normalize_total__unknown_layer() -> None:
    with pytest.raises(MissingResultError, match=r"`layers` is 'counts', but its keys are: none"):
        normalize_total(Modality(made_counts()), layer="counts")


@pytest.mark.parametrize("base", [None, 2, 10, np.e])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix])
def test_log1p__equals_scanpy(base: float | None, form: Any) -> None:
    X = form(made_counts().X.toarray())
    adata = ad.AnnData(X.copy())
    modality = Modality(X)
    with raise_if_dask_computes():
        log1p(modality, base=base, chunked=True, chunk_size=7)
    sc.pp.log1p(adata, base=base)
    np.testing.assert_allclose(modality.X.toarray(), sp.csr_matrix(adata.X).toarray(), rtol=1e-5)
    assert modality.uns["log1p"] == adata.uns["log1p"] == {"base": base}


def test_log1p__warns_of_logarithms_as_scanpy_does(caplog: pytest.LogCaptureFixture) -> None:
    modality = Modality(made_counts())
    log1p(modality)
    assert not caplog.messages
    log1p(modality)
    assert caplog.messages == ["X seems to be already log-transformed"]


def test_log1p__steps_follow_a_selection() -> None:
    modality = Modality(without_empty_cells())
    normalize_total(modality, target_sum=1e4)
    log1p(modality)
    expected = modality.X.toarray()
    rows = np.random.default_rng(0).permutation(modality.n_obs)[:30]
    selected = modality[rows, ::-2]
    assert [type(step) for step in selected.X.steps] == [ScaleRows, Log1p]
    np.testing.assert_array_equal(selected.X.toarray(), expected[rows][:, ::-2])


@pytest.mark.parametrize("base", [0, 1, -2])
def test_log1p__base_that_is_none(base: float) -> None:
    with pytest.raises(ArgumentError, match=r"`base` is .* logarithms have a base above 0"):
        log1p(Modality(made_counts()), base=base)


def test_log1p__values_known_to_be_no_counts() -> None:
    modality = Modality(np.array([[1.0, -3.0]]))
    matrix_sums(modality.X)
    with pytest.raises(NotCountsError, match=r"down to -3, but log1p needs a counts matrix"):
        log1p(modality)
