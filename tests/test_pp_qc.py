"""`pp.calculate_qc_metrics` against scanpy, and how often it reads."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp

from lazymu.containers import Modality
from lazymu.errors import ArgumentError, MissingResultError, NotCountsError
from lazymu.keys import QCNames
from lazymu.pp import calculate_qc_metrics, filter_cells, log1p, normalize_total
from lazymu.pp.qc_columns import percent
from lazymu.stream import LazyMatrix, matrix_sums
from tests.counting import counting_scheduler, raise_if_dask_computes
from tests.rna_data import LOADERS, made_counts, real_counts, small_blocks


def assert_same_tables(ours: pd.DataFrame, theirs: pd.DataFrame) -> None:
    assert ours.columns.tolist() == theirs.columns.tolist()
    assert ours.index.equals(theirs.index.astype(ours.index.dtype))
    for column in theirs:
        np.testing.assert_allclose(ours[column], theirs[column], rtol=1e-5, err_msg=column)


@pytest.mark.data
@pytest.mark.parametrize("name", LOADERS)
def test_calculate_qc_metrics__equals_scanpy_on_real_data(name: str, data_dir: Path) -> None:
    adata = real_counts(name, data_dir)
    expected = sc.pp.calculate_qc_metrics(adata.copy(), qc_vars=["mt"])
    found = calculate_qc_metrics(Modality(adata), qc_vars=["mt"])
    assert found is not None
    for ours, theirs in zip(found, expected, strict=True):
        assert_same_tables(ours, theirs)


@pytest.mark.parametrize("log", [True, False])
@pytest.mark.parametrize("qc_vars", [(), "mt", ("mt", "ribo")])
@pytest.mark.parametrize("percent_top", [None, (), (20, 1, 60)])
def test_calculate_qc_metrics__equals_scanpy_in_blocks(
    log: bool, qc_vars: str | tuple[str, ...], percent_top: tuple[int, ...] | None
) -> None:
    adata = made_counts()
    options = {"log1p": log, "qc_vars": qc_vars, "percent_top": percent_top, "expr_type": "umis"}
    with np.errstate(invalid="ignore"):  # scanpy divides by the empty cell's sum
        expected = sc.pp.calculate_qc_metrics(adata.copy(), var_type="peaks", **options)
    with small_blocks(3, 60, state_bytes=16 * 60, operand_bytes=16 * 90 * 5):
        found = calculate_qc_metrics(Modality(adata), var_type="peaks", **options)
    assert found is not None
    for ours, theirs in zip(found, expected, strict=True):
        assert_same_tables(ours, theirs)


@pytest.mark.parametrize("form", ["csc", "dense", "uint8", "permuted"])
def test_calculate_qc_metrics__does_not_depend_on_storage(form: str) -> None:
    adata = made_counts()
    expected = calculate_qc_metrics(Modality(adata), qc_vars="mt", percent_top=[5])
    stored = {
        "csc": adata.X.tocsc(),
        "dense": adata.X.toarray(),
        "uint8": adata.X.astype(np.uint8),
        "permuted": adata.X,
    }[form]
    modality = Modality(ad.AnnData(stored, adata.obs, adata.var))
    if form == "permuted":
        order = np.random.default_rng(0).permutation(adata.n_obs)
        modality = modality[order]
    with small_blocks(3, 60, state_bytes=16 * 60, operand_bytes=16 * 90 * 2):
        found = calculate_qc_metrics(modality, qc_vars="mt", percent_top=[5])
    assert found is not None
    assert expected is not None
    pd.testing.assert_frame_equal(found[0], expected[0].loc[found[0].index])
    pd.testing.assert_frame_equal(found[1], expected[1])


def test_calculate_qc_metrics__writes_into_obs_and_var() -> None:
    modality = Modality(made_counts())
    tables = calculate_qc_metrics(modality, qc_vars="mt", percent_top=[5])
    assert calculate_qc_metrics(modality, qc_vars="mt", percent_top=[5], inplace=True) is None
    assert tables is not None
    pd.testing.assert_frame_equal(modality.obs[tables[0].columns], tables[0])
    pd.testing.assert_frame_equal(modality.var[tables[1].columns], tables[1])


def test_calculate_qc_metrics__columns_are_not_the_known_sums_themselves() -> None:
    modality = Modality(made_counts())
    calculate_qc_metrics(modality, percent_top=None, inplace=True)
    before = matrix_sums(modality.X).cells.total.copy()
    modality.obs["total_counts"] *= 2
    np.testing.assert_array_equal(matrix_sums(modality.X).cells.total, before)


def test_calculate_qc_metrics__known_sums_are_not_read_again() -> None:
    counts = made_counts()
    known = matrix_sums(LazyMatrix(counts.X))
    modality = Modality(LazyMatrix(counts.X, sums=lambda: known), obs=counts.obs, var=counts.var)
    with raise_if_dask_computes():
        calculate_qc_metrics(modality, percent_top=None, inplace=True)
        filter_cells(modality, min_genes=1)
    np.testing.assert_array_equal(
        modality.obs["total_counts"], known.cells.total[known.cells.nnz > 0]
    )


def test_calculate_qc_metrics__everything_is_one_pass() -> None:
    modality = Modality(made_counts())
    with counting_scheduler() as scheduler:
        calculate_qc_metrics(modality, qc_vars=["mt", "ribo"], percent_top=[5, 10], inplace=True)
        assert scheduler.n_computes == 1
        calculate_qc_metrics(modality, percent_top=None, inplace=True)
        assert scheduler.n_computes == 1
        calculate_qc_metrics(modality, qc_vars=["mt"], percent_top=None, inplace=True)
        assert scheduler.n_computes == 2


def test_calculate_qc_metrics__measures_transformed_values() -> None:
    adata = made_counts()[np.arange(90) != 4].copy()
    modality = Modality(adata.copy())
    adata.X = adata.X.toarray()  # scanpy compiles its sparse loops anew
    sc.pp.normalize_total(adata, target_sum=100)
    sc.pp.log1p(adata)
    normalize_total(modality, target_sum=100)
    log1p(modality)
    expected = sc.pp.calculate_qc_metrics(adata, qc_vars=["mt"], percent_top=[5])
    found = calculate_qc_metrics(modality, qc_vars=["mt"], percent_top=[5])
    assert found is not None
    for ours, theirs in zip(found, expected, strict=True):
        assert_same_tables(ours, theirs)
    raw = matrix_sums(modality.X).cells.total
    np.testing.assert_array_equal(raw, np.round(raw), "the known sums stay those of raw counts")


@pytest.mark.parametrize("source", [{"layer": "counts"}, {"use_raw": True}])
def test_calculate_qc_metrics__takes_layer_or_raw(source: dict[str, object]) -> None:
    adata = made_counts()
    modality = Modality(adata)
    modality.raw = modality
    modality.layers["counts"] = modality.X
    log1p(modality)
    found = calculate_qc_metrics(modality, percent_top=None, **source)  # type: ignore[arg-type]
    expected = calculate_qc_metrics(Modality(adata), percent_top=None)
    assert found is not None
    assert expected is not None
    pd.testing.assert_frame_equal(found[0], expected[0])


def test_calculate_qc_metrics__no_cells() -> None:
    modality = Modality(sp.csr_matrix((0, 3)))
    found = calculate_qc_metrics(modality, percent_top=[2])
    assert found is not None
    assert found[0].shape == (0, 5)
    assert found[1]["total_counts"].tolist() == [0, 0, 0]


@pytest.mark.parametrize("ks", [(50, 61), (0, 5), (-1,)])
def test_calculate_qc_metrics__percent_top_out_of_range(ks: tuple[int, ...]) -> None:
    with pytest.raises(ArgumentError, match=r"`percent_top` is .* must lie in 1..60"):
        calculate_qc_metrics(Modality(made_counts()), percent_top=ks)


def test_calculate_qc_metrics__unknown_qc_var() -> None:
    with pytest.raises(MissingResultError, match=r"`qc_vars` is 'hb', but columns of var are: mt"):
        calculate_qc_metrics(Modality(made_counts()), qc_vars="hb", percent_top=None)


@pytest.mark.parametrize("column", [np.arange(60), pd.array([True, None] * 30, dtype="boolean")])
def test_calculate_qc_metrics__qc_var_must_be_a_mask(column: object) -> None:
    modality = Modality(made_counts())
    modality.var["mt"] = column
    with pytest.raises(ArgumentError, match=r"`qc_vars` is 'mt', a column of .*True and False"):
        calculate_qc_metrics(modality, qc_vars="mt", percent_top=None)


def test_calculate_qc_metrics__nullable_mask_without_missing_values() -> None:
    modality = Modality(made_counts())
    expected = calculate_qc_metrics(modality, qc_vars="mt", percent_top=None)
    modality.var["mt"] = modality.var["mt"].astype("boolean")
    found = calculate_qc_metrics(modality, qc_vars="mt", percent_top=None)
    assert found is not None
    assert expected is not None
    pd.testing.assert_frame_equal(found[0], expected[0])


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_calculate_qc_metrics__values_that_are_no_counts(value: float) -> None:
    X = made_counts().X.copy()
    X.data[0] = value
    with pytest.raises(NotCountsError, match=r"calculate_qc_metrics needs a counts matrix"):
        calculate_qc_metrics(Modality(X), percent_top=None)


def test_calculate_qc_metrics__raw_with_other_features() -> None:
    modality = Modality(made_counts())
    modality.raw = modality[:, :30]
    with pytest.raises(ArgumentError, match=r"`use_raw` is True, raw with 30 features"):
        calculate_qc_metrics(modality, use_raw=True)


def test_calculate_qc_metrics__no_raw() -> None:
    with pytest.raises(MissingResultError, match=r"`use_raw` is True, but the modality has no raw"):
        calculate_qc_metrics(Modality(made_counts()), use_raw=True)


def test_calculate_qc_metrics__layer_and_raw() -> None:
    with pytest.raises(ArgumentError, match=r"`layer` is counts, but only one matrix"):
        calculate_qc_metrics(Modality(made_counts()), layer="counts", use_raw=True)


def test_percent__of_nothing_is_missing() -> None:
    found = percent(np.array([1.0, 0.0]), np.array([4.0, 0.0]))
    np.testing.assert_array_equal(found, [25.0, np.nan])


def test_qc_names__defaults_are_the_written_names() -> None:
    from lazymu import keys

    names = QCNames()
    assert names.n_features == keys.N_GENES_BY_COUNTS
    assert names.n_cells == keys.N_CELLS_BY_COUNTS
    assert names.total == keys.TOTAL_COUNTS
    assert names.mean == keys.MEAN_COUNTS
    assert names.pct_dropout == keys.PCT_DROPOUT_BY_COUNTS
    assert names.pct_in_top(50) == keys.pct_counts_in_top(50)
    assert names.total_of("mt") == keys.total_counts_of("mt")
    assert names.pct_of("mt") == keys.pct_counts_of("mt")
