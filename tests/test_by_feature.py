"""The copy of a store's counts by feature: what it makes, when it is used, and when it is void."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import lazymu
from lazymu.errors import ArgumentError
from lazymu.get import obs_df
from lazymu.stream import recorded_passes
from lazymu.stream.by_feature import copy_of, picked
from lazymu.tl import rank_genes_groups
from tests.conftest import make_counts


def stored(path: Path, X: sp.csr_matrix) -> lazymu.Modality:
    obs = pd.DataFrame(
        {"group": pd.Categorical(np.arange(X.shape[0]) % 3)},
        index=[f"cell{i}" for i in range(X.shape[0])],
    )
    var = pd.DataFrame(index=[f"gene{j}" for j in range(X.shape[1])])
    lazymu.Modality(ad.AnnData(X, obs=obs, var=var)).write(path)
    mod: lazymu.Modality = lazymu.read(path)
    return mod


@pytest.mark.parametrize("density", [0.1, 0.8])
@pytest.mark.parametrize("memory_limit", ["1GB", 400_000])
def test_store_by_feature__columns_are_those_of_the_matrix(
    tmp_path: Path, density: float, memory_limit: int | str
) -> None:
    X = make_counts(3000, 30, density=density)
    mod = stored(tmp_path / "a.zarr", X)
    with lazymu.settings.override(memory_limit=memory_limit, n_threads=1):
        mod.store_by_feature()
    copy = copy_of(mod.X.source)
    assert copy is not None
    assert copy.shape == (30, 3000)
    np.testing.assert_array_equal(copy.read(0, 30).toarray(), X.toarray().T)
    assert sorted(p.name for p in (tmp_path / "a.zarr.lazymu").iterdir()) == ["X-by-feature.zarr"]


def test_picked__selections_and_steps_are_applied(tmp_path: Path) -> None:
    X = make_counts(200, 40)
    mod = stored(tmp_path / "a.zarr", X)
    lazymu.pp.normalize_total(mod)
    lazymu.pp.log1p(mod)
    rows = np.random.default_rng(0).permutation(200)[:150]
    some = mod[rows]
    expected = some.X[:, [7, 3, 31]].toarray()
    mod.store_by_feature()
    found = picked(some.X[:, [7, 3, 31]])
    assert found.source.shape == (200, 3)
    np.testing.assert_array_equal(found.toarray(), expected)
    np.testing.assert_array_equal(found.to_memory().toarray(), expected)
    assert picked(some.X) is some.X


def test_obs_df__reads_the_features_alone(tmp_path: Path) -> None:
    X = make_counts(300, 50)
    mod = stored(tmp_path / "a.zarr", X)
    before = obs_df(mod, ["gene4", "group", "gene9"])
    mod.store_by_feature()
    with recorded_passes() as passes:
        after = obs_df(lazymu.read(tmp_path / "a.zarr"), ["gene4", "group", "gene9"])
        vector = mod.obs_vector("gene4")
    pd.testing.assert_frame_equal(after, before)
    np.testing.assert_array_equal(vector, X[:, [4]].toarray()[:, 0])
    assert [entry.n_values for entry in passes] == [X[:, [4, 9]].nnz, X[:, [4]].nnz]


def test_wilcoxon__reads_each_value_once(tmp_path: Path) -> None:
    X = make_counts(3000, 200, density=0.3)
    mod = stored(tmp_path / "a.zarr", X)
    rank_genes_groups(mod, "group", method="wilcoxon", key_added="whole")
    mod.store_by_feature()
    mod = lazymu.read(tmp_path / "a.zarr")
    with lazymu.settings.override(memory_limit=3_000_000, n_threads=1), recorded_passes() as passes:
        rank_genes_groups(mod, "group", method="wilcoxon", key_added="tiles")
    assert len(passes) > 3
    assert sum(entry.n_values for entry in passes) == X.nnz
    with lazymu.settings.override(memory_limit="1GB"):
        again = stored(tmp_path / "b.zarr", X)
        rank_genes_groups(again, "group", method="wilcoxon", key_added="whole")
    for column in ("names", "scores", "pvals_adj", "logfoldchanges"):
        np.testing.assert_array_equal(mod.uns["tiles"][column], again.uns["whole"][column])


def test_copy__of_other_counts_is_not_used(tmp_path: Path) -> None:
    X = make_counts(200, 40)
    mod = stored(tmp_path / "a.zarr", X)
    mod.store_by_feature()
    other = X.copy()
    other.data = other.data + 1
    changed = stored(tmp_path / "a.zarr", other)
    assert copy_of(changed.X.source) is None
    np.testing.assert_array_equal(changed.X[:, [3]].toarray(), other[:, [3]].toarray())
    changed.store_by_feature()
    assert copy_of(changed.X.source) is not None
    np.testing.assert_array_equal(changed.X[:, [3]].toarray(), other[:, [3]].toarray())
    # what was opened before still reads the counts that it was opened with
    np.testing.assert_array_equal(mod.X[:, [3]].toarray(), X[:, [3]].toarray())


def test_copy__holds_after_the_store_is_written_again(tmp_path: Path) -> None:
    X = make_counts(200, 40)
    mod = stored(tmp_path / "a.zarr", X)
    mod.store_by_feature()
    lazymu.pp.log1p(mod)
    mod.write(tmp_path / "a.zarr")
    again = lazymu.read(tmp_path / "a.zarr")
    assert copy_of(again.X.source) is not None
    expected = np.log1p(X[:, [3]].toarray())
    np.testing.assert_allclose(again.X[:, [3]].toarray(), expected, rtol=1e-6)


def test_copy__of_a_modality_and_its_layers(tmp_path: Path) -> None:
    X = make_counts(100, 20)
    stored(tmp_path / "a.zarr", X)
    rna = lazymu.read(tmp_path / "a.zarr")
    rna.layers["counts"] = rna.X
    lazymu.pp.log1p(rna)
    lazymu.MuData({"rna": rna}).write(tmp_path / "m.zarr")
    mdata = lazymu.read(tmp_path / "m.zarr")
    mdata["rna"].store_by_feature()
    with recorded_passes() as passes:
        found = mdata["rna"].layers["counts"][:, [2]].toarray()
    np.testing.assert_array_equal(found, X[:, [2]].toarray())
    assert passes[0].n_values == X[:, [2]].nnz


def test_store_by_feature__of_no_store(tmp_path: Path) -> None:
    mod = lazymu.Modality(make_counts(20, 5))
    with pytest.raises(ArgumentError, match="beside the local store that lazymu wrote"):
        mod.store_by_feature()
