"""What a report page is made of: markup, samples, quantised values, distributions, features."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import lazymu
from lazymu.containers import Modality, MuData
from lazymu.report.columns import Column, column_values
from lazymu.report.distributions import Distribution, distribution, in_bins
from lazymu.report.features import chosen_features
from lazymu.report.markup import script_json, tag
from lazymu.report.packing import MISSING, grid_positions, levels
from lazymu.report.sampling import drawn_cells
from lazymu.store.amend import set_last_entries
from tests.test_pipeline_workflow import pytestmark  # noqa: F401 - warnings
from tests.test_report import small_mudata


def test_tag__escapes_what_is_not_markup() -> None:
    made = tag("a", tag("b", "<"), "&", href='"><script>', hidden=True, title=None)
    assert made == '<a href="&quot;&gt;&lt;script&gt;" hidden><b>&lt;</b>&amp;</a>'


def test_script_json__is_json_without_signs_of_markup() -> None:
    value = {"</script>": ["<!--", "]]>", "&amp;", "é\u2028"]}
    text = script_json(value)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == value


@pytest.mark.parametrize("most", [10, 250, 999])
def test_drawn_cells__as_many_as_asked_each_once_rare_ones_kept(most: int) -> None:
    groups = np.repeat([-1, 0, 1, 2], [5, 30, 600, 2000])
    drawn = drawn_cells(groups, most)
    assert len(drawn) == len(set(drawn.tolist())) == most
    counts = dict(zip(*np.unique(groups[drawn], return_counts=True), strict=True))
    assert all(counts[group] >= min((groups == group).sum(), most // 4, 200) for group in counts)
    assert len(counts) == 4
    np.testing.assert_array_equal(drawn, drawn_cells(groups, most))
    assert not np.array_equal(np.sort(drawn), np.sort(drawn_cells(groups, most, seed=1)))


def test_drawn_cells__all_where_there_is_room() -> None:
    assert sorted(drawn_cells(np.zeros(5, dtype=np.int64), 9).tolist()) == list(range(5))


def test_levels__reach_over_the_values_and_clip_the_few_largest() -> None:
    values = np.concatenate([np.arange(1000.0), [1e9, np.nan, np.inf]])
    codes, scale = levels(values)
    assert codes[-2:].tolist() == [MISSING, MISSING]
    assert scale.clipped
    assert 990 <= scale.high < 1000
    np.testing.assert_allclose(scale.low + codes[:990] / 254 * scale.high, values[:990], atol=2.1)
    assert levels(np.full(3, 4.0))[0].tolist() == [0, 0, 0]
    assert levels(np.full(2, np.nan))[0].tolist() == [MISSING, MISSING]
    sparse = np.zeros(1000)
    sparse[0] = 5.0
    assert levels(sparse)[1].high == 5.0


def test_grid_positions__keep_proportions() -> None:
    x, y = grid_positions(np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 2.0]]))
    assert (x[0], x[1]) == (0, 65535)
    assert int(y[2]) - int(y[0]) == pytest.approx(65535 / 2, abs=1)
    assert grid_positions(np.zeros((2, 2)))[0].tolist() == [32768, 32768]


@pytest.mark.parametrize("counted", [True, False])
def test_distribution__counts_every_value_and_comes_back_from_uns(counted: bool) -> None:
    values = np.random.default_rng(0).lognormal(5, 1, 500)
    made = distribution(values, counted=counted, limits=(3.0, None))
    assert made is not None
    assert made.counts.sum() == made.n_cells == 500
    assert made.is_log is counted
    np.testing.assert_array_equal(in_bins(values, made.edges), made.counts)
    back = Distribution.from_uns(made.to_uns())
    assert back is not None
    for mine, theirs in zip(made, back, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert distribution(np.array([np.nan]), counted=counted) is None


def test_distribution__zeros_have_no_place_on_a_logarithmic_axis() -> None:
    made = distribution(np.array([0.0, 0.0, 1.0, 10.0, 100.0]), counted=True)
    assert made is not None
    assert (made.n_cells, made.counts.sum()) == (5, 3)


def test_chosen_features__best_of_each_cluster_in_turns() -> None:
    generator = np.random.default_rng(0)
    mod = Modality(sp.csr_matrix(generator.poisson(1.0, (60, 400)).astype(np.float32)))
    mod.obs["leiden"] = pd.Categorical(np.repeat(list("abc"), 20))
    assert chosen_features(mod).positions == []
    mod.var["highly_variable"] = np.arange(400) < 5
    mod.var["dispersions_norm"] = np.arange(400.0)
    assert chosen_features(mod).positions == [4, 3, 2, 1, 0]
    lazymu.tl.rank_genes_groups(mod, "leiden")
    ranked = lazymu.get.rank_genes_groups_df(mod, None).groupby("group", observed=True)["names"]
    first = [mod.var_names.get_loc(name) for name in ranked.first()]
    assert chosen_features(mod, 9).positions[:3] == first
    assert len(chosen_features(mod, 9).positions) == 9
    panel = chosen_features(Modality(np.eye(3)))
    assert (panel.positions, panel.reason) == ([0, 1, 2], "all")


def test_column_values__of_a_modality_follow_the_joint_cells() -> None:
    mdata = small_mudata()
    depth = column_values(mdata, Column("prot", "depth"))
    assert np.isnan(np.asarray(depth)).sum() == 10
    mdata.mod["prot"].obs["kind"] = pd.Categorical(["a", "b"] * 25)
    kind = column_values(mdata, Column("prot", "kind"))
    assert isinstance(kind, pd.Categorical)
    assert list(kind[:3]) == ["a", "b", "a"]
    assert (kind.codes == -1).sum() == 10


def test_set_last_entries__changes_values_alone(tmp_path: Path) -> None:
    mdata = MuData({"rna": Modality(np.eye(3))})
    mdata.uns["t"] = {"a": np.array([1.0, np.nan]), "b": np.array([1, 0])}
    mdata.write(tmp_path / "s.zarr")
    files = {p: p.read_bytes() for p in (tmp_path / "s.zarr").rglob("zarr.json")}
    set_last_entries(tmp_path / "s.zarr", {"uns/t/a": 2.5, "uns/t/b": 7})
    kept = lazymu.read(tmp_path / "s.zarr").uns["t"]
    assert (kept["a"].tolist(), kept["b"].tolist()) == ([1.0, 2.5], [1, 7])
    assert all(p.read_bytes() == before for p, before in files.items())
