"""pl.scatter, pl.histogram, pl.lsi_depth, pl.mofa, pl.mofa_loadings, pl.mofa_variance."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import muon
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from matplotlib.colors import to_hex

from lazymu import atac, pl
from lazymu.containers import Modality, MuData
from lazymu.errors import ArgumentError, MissingResultError, ModalityNotFoundError
from lazymu.pl.draw.points import n_places
from lazymu.pl.mofa_loadings import ranked
from lazymu.pl.values import cell_values
from tests.conftest import PEERS_WARN, make_counts
from tests.counting import counting_scheduler, raise_if_dask_computes

pytestmark = pytest.mark.usefixtures("closed_figures")

N = 150


@pytest.fixture
def mdata(rng: np.random.Generator) -> MuData:
    rna = ad.AnnData(make_counts(N, 6))
    rna.var_names = ["CD3E", "CD19", "CD14", "MS4A1", "LYZ", "NKG7"]
    rna.obs["total_counts"] = rng.gamma(2, 900, N)
    rna.layers["doubled"] = rna.X * 2
    rna.obsm["X_pca"] = rng.normal(size=(N, 3))
    prot = ad.AnnData(rng.normal(size=(N - 20, 3)))
    prot.obs_names = rna.obs_names[20:][::-1]
    prot.var_names = ["CD3", "CD4", "CD8"]
    mdata = MuData({"rna": rna, "prot": prot})
    mdata.obs["leiden_wnn"] = pd.Categorical(rng.choice(list("abc"), N), categories=list("abcz"))
    mdata.obs["score"] = np.where(np.arange(N) < 10, np.nan, rng.normal(size=N))
    mdata.obs["count"] = rng.integers(0, 5, N)
    mdata.obsm["X_umap"] = rng.normal(size=(N, 2))
    return mdata


def dots(ax) -> np.ndarray:
    found = np.concatenate([one.get_offsets().data for one in ax.collections])
    return found[np.lexsort(found.T)]


# --- scatter -------------------------------------------------------------------------------------


class TestScatterBesideMuon:
    pytestmark = PEERS_WARN

    @pytest.mark.parametrize(
        ("x", "y"),
        [
            ("rna:CD3E", "rna:total_counts"),
            ("X_umap:1", "rna:X_pca:3"),
            ("rna:CD19", "score"),
        ],
    )
    def test_scatter__places_are_muons(self, mdata: MuData, x: str, y: str) -> None:
        own = dots(pl.scatter(mdata, x, y, color="leiden_wnn", show=False))
        theirs = muon.pl.scatter(mdata.to_mudata(), x, y, color="leiden_wnn", show=False)
        expected = dots(theirs)
        expected = expected[np.isfinite(expected).all(axis=1)]
        np.testing.assert_allclose(own, expected, rtol=1e-5)


def test_scatter__modalities_are_joined_by_name(mdata: MuData) -> None:
    ax = pl.scatter(mdata, "rna:CD3E", "prot:CD3", show=False)
    table = mdata["rna"].to_anndata().to_df()[["CD3E"]]
    table["CD3"] = mdata["prot"].to_anndata().to_df()["CD3"]
    expected = table.dropna().to_numpy()
    assert len(expected) == N - 20
    np.testing.assert_allclose(dots(ax), expected[np.lexsort(expected.T)], rtol=1e-6)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("rna:CD3E", "prot:CD3")


def test_scatter__colors_are_stored_and_one_pass_reads_all(mdata: MuData) -> None:
    with counting_scheduler() as scheduler:
        axes = pl.scatter(
            mdata, "rna:CD3E", "rna:CD19", ["leiden_wnn", "rna:LYZ"], vmax="p90", show=False
        )
    assert scheduler.n_computes == 1
    assert [ax.get_title() for ax in axes] == ["leiden_wnn", "rna:LYZ"]
    drawn = {to_hex(one) for one in axes[0].collections[0].get_facecolors()}
    assert drawn == set(list(mdata.uns["leiden_wnn_colors"])[:3])


def test_scatter__layers(mdata: MuData) -> None:
    mod = mdata["rna"]
    counts = dots(pl.scatter(mod, "CD3E", "CD19", show=False))
    for layers, factors in (("doubled", (2, 2)), ([None, "doubled", None], (1, 2))):
        drawn = dots(pl.scatter(mod, "CD3E", "CD19", layers=layers, show=False))
        np.testing.assert_allclose(drawn, counts * factors)
    with pytest.raises(ArgumentError, match="`layers` is 2 names, but there are three"):
        pl.scatter(mod, "CD3E", "CD19", layers=["doubled", None])


def test_scatter__axes_frame_save_and_show(mdata: MuData, tmp_path: Path) -> None:
    _, ax = pyplot.subplots()
    assert pl.scatter(mdata, "score", "count", ax=ax, save=tmp_path / "s.svg") is ax
    assert (tmp_path / "s.svg").exists()
    assert ax.spines["left"].get_visible()
    assert not ax.spines["top"].get_visible()
    assert len(ax.get_xticks()) > 2
    bare = pl.scatter(mdata, "score", "count", frameon=False, show=False)
    assert not len(bare.get_xticks())
    assert pl.scatter(mdata, "score", "count", show=True) is None
    assert pl.scatter(mdata, "score", "count", return_fig=True).axes


def test_scatter__wrong_arguments(mdata: MuData) -> None:
    with pytest.raises(ArgumentError, match="`x, y` is 'score', None"):
        pl.scatter(mdata, "score")
    with pytest.raises(ArgumentError, match="`y` is 'leiden_wnn', but it must hold numbers"):
        pl.scatter(mdata, "score", "leiden_wnn")
    with pytest.raises(MissingResultError, match="near it are rna:CD3E"):
        pl.scatter(mdata, "score", "rna:CD3F")
    with pytest.raises(ArgumentError, match="X_umap has the columns 1 to 2"):
        pl.scatter(mdata, "X_umap:0", "score")
    _, ax = pyplot.subplots()
    with pytest.raises(ArgumentError, match="`ax` is one axes, but there are 2 panels"):
        pl.scatter(mdata, "score", "count", color=["score", "count"], ax=ax)


def test_cell_values__of_some_cells_reads_these(mdata: MuData) -> None:
    names = ["rna:CD3E", "prot:CD3", "prot:CD8", "leiden_wnn", "X_umap:2", "rna:total_counts"]
    cells = np.array([3, 19, 20, 77, 149])
    whole = cell_values(mdata, names)
    for some, all_cells in zip(cell_values(mdata, names, None, cells), whole, strict=True):
        np.testing.assert_array_equal(np.asarray(some), np.asarray(all_cells)[cells])


def test_scatter__points_that_share_places_are_large(rng: np.random.Generator) -> None:
    n = 30_000
    obs = {"a": rng.integers(0, 4, n), "b": rng.integers(0, 3, n), "c": rng.normal(size=n)}
    mod = Modality(np.ones((n, 1)), obs=pd.DataFrame(obs))
    sizes = [
        pl.scatter(mod, "a", y, show=False, **options).collections[0].get_sizes()[0]
        for y, options in (("b", {}), ("c", {}), ("b", {"size": 7}))
    ]
    assert sizes == [400, 4, 7]
    assert n_places(np.zeros((0, 2))) == 0
    assert n_places(np.repeat(rng.normal(size=(50, 2)), 500, axis=0)) == 50


# --- histograms ----------------------------------------------------------------------------------


def heights(ax) -> np.ndarray:
    return np.array([bar.get_height() for bar in ax.patches])


def test_histogram__counts_are_numpys(mdata: MuData, tmp_path: Path) -> None:
    keys = ["rna:total_counts", "score"]
    axes = pl.histogram(mdata, keys, bins=12, show=False, save=tmp_path / "h.png")
    assert (tmp_path / "h.png").exists()
    for ax, key in zip(axes, keys, strict=True):
        values = np.asarray(cell_values(mdata, [key])[0])
        expected, _ = np.histogram(values[np.isfinite(values)], 12)
        np.testing.assert_array_equal(heights(ax), expected)
        assert ax.get_xlabel() == key


class TestHistogramBesideMuon:
    pytestmark = PEERS_WARN

    def test_histogram__panels_and_counts_are_muons(self, mdata: MuData) -> None:
        own = pl.histogram(mdata, "count", "leiden_wnn", bins=7, show=False)
        theirs = mdata.to_mudata()
        theirs.obs["leiden_wnn"] = theirs.obs["leiden_wnn"].cat.remove_unused_categories()
        muon.pl.histogram(theirs, "count", "leiden_wnn", bins=7, show=False)
        panels = pyplot.gcf().axes
        assert [ax.get_title() for ax in own] == [ax.get_title() for ax in panels]
        assert [heights(ax).sum() for ax in own] == [heights(ax).sum() for ax in panels]
        assert [ax.get_xlabel() for ax in own] == [ax.get_xlabel() for ax in panels]


def test_histogram__groups_share_bins_and_have_their_colors(mdata: MuData) -> None:
    with counting_scheduler() as scheduler:
        axes = pl.histogram(mdata, ["score", "rna:LYZ"], "leiden_wnn", ncols=3, show=False)
    assert scheduler.n_computes == 1
    assert len(axes) == 6
    assert len({ax.get_xlim() for ax in axes[:3]}) == 1
    codes = mdata.obs["leiden_wnn"].cat.codes.to_numpy()
    for code, ax in enumerate(axes[:3]):
        assert heights(ax).sum() == mdata.obs["score"][codes == code].notna().sum()
        assert to_hex(ax.patches[0].get_facecolor()) == mdata.uns["leiden_wnn_colors"][code]
    few = pl.histogram(mdata, "score", "leiden_wnn", order=["c"], show=False)
    assert few.get_title() == "leiden_wnn c"


def test_histogram__whole_numbers_constant_and_nothing(mdata: MuData) -> None:
    ax = pl.histogram(mdata, "count", show=False)
    expected = np.bincount(mdata.obs["count"])
    np.testing.assert_array_equal(heights(ax), expected)
    mdata.obs["same"], mdata.obs["none"] = 2.5, np.nan
    assert heights(pl.histogram(mdata, "same", show=False)).sum() == N
    assert heights(pl.histogram(mdata, "none", show=False)).sum() == 0


def test_histogram__wrong_arguments(mdata: MuData) -> None:
    with pytest.raises(ArgumentError, match="`keys` is 'leiden_wnn', but a histogram shows"):
        pl.histogram(mdata, "leiden_wnn")
    with pytest.raises(ArgumentError, match="`keys` is empty"):
        pl.histogram(mdata, [])
    with pytest.raises(ArgumentError, match="`bins` is 0"):
        pl.histogram(mdata, "score", bins=0)
    _, ax = pyplot.subplots()
    with pytest.raises(ArgumentError, match="`ax` is one axes, but there are 3 panels"):
        pl.histogram(mdata, "score", "leiden_wnn", ax=ax)


# --- LSI and depth -------------------------------------------------------------------------------


def test_lsi_depth__bars_are_correlations_with_depth(tmp_path: Path) -> None:
    mod = Modality(make_counts(80, 60, density=0.5))
    total = np.log1p(mod.X.sum(axis=1))
    atac.pp.tfidf(mod)
    atac.tl.lsi(mod, n_comps=6)
    with raise_if_dask_computes():
        ax = pl.lsi_depth(MuData({"atac": mod}), show=False, save=tmp_path / "l.png")
    assert (tmp_path / "l.png").exists()
    expected = [np.corrcoef(column, total)[0, 1] for column in mod.obsm["X_lsi"].T]
    np.testing.assert_allclose(heights(ax), expected, atol=1e-3)
    lines = [line.get_ydata()[0] for line in ax.lines]
    assert sorted(lines) == [-0.75, 0, 0.75]


def test_lsi_depth__dropped_components_keep_their_numbers() -> None:
    mod = Modality(np.eye(3), uns={"lsi": {"depth_corr": [0.2, -0.8], "dropped": np.array([0])}})
    ax = pl.lsi_depth(mod, show=False)
    assert [bar.get_x() + bar.get_width() / 2 for bar in ax.patches] == [2, 3]
    assert len({bar.get_facecolor() for bar in ax.patches}) == 2
    _, given = pyplot.subplots()
    assert pl.lsi_depth(mod, ax=given) is given


def test_lsi_depth__wrong_data(mdata: MuData) -> None:
    with pytest.raises(MissingResultError, match=r"uns\['lsi'\] has no depth_corr"):
        pl.lsi_depth(Modality(np.eye(2)))
    with pytest.raises(ModalityNotFoundError, match="no modality named 'atac'"):
        pl.lsi_depth(mdata)


# --- MOFA ----------------------------------------------------------------------------------------


@pytest.fixture
def factors(mdata: MuData, rng: np.random.Generator) -> MuData:
    mdata.obsm["X_mofa"] = np.where(np.arange(N)[:, None] < 5, np.nan, rng.normal(size=(N, 3)))
    mdata.varm["LFs"] = rng.normal(size=(9, 3))
    variance = {"rna": np.array([20.0, 5.5, 0.04]), "prot": np.array([1.0, 12.0, 3.0])}
    mdata.uns["mofa"] = {"variance": variance}
    return mdata


def test_mofa__is_the_embedding(factors: MuData) -> None:
    with raise_if_dask_computes():
        ax = pl.mofa(factors, color="leiden_wnn", components="3,1", show=False)
        pl.mofa_loadings(factors, show=False)
        pl.mofa_variance(factors, show=False)
    expected = factors.obsm["X_mofa"][5:][:, [2, 0]]
    np.testing.assert_allclose(dots(ax), expected[np.lexsort(expected.T)])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Factor3", "Factor1")


def test_mofa_loadings__are_the_largest_and_lowest(factors: MuData, tmp_path: Path) -> None:
    axes = pl.mofa_loadings(factors, "3,1", n_points=4, show=False, save=tmp_path / "m.png")
    assert (tmp_path / "m.png").exists()
    titles = ["rna: Factor3", "rna: Factor1", "prot: Factor3", "prot: Factor1"]
    assert [ax.get_title() for ax in axes] == titles
    own = pd.Series(factors.varm["LFs"][:6, 2], factors["rna"].var_names).sort_values()[::-1]
    shown = [*own.index[:2], *own.index[-2:]]
    assert [label.get_text() for label in axes[0].get_yticklabels()] == shown
    np.testing.assert_allclose(axes[0].lines[0].get_xdata(), own[shown])
    assert len(axes[2].get_yticklabels()) == 3


class TestLoadingsBesideScanpy:
    pytestmark = PEERS_WARN

    @pytest.mark.parametrize("lowest", [True, False])
    @pytest.mark.parametrize("n", [4, 5])
    def test_mofa_loadings__are_scanpys(self, factors: MuData, lowest: bool, n: int) -> None:
        axes = pl.mofa_loadings(factors, [2], lowest, n, show=False)
        adata = factors["rna"].to_anndata()
        adata.varm["LFs"] = factors.varm["LFs"][:6]
        from scanpy.plotting._anndata import ranking

        ranking(adata, "varm", "LFs", indices=[0, 1], n_points=n, include_lowest=lowest, show=False)
        theirs = [text.get_text() for text in pyplot.gcf().axes[1].texts]
        shown = [label.get_text() for label in axes[0].get_yticklabels()]
        theirs = [one for one in theirs if one in adata.var_names]
        assert shown == (theirs if lowest else theirs[:n])  # scanpy draws one more than asked


def test_mofa_loadings__unused_features_are_left_out(factors: MuData) -> None:
    factors.varm["LFs"][[1, 4]] = 0
    (ax, _) = pl.mofa_loadings(factors, [1], show=False)
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert sorted(names) == ["CD14", "CD3E", "MS4A1", "NKG7"]


def test_ranked__fewer_than_asked() -> None:
    np.testing.assert_array_equal(ranked(np.array([1.0, 2]), 5, include_lowest=True), [1, 0])
    np.testing.assert_array_equal(ranked(np.arange(4.0), 2, include_lowest=False), [3, 2])


def test_mofa_loadings__wrong_arguments(factors: MuData, mdata: MuData) -> None:
    for wrong in ("1,4", [0], "a", []):
        with pytest.raises(ArgumentError, match="there are the factors 1 to 3"):
            pl.mofa_loadings(factors, wrong)
    with pytest.raises(ArgumentError, match="`n_points` is 0"):
        pl.mofa_loadings(factors, n_points=0)
    with pytest.raises(ArgumentError, match="`mdata` is a Modality"):
        pl.mofa_loadings(factors["rna"])
    del mdata.varm["LFs"]
    with pytest.raises(MissingResultError, match="varm has no LFs"):
        pl.mofa_loadings(mdata)


def test_mofa_variance__is_the_table(factors: MuData, tmp_path: Path) -> None:
    ax = pl.mofa_variance(factors, show=False, save=tmp_path / "v.png")
    assert (tmp_path / "v.png").exists()
    np.testing.assert_allclose(ax.images[0].get_array(), [[20, 1], [5.5, 12], [0.04, 3]])
    words = [text.get_text() for text in ax.texts]
    assert words == ["20.0", "1.0", "5.5", "12.0", "0.0", "3.0"]
    assert ax.images[0].norm.vmin == 0
    assert [label.get_text() for label in ax.get_xticklabels()] == ["rna", "prot"]


def test_mofa_variance__of_groups_of_cells(factors: MuData) -> None:
    groups = {"a": np.array([2.0, 1]), "b": np.array([8.0, np.nan])}
    factors.uns["mofa"] = {"variance": {"rna": groups}}
    axes = pl.mofa_variance(factors, show=False)
    assert [ax.get_title().split("\n")[0] for ax in axes] == ["a", "b"]
    assert {ax.images[0].norm.vmax for ax in axes} == {8}
    assert [text.get_text() for text in axes[1].texts] == ["8.0", "-"]
    _, given = pyplot.subplots()
    with pytest.raises(ArgumentError, match="`ax` is one axes, but there are 2 panels"):
        pl.mofa_variance(factors, ax=given)
    del factors.uns["mofa"]
    with pytest.raises(MissingResultError, match=r"uns\['mofa'\] has no variance"):
        pl.mofa_variance(factors)
