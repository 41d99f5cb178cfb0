"""Runs of features out of a file that one pass writes, and Wilcoxon's test on them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import scipy.stats
import zarr

import lazymu
from lazymu.stream import LazyMatrix, matrix_sums, recorded_passes
from lazymu.stream.ledger import PassEntry
from lazymu.stream.spilled import column_runs, pays
from lazymu.tl import feature_ranks, rank_genes_groups
from tests.conftest import make_counts
from tests.counting import CountingStore, counting_scheduler

KEY = "rank_genes_groups"
SMALL = {"memory_limit": 2_000_000, "n_threads": 2}
"""Features of the stored matrix come in more than four runs."""
RUNS = [slice(0, 7), slice(7, 8), slice(8, 8), slice(8, 30)]


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Path:
    X = make_counts(3000, 200, density=0.3)
    X = sp.csr_matrix((np.minimum(X.data, 200).astype("uint8"), X.indices, X.indptr), X.shape)
    obs = pd.DataFrame(
        {"group": pd.Categorical(np.arange(3000) % 3)}, index=[f"cell{i}" for i in range(3000)]
    )
    var = pd.DataFrame(index=[f"gene{j}" for j in range(200)])
    path = tmp_path / "a.zarr"
    lazymu.Modality(ad.AnnData(X, obs=obs, var=var)).write(path)
    return path


def log_normalised(store: Any) -> lazymu.Modality:
    mod: lazymu.Modality = lazymu.read(store)
    lazymu.pp.normalize_total(mod, target_sum=1e3)
    lazymu.pp.log1p(mod)
    return mod


def ranked(mod: lazymu.Modality, **options: Any) -> tuple[dict[str, Any], list[PassEntry]]:
    with recorded_passes() as passes:
        rank_genes_groups(mod, "group", method="wilcoxon", tie_correct=True, pts=True, **options)
    return mod.uns[KEY], passes


def assert_same(a: dict[str, Any], b: dict[str, Any]) -> None:
    for column in ("names", "scores", "pvals", "pvals_adj", "logfoldchanges"):
        np.testing.assert_array_equal(a[column], b[column])
    pd.testing.assert_frame_equal(a["pts"], b["pts"])


@pytest.mark.parametrize("n_threads", [1, 3])
def test_column_runs__are_the_selections(store: Path, n_threads: int) -> None:
    mod = log_normalised(store)
    cells = np.random.default_rng(0).permutation(3000)[:1000]
    features = np.random.default_rng(1).permutation(200)[:30]
    with lazymu.settings.override(memory_limit=500_000, n_threads=n_threads):
        for matrix in (mod.X[:, :30], mod.X[cells][:, features]):
            expected = matrix.toarray()
            found = [(own.shape, own.toarray()) for own in column_runs(matrix, RUNS, label="apart")]
            for run, (shape, values) in zip(RUNS, found, strict=True):
                assert shape == values.shape
                np.testing.assert_array_equal(values, expected[:, run])


def test_column_runs__steps_that_make_values_dense(store: Path) -> None:
    mod = log_normalised(store)
    lazymu.pp.scale(mod)
    expected = mod.X[:, :30].toarray()
    runs = column_runs(mod.X[:, :30], RUNS, label="apart")
    for run, own in zip(RUNS, runs, strict=True):
        np.testing.assert_array_equal(own.toarray(), expected[:, run])


def test_wilcoxon__writes_and_reads_each_value_once(store: Path, temporary: Path) -> None:
    whole, _ = ranked(log_normalised(store))
    mod = log_normalised(store)
    n_values = int(mod.X.row_values.sum())
    with lazymu.settings.override(**SMALL):
        found, passes = ranked(mod)
    assert_same(found, whole)
    labels = [entry.label for entry in passes]
    assert labels == ["bring features apart", *["rank features"] * (len(passes) - 1)]
    assert len(passes) > 5
    assert [passes[0].n_values, sum(entry.n_values for entry in passes[1:])] == [n_values] * 2
    assert not list(temporary.iterdir())


def test_wilcoxon__equals_scipy(store: Path) -> None:
    mod = log_normalised(store)
    with lazymu.settings.override(**SMALL):
        found, passes = ranked(mod)
    assert passes[0].label == "bring features apart"
    values, of = mod.X[:, :5].toarray().astype(np.float64), np.arange(3000) % 3 == 1
    for j in range(5):
        theirs = scipy.stats.mannwhitneyu(
            values[of, j], values[~of, j], use_continuity=False, method="asymptotic"
        )
        place = found["names"]["1"].tolist().index(f"gene{j}")
        assert found["pvals"]["1"][place] == pytest.approx(theirs.pvalue, rel=1e-6)


def test_wilcoxon__reads_each_chunk_of_the_store_once(store: Path) -> None:
    counting = CountingStore(zarr.storage.LocalStore(store, read_only=True))
    mod = log_normalised(counting)
    whole, _ = ranked(log_normalised(store))
    before = counting.chunk_reads("X/data").copy()
    with lazymu.settings.override(**SMALL | {"n_threads": 1}):
        found, passes = ranked(mod)
    assert_same(found, whole)
    # The chunk that blocks share is read for each of them; no run of features reads any.
    plan_blocks = sum(counting.chunk_reads("X/data").values()) - sum(before.values())
    assert passes[0].label == "bring features apart"
    assert plan_blocks == n_blocks(mod.X.counts)


def n_blocks(matrix: LazyMatrix) -> int:
    from lazymu.stream.passes import pass_plan

    with lazymu.settings.override(**SMALL | {"n_threads": 1}):
        return pass_plan(matrix).n_blocks


@pytest.mark.parametrize("options", [{"reference": "2"}, {"groups": ["0"], "rankby_abs": True}])
def test_wilcoxon__other_cells_and_features_from_the_file(
    store: Path, options: dict[str, Any]
) -> None:
    cells = np.random.default_rng(0).permutation(3000)[:2500]
    results = []
    for limit in ({"memory_limit": "1GB"}, {"memory_limit": 1_000_000, "n_threads": 2}):
        mod = log_normalised(store)[cells]
        mod.var["mask"] = np.arange(200) % 4 > 0
        matrix_sums(mod.X)  # takes more than what the ranks are given
        with lazymu.settings.override(**limit):
            results.append(ranked(mod, mask_var="mask", **options))
    assert results[1][1][0].label == "bring features apart"
    assert_same(results[0][0], results[1][0])


def test_wilcoxon__without_room_on_disk_selects_in_passes(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = ranked(log_normalised(store))
    mod = log_normalised(store)
    monkeypatch.setattr("lazymu.store.spill.pays", lambda *_: False)
    with lazymu.settings.override(**SMALL):
        found, passes = ranked(mod)
    assert_same(found, whole)
    assert {entry.label for entry in passes} == {"rank features"}
    assert {entry.n_values for entry in passes} == {int(mod.X.row_values.sum())}


def test_pays__neither_on_other_machines_nor_in_memory(store: Path) -> None:
    mod = log_normalised(store)
    assert pays(mod.X, 10)
    assert not pays(mod.X, 2)
    assert not pays(LazyMatrix(make_counts()), 10)
    with counting_scheduler():
        assert not pays(mod.X, 10)


def test_wilcoxon__error_leaves_no_file(
    store: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mod = log_normalised(store)
    files = open_files()
    ranks = feature_ranks._rank_tile
    seen = []

    def fail_at_the_third(*arguments: Any) -> Any:
        seen.append(open_files())
        if len(seen) == 3:
            raise RuntimeError("in the middle")
        return ranks(*arguments)

    monkeypatch.setattr(feature_ranks, "_rank_tile", fail_at_the_third)
    with (
        lazymu.settings.override(**SMALL),
        pytest.raises(RuntimeError, match="in the middle"),
    ):
        ranked(mod)
    assert not list(temporary.iterdir())
    assert open_files() == files < min(seen)


def open_files() -> int:
    """Return how many files this process has open."""
    folder = "/proc/self/fd"
    if not os.path.isdir(folder):
        pytest.skip("counts open files by /proc")
    return len(os.listdir(folder))


def test_store_by_feature__reads_twice(store: Path, temporary: Path) -> None:
    mod = lazymu.read(store)
    expected = mod.X[:, [3]].toarray()
    with lazymu.settings.override(memory_limit=400_000, n_threads=1), recorded_passes() as passes:
        mod.store_by_feature()
    assert [entry.n_values for entry in passes] == [int(mod.X.row_values.sum())] * 2
    with recorded_passes() as passes:
        np.testing.assert_array_equal(mod.X[:, [3]].toarray(), expected)
    assert passes[0].n_values == np.count_nonzero(expected)
    assert not list(temporary.iterdir())
