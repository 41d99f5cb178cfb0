"""pl.embedding, pl.umap and pl.pca on containers."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from matplotlib import pyplot
from matplotlib.colors import to_hex

from lazymu import pl
from lazymu.containers import Modality, MuData
from lazymu.errors import ArgumentError, MissingResultError
from tests.conftest import make_counts
from tests.counting import counting_scheduler, raise_if_dask_computes

pytestmark = pytest.mark.usefixtures("closed_figures")

N = 120
PEERS_WARN = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")


@pytest.fixture
def mdata(rng: np.random.Generator) -> MuData:
    rna = ad.AnnData(make_counts(N, 5))
    rna.var_names = ["CD3E", "CD19", "CD14", "MS4A1", "LYZ"]
    rna.obsm["X_pca"] = rng.normal(size=(N, 4)).astype(np.float32)
    rna.uns["pca"] = {"variance_ratio": np.array([0.5, 0.25, 0.125, 0.06])}
    prot = ad.AnnData(make_counts(N - 20, 3, seed=1).toarray())
    prot.obs_names = rna.obs_names[20:][::-1]
    prot.var_names = ["CD3", "CD19", "CD4"]
    mdata = MuData({"rna": rna, "prot": prot})
    mdata.obs["leiden_wnn"] = pd.Categorical((np.arange(N) % 4).astype(str))
    mdata.obs["score"] = np.where(np.arange(N) < 3, np.nan, np.arange(N))
    mdata.obs["kept"] = np.arange(N) < 50
    mdata.obsm["X_umap"] = rng.normal(size=(N, 2))
    return mdata


def drawn_values(ax) -> pd.Series:
    """Return the colours' values by the places of the points."""
    main = max(ax.collections[::-1], key=lambda one: len(one.get_offsets()))
    places = [tuple(place) for place in np.round(main.get_offsets().data, 9)]
    return pd.Series(
        list(map(to_hex, main.get_facecolors())), index=pd.MultiIndex.from_tuples(places)
    )


def expected_colors(mdata: MuData, values: np.ndarray, vmax: float) -> pd.Series:
    known = np.isfinite(values)
    colors = pyplot.get_cmap("viridis")(np.clip(values[known] / vmax, 0, 1))
    places = [tuple(place) for place in np.round(mdata.obsm["X_umap"][known], 9)]
    return pd.Series(list(map(to_hex, colors)), index=pd.MultiIndex.from_tuples(places))


def near(found: pd.Series, expected: pd.Series) -> None:
    """Compare colours, which matplotlib may round to the next of the map's 256."""
    assert set(found.index) == set(expected.index)
    parts = [
        np.array([[int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in series])
        for series in (found.sort_index(), expected.sort_index())
    ]
    np.testing.assert_allclose(parts[0], parts[1], atol=4)


# --- the tutorial's calls ------------------------------------------------------------------------


def test_umap__clusters_with_labels_on_data(mdata: MuData, tmp_path: Path) -> None:
    ax = pl.umap(
        mdata, color="leiden_wnn", title="WNN Leiden clusters", legend_loc="on data", show=False
    )
    pyplot.savefig(tmp_path / "clusters.png", dpi=50, bbox_inches="tight")
    assert ax.get_title() == "WNN Leiden clusters"
    assert [text.get_text() for text in ax.texts] == ["0", "1", "2", "3"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("UMAP1", "UMAP2")


def test_umap__genes_of_a_modality_in_one_pass(mdata: MuData) -> None:
    genes = ["rna:CD3E", "rna:CD19", "rna:CD14"]
    with counting_scheduler() as scheduler:
        axes = pl.umap(mdata, color=genes, use_raw=False, vmax="p99", show=False, ncols=3)
    assert scheduler.n_computes == 1
    assert [ax.get_title() for ax in axes] == genes
    for ax, gene in zip(axes, genes, strict=True):
        values = mdata["rna"].to_anndata()[:, gene[4:]].X.toarray()[:, 0]
        near(drawn_values(ax), expected_colors(mdata, values, np.percentile(values, 99)))


def test_umap__given_axes_and_cells_that_a_modality_has_not(mdata: MuData) -> None:
    figure, axes = pyplot.subplots(1, 2, figsize=(12, 5))
    pl.umap(mdata, color="leiden_wnn", ax=axes[0], show=False, title="WNN clusters")
    returned = pl.umap(mdata, color="prot:CD3", ax=axes[1], show=False, use_raw=False)
    pyplot.tight_layout()
    assert returned is axes[1]
    assert pyplot.get_fignums() == [figure.number]
    prot = mdata["prot"].to_anndata()
    values = pd.Series(prot[:, "CD3"].X[:, 0], prot.obs_names).reindex(mdata.obs_names)
    near(drawn_values(axes[1]), expected_colors(mdata, values.to_numpy(), values.max()))
    absent = axes[1].collections[0]
    assert len(absent.get_offsets()) == 20
    assert to_hex(absent.get_facecolors()[0]) == to_hex("lightgray")


@pytest.mark.parametrize("layout", ["constrained", None])
def test_umap__labels_on_data_of_given_axes_stand_at_their_clusters(
    mdata: MuData, layout: str | None
) -> None:
    angle = np.arange(N) % 4 * np.pi / 2
    mdata.obsm["X_umap"] = 20 * np.column_stack([np.cos(angle), np.sin(angle)])
    _, axes = pyplot.subplots(1, 2, figsize=(12, 5), layout=layout)
    pl.umap(mdata, color="leiden_wnn", legend_loc="on data", ax=axes[0], show=False)
    places = np.array([text.get_position() for text in axes[0].texts])
    expected = np.unique(mdata.obsm["X_umap"].round(9), axis=0)
    gaps = np.linalg.norm(places[:, None] - expected[None], axis=2).min(axis=1)
    assert len(places) == 4
    assert gaps.max() < 4


def test_embedding__of_a_basis(mdata: MuData) -> None:
    with raise_if_dask_computes():
        ax = pl.embedding(mdata, basis="X_umap", color="leiden_wnn", show=False)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["0", "1", "2", "3"]


# --- against scanpy ------------------------------------------------------------------------------


@PEERS_WARN
def test_umap__colors_of_categories_are_scanpys(mdata: MuData) -> None:
    """With the colours of one `uns`, scanpy's and our points have the same ones."""
    adata = ad.AnnData(np.zeros((N, 1)), obs=mdata.obs[["leiden_wnn"]].copy())
    adata.obsm["X_umap"] = mdata.obsm["X_umap"]
    theirs = sc.pl.umap(adata, color="leiden_wnn", show=False)
    mdata.uns["leiden_wnn_colors"] = adata.uns["leiden_wnn_colors"]
    ours = pl.umap(mdata, color="leiden_wnn", show=False)
    pd.testing.assert_series_equal(
        drawn_values(ours).sort_index(), drawn_values(theirs).sort_index(), check_dtype=False
    )
    assert list(mdata.uns["leiden_wnn_colors"]) == list(adata.uns["leiden_wnn_colors"])


@PEERS_WARN
def test_umap__size_of_points_is_scanpys(mdata: MuData) -> None:
    adata = ad.AnnData(np.zeros((5000, 1)))
    adata.obsm["X_umap"] = np.random.default_rng(0).normal(size=(5000, 2))
    theirs = sc.pl.umap(adata, show=False).collections[0].get_sizes()
    ours = pl.umap(Modality(adata), show=False).collections[0].get_sizes()
    np.testing.assert_allclose(ours, theirs)


# --- what colours and which cells ----------------------------------------------------------------


def test_umap__colors_are_stored_and_used_again(mdata: MuData) -> None:
    pl.umap(mdata, color="leiden_wnn", show=False)
    stored = list(mdata.uns["leiden_wnn_colors"])
    assert len(stored) == 4
    ax = pl.umap(mdata[mdata.obs["leiden_wnn"] == "2"], color="leiden_wnn", show=False)
    assert set(drawn_values(ax)) == {stored[2]}
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["2"]
    pl.umap(mdata, color="leiden_wnn", palette="tab10", show=False)
    assert mdata.uns["leiden_wnn_colors"][0] == "#1f77b4"


def test_umap__groups_and_mask_leave_the_rest_grey(mdata: MuData) -> None:
    ax = pl.umap(mdata, color="leiden_wnn", groups=["3", "1"], mask_obs="kept", show=False)
    words = [text.get_text() for text in ax.get_legend().get_texts()]
    assert words == ["1", "3", "NA"]
    shown = mdata.obs["leiden_wnn"].isin(["1", "3"]) & mdata.obs["kept"]
    assert len(ax.collections[-1].get_offsets()) == shown.sum()
    assert len(ax.collections[0].get_offsets()) == (~shown).sum()
    only = pl.umap(mdata, color="score", mask_obs=mdata.obs["kept"].to_numpy(), show=False)
    assert len(only.collections[-1].get_offsets()) == 47
    with pytest.raises(ArgumentError, match="`groups` is '9', but leiden_wnn has the categories 0"):
        pl.umap(mdata, color="leiden_wnn", groups="9")
    for mask in ("no column", np.arange(3)):
        with pytest.raises(ArgumentError, match="it must be a mask of the 120 cells"):
            pl.umap(mdata, color="leiden_wnn", mask_obs=mask)


def test_umap__missing_numbers_lie_beneath(mdata: MuData) -> None:
    ax = pl.umap(mdata, color="score", na_color="#aabbcc", show=False)
    beneath, above = ax.collections
    assert len(beneath.get_offsets()) == 3
    assert to_hex(beneath.get_facecolors()[0]) == "#aabbcc"
    assert len(above.get_offsets()) == N - 3


def test_umap__all_missing(mdata: MuData) -> None:
    mdata.obs["nothing"] = np.nan
    mdata.obs["nobody"] = pd.Categorical([None] * N, categories=["a"])
    for color in ("nothing", "nobody"):
        ax = pl.umap(mdata, color=color, show=False)
        ax.figure.draw_without_rendering()
        assert len(ax.collections[0].get_offsets()) == N


def test_umap__no_color_and_no_cells(mdata: MuData) -> None:
    ax = pl.umap(mdata, show=False)
    assert len(ax.collections[0].get_offsets()) == N
    assert ax.get_title() == ""
    with pytest.raises(ArgumentError, match="`color` is empty"):
        pl.umap(mdata, color=[])


def test_umap__feature_with_a_name_of_one_modality(mdata: MuData) -> None:
    ax = pl.umap(mdata, color="LYZ", show=False)
    assert ax.get_title() == "LYZ"
    with pytest.raises(ArgumentError, match="write rna:CD19 or prot:CD19"):
        pl.umap(mdata, color="CD19")
    with pytest.raises(MissingResultError, match=r"`name` is 'rna:CD3'.*rna:CD3E"):
        pl.umap(mdata, color="rna:CD3")


def test_umap__layer(mdata: MuData) -> None:
    mdata["rna"].layers["doubled"] = 2 * mdata["rna"].X.to_memory()
    ax = pl.umap(mdata, color="rna:LYZ", layer="doubled", show=False)
    values = 2.0 * mdata["rna"].to_anndata()[:, "LYZ"].X.toarray()[:, 0]
    near(drawn_values(ax), expected_colors(mdata, values, values.max()))


# --- other bases and arguments -------------------------------------------------------------------


def test_pca__components_and_variance(mdata: MuData) -> None:
    axes = pl.pca(
        mdata["rna"],
        color="LYZ",
        components=["1,2", "2,3"],
        annotate_var_explained=True,
        show=False,
    )
    assert [ax.get_xlabel() for ax in axes] == ["PC1 (50.0%)", "PC2 (25.0%)"]
    np.testing.assert_allclose(
        np.sort(axes[1].collections[0].get_offsets().data[:, 1]),
        np.sort(mdata["rna"].obsm["X_pca"][:, 2]),
    )
    joint = pl.embedding(mdata, "rna:X_pca", color="leiden_wnn", dimensions=(1, 2), show=False)
    assert joint.get_ylabel() == "PC3"


def test_umap__variance_that_is_not_there(mdata: MuData) -> None:
    with pytest.raises(MissingResultError, match=r"uns\['umap'\] has no variance_ratio"):
        pl.umap(mdata, annotate_var_explained=True)


def test_umap__scales_and_titles_of_each_panel(mdata: MuData) -> None:
    colors = ["rna:LYZ", "score", "leiden_wnn"]
    axes = pl.umap(
        mdata, color=colors, vmin=[0, 10, None], title=["first"], cmap="magma", show=False
    )
    assert [ax.get_title() for ax in axes] == ["first", "score", "leiden_wnn"]
    bars = [ax for ax in axes[0].figure.axes if ax not in axes]
    assert [bar.get_ylim()[0] for bar in bars] == [0, 10]
    with pytest.raises(ArgumentError, match="`vmax` is a list of 2, but there are 3 panels"):
        pl.umap(mdata, color=colors, vmax=[1, 2])


def test_umap__sizes_of_points(mdata: MuData) -> None:
    assert pl.umap(mdata, size=7, show=False).collections[0].get_sizes() == [7]
    assert pl.umap(mdata, size=np.int64(7), show=False).collections[0].get_sizes() == [7]
    sizes = np.arange(1.0, N + 1)
    ax = pl.umap(mdata, size=sizes, color="score", show=False)
    np.testing.assert_array_equal(ax.collections[-1].get_sizes(), sizes[3:])
    with pytest.raises(ArgumentError, match=r"`size` is of shape \(2,\), but there are 120 cells"):
        pl.umap(mdata, size=[1, 2])


def test_umap__argument_that_does_not_exist(mdata: MuData) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        pl.umap(mdata, colour="leiden_wnn")


def test_umap__saves_and_returns_the_figure(mdata: MuData, tmp_path: Path) -> None:
    figure = pl.umap(
        mdata, color="rna:LYZ", save=tmp_path / "umap.pdf", return_fig=True, show=False
    )
    assert figure.number in pyplot.get_fignums()
    assert (tmp_path / "umap.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("backend", "show", "own", "shown"),
    [
        ("agg", None, True, 0),
        ("agg", True, True, 1),
        ("agg", False, True, 0),
        ("qtagg", None, True, 1),
        ("qtagg", None, False, 0),
        ("qtagg", True, False, 1),
    ],
)
def test_umap__shows_where_there_is_a_screen(
    mdata: MuData, monkeypatch: pytest.MonkeyPatch, backend: str, show: bool | None, own, shown
) -> None:
    calls = []
    ax = None if own else pyplot.subplots()[1]
    monkeypatch.setattr(pyplot, "show", lambda: calls.append(1))
    monkeypatch.setattr("matplotlib.get_backend", lambda: backend)
    returned = pl.umap(mdata, color="leiden_wnn", show=show, ax=ax)
    assert len(calls) == shown
    assert (returned is None) is bool(shown)


def test_umap__backend_stays_what_it_is(mdata: MuData) -> None:
    pyplot.switch_backend("svg")
    pl.umap(mdata, color="leiden_wnn", show=False)
    assert pyplot.get_backend() == "svg"
