"""`tl.rank_genes_groups` against scanpy on the same data, and `get`."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp
import scipy.stats

import lazymu
from lazymu.errors import (
    ArgumentError,
    DuplicateNamesError,
    MemoryLimitError,
    MissingResultError,
)
from lazymu.get import obs_df, rank_genes_groups_df
from lazymu.kernels.ranks import rank_sums, sorted_keys
from lazymu.stream import LazyMatrix, recorded_passes
from lazymu.stream.progress import Tick, watching
from lazymu.stream.steps import Log1p, ScaleRows
from lazymu.tl import rank_genes_groups
from lazymu.tl.group_tests import t_test, wilcoxon
from tests.conftest import make_counts
from tests.counting import raise_if_dask_computes
from tests.rna_data import real_counts

KEY = "rank_genes_groups"
FIELDS = ("scores", "pvals", "pvals_adj", "logfoldchanges")
METHODS = ("t-test", "t-test_overestim_var", "wilcoxon")

pytestmark = [
    # scanpy of both generations, called as its documentation says
    pytest.mark.filterwarnings("ignore::pandas.errors.PerformanceWarning"),
    pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:divide by zero encountered:RuntimeWarning"),
]


def make_adata(n_obs: int = 120, n_vars: int = 30, *, dense: bool = False) -> ad.AnnData:
    counts = make_counts(n_obs, n_vars, density=0.4).copy()
    labels = np.random.default_rng(1).choice(["c1", "c10", "c2"], n_obs, p=[0.5, 0.2, 0.3])
    marked = np.flatnonzero(labels == "c1")
    counts = counts.tolil()
    counts[np.ix_(marked, [0, 1, 2])] = 9
    counts[:, 5] = 0
    counts[marked, 6] = 0
    X = sp.csr_matrix(counts, dtype=np.float32)
    X.data = np.log1p(X.data)
    obs = pd.DataFrame(
        {"group": pd.Categorical(labels, categories=["c1", "c2", "c10"])},
        index=[f"cell{i}" for i in range(n_obs)],
    )
    var = pd.DataFrame(
        {"symbol": [f"S{j}" for j in range(n_vars)], "tested": np.arange(n_vars) % 3 > 0},
        index=[f"gene{j}" for j in range(n_vars)],
    )
    return ad.AnnData(X.toarray() if dense else X, obs=obs, var=var)


def scanpy_result(adata: ad.AnnData, **kwargs: Any) -> dict[str, Any]:
    adata = adata.copy()
    sc.tl.rank_genes_groups(adata, "group", **kwargs)
    return dict(adata.uns[KEY])


def assert_same_table(ours: pd.DataFrame, theirs: pd.DataFrame) -> None:
    """Compare names and values; pandas 3 gives strings another dtype than scanpy does."""
    pd.testing.assert_frame_equal(
        ours,
        theirs,
        check_names=False,
        check_index_type=False,
        check_column_type=False,
        check_dtype=False,
        check_categorical=False,
    )


def assert_same_results(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Compare by feature name: features of equal score may stand in any order."""
    groups = theirs["names"].dtype.names
    assert ours["names"].dtype.names == groups
    for field in FIELDS:
        assert ours[field].dtype == theirs[field].dtype
        for group in groups:
            a = pd.Series(ours[field][group], index=ours["names"][group])
            b = pd.Series(theirs[field][group], index=theirs["names"][group])
            np.testing.assert_allclose(a.loc[b.index], b, rtol=2e-4, atol=1e-12)
    for group in groups:
        assert np.all(np.diff(ours["scores"][group]) <= 0)


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("reference", ["rest", "c2"])
def test_rank_genes_groups__equals_scanpy(method: str, reference: str, dense: bool) -> None:
    adata = make_adata(dense=dense)
    mod = lazymu.Modality(adata)
    rank_genes_groups(mod, "group", method=method, reference=reference, pts=True)
    theirs = scanpy_result(adata, method=method, reference=reference, pts=True)
    assert_same_results(mod.uns[KEY], theirs)
    assert mod.uns[KEY]["params"] == theirs["params"]
    assert_same_table(mod.uns[KEY]["pts"], theirs["pts"])
    assert ("pts_rest" in mod.uns[KEY]) == (reference == "rest")


def test_rank_genes_groups__shares_of_the_rest_equal_scanpy() -> None:
    adata = make_adata()
    mod = lazymu.Modality(adata)
    rank_genes_groups(mod, "group", pts=True)
    theirs = scanpy_result(adata, method="t-test", pts=True)
    np.testing.assert_allclose(mod.uns[KEY]["pts_rest"], theirs["pts_rest"], rtol=1e-12)


@pytest.mark.parametrize("reference", ["rest", "c2"])
def test_rank_genes_groups__ties_equal_scanpy(reference: str) -> None:
    adata = make_adata()
    mod = lazymu.Modality(adata)
    rank_genes_groups(mod, "group", method="wilcoxon", tie_correct=True, reference=reference)
    theirs = scanpy_result(adata, method="wilcoxon", tie_correct=True, reference=reference)
    assert_same_results(mod.uns[KEY], theirs)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("reference", ["rest", "c2"])
def test_rank_genes_groups__some_groups_equal_scanpy(method: str, reference: str) -> None:
    adata = make_adata()
    mod = lazymu.Modality(adata)
    options = {"groups": ["c10"], "method": method, "corr_method": "bonferroni"}
    rank_genes_groups(mod, "group", reference=reference, **options)
    assert_same_results(mod.uns[KEY], scanpy_result(adata, reference=reference, **options))


def test_rank_genes_groups__n_genes_and_absolute_scores_equal_scanpy() -> None:
    adata = make_adata()
    mod = lazymu.Modality(adata)
    rank_genes_groups(mod, "group", n_genes=4, rankby_abs=True)
    theirs = scanpy_result(adata, n_genes=4, rankby_abs=True, method="t-test")
    assert mod.uns[KEY]["names"].dtype.names == theirs["names"].dtype.names
    for group in theirs["names"].dtype.names:
        assert list(mod.uns[KEY]["names"][group]) == list(theirs["names"][group])
        np.testing.assert_allclose(
            mod.uns[KEY]["pvals_adj"][group], theirs["pvals_adj"][group], rtol=2e-3
        )


def test_rank_genes_groups__mask_layer_raw_and_base() -> None:
    adata = make_adata()
    adata.layers["half"] = adata.X * 0.5
    adata.raw = adata
    adata.uns["log1p"] = {"base": 2.0}
    mod = lazymu.Modality(adata)
    for options in (
        {"mask_var": "tested", "use_raw": False},
        {"layer": "half", "use_raw": False},
        {"use_raw": True},
    ):
        rank_genes_groups(mod, "group", **options)
        assert_same_results(mod.uns[KEY], scanpy_result(adata, method="t-test", **options))
    rank_genes_groups(mod, "group", layer="half")
    assert mod.uns[KEY]["params"]["use_raw"] is False
    rank_genes_groups(mod, "group")
    assert mod.uns[KEY]["params"]["use_raw"] is True


def test_rank_genes_groups__series_is_aligned_by_name() -> None:
    adata = make_adata()
    mod = lazymu.Modality(adata)
    rank_genes_groups(mod, "group", key_added="by_column")
    shuffled = adata.obs["group"].sample(frac=1, random_state=0)
    rank_genes_groups(mod, shuffled, key_added="by_series")
    rank_genes_groups(mod, adata.obs["group"].to_numpy(), key_added="by_labels")
    for key in ("by_series", "by_labels"):
        assert_same_results(mod.uns[key], mod.uns["by_column"])
    assert mod.uns["by_series"]["params"]["groupby"] == "group"


def test_rank_genes_groups__cells_without_a_label_are_in_the_rest() -> None:
    adata = make_adata()
    mod = lazymu.Modality(adata)
    labels = adata.obs["group"].cat.remove_categories("c10")
    rank_genes_groups(mod, labels, method="wilcoxon")
    assert_same_results(mod.uns[KEY], scanpy_result(adata, method="wilcoxon", groups=["c1", "c2"]))


def test_rank_genes_groups__strings_are_ordered_by_the_numbers_in_them() -> None:
    mod = lazymu.Modality(make_adata())
    rank_genes_groups(mod, mod.obs["group"].astype(str).to_numpy())
    assert mod.uns[KEY]["names"].dtype.names == ("c1", "c2", "c10")


def test_rank_genes_groups__copy_leaves_the_modality_alone() -> None:
    mod = lazymu.Modality(make_adata())
    copied = rank_genes_groups(mod, "group", copy=True)
    assert KEY in copied.uns
    assert KEY not in mod.uns


def of_three(*names: Any) -> np.ndarray:
    """Return three labels by turns."""
    return np.array(names, dtype=object)[np.arange(120) % 3]


LABELS = {
    "missing": pd.Categorical(of_three("a", None, "b")),
    "no number order": of_three("10", "2", "1"),
    "zeros before": of_three("c1", "c01", "c10"),
    "signs": of_three("CD4 T/naive", "B cell", "a.b: c"),
    "no name": of_three("", "x", "y"),
    "rest": of_three("rest", "x", "y"),
    "numbers": pd.Categorical(of_three(10, 2, 1)),
    "booleans": pd.Categorical(np.arange(120) % 2 == 0),
    "ranges": pd.cut(np.arange(120), 3),
    "all one": of_three("a", "a", "a"),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("labels", LABELS)
def test_rank_genes_groups__awkward_labels_equal_scanpy(labels: str, method: str) -> None:
    adata = make_adata()
    adata.obs["group"] = LABELS[labels]
    mod = lazymu.Modality(adata)
    rank_genes_groups(mod, "group", method=method)
    assert_same_results(mod.uns[KEY], scanpy_result(adata, method=method))


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (np.arange(120) % 2 == 0, ("False", "True")),
        (np.arange(120) % 3 * 9 + 2, ("2", "11", "20")),
        (of_three(1.0, np.nan, 10.5), ("1.0", "10.5")),
        (of_three(1, "a", 2.5), ("1", "2.5", "a")),
        (pd.Categorical(of_three("a", "b", "c"), categories=list("cxab")), ("c", "a", "b")),
    ],
)
def test_rank_genes_groups__labels_that_scanpy_refuses(labels: Any, names: tuple[str]) -> None:
    adata = make_adata()
    mod = lazymu.Modality(adata)
    rank_genes_groups(mod, labels)
    assert mod.uns[KEY]["names"].dtype.names == names
    codes = np.select([pd.Series(labels).astype(str) == name for name in names], names, None)
    adata.obs["group"] = pd.Categorical(codes, categories=names)
    assert_same_results(mod.uns[KEY], scanpy_result(adata, method="t-test"))


def test_rank_genes_groups__group_named_twice_is_tested_once() -> None:
    adata = make_adata()
    mod = lazymu.Modality(adata)
    rank_genes_groups(mod, "group", groups=["c2", "c1", "c2"])
    expected = scanpy_result(adata, method="t-test", groups=["c2", "c1"])
    assert_same_results(mod.uns[KEY], expected)


def test_rank_genes_groups__series_of_a_joint_column_with_cells_of_its_own() -> None:
    adata = make_adata()
    mdata = lazymu.MuData({"rna": adata[::-1].copy(), "prot": make_adata(130)[20:, :6].copy()})
    mdata.obs["joint"] = adata.obs["group"].reindex(mdata.obs_names).astype(object).fillna("c2")
    for name in ("rna", "prot"):
        rank_genes_groups(mdata[name], mdata.obs["joint"], method="wilcoxon")
        own = mdata[name].to_anndata()
        own.obs["group"] = mdata.obs["joint"].reindex(own.obs_names).to_numpy()
        assert_same_results(mdata[name].uns[KEY], scanpy_result(own, method="wilcoxon"))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("options", [{"pts": True}, {"reference": "mono", "groups": ["B cell"]}])
@pytest.mark.parametrize("name", ["stimulated", "cite_seq"])
def test_rank_genes_groups__of_real_cells_equals_scanpy(
    name: str, options: dict[str, Any], method: str, data_dir: Path
) -> None:
    """In float64, as scanpy's variances of float32 values have four digits."""
    adata = real_counts(name, data_dir).copy()
    adata.X = adata.X.astype(np.float64)
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    lyz, cd79a = adata[:, ["LYZ", "CD79A"]].X.toarray().T
    kinds = np.where(lyz > np.median(lyz) + 1, "mono", np.where(cd79a > 0, "B cell", "T/NK"))
    adata.obs["group"] = kinds
    mod = lazymu.Modality(adata)
    assert count_passes(lambda: rank_genes_groups(mod, "group", method=method, **options)) == 1
    ours, theirs = mod.uns[KEY], scanpy_result(adata, method=method, **options)
    for group in theirs["names"].dtype.names:
        found = pd.DataFrame({f: ours[f][group] for f in FIELDS}, index=ours["names"][group])
        asked = pd.DataFrame({f: theirs[f][group] for f in FIELDS}, index=theirs["names"][group])
        assert set(found.index) == set(asked.index)
        np.testing.assert_allclose(found.loc[asked.index], asked, rtol=1e-5, atol=1e-300)
        alone = (np.abs(np.diff(asked["scores"], prepend=np.inf)) > 1e-5) & (
            np.abs(np.diff(asked["scores"], append=-np.inf)) > 1e-5
        )
        assert alone.sum() > 500
        assert (found.index == asked.index)[alone].all()
    for table in ("pts", "pts_rest") if "pts" in options else ():
        np.testing.assert_allclose(ours[table], theirs[table].loc[ours[table].index], rtol=1e-12)
    with raise_if_dask_computes():
        table = rank_genes_groups_df(mod, "B cell")
    adata.uns[KEY] = theirs
    scanpys = sc.get.rank_genes_groups_df(adata, "B cell")
    assert list(table.columns) == list(scanpys.columns)
    numbers = scanpys.columns[1:]
    by_name = table.set_index("names").loc[scanpys["names"], numbers]
    np.testing.assert_allclose(by_name, scanpys[numbers], rtol=1e-5, atol=1e-300)


@pytest.mark.parametrize("method", METHODS)
def test_rank_genes_groups__lazy_steps_are_applied(method: str) -> None:
    mod = lazymu.Modality(make_adata())
    mod.X = mod.X.with_steps(ScaleRows(np.linspace(0.5, 2, mod.n_obs)), Log1p())
    rank_genes_groups(mod, "group", method=method)
    expected = ad.AnnData(mod.X.to_memory(), obs=mod.obs, var=mod.var)
    assert_same_results(mod.uns[KEY], scanpy_result(expected, method=method))


# --- algorithms -----------------------------------------------------------------------------------


def values_with_negatives(dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    X = rng.integers(-2, 4, (150, 7)).astype(dtype) * dtype(0.37)
    return X, rng.integers(-1, 3, 150)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_wilcoxon__equals_scipy_for_negative_values(dtype: Any) -> None:
    X, groups = values_with_negatives(dtype)
    found = wilcoxon(LazyMatrix(X), groups, 3, tie_correct=True)
    X = X.astype(np.float64)
    for g in range(3):
        expected = scipy.stats.mannwhitneyu(
            X[groups == g], X[groups != g], use_continuity=False, method="asymptotic"
        )
        np.testing.assert_allclose(found.pvals[g], expected.pvalue, rtol=1e-9)
        np.testing.assert_allclose(found.mean[g], X[groups == g].mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(found.mean_other[g], X[groups != g].mean(axis=0), rtol=1e-5)


def test_t_test__equals_scipy() -> None:
    X, groups = values_with_negatives(np.float64)
    found = t_test(LazyMatrix(X), groups, 3, 1)
    for g in (0, 2):
        expected = scipy.stats.ttest_ind(X[groups == g], X[groups == 1], equal_var=False)
        np.testing.assert_allclose(found.scores[g], expected.statistic, rtol=1e-12)
        np.testing.assert_allclose(found.pvals[g], expected.pvalue, rtol=1e-9)


def test_t_test__large_values_keep_their_variance() -> None:
    """E[x^2] - E[x]^2 in float64 has no correct digit here."""
    X, groups = values_with_negatives(np.float64)
    shifted = t_test(LazyMatrix(X + 1e9), groups, 3)
    np.testing.assert_allclose(shifted.scores, t_test(LazyMatrix(X), groups, 3).scores, atol=1e-4)


def test_rank_sums__equal_scipy_ranks() -> None:
    values = np.array([0.0, -1.0, 2.0, 2.0, 0.0, 5.0, -1.0, 0.0], dtype=np.float32)
    codes = np.array([0, 1, 0, 1, 1, 2, 0, 2])
    ranks = scipy.stats.rankdata(values)
    nonzero = values != 0
    sums = np.zeros(3)
    ties = rank_sums(
        sorted_keys(values[nonzero], codes[nonzero]),
        np.bincount(codes[~nonzero], minlength=3),
        np.ones(3, dtype=bool),
        sums,
    )
    np.testing.assert_allclose(sums, np.bincount(codes, ranks))
    assert 1 - ties / (8**3 - 8) == pytest.approx(scipy.stats.tiecorrect(ranks))


def test_sorted_keys__order_is_that_of_the_values(rng: np.random.Generator) -> None:
    for values in (
        rng.normal(size=500).astype(np.float32),
        rng.normal(size=500),
        rng.integers(1, 300, 500).astype(np.uint16),
    ):
        codes = rng.permutation(500)
        order = (sorted_keys(values, codes) & np.uint64(0xFFFFFFFF)).astype(int)
        assert np.all(np.diff(values[np.argsort(codes)][order].astype(float)) >= 0)


# --- logistic regression --------------------------------------------------------------------------


def assert_same_scores(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert ours.keys() == theirs.keys() == {"params", "names", "scores"}
    assert ours["params"] == theirs["params"]
    assert ours["names"].dtype == theirs["names"].dtype
    assert ours["scores"].dtype == theirs["scores"].dtype
    for group in theirs["names"].dtype.names:
        a = pd.Series(ours["scores"][group], index=ours["names"][group])
        b = pd.Series(theirs["scores"][group], index=theirs["names"][group])
        np.testing.assert_allclose(a.loc[b.index], b, atol=1e-5, rtol=0)
        assert a.is_monotonic_decreasing


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"C": 0.1, "max_iter": 300},
        {"groups": ["c10", "c1", "c2"]},
        {"groups": ["c10", "c1"], "reference": "c2"},
        {"mask_var": "tested", "use_raw": False, "pts": True},
    ],
)
def test_logreg__equals_scanpy(options: dict[str, Any], dense: bool) -> None:
    adata = make_adata(dense=dense)
    mod = lazymu.Modality(adata)
    rank_genes_groups(mod, "group", method="logreg", **options)
    assert_same_scores(mod.uns[KEY], scanpy_result(adata, method="logreg", **options))


def test_logreg__n_genes_and_absolute_scores_equal_scanpy() -> None:
    adata = make_adata()
    mod = lazymu.Modality(adata)
    options = {"method": "logreg", "n_genes": 5, "rankby_abs": True}
    rank_genes_groups(mod, "group", **options)
    theirs = scanpy_result(adata, **options)
    for group in ("c1", "c2", "c10"):
        assert list(mod.uns[KEY]["names"][group]) == list(theirs["names"][group])


@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_logreg__of_real_cells_equals_scanpy(data_dir: Path) -> None:
    adata = real_counts("variable_5k", data_dir)[:800].copy()
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    adata.obs["group"] = pd.Categorical(np.array(["a", "b", "c"])[np.arange(800) * 3 // 800])
    mod = lazymu.Modality(adata)
    rank_genes_groups(mod, "group", method="logreg", max_iter=40)
    assert_same_scores(mod.uns[KEY], scanpy_result(adata, method="logreg", max_iter=40))


@pytest.mark.parametrize(("groups", "sign"), [(["c1", "c2"], -1), (["c2", "c1"], 1)])
def test_logreg__of_two_groups_says_what_the_first_has_more_of(
    groups: list[str], sign: int
) -> None:
    """scanpy 1.11 gives the coefficients of the later category, whichever comes first."""
    adata = make_adata()
    mod = lazymu.Modality(adata)
    rank_genes_groups(mod, "group", method="logreg", groups=groups)
    theirs = scanpy_result(adata, method="logreg", groups=groups)
    assert mod.uns[KEY]["names"].dtype.names == (groups[0],)
    ours = pd.Series(mod.uns[KEY]["scores"][groups[0]], mod.uns[KEY]["names"][groups[0]])
    expected = pd.Series(theirs["scores"][groups[0]], theirs["names"][groups[0]])
    np.testing.assert_allclose(ours.loc[expected.index], sign * expected, atol=1e-5)
    assert (ours["gene0"] > 0) == (groups[0] == "c1")


def test_logreg__lazy_steps_are_applied_and_passes_counted() -> None:
    mod = lazymu.Modality(make_adata())
    mod.X = mod.X.with_steps(ScaleRows(np.linspace(0.5, 2, mod.n_obs)), Log1p())
    assert count_passes(lambda: rank_genes_groups(mod, "group", method="logreg")) == 1
    expected = ad.AnnData(mod.X.to_memory(), obs=mod.obs, var=mod.var)
    assert_same_scores(mod.uns[KEY], scanpy_result(expected, method="logreg"))


def test_logreg__values_beyond_the_memory_limit() -> None:
    adata = make_adata(2000, 200)
    mod = lazymu.Modality(adata)
    with (
        lazymu.settings.override(memory_limit=3_000_000, n_threads=1),
        pytest.raises(MemoryLimitError, match=r"mask_var='highly_variable'.*method='t-test'"),
    ):
        rank_genes_groups(mod, "group", method="logreg")
    options = {"method": "logreg", "mask_var": np.arange(200) < 60, "C": 0.01}
    with lazymu.settings.override(memory_limit=3_000_000, n_threads=1):
        # the bound on their values, cells times features, is too high: they are counted
        mod = lazymu.Modality(adata)
        count = count_passes(lambda: rank_genes_groups(mod, "group", **options))
    assert count == 2
    assert_same_scores(mod.uns[KEY], scanpy_result(adata, **options))


# --- memory and passes ----------------------------------------------------------------------------


def count_passes(run: Any) -> int:
    labels: list[int] = []

    def watch(tick: Tick) -> None:
        if tick.done_blocks == 0:
            labels.append(tick.n_blocks)

    with watching(watch):
        run()
    return len(labels)


@pytest.mark.parametrize("method", METHODS)
def test_rank_genes_groups__one_pass(method: str) -> None:
    mod = lazymu.Modality(make_adata())
    assert count_passes(lambda: rank_genes_groups(mod, "group", method=method)) == 1


@pytest.mark.parametrize("method", METHODS)
def test_rank_genes_groups__tables_in_memory(method: str) -> None:
    """What is made of a pass takes 60 bytes for each group and feature, beside the result's 32."""
    n_groups, n_vars = 40, 20_000
    mod = lazymu.Modality(make_counts(200, n_vars, density=0.01))
    with lazymu.settings.override(n_threads=1):
        rank_genes_groups(mod, np.arange(200) % n_groups, method=method, key_added="first")
        tracemalloc.start()
        rank_genes_groups(mod, np.arange(200) % n_groups, method=method)
        peak = tracemalloc.get_traced_memory()[1] / (n_groups * n_vars)
        tracemalloc.stop()
    assert 80 < peak < 92


def test_wilcoxon__counts_values_in_one_more_pass_where_these_are_not_known(tmp_path: Path) -> None:
    lazymu.Modality(make_counts(6000, 1200, density=0.4)).write(tmp_path / "x.zarr")
    groups = np.arange(6000) % 3
    for cells, more in ((slice(None), 0), (slice(10, 5990), 1)):
        mod = lazymu.read(tmp_path / "x.zarr")[cells]
        with (
            lazymu.settings.override(memory_limit="64MB", n_threads=1),
            recorded_passes() as passes,
        ):
            rank_genes_groups(mod, groups[cells], method="wilcoxon")
        labels = [entry.label for entry in passes]
        assert labels == ["sums"] * more + ["rank features"] * (len(passes) - more)
        assert len(passes) > 2


def test_wilcoxon__tiles_give_the_same_answer() -> None:
    X = make_counts(3000, 200, density=0.4)
    groups = np.random.default_rng(0).integers(-1, 4, 3000)
    found = wilcoxon(LazyMatrix(X), groups, 4)
    with lazymu.settings.override(memory_limit=3_000_000, n_threads=1):
        tiled = LazyMatrix(X)
        results = []
        passes = count_passes(lambda: results.append(wilcoxon(tiled, groups, 4)))
    assert passes > 3
    for a, b in zip(found, results[0], strict=True):
        np.testing.assert_array_equal(a, b)


def test_wilcoxon__one_feature_beyond_the_memory_limit() -> None:
    X = LazyMatrix(np.ones((20_000, 2), dtype=np.float32))
    groups = np.arange(20_000) % 2
    with (
        lazymu.settings.override(memory_limit=100_000, n_threads=1),
        pytest.raises(MemoryLimitError, match=r"ranking the 20,000 values of one feature takes"),
    ):
        wilcoxon(X, groups, 2)


def test_t_test__results_do_not_depend_on_blocks() -> None:
    X = make_counts(3000, 50, density=0.4)
    groups = np.random.default_rng(0).integers(-1, 4, 3000)
    whole = t_test(LazyMatrix(X), groups, 4)
    with lazymu.settings.override(memory_limit=400_000, n_threads=2):
        blocks = t_test(LazyMatrix(X), groups, 4)
    for a, b in zip(whole, blocks, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-300)


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("groupby", "options", "error", "message"),
    [
        ("group", {"method": "anova"}, ArgumentError, "must be one of 't-test', 't-test_over"),
        ("group", {"max_iter": 5}, ArgumentError, "`max_iter` is given.*'t-test' takes no"),
        ("group", {"method": "logreg", "groups": ["c1"]}, ArgumentError, "`groups` is 1 group"),
        ("group", {"corr_method": "none"}, ArgumentError, "'benjamini-hochberg', 'bonferroni'"),
        ("cluster", {}, MissingResultError, "columns of obs are: group"),
        ("group", {"groups": ["c3"]}, ArgumentError, "groups of 'group' are: c1, c2, c10"),
        ("group", {"reference": "c3"}, ArgumentError, "`reference` is 'c3'"),
        ("group", {"use_raw": True}, MissingResultError, "the modality has no raw"),
        ("group", {"use_raw": True, "layer": "x"}, ArgumentError, "asks for another matrix"),
        ("group", {"layer": "x"}, MissingResultError, r"layers.* is 'x'"),
        ("group", {"mask_var": "x"}, MissingResultError, "it is no column of var"),
        (["a"], {}, ArgumentError, "there are 120 cells"),
        (pd.Series(["a"] * 120), {}, ArgumentError, "'group'.*no cell has a label; check that a S"),
        (np.full(120, np.nan), {}, ArgumentError, "no cell has a label"),
        ([1, "1"] * 60, {}, ArgumentError, "labels of different types, all written '1'"),
        (["a"] + ["b"] * 119, {}, ArgumentError, "1 cells in group 'a'.*needs two cells"),
        (["a"] * 120, {"method": "logreg"}, ArgumentError, "`groups` is 1 group"),
        ("group", {"groups": "c1"}, ArgumentError, r"it is \"all\" or a list; pass \['c1'\]"),
        ("group", {"groups": []}, ArgumentError, "no group is left to test"),
        ("group", {"groups": ["c1"], "reference": "c1"}, ArgumentError, "reference='c1'.*no group"),
        ("group", {"n_genes": 0}, ArgumentError, "`n_genes` is 0, but it is how many"),
        ("group", {"mask_var": [True] * 3}, ArgumentError, r"`mask_var` is of shape \(3,\)"),
        ("group", {"mask_var": [False] * 30}, ArgumentError, "`mask_var`.*with 0 features"),
        (pd.Series([1, 1], index=["cell0"] * 2), {}, ArgumentError, "found in it by name"),
        (pd.Series(["a", "b", "b"], index=["cell0", "cell1", "cell2"]), {}, ArgumentError, "two"),
    ],
)
def test_rank_genes_groups__errors(
    groupby: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        rank_genes_groups(lazymu.Modality(make_adata()), groupby, **options)


def test_rank_genes_groups__anndata_is_refused() -> None:
    with pytest.raises(ArgumentError, match="wrap an AnnData"):
        rank_genes_groups(make_adata(), "group")


# --- get ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", ["c1", ["c10", "c1"], None])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"pval_cutoff": 0.5, "log2fc_min": 0.0},
        {"log2fc_max": 0.1, "gene_symbols": "symbol"},
    ],
)
def test_rank_genes_groups_df__equals_scanpy(group: Any, options: dict[str, Any]) -> None:
    adata = make_adata()
    sc.tl.rank_genes_groups(adata, "group", method="t-test", pts=True)
    mod = lazymu.Modality(adata)
    ours = rank_genes_groups_df(mod, group, **options)
    theirs = sc.get.rank_genes_groups_df(adata, group, **options)
    assert set(ours.columns) == set(theirs.columns)
    if "group" in theirs:
        assert list(ours["group"].cat.categories) == (group or ["c1", "c2", "c10"])
        theirs["group"] = pd.Categorical(theirs["group"], ours["group"].cat.categories)
    assert_same_table(ours[theirs.columns], theirs)


def test_rank_genes_groups_df__of_a_regression() -> None:
    adata = make_adata()
    sc.tl.rank_genes_groups(adata, "group", method="logreg")
    mod = lazymu.Modality(adata)
    for group in ("c1", None):
        ours, theirs = rank_genes_groups_df(mod, group), sc.get.rank_genes_groups_df(adata, group)
        assert set(ours.columns) == set(theirs.columns)
        assert_same_table(ours[["names", "scores"]], theirs[["names", "scores"]])
    with pytest.raises(ArgumentError, match=r"`pval_cutoff` is 0\.1.*'logreg' gives scores alone"):
        rank_genes_groups_df(mod, "c1", pval_cutoff=0.1)


@pytest.mark.parametrize("options", [{"pts": True}, {"gene_symbols": "symbol"}])
def test_rank_genes_groups_df__repeated_names_cannot_be_told_apart(options: dict) -> None:
    """scanpy gives a row for each pair of them."""
    mod = lazymu.Modality(make_adata())
    mod.var_names = ["a b", "a b", *mod.var_names[2:]]
    rank_genes_groups(mod, "group", pts=options.pop("pts", False))
    if options:
        assert len(rank_genes_groups_df(mod, "c1")) == 30
    with pytest.raises(DuplicateNamesError, match=r"such as 'a b'.*var_names_make_unique\(\)"):
        rank_genes_groups_df(mod, "c1", **options)
    rank_genes_groups(mod, "group", n_genes=5, mask_var=np.arange(30) > 1)
    assert len(rank_genes_groups_df(mod, "c1")) == 5


def test_rank_genes_groups_df__errors() -> None:
    mod = lazymu.Modality(make_adata())
    with pytest.raises(MissingResultError, match=r"run tl\.rank_genes_groups first"):
        rank_genes_groups_df(mod, "c1")
    rank_genes_groups(mod, "group")
    with pytest.raises(ArgumentError, match="tested groups are: c1, c2, c10"):
        rank_genes_groups_df(mod, "c3")
    with pytest.raises(MissingResultError, match="columns of var are: symbol, tested"):
        rank_genes_groups_df(mod, "c1", gene_symbols="x")


def test_obs_df__equals_scanpy() -> None:
    adata = make_adata()
    adata.layers["double"] = adata.X * 2
    adata.obsm["X_pca"] = np.arange(240.0).reshape(120, 2)
    adata.raw = adata[:, :10]
    mod = lazymu.Modality(adata)
    for kwargs in (
        {"keys": ["gene3", "group", "gene1"]},
        {"keys": ["gene3"], "layer": "double", "obsm_keys": [("X_pca", 1)]},
        {"keys": ["S3", "group"], "gene_symbols": "symbol"},
        {"keys": ["gene3"], "use_raw": True},
    ):
        assert_same_table(obs_df(mod, **kwargs), sc.get.obs_df(adata, **kwargs))


def test_obs_df__columns_alone_read_nothing() -> None:
    mod = lazymu.Modality(make_adata())
    assert count_passes(lambda: obs_df(mod, "group")) == 0
    assert count_passes(lambda: obs_df(mod, ["gene1", "gene2", "group"])) == 1


def test_obs_df__sparse_and_tabular_embeddings() -> None:
    mod = lazymu.Modality(make_adata())
    values = np.arange(240.0).reshape(120, 2)
    mod.obsm["sparse"] = sp.csr_matrix(values)
    mod.obsm["table"] = pd.DataFrame(values, index=mod.obs_names)
    table = obs_df(mod, obsm_keys=[("sparse", 1), ("table", 1)])
    np.testing.assert_array_equal(table["sparse-1"], values[:, 1])
    np.testing.assert_array_equal(table["table-1"], values[:, 1])


def test_obs_df__errors() -> None:
    adata = make_adata()
    adata.obs["gene1"] = 1
    adata.var["twice"] = "x"
    mod = lazymu.Modality(adata)
    with pytest.raises(ArgumentError, match="obs has a column and var a feature of that name"):
        obs_df(mod, ["gene1"])
    with pytest.raises(MissingResultError, match="neither a column of obs nor a feature"):
        obs_df(mod, ["gene99"])
    with pytest.raises(ArgumentError, match="30 features have that name"):
        obs_df(mod, ["x"], gene_symbols="twice")
    with pytest.raises(MissingResultError, match="columns of var are: symbol"):
        obs_df(mod, ["gene2"], gene_symbols="x")
    with pytest.raises(MissingResultError, match="the modality has no raw"):
        obs_df(mod, ["gene2"], use_raw=True)
    with pytest.raises(ArgumentError, match="raw has no layers"):
        obs_df(mod, ["gene2"], use_raw=True, layer="x")
