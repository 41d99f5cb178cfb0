"""Figures of real cells: what is drawn equals what scanpy draws, or plain NumPy finds."""

from __future__ import annotations

import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp
from matplotlib import pyplot

import lazymu
from lazymu import pl
from lazymu.containers import Modality, MuData
from lazymu.stream import recorded_passes
from tests.rna_data import real_counts

pytestmark = [
    pytest.mark.data,
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
MARKERS = ["LYZ", "CD79A", "CD3E", "HLA-DRA", "NKG7", "MT-CO1"]


@pytest.fixture(autouse=True)
def _close_figures():
    pyplot.switch_backend("agg")
    yield
    pyplot.close("all")


@pytest.fixture(scope="module")
def processed(data_dir: Path) -> ad.AnnData:
    """Log-normalised genes of 892 cells, kinds of cells, quality, and a plane of two components."""
    adata = real_counts("cite_seq", data_dir).copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.pp.calculate_qc_metrics(adata, qc_vars=["mt"], percent_top=None, inplace=True)
        sc.pp.normalize_total(adata, target_sum=1e4)
        sc.pp.log1p(adata)
        adata.obsm["X_pca"] = sc.pp.pca(adata[:, MARKERS].X.toarray(), n_comps=3)
    adata.obsm["X_umap"] = adata.obsm["X_pca"][:, 1:].astype(np.float64)
    lyz, cd79a = adata[:, ["LYZ", "CD79A"]].X.toarray().T
    kinds = np.where(
        lyz > np.median(lyz) + 1, "CD14/16 mono", np.where(cd79a > 0, "B cell", "T/NK")
    )
    adata.obs["kind"] = pd.Categorical(kinds)
    return adata


@pytest.fixture
def adata(processed: ad.AnnData) -> ad.AnnData:
    return processed.copy()


@pytest.fixture
def rna(adata: ad.AnnData) -> Modality:
    return Modality(adata)


def passes_of(draw: Any) -> tuple[Any, int]:
    """Return what a call gives, and how many passes it makes."""
    with recorded_passes() as passes:
        drawn = draw()
    return drawn, len(passes)


def points_of(ax: Any) -> pd.DataFrame:
    """Return the places and colours of the points, in the order of places."""
    tables = []
    for one in ax.collections:
        offsets = np.ma.filled(one.get_offsets(), np.nan)
        if len(offsets) < 2:
            continue
        one.update_scalarmappable()
        rgba = np.broadcast_to(one.get_facecolors(), (len(offsets), 4))
        tables.append(np.hstack([offsets, rgba[:, :3]]))
    table = pd.DataFrame(np.concatenate(tables), columns=list("xyrgb"))
    return table.sort_values(["x", "y"], kind="stable")


# --- embeddings and scatter plots ----------------------------------------------------------------


@pytest.mark.parametrize(("color", "n_passes"), [("LYZ", 1), ("total_counts", 0), ("kind", 0)])
@pytest.mark.parametrize("kind", ["umap", "embedding"])
def test_embedding__draws_scanpys_points(
    adata: ad.AnnData, rna: Modality, kind: str, color: str, n_passes: int
) -> None:
    basis = () if kind == "umap" else ("X_umap",)
    own, n = passes_of(lambda: getattr(pl, kind)(rna, *basis, color=color, show=False))
    assert n == n_passes
    if color == "kind":
        adata.uns["kind_colors"] = list(rna.uns["kind_colors"])
    theirs = getattr(sc.pl, kind)(adata, *basis, color=color, show=False)
    found, expected = points_of(own), points_of(theirs)
    np.testing.assert_allclose(found[["x", "y"]], expected[["x", "y"]], rtol=1e-6)
    np.testing.assert_allclose(found[list("rgb")], expected[list("rgb")], atol=4 / 255)


@pytest.mark.parametrize("color", ["LYZ", "pct_counts_mt", "kind"])
def test_scatter__draws_scanpys_points(adata: ad.AnnData, rna: Modality, color: str) -> None:
    x, y = "total_counts", "pct_counts_mt"
    own, n = passes_of(lambda: pl.scatter(rna, x, y, color=color, show=False))
    assert n == (color == "LYZ")
    if color == "kind":
        adata.uns["kind_colors"] = list(rna.uns["kind_colors"])
    theirs = sc.pl.scatter(adata, x=x, y=y, color=color, show=False)
    found, expected = points_of(own), points_of(theirs)
    np.testing.assert_allclose(found[["x", "y"]], expected[["x", "y"]], rtol=1e-6)
    np.testing.assert_allclose(found[list("rgb")], expected[list("rgb")], atol=4 / 255)


def test_scatter__of_two_genes_draws_scanpys_places(adata: ad.AnnData, rna: Modality) -> None:
    own, n = passes_of(lambda: pl.scatter(rna, "LYZ", "HLA-DRA", show=False))
    theirs = sc.pl.scatter(adata, x="LYZ", y="HLA-DRA", show=False)
    assert n == 1
    np.testing.assert_allclose(points_of(own)[["x", "y"]], points_of(theirs)[["x", "y"]], rtol=1e-6)


# --- groups --------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["LYZ", "pct_counts_mt"])
def test_violin__draws_scanpys_values(adata: ad.AnnData, rna: Modality, key: str) -> None:
    own, n = passes_of(lambda: pl.violin(rna, key, "kind", show=False))
    theirs = sc.pl.violin(adata, key, "kind", show=False)
    assert n == (key == "LYZ")
    strips, sizes = [], adata.obs["kind"].value_counts(sort=False)
    for ax in (own, theirs):
        points = points_of(ax)
        at = np.round(points["x"]).astype(int)
        strips.append([np.sort(points["y"][at == group]) for group in range(3)])
    for found, expected, size in zip(*strips, sizes, strict=True):
        assert len(found) == size
        np.testing.assert_allclose(found, expected, rtol=1e-6)


OPTIONS: list[dict[str, Any]] = [
    {},
    {"standard_scale": "var"},
    {"standard_scale": "group"},
    {"swap_axes": True},
]


@pytest.mark.parametrize("options", [*OPTIONS, {"mean_only_expressed": True}], ids=str)
def test_dotplot__draws_scanpys_dots(
    adata: ad.AnnData, rna: Modality, options: dict[str, Any]
) -> None:
    axes, n = passes_of(lambda: pl.dotplot(rna, MARKERS, "kind", show=False, **options))
    assert n == 1
    theirs = sc.pl.dotplot(adata, MARKERS, "kind", return_fig=True, show=False, **options)
    dots = axes["mainplot_ax"].collections[0]
    color, size = theirs.dot_color_df, theirs.dot_size_df
    if options.get("swap_axes"):
        color, size = color.T, size.T
    np.testing.assert_allclose(dots.get_array(), color.to_numpy().ravel(), rtol=1e-5, atol=1e-6)
    highest = np.ceil(size.to_numpy().max() * 10) / 10
    np.testing.assert_allclose(
        dots.get_sizes(), 200 * (size.to_numpy().ravel() / highest) ** 1.5, rtol=1e-5
    )
    names = [label.get_text() for label in axes["mainplot_ax"].get_yticklabels()]
    assert names == list(size.index)


@pytest.mark.parametrize("options", [*OPTIONS, {"log": True}], ids=str)
def test_matrixplot__draws_scanpys_values(
    adata: ad.AnnData, rna: Modality, options: dict[str, Any]
) -> None:
    axes, n = passes_of(lambda: pl.matrixplot(rna, MARKERS, "kind", show=False, **options))
    assert n == 1
    theirs = sc.pl.matrixplot(adata, MARKERS, "kind", return_fig=True, show=False, **options)
    values = theirs.values_df.T if options.get("swap_axes") else theirs.values_df
    squares = np.asarray(axes["mainplot_ax"].collections[0].get_array()).reshape(values.shape)
    np.testing.assert_allclose(squares, values, rtol=1e-5, atol=1e-6)


def test_heatmap__draws_scanpys_cells(adata: ad.AnnData, rna: Modality) -> None:
    own, n = passes_of(lambda: pl.heatmap(rna, MARKERS, "kind", show=False))
    theirs = sc.pl.heatmap(adata, MARKERS, "kind", show=False)
    assert n == 1
    found, expected = (
        np.asarray(axes["heatmap_ax"].images[0].get_array()) for axes in (own, theirs)
    )
    assert found.shape == expected.shape == (892, len(MARKERS))
    ends = np.append(0, np.cumsum(adata.obs["kind"].value_counts(sort=False)))
    for start, stop in pairwise(ends):
        a, b = found[start:stop], expected[start:stop]
        np.testing.assert_allclose(a[np.lexsort(a.T)], b[np.lexsort(b.T)], rtol=1e-6)


# --- values, quality, components -----------------------------------------------------------------


def heights(ax: Any) -> np.ndarray:
    return np.array([bar.get_height() for bar in ax.patches])


@pytest.mark.parametrize("key", ["LYZ", "pct_counts_mt"])
def test_histogram__draws_numpys_counts(adata: ad.AnnData, rna: Modality, key: str) -> None:
    ax, n = passes_of(lambda: pl.histogram(rna, key, bins=30, show=False))
    assert n == (key == "LYZ")
    expected, _ = np.histogram(sc.get.obs_df(adata, [key])[key].astype(np.float64), 30)
    np.testing.assert_array_equal(heights(ax), expected)


def test_qc__draws_the_metrics_of_scanpy(adata: ad.AnnData, data_dir: Path) -> None:
    counts = Modality(real_counts("cite_seq", data_dir))
    lazymu.pp.calculate_qc_metrics(counts, qc_vars=["mt"], percent_top=None, inplace=True)
    axes, n = passes_of(lambda: pl.qc(counts, show=False))
    assert n == 0
    for ax, key in zip(axes, ["n_genes_by_counts", "total_counts", "pct_counts_mt"], strict=True):
        kept = ax.patches[len(ax.patches) // 2 :]  # the first half, in grey, lies beneath
        edges = [*(bar.get_x() for bar in kept), kept[-1].get_x() + kept[-1].get_width() + 1e-6]
        expected, _ = np.histogram(adata.obs[key], edges)
        drawn = heights(ax)[len(kept) :]
        assert np.abs(drawn - expected).sum() <= 2  # values on an edge
        assert drawn.sum() == 892


def test_lsi_depth__draws_correlations_with_the_depth(data_dir: Path) -> None:
    adata = ad.read_h5ad(data_dir / "atac_hemato600" / "atac_hemato600.h5ad")
    X = sp.csr_matrix(adata.X, dtype=np.float32)
    mod = Modality(X)
    lazymu.atac.pp.tfidf(mod)
    lazymu.atac.tl.lsi(mod, n_comps=10)
    ax, n = passes_of(lambda: pl.lsi_depth(mod, show=False))
    assert n == 0
    depth = np.log1p(np.asarray(X.sum(axis=1)).ravel())
    expected = [np.corrcoef(column, depth)[0, 1] for column in mod.obsm["X_lsi"].T]
    np.testing.assert_allclose(heights(ax), expected, atol=1e-3)
    assert np.abs(expected[0]) > 0.5


@pytest.fixture(scope="module")
def joint(processed: ad.AnnData, data_dir: Path) -> MuData:
    mdata = lazymu.read(data_dir / "citeseq_pbmc1k_10x" / "filtered_feature_bc_matrix.h5")
    assert isinstance(mdata, MuData)
    prot = mdata["prot"]
    lazymu.prot.pp.clr(prot)
    joint = MuData({"rna": processed[:, MARKERS].copy(), "prot": prot})
    joint["prot"].obsm["X_pca"] = prot.X.toarray()
    for name in ("rna", "prot"):
        lazymu.pp.neighbors(joint[name], n_neighbors=15, use_rep="X_pca")
    lazymu.pp.neighbors(joint)
    joint.obs["kind"] = processed.obs["kind"]
    lazymu.tl.mofa(joint, n_factors=3, use_var=None, likelihoods="gaussian")
    return joint


def test_modality_weights__draws_boxes_of_the_weights(joint: MuData) -> None:
    ax, n = passes_of(lambda: pl.modality_weights(joint, "kind", show=False))
    assert n == 0
    found = np.unique([line.get_ydata()[0] for line in ax.lines if line.get_color() == "black"])
    kinds = joint.obs["kind"]
    for name in ("rna", "prot"):
        weights = joint.obs[f"{name}:mod_weight"]
        for median in weights.groupby(kinds, observed=True).median():
            assert np.abs(found - median).min() < 1e-12


def test_mofa__draws_the_factors_and_their_variance(joint: MuData) -> None:
    ax, n = passes_of(lambda: pl.mofa(joint, color="kind", components="1,3", show=False))
    assert n == 0
    places = points_of(ax)[["x", "y"]].to_numpy()
    factors = joint.obsm["X_mofa"][:, [0, 2]]
    np.testing.assert_allclose(places, factors[np.lexsort(factors.T[::-1])], rtol=1e-6)
    table, n = passes_of(lambda: pl.mofa_variance(joint, show=False))
    assert n == 0
    variance = np.stack(list(joint.uns["mofa"]["variance"].values()), axis=1)
    np.testing.assert_allclose(table.images[0].get_array(), variance, rtol=1e-6)


def test_mofa_loadings__draws_the_largest(joint: MuData) -> None:
    axes, n = passes_of(lambda: pl.mofa_loadings(joint, [1], n_points=6, show=False))
    assert n == 0
    for ax, name in zip(axes, ("rna", "prot"), strict=True):
        own = joint.varm["LFs"][joint.var_positions(name) >= 0, 0]
        own = pd.Series(own, joint[name].var_names).sort_values(ascending=False)
        shown = own.iloc[[0, 1, 2, -3, -2, -1]]
        assert [label.get_text() for label in ax.get_yticklabels()] == list(shown.index)
        np.testing.assert_allclose(ax.lines[0].get_xdata(), shown, rtol=1e-6)
