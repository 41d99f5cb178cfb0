"""atac.pl: genes as averages of their peaks, and profiles around TSS, beside muon's figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata as ad
import muon
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from matplotlib import pyplot
from numpy.testing import assert_allclose, assert_array_equal

from lazymu import atac, read
from lazymu.containers import Modality, MuData
from lazymu.errors import ArgumentError, MemoryLimitError, MissingResultError
from lazymu.pl.feature_sets import FeatureSet, set_values
from lazymu.pl.values import cell_values
from lazymu.settings import settings
from tests.conftest import PEERS_WARN, make_counts
from tests.counting import counting_scheduler
from tests.rna_data import small_blocks

pytestmark = pytest.mark.usefixtures("closed_figures")

N = 150


@pytest.fixture
def peaks(rng: np.random.Generator) -> Modality:
    adata = ad.AnnData(make_counts(N, 5, density=0.6))
    adata.var_names = [f"chr1:{i}-{i + 1}" for i in range(5)]
    adata.obs["kind"] = pd.Categorical(rng.choice(list("ab"), N))
    adata.obsm["X_umap"] = rng.normal(size=(N, 2))
    adata.obsm["X_lsi"] = rng.normal(size=(N, 3))
    rows = [
        (0, "CD4", "promoter"),
        (2, "CD4", "distal"),
        (3, "CD4", "distal"),
        (1, "LYZ", "distal"),
    ]
    annotation = pd.DataFrame(
        {
            "peak": [adata.var_names[row[0]] for row in rows],
            "peak_type": [row[2] for row in rows],
        },
        index=[row[1] for row in rows],
    )
    annotation.loc["GONE"] = ["chr9:1-2", "promoter"]
    adata.uns["atac"] = {"peak_annotation": annotation}
    return Modality(adata)


def colored(ax) -> np.ndarray:
    """Return the colours' values of the points, in the order of their places."""
    drawn = ax.collections[0]
    order = np.lexsort(drawn.get_offsets().data.T)
    values = drawn.get_array()
    return (drawn.get_facecolors() if values is None else drawn.to_rgba(values))[order]


class TestPeaksBesideMuon:
    pytestmark = PEERS_WARN

    @pytest.mark.parametrize("average", ["total", "peak_type", None])
    @pytest.mark.parametrize("func", ["mean", "max"])
    def test_embedding__panels_are_muons(self, peaks: Modality, average, func: str) -> None:
        adata = peaks.to_anndata()
        adata.X = adata.X.toarray()
        own = atac.pl.embedding(peaks, "X_umap", ["CD4", "LYZ"], average, func, show=False)
        theirs = muon.atac.pl.embedding(
            adata, "X_umap", ["CD4", "LYZ"], average, func, use_raw=False, show=False
        )
        assert [ax.get_title() for ax in own] == [ax.get_title() for ax in theirs]
        for one, other in zip(own, theirs, strict=True):
            np.testing.assert_allclose(colored(one), colored(other), atol=0.02)


def test_embedding__genes_peaks_and_columns_in_one_pass(peaks: Modality, tmp_path: Path) -> None:
    colors = ["kind", "CD4", "LYZ"]
    with counting_scheduler() as scheduler:
        axes = atac.pl.umap(
            MuData({"atac": peaks}), color=colors, show=False, save=tmp_path / "a.png"
        )
    assert scheduler.n_computes == 1
    assert [ax.get_title() for ax in axes] == ["kind", "CD4 (all peaks)", "LYZ (all peaks)"]
    assert "CD4 (all peaks)" not in peaks.obs
    assert len(atac.pl.lsi(peaks, color=["chr1:0-1", "LYZ"], show=False)) == 2
    assert atac.pl.lsi(peaks, show=False).get_xlabel() == "LSI1"


def test_embedding__colors_of_categories_are_stored(peaks: Modality) -> None:
    atac.pl.umap(peaks, color=["kind", "CD4"], show=False)
    assert len(peaks.uns["kind_colors"]) == 2


def test_embedding__layers_and_raw(peaks: Modality) -> None:
    peaks.raw = peaks
    peaks.layers["doubled"] = peaks.X.to_memory() * 2
    whole = peaks.to_anndata()
    mean = np.asarray(whole.X[:, [0, 2, 3]].mean(axis=1)).ravel()
    peaks.subset_var(list(peaks.var_names[:4]))
    for options, most in (({}, mean), ({"layer": "doubled"}, 2 * mean), ({"use_raw": False}, mean)):
        figure = atac.pl.umap(peaks, color="CD4", return_fig=True, **options)
        np.testing.assert_allclose(figure.axes[1].get_ylim()[1], most.max(), rtol=1e-5)


def test_embedding__wrong_arguments(peaks: Modality) -> None:
    for options, message in (
        ({"average": "all"}, "`average` is 'all'"),
        ({"func": "mode"}, "`func` is 'mode', but known are mean"),
        ({"use_raw": True}, "this modality has no raw"),
    ):
        with pytest.raises(ArgumentError, match=message):
            atac.pl.umap(peaks, color="CD4", **options)
    with pytest.raises(MissingResultError, match="no peak here is annotated"):
        atac.pl.umap(peaks, color="GONE")
    with pytest.raises(MissingResultError, match="`layer` is 'x'"):
        atac.pl.umap(peaks, color="CD4", layer="x")
    del peaks.uns["atac"]
    with pytest.raises(MissingResultError, match="says no gene's peaks"):
        atac.pl.umap(peaks, color="CD4")


# --- sets of features ----------------------------------------------------------------------------


NUMPYS = {"mean": np.mean, "sum": np.sum, "max": np.max, "min": np.min, "median": np.median}


@pytest.mark.parametrize("function", NUMPYS)
@pytest.mark.parametrize("n_rows", [7, N])
def test_set_values__are_numpys_over_blocks(peaks: Modality, function: str, n_rows: int) -> None:
    dense = peaks.X.to_memory().toarray()
    positions = [np.array([0, 2, 3]), np.array([1]), np.array([2, 4])]
    sets = [FeatureSet(str(one), peaks.X, one, function) for one in positions]
    expected = np.stack([NUMPYS[function](dense[:, one], axis=1) for one in positions], axis=1)
    with small_blocks(n_rows, 5, state_bytes=24 * N):
        assert_allclose(set_values(sets), expected, rtol=1e-6)
    assert_allclose(set_values(sets, np.array([3, 9])), expected[[3, 9]], rtol=1e-6)


def test_set_values__functions_side_by_side_and_negative_values(rng: np.random.Generator) -> None:
    dense = np.where(rng.random((20, 4)) < 0.5, rng.normal(size=(20, 4)), 0.0)
    matrix, both = Modality(dense).X, np.array([0, 3])
    sets = [FeatureSet(one, matrix, both, one) for one in ("max", "mean", "min")]
    expected = [NUMPYS[one](dense[:, both], axis=1) for one in sets]
    assert_allclose(set_values(sets), np.stack(expected, axis=1), rtol=1e-6)
    assert set_values([FeatureSet("a", matrix[:0], both)]).shape == (0, 1)


def test_cell_values__sets_of_a_modality_come_by_name(peaks: Modality) -> None:
    rna = ad.AnnData(np.ones((N, 1)))
    rna.obs_names = [str(i) for i in range(10, N + 10)]
    mdata = MuData({"rna": rna, "atac": peaks})
    one = FeatureSet("CD4", mdata["atac"].X, np.array([0, 2]), "mean", "atac")
    mean = pd.Series(peaks.X.to_memory().toarray()[:, [0, 2]].mean(axis=1), peaks.obs_names)
    (whole,) = cell_values(mdata, [one])
    assert_allclose(whole, mean.reindex(mdata.obs_names), rtol=1e-6)
    cells = np.sort(mdata.obs_names.get_indexer(["0", "20", "155"]))
    (some,) = cell_values(mdata, [one], cells=cells)
    assert_allclose(some, np.asarray(whole)[cells])
    assert np.isnan(some).sum() == 1


def test_set_values__that_do_not_fit(peaks: Modality) -> None:
    sets = [FeatureSet("a", peaks.X, np.array([0, 2]))]
    with settings.override(memory_limit=1_500), pytest.raises(MemoryLimitError):
        set_values(sets)


# --- embeddings ----------------------------------------------------------------------------------


def test_pca__has_its_names_of_axes(peaks: Modality, rng: np.random.Generator) -> None:
    peaks.obsm["X_pca"] = rng.normal(size=(N, 3))
    ax = atac.pl.pca(MuData({"atac": peaks}), color="CD4", components="1,3", show=False)
    assert (ax.get_title(), ax.get_ylabel()) == ("CD4 (all peaks)", "PC3")
    expected = peaks.obsm["X_pca"][:, [0, 2]]
    found = ax.collections[0].get_offsets().data
    assert_allclose(found[np.lexsort(found.T)], expected[np.lexsort(expected.T)])


def test_mofa__of_the_joint_axis_or_the_modality(peaks: Modality, rng: np.random.Generator) -> None:
    rna = ad.AnnData(np.ones((N, 1)))
    rna.obs_names = [str(i) for i in range(10, N + 10)]
    mdata = MuData({"rna": rna, "atac": peaks})
    mdata.obsm["X_mofa"] = rng.normal(size=(N + 10, 3))
    mdata.obs["leiden"] = "a"
    colors = ["leiden", "kind", "CD4", "chr1:0-1"]
    axes = atac.pl.mofa(mdata, color=colors, show=False)
    titles = ["leiden", "atac:kind", "CD4 (all peaks)", "atac:chr1:0-1"]
    assert [ax.get_title() for ax in axes] == titles
    assert {len(np.concatenate([c.get_offsets() for c in ax.collections])) for ax in axes} == {160}
    assert axes[0].get_xlabel() == "Factor1"
    mdata["atac"].obsm["X_mofa"] = np.ones((N, 2))
    ax = atac.pl.mofa(mdata, color="kind", show=False)
    assert (ax.get_title(), len(ax.collections[0].get_offsets())) == ("kind", N)
    with pytest.raises(MissingResultError, match="`basis` is 'X_pca'"):
        atac.pl.pca(mdata)


# --- dot plots -----------------------------------------------------------------------------------


def drawn_dots(axes: dict[str, Any]) -> tuple[list[str], list[str], np.ndarray, np.ndarray]:
    """Return the names of rows and columns, and fractions and means of dots up to ``dot_max=1``."""
    ax = axes["mainplot_ax"]
    rows, columns = (
        [label.get_text() for label in axis.get_ticklabels()] for axis in (ax.yaxis, ax.xaxis)
    )
    shape = (len(rows), len(columns))
    fractions = (ax.collections[0].get_sizes() / 200) ** (1 / 1.5)
    means = np.asarray(ax.collections[0].get_array())
    return rows, columns, fractions.reshape(shape), means.reshape(shape)


class TestDotplotBesideMuon:
    pytestmark = PEERS_WARN

    @pytest.fixture
    def theirs(self, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
        """What muon hands to scanpy to draw."""
        drawn: list[Any] = []

        def draw(adata: ad.AnnData, var_names: list[str], groupby: str, **options: Any) -> None:
            drawn.append(sc.pl.DotPlot(adata, var_names, groupby, **options))

        monkeypatch.setattr(sc.pl, "dotplot", draw)
        return drawn

    @pytest.mark.parametrize("average", ["total", "peak_type", None])
    @pytest.mark.parametrize(
        ("func", "options"),
        [
            ("mean", {}),
            ("max", {"log": True}),
            ("median", {"expression_cutoff": 1.0}),
            ("sum", {"mean_only_expressed": True}),
            ("min", {"standard_scale": "var"}),
        ],
    )
    def test_dotplot__numbers_are_muons(
        self, peaks: Modality, theirs: list[Any], average: Any, func: str, options: dict[str, Any]
    ) -> None:
        genes = ["LYZ", "CD4"]
        adata = peaks.to_anndata()
        adata.X = adata.X.toarray()
        muon.atac.pl.dotplot(adata, genes, "kind", average, func, **options)
        with small_blocks(20, 5, state_bytes=300), counting_scheduler() as scheduler:
            axes = atac.pl.dotplot(
                peaks, genes, "kind", average, func, dot_max=1, show=False, **options
            )
        assert scheduler.n_computes == 1
        rows, columns, fractions, means = drawn_dots(axes)
        assert columns == list(theirs[0].var_names)
        assert rows == list(theirs[0].dot_size_df.index)
        assert_allclose(fractions, theirs[0].dot_size_df, rtol=1e-6)
        assert_allclose(means, theirs[0].dot_color_df, rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("options", [{"use_raw": True}, {"layer": "doubled"}, {}], ids=str)
    def test_dotplot__values_come_from_where_muons_do(
        self, peaks: Modality, theirs: list[Any], options: dict[str, Any]
    ) -> None:
        adata = peaks.to_anndata()
        adata.raw = adata
        adata.layers["doubled"] = adata.X * 2
        adata.X = adata.X * 3
        muon.atac.pl.dotplot(adata, ["CD4", "chr1:0-1"], "kind", **options)
        axes = atac.pl.dotplot(
            Modality(adata), ["CD4", "chr1:0-1"], "kind", dot_max=1, show=False, **options
        )
        _, columns, fractions, means = drawn_dots(axes)
        assert columns == ["CD4 (all peaks)", "chr1:0-1"]
        assert_allclose(fractions, theirs[0].dot_size_df, rtol=1e-6)
        assert_allclose(means, theirs[0].dot_color_df, rtol=1e-5)


def test_dotplot__joint_groups_series_and_all_cells(peaks: Modality) -> None:
    dense = peaks.X.to_memory().toarray()[:, [0, 2, 3]].mean(axis=1)
    mdata = MuData({"atac": peaks})
    mdata.obs["half"] = np.repeat(["a", "b"], [50, N - 50])
    series = mdata.obs["half"].iloc[::-1]
    for groups in ("half", series):
        axes = atac.pl.dotplot(mdata, "CD4", groups, dot_max=1, show=False)
        rows, _, fractions, means = drawn_dots(axes)
        assert rows == ["a", "b"]
        assert_allclose(means[:, 0], [dense[:50].mean(), dense[50:].mean()], rtol=1e-6)
        assert_allclose(fractions[:, 0], [(dense[:50] > 0).mean(), (dense[50:] > 0).mean()])
    rows, _, _, means = drawn_dots(atac.pl.dotplot(mdata, ["CD4"], dot_max=1, show=False))
    assert rows == ["all cells"]
    assert_allclose(means, [[dense.mean()]], rtol=1e-6)


def test_dotplot__real_multiome_equals_numpy(data_dir: Path) -> None:
    mdata = read(data_dir / "multiome_pbmc40_10x" / "pbmc40_multiome.h5mu")
    genes = data_dir / "annotation_hg38" / "abc_CollapsedGeneBounds.hg38.bed"
    atac.tl.annotate_peaks(mdata, genes)
    mdata["atac"].obs["half"] = np.repeat(["a", "b"], 20)
    names = ["CD3E", "MS4A1", "LYZ", "NKG7"]
    axes = atac.pl.dotplot(mdata, names, "half", dot_max=1, show=False)
    _, columns, fractions, means = drawn_dots(axes)
    assert columns == [f"{name} (all peaks)" for name in names]
    annotation = mdata["atac"].uns["atac"]["peak_annotation"]
    dense = mdata["atac"].to_anndata().to_df()
    for column, name in enumerate(names):
        mean = dense[annotation.loc[[name], "peak"].unique()].to_numpy().mean(axis=1)
        assert mean.max() > 0
        assert_allclose(means[:, column], mean.reshape(2, 20).mean(axis=1), rtol=1e-5)
        assert_allclose(fractions[:, column], (mean > 0).reshape(2, 20).mean(axis=1), rtol=1e-6)


def test_dotplot__groups_of_genes_get_brackets(peaks: Modality, tmp_path: Path) -> None:
    names = {"T": "CD4", "other": ["LYZ", "chr1:0-1"]}
    axes = atac.pl.dotplot(peaks, names, "kind", "peak_type", show=False, save=tmp_path / "a.png")
    _, columns, _, _ = drawn_dots(axes)
    peaks_of_cd4 = ["CD4 (promoter peaks)", "CD4 (distal peaks)"]
    assert columns == [*peaks_of_cd4, "LYZ (distal peaks)", "chr1:0-1"]
    assert [text.get_text() for text in axes["mainplot_ax"].texts] == ["T", "other"]
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_dotplot__wrong_arguments(peaks: Modality) -> None:
    for options, message in (
        ({"average": "all"}, "`average` is 'all'"),
        ({"func": "mode"}, "`func` is 'mode', but known are mean"),
        ({"use_raw": True}, "this modality has no raw"),
        ({"dot_max": 2}, "dot_max"),
    ):
        with pytest.raises(ArgumentError, match=message):
            atac.pl.dotplot(peaks, "CD4", "kind", **options)
    with pytest.raises(MissingResultError, match="`var_names` is 'GONE'"):
        atac.pl.dotplot(peaks, "GONE", "kind")
    with pytest.raises(MissingResultError, match="`layer` is 'x'"):
        atac.pl.dotplot(peaks, "CD4", "kind", layer="x")
    with pytest.raises(MissingResultError, match="the joint obs"):
        atac.pl.dotplot(MuData({"atac": peaks}), "CD4", "gone")
    with pytest.raises(ArgumentError, match="`var_names` is empty"):
        atac.pl.dotplot(peaks, [], "kind")


# --- profiles around TSS -------------------------------------------------------------------------


def profiles(rng: np.random.Generator) -> pd.DataFrame:
    """Return profiles of groups of two columns, as `atac.tl.tss_enrichment` returns them."""
    position = np.arange(-600, 601)
    parts = [
        pd.DataFrame(
            {
                "cluster": cluster,
                "batch": batch,
                "TSS_position": position,
                "coverage": rng.integers(1, 9, 1201),
            }
        )
        for cluster, batch in (("10", "x"), ("2", "x"), ("2", "y"))
    ]
    table = pd.concat(parts, ignore_index=True)
    table["cluster"] = pd.Categorical(table["cluster"], categories=["2", "10", "none"])
    table["enrichment"] = np.nan
    return table


def over_flanks(coverage: np.ndarray) -> np.ndarray:
    return coverage / np.concatenate([coverage[:100], coverage[-100:]]).mean()


def test_tss_enrichment__a_line_for_each_group(rng: np.random.Generator, tmp_path: Path) -> None:
    table = profiles(rng)
    parts = table["coverage"].to_numpy().reshape(3, -1)
    expected = {
        None: [parts.sum(axis=0)],
        "cluster": [parts[0], parts[1] + parts[2]],
        ("cluster", "batch"): list(parts),
    }
    for color, coverages in expected.items():
        given = list(color) if isinstance(color, tuple) else color
        ax = atac.pl.tss_enrichment(table, given, show=False, save=tmp_path / "a.png")
        assert len(ax.lines) == len(coverages)
        for line, coverage in zip(ax.lines, coverages, strict=True):
            assert_array_equal(line.get_xdata(), np.arange(-600, 601))
            assert_allclose(line.get_ydata(), over_flanks(coverage), rtol=1e-12)
    legend = ax.get_legend()
    assert legend.get_title().get_text() == "cluster, batch"
    assert [text.get_text() for text in legend.get_texts()] == ["10, x", "2, x", "2, y"]
    assert (ax.get_title(), ax.get_xlabel()) == ("TSS Enrichment", "Distance from TSS, bp")


def test_tss_enrichment__legend_takes_nothing_from_the_lines(rng: np.random.Generator) -> None:
    widths = []
    for labels in (["a", "b"], [f"natural killer cell {i}" for i in range(30)]):
        table = profiles(rng).iloc[:1201].drop(columns="cluster")
        many = pd.concat([table.assign(cluster=label) for label in labels])
        ax = atac.pl.tss_enrichment(many, "cluster", show=False)
        figure = ax.figure
        figure.canvas.draw()
        legend = ax.get_legend().get_window_extent()
        assert legend.x0 > ax.get_window_extent().x1
        assert legend.x1 <= figure.bbox.x1
        assert (legend.y0 >= 0) & (legend.y1 <= figure.bbox.y1)
        widths.append(ax.get_window_extent().width)
    assert_allclose(widths[0], widths[1], rtol=0.05)


def test_tss_enrichment__in_given_axes(rng: np.random.Generator) -> None:
    _, given = pyplot.subplots()
    ax = atac.pl.tss_enrichment(profiles(rng), title="T cells", ax=given)
    assert ax is given
    assert (ax.get_title(), ax.get_legend()) == ("T cells", None)


def test_tss_enrichment__wrong_arguments(rng: np.random.Generator, peaks: Modality) -> None:
    with pytest.raises(ArgumentError, match=r"`data` is a Modality, but it must be a table"):
        atac.pl.tss_enrichment(peaks)
    with pytest.raises(MissingResultError, match="profiles by cluster, batch"):
        atac.pl.tss_enrichment(profiles(rng), "leiden")
