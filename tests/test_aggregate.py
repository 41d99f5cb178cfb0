"""`get.aggregate` against scanpy and plain pandas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp
from hypothesis import given
from hypothesis import settings as checks
from hypothesis import strategies as st

import lazymu
from lazymu.errors import ArgumentError, MemoryLimitError, MissingResultError
from lazymu.get import aggregate
from lazymu.kernels.group_moments import add_group_moments, merge_group_moments, with_zeros
from lazymu.stream import recorded_passes
from lazymu.stream.steps import Log1p
from tests.conftest import make_counts
from tests.rna_data import real_counts, small_blocks

SHARED = ("sum", "mean", "var", "count_nonzero")
ALL = (*SHARED, "fraction")


def make_adata(n_obs: int = 200, n_vars: int = 30, dtype: Any = np.float64) -> ad.AnnData:
    rng = np.random.default_rng(5)
    counts = make_counts(n_obs, n_vars, density=0.4).astype(dtype)
    cluster = rng.choice(["c1", "c10", "c2"], n_obs, p=[0.6, 0.1, 0.3])
    obs = pd.DataFrame(
        {
            "cluster": pd.Categorical(cluster, categories=["c2", "c1", "none", "c10"]),
            "batch": pd.Categorical(rng.integers(0, 2, n_obs)),
            "kept": rng.random(n_obs) < 0.7,
        },
        index=[f"cell{i}" for i in range(n_obs)],
    )
    obs.loc[obs["batch"] == 1, "cluster"] = obs["cluster"].where(obs["cluster"] != "c10", "c1")
    var = pd.DataFrame({"n": np.arange(n_vars)}, index=[f"gene{j}" for j in range(n_vars)])
    return ad.AnnData(sp.csr_matrix(counts), obs=obs, var=var)


def plain(X: Any, groups: Any, func: str, dof: int = 1) -> pd.DataFrame:
    """Return what pandas makes of the dense matrix; NaN labels are in no group."""
    dense = pd.DataFrame(X.toarray() if sp.issparse(X) else np.asarray(X))
    by_group = dense.astype(np.float64).groupby(np.asarray(groups))
    if func == "var":
        return by_group.var(ddof=dof)
    if func == "count_nonzero":
        return by_group.agg(np.count_nonzero)
    if func == "fraction":
        return by_group.agg(lambda x: (x != 0).mean())
    return by_group.agg(func)


def assert_same(ours: ad.AnnData, theirs: ad.AnnData) -> None:
    assert list(ours.obs_names) == list(theirs.obs_names)
    pd.testing.assert_frame_equal(ours.var, theirs.var, check_index_type=False)
    for column in theirs.obs:
        if column != "n_obs_aggregated":
            assert list(ours.obs[column]) == list(theirs.obs[column])
            assert list(ours.obs[column].cat.categories) == list(theirs.obs[column].cat.categories)
    assert set(ours.layers) == set(theirs.layers)
    for name in theirs.layers:
        np.testing.assert_allclose(ours.layers[name], theirs.layers[name], rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("dof", [0, 1])
@pytest.mark.parametrize("by", ["cluster", ["cluster"], ["cluster", "batch"]])
def test_aggregate__equals_scanpy(by: Any, dof: int) -> None:
    adata = make_adata()
    theirs = sc.get.aggregate(adata, by, SHARED, dof=dof)
    ours = aggregate(lazymu.Modality(adata), by, SHARED, dof=dof)
    assert_same(ours, theirs)
    assert list(ours.layers) == list(SHARED)
    assert ours.X is None
    sizes = adata.obs.groupby(by, observed=True).size()
    assert list(ours.obs["n_obs_aggregated"]) == list(sizes)
    assert ours.obs["n_obs_aggregated"].sum() == adata.n_obs


@pytest.mark.parametrize("func", ALL)
def test_aggregate__one_function_of_real_cells_equals_scanpy(func: Any, data_dir: Path) -> None:
    adata = real_counts("stimulated", data_dir).copy()
    adata.obs["half"] = pd.Categorical(np.arange(adata.n_obs) % 2)
    ours = aggregate(lazymu.Modality(adata), ["batch", "half"], func)
    assert list(ours.layers) == [func]
    if func == "fraction":
        counts = sc.get.aggregate(adata, ["batch", "half"], "count_nonzero")
        expected = counts.layers["count_nonzero"] / ours.obs[["n_obs_aggregated"]].to_numpy()
        np.testing.assert_allclose(ours.layers[func], expected, rtol=1e-12)
        return
    adata.X = adata.X.astype(np.float64)  # scanpy squares float32 values in float32
    assert_same(ours, sc.get.aggregate(adata, ["batch", "half"], func))


def test_aggregate__sums_of_counts_are_exact() -> None:
    adata = make_adata(dtype=np.uint16)
    found = aggregate(lazymu.Modality(adata), "cluster", ["sum", "count_nonzero"])
    for name in ("sum", "count_nonzero"):
        expected = plain(adata.X, adata.obs["cluster"], name).loc[["c2", "c1", "c10"]]
        np.testing.assert_array_equal(found.layers[name], expected)
    assert found.layers["sum"].dtype == np.float64
    assert found.layers["count_nonzero"].dtype == np.int64


def test_aggregate__masked_cells_take_no_part() -> None:
    """scanpy before 1.12.2 divides by the number of all cells of a group."""
    adata = make_adata()
    mod = lazymu.Modality(adata)
    found = aggregate(mod, "cluster", ALL, mask="kept")
    kept = adata.obs["kept"].to_numpy()
    for name in ALL:
        expected = plain(adata.X[kept], adata.obs["cluster"][kept], name)
        np.testing.assert_allclose(
            found.layers[name], expected.loc[list(found.obs_names)], rtol=1e-9, atol=1e-12
        )
    assert found.obs["n_obs_aggregated"].sum() == kept.sum()
    shuffled = adata.obs["kept"].sample(frac=1, random_state=0)
    for mask in (kept, shuffled):
        again = aggregate(mod, "cluster", ALL, mask=mask)
        np.testing.assert_array_equal(again.layers["sum"], found.layers["sum"])


def test_aggregate__group_that_the_mask_empties_stays() -> None:
    adata = make_adata()
    mask = (adata.obs["cluster"] != "c10").to_numpy()
    found = aggregate(lazymu.Modality(adata), "cluster", ALL, mask=mask)
    assert list(found.obs_names) == ["c2", "c1", "c10"]
    assert found.obs.loc["c10", "n_obs_aggregated"] == 0
    assert not found["c10"].layers["sum"].any()
    for name in ("mean", "var", "fraction"):
        assert np.isnan(found["c10"].layers[name]).all()


def test_aggregate__variance_of_too_few_cells_is_missing() -> None:
    mod = lazymu.Modality(np.array([[1.0, 2], [3, 4], [5, 6]]), obs={"g": ["a", "b", "b"]})
    found = aggregate(mod, "g", ["var", "mean"])
    assert np.isnan(found["a"].layers["var"]).all()
    np.testing.assert_allclose(found["b"].layers["var"], [[2.0, 2.0]])
    np.testing.assert_array_equal(aggregate(mod, "g", "var", dof=0)["a"].layers["var"], [[0, 0]])


def test_aggregate__joint_series_is_aligned_by_name_and_missing_labels_drop_out() -> None:
    adata = make_adata()
    joint = adata.obs["cluster"].sample(frac=0.8, random_state=0).rename("leiden_wnn")
    found = aggregate(lazymu.Modality(adata), [joint, "batch"], "sum")
    part = adata[joint.index].copy()
    part.obs["leiden_wnn"] = joint
    assert_same(found, sc.get.aggregate(part, ["leiden_wnn", "batch"], "sum"))
    assert found.obs["n_obs_aggregated"].sum() == len(joint)
    mdata = lazymu.MuData({"rna": adata})
    mdata.obs["joint"] = adata.obs["cluster"]
    of_joint = aggregate(mdata["rna"], mdata.obs["joint"], "mean")
    assert list(of_joint.obs["joint"]) == ["c2", "c1", "c10"]


def test_aggregate__labels_that_are_no_categories_are_ordered_by_value() -> None:
    labels = {"name": ["c10", "c2", "c1", "c2"], "number": [10, -1, 2, 2]}
    mod = lazymu.Modality(np.eye(4), obs={**labels, "share": [1.5, 1.25, 0, 0]})
    assert list(aggregate(mod, "name", "sum").obs_names) == ["c1", "c2", "c10"]
    numbers = aggregate(mod, "number", "sum").obs["number"]
    assert list(numbers.cat.categories) == [-1, 2, 10]
    assert list(aggregate(mod, "share", "sum").obs["share"]) == [0, 1.25, 1.5]


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["10", "2", "1"], ["1", "2", "10"]),
        (["c1", "c01", None], ["c01", "c1"]),
        (["CD4 T/naive", "", "B cell"], ["", "B cell", "CD4 T/naive"]),
        ([True, False, True], ["False", "True"]),
        ([2.5, "a", 1], ["1", "2.5", "a"]),
    ],
)
def test_aggregate__awkward_labels(labels: list[Any], names: list[str]) -> None:
    adata = make_adata()
    groups = np.array(labels, dtype=object)[np.arange(adata.n_obs) % 3]
    groups[5] = labels[1]
    series = pd.Series(groups, index=adata.obs_names, name="kind").iloc[::-1]
    found = aggregate(lazymu.Modality(adata), series, "sum")
    assert list(found.obs_names) == names
    for name, row in zip(names, found.layers["sum"], strict=True):
        members = [one is not None and str(one) == name for one in groups]
        np.testing.assert_allclose(row, np.asarray(adata.X[members].sum(axis=0)).ravel())


@pytest.mark.filterwarnings("ignore:Observation names are not unique")
def test_aggregate__groups_whose_names_collide_stay_apart() -> None:
    mod = lazymu.Modality(np.eye(2), obs={"a": ["x_y", "x"], "b": ["z", "y_z"]})
    found = aggregate(mod, ["a", "b"], "sum")
    assert list(found.obs_names) == ["x_y_z", "x_y_z"]
    assert list(found.obs["n_obs_aggregated"]) == [1, 1]


def test_aggregate__layer_and_steps() -> None:
    adata = make_adata()
    adata.layers["half"] = adata.X * 0.5
    mod = lazymu.Modality(adata)
    mod.X = mod.X.with_steps(Log1p())
    logged = plain(np.log1p(adata.X.toarray()), adata.obs["batch"], "var")
    found = aggregate(mod, "batch", "var").layers["var"]
    np.testing.assert_allclose(found, logged, rtol=1e-6)
    of_layer = aggregate(mod, "batch", "mean", layer="half").layers["mean"]
    np.testing.assert_allclose(of_layer, plain(adata.X * 0.5, adata.obs["batch"], "mean"))


def test_aggregate__dense_values_with_negative_ones() -> None:
    X = np.random.default_rng(0).normal(size=(60, 4)).round(1)
    X[:, 1] = 0
    groups = np.arange(60) % 3
    mod = lazymu.Modality(X, obs={"g": groups})
    found = aggregate(mod, "g", ALL)
    for name in ALL:
        np.testing.assert_allclose(found.layers[name], plain(X, groups, name), atol=1e-12)


# --- memory and passes ----------------------------------------------------------------------------


def test_aggregate__one_pass_for_all_groups_and_functions() -> None:
    mod = lazymu.Modality(make_adata())
    with recorded_passes() as passes:
        aggregate(mod, ["cluster", "batch"], ALL, mask="kept")
    assert [entry.label for entry in passes] == ["aggregate"]


def test_aggregate__does_not_depend_on_blocks() -> None:
    adata = make_adata(3000, 60)
    mod = lazymu.Modality(adata[np.random.default_rng(0).permutation(3000)].copy())
    whole = aggregate(mod, ["cluster", "batch"], ALL)
    with small_blocks(40, 60, state_bytes=24 * 5 * 60), recorded_passes() as passes:
        blocks = aggregate(mod, ["cluster", "batch"], ALL)
    assert len(passes) == 1
    for name in ALL:
        np.testing.assert_allclose(blocks.layers[name], whole.layers[name], rtol=1e-12)


def test_aggregate__tables_beyond_the_memory_limit() -> None:
    mod = lazymu.Modality(make_counts(400, 50), obs={"sample": np.arange(400)})
    with lazymu.settings.override(memory_limit=2_500_000, n_threads=1):
        aggregate(mod, "sample", "sum")
        with (
            recorded_passes() as passes,
            pytest.raises(MemoryLimitError, match=r"400 groups of 50 features.*960,000 bytes"),
            lazymu.settings.override(memory_limit=1_900_000),
        ):
            aggregate(mod, "sample", "var")
    assert passes == []


# --- kernels --------------------------------------------------------------------------------------


@checks(deadline=None, max_examples=60)
@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 9999), st.sampled_from(["f4", "u2"]))
def test_group_moments__of_any_split_match_the_dense_matrix(
    n_obs: int, cut: int, seed: int, dtype: str
) -> None:
    rng = np.random.default_rng(seed)
    dense = (rng.poisson(3, (n_obs, 5)) * (rng.random((n_obs, 5)) < 0.5)).astype(dtype)
    groups = rng.integers(0, 3, n_obs)
    states = []
    for part in (slice(0, cut), slice(cut, None)):
        X = sp.csr_matrix(dense[part])
        states.append([np.zeros((3, 5)) for _ in range(3)])
        add_group_moments(X.data, X.indices, X.indptr, groups[part], *states[-1])
    merge_group_moments(*states[0], *states[1])
    n_cells = np.bincount(groups, minlength=3).astype(np.float64)[:, None]
    mean, m2 = with_zeros(*states[0], n_cells)
    for g in range(3):
        members = dense[groups == g].astype(np.float64)
        expected = members.mean(axis=0) if len(members) else np.zeros(5)
        np.testing.assert_array_equal(states[0][0][g], np.count_nonzero(members, axis=0))
        np.testing.assert_array_equal(states[0][1][g], members.sum(axis=0))
        np.testing.assert_allclose(mean[g], expected, atol=1e-12)
        np.testing.assert_allclose(m2[g], ((members - expected) ** 2).sum(axis=0), atol=1e-10)


def test_group_moments__no_cancellation_far_from_zero() -> None:
    dense = 1e8 + np.random.default_rng(0).normal(size=(1000, 1))
    whole = [np.zeros((1, 1)) for _ in range(3)]
    for part in np.split(dense, 10):
        X = sp.csr_matrix(part)
        own = [np.zeros((1, 1)) for _ in range(3)]
        add_group_moments(X.data, X.indices, X.indptr, np.zeros(100, np.int64), *own)
        merge_group_moments(*whole, *own)
    _, m2 = with_zeros(*whole, np.array([[1000.0]]))
    np.testing.assert_allclose(m2[0] / 999, dense.var(axis=0, ddof=1), rtol=1e-6)


def test_group_moments__explicit_zeros_do_not_count() -> None:
    state = [np.zeros((1, 2)) for _ in range(3)]
    values, columns = np.array([0.0, 2.0]), np.array([0, 1], np.int32)
    add_group_moments(values, columns, np.array([0, 2]), np.zeros(1, np.int64), *state)
    np.testing.assert_array_equal(state[0], [[0, 1]])


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("by", "func", "options", "error", "message"),
    [
        ("cluster", "median", {}, ArgumentError, "functions are 'sum', 'mean', 'var'"),
        ("cluster", [], {}, ArgumentError, "`func` is empty"),
        ("cluster", "var", {"dof": -1}, ArgumentError, "`dof` is -1"),
        ("leiden", "sum", {}, MissingResultError, "`by` is 'leiden'.*cluster, batch, kept"),
        ([], "sum", {}, ArgumentError, "`by` is empty"),
        (["batch", "batch"], "sum", {}, ArgumentError, "'batch' twice"),
        (pd.Series(["a"], index=["x"]), "sum", {}, ArgumentError, "no cell has a label"),
        (pd.Series([1, 1], index=["cell0"] * 2), "sum", {}, ArgumentError, "by name"),
        ("cluster", "sum", {"mask": "x"}, MissingResultError, "`mask` is 'x'"),
        ("cluster", "sum", {"mask": "batch"}, ArgumentError, "boolean mask of the 200 cells"),
        ("cluster", "sum", {"mask": [True]}, ArgumentError, r"of bool and shape \(1,\)"),
        ("cluster", "sum", {"layer": "x"}, MissingResultError, "'x'"),
    ],
)
def test_aggregate__errors(
    by: Any, func: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        aggregate(lazymu.Modality(make_adata()), by, func, **options)


def test_aggregate__mudata_is_refused() -> None:
    with pytest.raises(ArgumentError, match="works on one modality"):
        aggregate(lazymu.MuData({"rna": make_adata()}), "cluster", "sum")
