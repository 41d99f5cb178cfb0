"""From names to values of cells: columns, features, embeddings, groups, colours."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from lazymu.containers import Modality, MuData
from lazymu.errors import ArgumentError, DuplicateNamesError, MissingResultError
from lazymu.pl.coordinates import dimension_pairs, find_embedding
from lazymu.pl.groups import category_colors, grouping, in_order, label_of
from lazymu.pl.values import Lookup, cell_values, natural_order
from lazymu.stream.steps import Log1p
from tests.conftest import make_counts
from tests.counting import counting_scheduler

N = 40


@pytest.fixture
def rna() -> ad.AnnData:
    adata = ad.AnnData(make_counts(N, 6))
    adata.obs_names = [f"cell{i}" for i in range(N)]
    adata.var_names = ["CD3E", "CD19", "CD14", "MS4A1", "LYZ", "shared"]
    adata.var["symbol"] = ["epsilon", "b", "m", "b2", "twice", "twice"]
    adata.obs["total_counts"] = np.asarray(adata.X.sum(axis=1)).ravel()
    adata.obs["kind"] = pd.Categorical(np.where(np.arange(N) % 3, "T", "B"))
    adata.layers["doubled"] = adata.X * 2
    adata.obsm["X_pca"] = np.random.default_rng(0).normal(size=(N, 4)).astype(np.float32)
    return adata


@pytest.fixture
def mdata(rna: ad.AnnData) -> MuData:
    """The protein has fewer cells than the RNA, in the reverse order."""
    prot = ad.AnnData(make_counts(N - 10, 3, seed=1).toarray())
    prot.obs_names = rna.obs_names[10:][::-1]
    prot.var_names = ["CD3", "CD4", "shared"]
    prot.obs["total_counts"] = prot.X.sum(axis=1)
    prot.obs["isotype"] = pd.Categorical(["low", "high"] * 15)
    prot.obsm["X_pca"] = np.random.default_rng(1).normal(size=(N - 10, 3))
    prot.obsm["X_ica"] = np.arange(2.0 * (N - 10)).reshape(-1, 2)
    mdata = MuData({"rna": rna, "prot": prot})
    mdata.obs["leiden_wnn"] = pd.Categorical(np.arange(N) % 4)
    mdata.obsm["X_umap"] = np.random.default_rng(2).normal(size=(N, 2))
    return mdata


def dense(adata: ad.AnnData, name: str) -> np.ndarray:
    return adata[:, name].X.toarray()[:, 0]


# --- columns and features ------------------------------------------------------------------------


def test_cell_values__of_a_mudata(mdata: MuData, rna: ad.AnnData) -> None:
    names = ["leiden_wnn", "rna:CD3E", "LYZ", "rna:total_counts", "kind"]
    clusters, cd3e, lyz, total, kind = cell_values(mdata, names)
    np.testing.assert_array_equal(clusters.codes, np.arange(N) % 4)
    np.testing.assert_array_equal(cd3e, dense(rna, "CD3E"))
    np.testing.assert_array_equal(lyz, dense(rna, "LYZ"))
    np.testing.assert_array_equal(total, rna.obs["total_counts"])
    assert list(kind) == list(rna.obs["kind"])
    assert all(values.dtype == np.float64 for values in (cd3e, lyz, total))


def test_cell_values__cells_are_joined_by_name(mdata: MuData) -> None:
    cd3, total, isotype = cell_values(mdata, ["prot:CD3", "prot:total_counts", "isotype"])
    prot = mdata["prot"].to_anndata()
    expected = pd.Series(prot[:, "CD3"].X[:, 0], prot.obs_names).reindex(mdata.obs_names)
    np.testing.assert_array_equal(cd3, expected)
    assert np.isnan(cd3[:10]).all()
    np.testing.assert_array_equal(total, prot.obs["total_counts"].reindex(mdata.obs_names))
    assert list(isotype[:10].codes) == [-1] * 10
    assert list(isotype[10:]) == list(prot.obs["isotype"][::-1])


def test_cell_values__of_a_modality_with_steps(mdata: MuData, rna: ad.AnnData) -> None:
    mod = mdata["rna"]
    mod.X = mod.X.with_steps(Log1p())
    (cd19,) = cell_values(mod, ["CD19"])
    np.testing.assert_allclose(cd19, np.log1p(dense(rna, "CD19")), rtol=1e-6)


def test_cell_values__one_pass_for_each_matrix(mdata: MuData) -> None:
    with counting_scheduler() as scheduler:
        cell_values(mdata, ["rna:CD3E", "CD19", "leiden_wnn", "LYZ", "rna:CD3E"])
    assert scheduler.n_computes == 1
    with counting_scheduler() as scheduler:
        cell_values(mdata, ["rna:CD3E", "CD19", "prot:CD3", "CD4"])
    assert scheduler.n_computes == 2


def test_cell_values__raw_layer_and_symbols(mdata: MuData, rna: ad.AnnData) -> None:
    mod = mdata["rna"]
    (doubled,) = cell_values(mod, ["CD3E"], Lookup(layer="doubled"))
    np.testing.assert_array_equal(doubled, 2 * dense(rna, "CD3E"))
    (by_symbol,) = cell_values(mdata, ["epsilon"], Lookup(gene_symbols="symbol"))
    np.testing.assert_array_equal(by_symbol, dense(rna, "CD3E"))
    mod.raw = mod
    mod.X = mod.X.with_steps(Log1p())
    mod.subset_var(["CD3E", "CD19"])
    counts = dense(rna, "CD3E")
    for use_raw, expected in ((None, counts), (True, counts), (False, np.log1p(counts))):
        (found,) = cell_values(mod, ["CD3E"], Lookup(use_raw=use_raw))
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    (only_in_raw,) = cell_values(mod, ["LYZ"])
    np.testing.assert_array_equal(only_in_raw, dense(rna, "LYZ"))
    with pytest.raises(MissingResultError, match="`name` is 'LYZ'"):
        cell_values(mod, ["LYZ"], Lookup(use_raw=False))


def test_cell_values__raw_that_is_not_there(mdata: MuData) -> None:
    with pytest.raises(ArgumentError, match="`use_raw` is True, but this modality has no raw"):
        cell_values(mdata["rna"], ["CD3E"], Lookup(use_raw=True))
    with pytest.raises(ArgumentError, match="`use_raw` is True, but layer='doubled'"):
        Lookup(use_raw=True, layer="doubled")


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("rna:cd3e", "near it are rna:CD3E"),
        ("rna:CD3F", "near it are rna:CD3E"),
        ("leiden", "near it are leiden_wnn"),
        ("rna:total_count", "near it are rna:total_counts"),
        ("prot:CD5", "near it are prot:CD"),
        ("qwertyuiop", "check the spelling"),
    ],
)
def test_cell_values__unknown_name_shows_near_ones(mdata: MuData, name: str, near: str) -> None:
    with pytest.raises(MissingResultError, match=f"`name` is '{name}'.*{near}"):
        cell_values(mdata, [name])


def test_cell_values__unknown_name_in_a_modality(mdata: MuData) -> None:
    with pytest.raises(MissingResultError, match="near it are MS4A1"):
        cell_values(mdata["rna"], ["MS4A"])
    with pytest.raises(MissingResultError, match="`gene_symbols` is 'sym'"):
        cell_values(mdata["rna"], ["CD3E"], Lookup(gene_symbols="sym"))


def test_cell_values__ambiguous_names(mdata: MuData) -> None:
    with pytest.raises(ArgumentError, match="write rna:shared or prot:shared"):
        cell_values(mdata, ["shared"])
    with pytest.raises(ArgumentError, match="2 modalities have it"):
        cell_values(mdata, ["total_counts"])
    with pytest.raises(DuplicateNamesError, match="2 features have that name"):
        cell_values(mdata["rna"], ["twice"], Lookup(gene_symbols="symbol"))


def test_cell_values__kinds_of_columns() -> None:
    obs = pd.DataFrame(
        {
            "word": ["c10", "c2", None],
            "flag": [True, False, True],
            "whole": pd.array([1, None, 3], dtype="Int64"),
            "float": np.array([1, 2, 3], dtype=np.float32),
        },
        index=["a", "b", "c"],
    )
    mod = Modality(sp.csr_matrix((3, 1)), obs)
    word, flag, whole, number = cell_values(mod, list(obs))
    assert list(word.categories) == ["c2", "c10"]
    np.testing.assert_array_equal(word.codes, [1, 0, -1])
    assert list(flag) == ["True", "False", "True"]
    np.testing.assert_array_equal(whole, [1, np.nan, 3])
    np.testing.assert_array_equal(number, [1, 2, 3])


def test_natural_order__does_not_depend_on_the_order_of_equals() -> None:
    assert natural_order(["c1", "c01", "c001"]) == natural_order(["c001", "c1", "c01"])


def test_natural_order__is_that_of_anndatas_categories() -> None:
    words = ["c10", "c2", "10", "9", "b", "c2a", "T cell"]
    adata = ad.AnnData(np.zeros((14, 1)), obs={"word": words * 2})
    adata.strings_to_categoricals()
    assert natural_order(words) == list(adata.obs["word"].cat.categories)


# --- embeddings ----------------------------------------------------------------------------------


def test_find_embedding__joint_and_of_a_modality(mdata: MuData) -> None:
    for basis in ("X_umap", "umap"):
        found = find_embedding(mdata, basis)
        np.testing.assert_array_equal(found.coordinates, mdata.obsm["X_umap"])
        assert (found.axis_name, found.owner) == ("UMAP", mdata)
    found = find_embedding(mdata, "prot:pca")
    expected = pd.DataFrame(mdata["prot"].obsm["X_pca"], mdata["prot"].obs_names)
    np.testing.assert_array_equal(found.coordinates, expected.reindex(mdata.obs_names))
    assert (found.axis_name, found.owner) == ("PC", mdata["prot"])
    assert find_embedding(mdata, "ica").axis_name == "ICA"
    assert find_embedding(mdata["rna"], "pca").coordinates.shape == (N, 4)


def test_find_embedding__unknown_or_ambiguous(mdata: MuData) -> None:
    with pytest.raises(ArgumentError, match="write rna:X_pca or prot:X_pca"):
        find_embedding(mdata, "pca")
    with pytest.raises(MissingResultError, match=r"`basis` is 'X_umapp'.*obsm has X_umap"):
        find_embedding(mdata, "X_umapp")
    with pytest.raises(MissingResultError, match="obsm has X_pca"):
        find_embedding(mdata["rna"], "X_tsne")


def test_dimension_pairs__of_components_and_dimensions() -> None:
    assert dimension_pairs(None, None, 2) == [(0, 1)]
    assert dimension_pairs("2,3", None, 3) == [(1, 2)]
    assert dimension_pairs(["1,2", "3,1"], None, 3) == [(0, 1), (2, 0)]
    assert dimension_pairs(None, (1, 2), 3) == [(1, 2)]
    assert dimension_pairs(None, [(0, 1), (1, 2)], 3) == [(0, 1), (1, 2)]


@pytest.mark.parametrize(
    ("components", "dimensions", "message"),
    [
        ("1,4", None, "`components` is '1,4', but the embedding has components 1 to 3"),
        ("1", None, "of which it must name two"),
        ("a,b", None, "it must be two numbers"),
        ("1,2", (0, 1), "it says the same as `dimensions`"),
    ],
)
def test_dimension_pairs__wrong(components, dimensions, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        dimension_pairs(components, dimensions, 3)


# --- groups and colours --------------------------------------------------------------------------


def test_grouping__series_is_aligned_by_name(mdata: MuData) -> None:
    column = mdata.obs["leiden_wnn"]
    expected = column.reindex(mdata["prot"].obs_names)
    groups = grouping(mdata["prot"], column.sample(frac=1, random_state=0))
    assert [str(one) for one in groups] == [str(one) for one in expected]
    few = grouping(mdata["rna"], column.iloc[:5])
    assert (few.codes >= 0).sum() == 5


def test_grouping__names_lists_and_numbers(mdata: MuData) -> None:
    assert list(grouping(mdata, "rna:kind")) == list(mdata["rna"].obs["kind"])
    assert list(grouping(mdata, ["x", "y"] * (N // 2)).categories) == ["x", "y"]
    whole = grouping(mdata, np.arange(N) % 12)
    assert list(whole.categories) == [str(i) for i in range(12)]
    assert list(whole) == [str(i % 12) for i in range(N)]
    values = np.linspace(0.5, 3.2, N)
    cut = grouping(mdata, values, bins=3)
    np.testing.assert_array_equal(cut.codes, pd.cut(values, 3).codes)
    missing = grouping(mdata, pd.Series([1.0, np.nan], index=mdata.obs_names[:2]))
    assert (missing.codes >= 0).sum() == 1
    for finite in (values, np.arange(N)):
        endless = grouping(mdata, np.where(np.arange(N) < 4, np.inf, finite))
        assert (endless.codes < 0).sum() == 4


def test_grouping__wrong(mdata: MuData) -> None:
    with pytest.raises(ArgumentError, match="`groupby` is 3 groups, but there are 40 cells"):
        grouping(mdata, ["a", "b", "c"])
    with pytest.raises(ArgumentError, match="its index names none of the cells"):
        grouping(mdata, pd.Series(["a"] * N))
    with pytest.raises(ArgumentError, match="a Series with repeated names, but cells are found"):
        grouping(mdata, pd.Series(["a", "b"], index=mdata.obs_names[[1, 1]]))
    with pytest.raises(MissingResultError, match=r"'leidn_wnn'.*leiden_wnn"):
        grouping(mdata, "leidn_wnn")


def test_in_order__skips_groups_without_cells() -> None:
    groups = pd.Categorical(["b", "a", None], categories=["a", "none", "b"])
    assert in_order(groups, None) == [0, 2]
    assert in_order(groups, ["b", "none"]) == [2, 1]
    with pytest.raises(ArgumentError, match="`order` is 'z', but the groups are a, none, b"):
        in_order(groups, ["z"])
    with pytest.raises(ArgumentError, match="no cell has a group"):
        in_order(groups[2:], None)


def test_label_of__groups() -> None:
    assert label_of("leiden") == "leiden"
    assert label_of(pd.Series([1], name="clusters")) == "clusters"
    assert label_of(pd.Series([1])) == label_of(None) == label_of(["a"]) == ""


def test_category_colors__are_kept_where_scanpy_keeps_them(mdata: MuData) -> None:
    first = category_colors(mdata, "leiden_wnn", list("0123"))
    assert list(mdata.uns["leiden_wnn_colors"]) == first
    category_colors(mdata, "rna:kind", ["B", "T"])
    assert list(mdata["rna"].uns["kind_colors"]) == first[:2]
    assert "kind_colors" not in mdata.uns
    mdata.uns["leiden_wnn_colors"] = np.array(["red", "#00ff00", "b", "k"])  # as read from a file
    stored = category_colors(mdata, "leiden_wnn", list("0123"))
    assert stored == ["#ff0000", "#00ff00", "#0000ff", "#000000"]
    for unfit in (["red"], ["no such colour"] * 4):
        mdata.uns["leiden_wnn_colors"] = unfit
        assert category_colors(mdata, "leiden_wnn", list("0123")) == first


def test_category_colors__of_palettes(mdata: MuData) -> None:
    from cycler import cycler

    def of(palette):
        return category_colors(mdata, "leiden_wnn", list("0123"), palette)

    assert of("tab10")[0] == "#1f77b4"
    assert len(set(of("viridis"))) == 4
    assert of(["red", "blue"]) == ["#ff0000", "#0000ff"] * 2
    assert of(cycler(color=["red"])) == ["#ff0000"] * 4
    assert of(dict(zip("3210", ["r", "g", "b", "k"], strict=True)))[3] == "#ff0000"
    assert mdata.uns["leiden_wnn_colors"][3] == "#ff0000"


@pytest.mark.parametrize(
    ("palette", "message"),
    [
        ("no map", "matplotlib has no colour map of that name"),
        (["rot"], "matplotlib knows no such colour"),
        ([], "it holds no colour"),
        ({"0": "red"}, "it lacks '1', '2', '3'"),
    ],
)
def test_category_colors__wrong_palette(mdata: MuData, palette, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        category_colors(mdata, "leiden_wnn", list("0123"), palette)


def test_category_colors__too_many(mdata: MuData) -> None:
    with pytest.raises(ArgumentError, match="`color` is 300 categories"):
        category_colors(mdata, None, [str(i) for i in range(300)])


def test_category_colors__survive_a_file(mdata: MuData, tmp_path: Path) -> None:
    from lazymu.containers import read

    colors = category_colors(mdata, "leiden_wnn", list("0123"))
    mdata.write(tmp_path / "m.zarr")
    assert category_colors(read(tmp_path / "m.zarr"), "leiden_wnn", list("0123")) == colors
