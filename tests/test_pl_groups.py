"""pl.violin, pl.dotplot, pl.modality_weights and pl.qc on containers."""

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
from lazymu.containers import MuData
from lazymu.errors import ArgumentError, MissingResultError
from lazymu.pl.dot_tables import DotRule, dot_tables, scaled
from lazymu.pl.groups import grouping
from lazymu.pl.values import Lookup
from lazymu.settings import settings
from lazymu.stream.steps import Standardize
from tests.conftest import make_counts
from tests.counting import counting_scheduler, raise_if_dask_computes

pytestmark = pytest.mark.usefixtures("closed_figures")

N = 200


@pytest.fixture
def rna(rng: np.random.Generator) -> ad.AnnData:
    adata = ad.AnnData(make_counts(N, 8))
    adata.var_names = [f"gene{i}" for i in range(8)]
    adata.obs["leiden"] = pd.Categorical(rng.choice(list("abc"), N), categories=list("abcz"))
    adata.obs["n_genes_by_counts"] = rng.integers(0, 500, N)
    adata.obs["total_counts"] = rng.gamma(2, 900, N)
    adata.obs["pct_counts_mt"] = rng.gamma(2, 3, N)
    return adata


@pytest.fixture
def mdata(rna: ad.AnnData, rng: np.random.Generator) -> MuData:
    prot = ad.AnnData(rng.normal(size=(N - 50, 4)))
    prot.obs_names = rna.obs_names[50:][::-1]
    prot.var_names = ["CD3", "CD4", "CD19", "gene1"]
    mdata = MuData({"rna": rna, "prot": prot})
    mdata.obs["leiden_wnn"] = rna.obs["leiden"].astype(str)
    mdata.obs["rna:mod_weight"] = rng.beta(2, 2, N)
    mdata["prot"].obs["mod_weight"] = rng.beta(2, 2, N - 50)
    return mdata


# --- violins -------------------------------------------------------------------------------------


def medians(ax) -> list[float]:
    """Return the heights of the black lines, one in each violin."""
    lines = [one for one in ax.collections if hasattr(one, "get_segments")]
    return [
        float(one.get_segments()[0][0, 1])
        for one in lines
        if to_hex(one.get_color()[0]) == "#000000"
    ]


def test_violin__of_the_tutorial(mdata: MuData, tmp_path: Path) -> None:
    keys = ["n_genes_by_counts", "total_counts"]
    axes = pl.violin(
        mdata["rna"],
        keys=keys,
        groupby=mdata.obs.loc[mdata["rna"].obs_names, "leiden_wnn"],
        rotation=90,
        show=False,
    )
    pyplot.savefig(tmp_path / "qc.png", dpi=50, bbox_inches="tight")
    expected = mdata["rna"].obs.groupby(mdata.obs["leiden_wnn"])[keys].median()
    for ax, key in zip(axes, keys, strict=True):
        assert ax.get_ylabel() == key
        assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "b", "c"]
        assert {label.get_rotation() for label in ax.get_xticklabels()} == {90}
        np.testing.assert_allclose(medians(ax), expected[key])


def test_violin__groups_come_by_name_not_by_row(mdata: MuData) -> None:
    ax = pl.violin(mdata["prot"], "CD3", groupby=mdata.obs["leiden_wnn"], show=False)
    prot = mdata["prot"].to_anndata()
    groups = mdata.obs["leiden_wnn"].reindex(prot.obs_names).to_numpy()
    expected = pd.Series(prot[:, "CD3"].X[:, 0]).groupby(groups).median()
    np.testing.assert_allclose(medians(ax), expected, rtol=1e-6)


def test_violin__points_are_the_values(mdata: MuData) -> None:
    ax = pl.violin(mdata, "rna:gene0", "leiden_wnn", order=["c", "a"], show=False)
    gene = mdata["rna"].to_anndata()[:, "gene0"].X.toarray()[:, 0]
    strips = [one for one in ax.collections if one.get_label() != "" and len(one.get_offsets()) > 1]
    for place, (strip, group) in enumerate(zip(strips, ["c", "a"], strict=True)):
        offsets = strip.get_offsets().data
        members = (mdata.obs["leiden_wnn"] == group).to_numpy()
        np.testing.assert_array_equal(np.sort(offsets[:, 1]), np.sort(gene[members]))
        assert np.abs(offsets[:, 0] - place).max() <= 0.4


def test_violin__one_pass_for_each_matrix(mdata: MuData) -> None:
    for keys, n_passes in (
        (["rna:gene0", "rna:gene3", "rna:total_counts"], 1),
        (["rna:gene0", "prot:CD3"], 2),
        (["rna:total_counts"], 0),
    ):
        with counting_scheduler() as scheduler:
            pl.violin(mdata, keys, "leiden_wnn", show=False)
        assert scheduler.n_computes == n_passes


def test_violin__colors_of_groups_are_stored(mdata: MuData) -> None:
    ax = pl.violin(mdata["rna"], "total_counts", "leiden", stripplot=False, show=False)
    stored = list(mdata["rna"].uns["leiden_colors"])
    assert len(stored) == 4
    bodies = [one for one in ax.collections if not hasattr(one, "get_segments")]
    assert [to_hex(body.get_facecolor()[0]) for body in bodies] == stored[:3]


def test_violin__of_all_cells(mdata: MuData) -> None:
    keys = ["total_counts", "pct_counts_mt"]
    axes = pl.violin(mdata["rna"], keys, multi_panel=True, jitter=0.4, show=False)
    assert [ax.get_ylabel() for ax in axes] == keys
    one = pl.violin(mdata["rna"], keys, ylabel="QC", xlabel="all", show=False)
    assert [label.get_text() for label in one.get_xticklabels()] == keys
    assert (one.get_ylabel(), one.get_xlabel()) == ("QC", "all")
    np.testing.assert_allclose(medians(one), mdata["rna"].obs[keys].median())


def test_violin__log_leaves_out_what_is_not_above_zero(mdata: MuData) -> None:
    ax = pl.violin(mdata["rna"], "n_genes_by_counts", log=True, show=False)
    values = mdata["rna"].obs["n_genes_by_counts"]
    assert ax.get_yscale() == "log"
    np.testing.assert_allclose(medians(ax), [values[values > 0].median()])


@pytest.mark.parametrize("density_norm", ["width", "area", "count"])
def test_violin__widths(mdata: MuData, density_norm: str) -> None:
    counts = mdata["rna"].obs["leiden"].value_counts()[["a", "b", "c"]].to_numpy()
    ax = pl.violin(
        mdata["rna"],
        "total_counts",
        "leiden",
        density_norm=density_norm,
        stripplot=False,
        show=False,
    )
    bodies = [one for one in ax.collections if not hasattr(one, "get_segments")]
    paths = [body.get_paths()[0].vertices for body in bodies]
    widths = np.array([np.ptp(path[:, 0]) for path in paths])
    if density_norm == "count":
        np.testing.assert_allclose(widths, 0.8 * counts / counts.max(), rtol=1e-6)
    elif density_norm == "width":
        np.testing.assert_allclose(widths, 0.8, rtol=1e-6)
    else:
        areas = [abs(np.trapezoid(path[:, 0], path[:, 1])) for path in paths]
        np.testing.assert_allclose(areas / areas[0], 1, rtol=0.15)
        assert widths.max() == pytest.approx(0.8)


def test_violin__many_cells_are_thinned(rng: np.random.Generator) -> None:
    from lazymu.pl.draw.violins import ViolinStyle, draw_violins

    _, ax = pyplot.subplots()
    sample = rng.normal(size=50_000)
    draw_violins(ax, [sample], ["all"], ["red"], ViolinStyle())
    strip = next(one for one in ax.collections if len(one.get_offsets()) > 1)
    drawn = strip.get_offsets().data[:, 1]
    assert len(drawn) == 5000
    assert np.isin(drawn, sample).all()


def test_violin__labels_that_would_collide_stand_upright(mdata: MuData) -> None:
    mdata.obs["long"] = "CD8-positive T cell " + mdata.obs["leiden_wnn"]
    upright = pl.violin(mdata, "rna:total_counts", "long", show=False)
    level = pl.violin(mdata, "rna:total_counts", "leiden_wnn", show=False)
    assert upright.get_xticklabels()[0].get_rotation() == 90
    assert level.get_xticklabels()[0].get_rotation() == 0


def test_violin__wrong_arguments(mdata: MuData) -> None:
    rna = mdata["rna"]
    with pytest.raises(ArgumentError, match="`keys` is 'leiden', but a violin shows"):
        pl.violin(rna, "leiden")
    with pytest.raises(ArgumentError, match="`keys` is empty"):
        pl.violin(rna, [])
    with pytest.raises(ArgumentError, match="`ylabel` is 1 names, but there are 2 panels"):
        pl.violin(rna, ["gene0", "gene1"], "leiden", ylabel=["a"])
    with pytest.raises(ArgumentError, match="`ax` is one axes, but there are 2 panels"):
        pl.violin(rna, ["gene0", "gene1"], "leiden", ax=pyplot.subplots()[1])
    with pytest.raises(TypeError, match="unexpected keyword argument 'inner'"):
        pl.violin(rna, "gene0", inner="box")


# --- dot plots -----------------------------------------------------------------------------------


RULES = [
    {},
    {"expression_cutoff": 2.0},
    {"mean_only_expressed": True},
    {"log": True, "expression_cutoff": 1.0},
    {"standard_scale": "var"},
    {"standard_scale": "group"},
]


@pytest.mark.parametrize("options", RULES, ids=str)
def test_dotplot__tables_are_scanpys(rna: ad.AnnData, mdata: MuData, options: dict) -> None:
    genes = ["gene3", "gene0", "gene7", "gene3"]
    rna.obs["leiden"] = rna.obs["leiden"].cat.remove_unused_categories()  # scanpy raises on them
    theirs = sc.pl.DotPlot(rna, genes, "leiden", **options)
    rule = DotRule(
        log=options.get("log", False),
        cutoff=options.get("expression_cutoff", 0.0),
        only_expressed=options.get("mean_only_expressed", False),
    )
    groups = grouping(mdata["rna"], "leiden")
    found = dot_tables(mdata["rna"], genes, groups, Lookup(), rule)
    means = scaled(found.means, options.get("standard_scale"))
    assert list(found.fractions.index) == ["a", "b", "c"]
    np.testing.assert_allclose(found.fractions, theirs.dot_size_df, rtol=1e-6)
    np.testing.assert_allclose(means, theirs.dot_color_df, rtol=1e-5, atol=1e-6)


def test_dot_tables__columns_and_modalities_together(mdata: MuData) -> None:
    names = ["rna:gene0", "prot:CD3", "rna:total_counts"]
    groups = grouping(mdata, "leiden_wnn")
    with counting_scheduler() as scheduler:
        found = dot_tables(mdata, names, groups, Lookup(), DotRule())
    assert scheduler.n_computes == 2
    for name in names:
        mod, _, bare = name.partition(":")
        adata = mdata[mod].to_anndata()
        values = adata.obs[bare] if bare in adata.obs else adata[:, bare].to_df()[bare]
        own = mdata.obs["leiden_wnn"].reindex(adata.obs_names).to_numpy()
        by_group = pd.Series(np.asarray(values, dtype=float)).groupby(own)
        np.testing.assert_allclose(found.means[name], by_group.mean(), rtol=1e-5)
        np.testing.assert_allclose(found.fractions[name], by_group.agg(lambda x: (x > 0).mean()))


@pytest.mark.parametrize("cutoff", [-0.3, 0.0])
def test_dot_tables__of_standardized_values(mdata: MuData, cutoff: float) -> None:
    """Where zeros are values like others, some of them above the cutoff."""
    rna = mdata["rna"]
    dense = rna.X.toarray().astype(np.float64)
    rna.X = rna.X.with_steps(Standardize(dense.mean(axis=0), dense.std(axis=0), None))
    groups = grouping(rna, "leiden")
    found = dot_tables(rna, list(rna.var_names), groups, Lookup(), DotRule(cutoff=cutoff))
    scaled_values = pd.DataFrame((dense - dense.mean(axis=0)) / dense.std(axis=0))
    by_group = scaled_values.groupby(np.asarray(groups))
    np.testing.assert_allclose(found.means, by_group.mean(), atol=1e-5)
    np.testing.assert_allclose(found.fractions, by_group.agg(lambda x: (x > cutoff).mean()))


def test_dot_tables__cutoff_below_zero_counts_zeros(mdata: MuData) -> None:
    groups = grouping(mdata["rna"], "leiden")
    found = dot_tables(mdata["rna"], ["gene0"], groups, Lookup(), DotRule(cutoff=-1))
    np.testing.assert_array_equal(found.fractions, 1.0)


def test_dot_tables__do_not_depend_on_blocks(mdata: MuData) -> None:
    groups = grouping(mdata["rna"], "leiden")
    names = list(mdata["rna"].var_names)
    whole = dot_tables(mdata["rna"], names, groups, Lookup(), DotRule())
    with settings.override(memory_limit="64kB", n_threads=1):
        blocks = dot_tables(mdata["rna"], names, groups, Lookup(), DotRule())
    pd.testing.assert_frame_equal(whole.fractions, blocks.fractions)
    pd.testing.assert_frame_equal(whole.means, blocks.means)


def test_dotplot__of_the_tutorial(mdata: MuData, tmp_path: Path) -> None:
    axes = pl.dotplot(
        mdata["prot"],
        var_names=["CD3", "CD4", "CD19"],
        groupby=mdata.obs.loc[mdata["prot"].obs_names, "leiden_wnn"],
        show=False,
    )
    pyplot.savefig(tmp_path / "dots.png", dpi=50, bbox_inches="tight")
    main = axes["mainplot_ax"]
    assert [label.get_text() for label in main.get_xticklabels()] == ["CD3", "CD4", "CD19"]
    assert [label.get_text() for label in main.get_yticklabels()] == ["a", "b", "c"]
    found = dot_tables(
        mdata["prot"],
        ["CD3", "CD4", "CD19"],
        grouping(mdata["prot"], mdata.obs["leiden_wnn"]),
        Lookup(),
        DotRule(),
    )
    dots = main.collections[0]
    np.testing.assert_allclose(dots.get_array(), found.means.to_numpy().ravel())
    high = np.ceil(found.fractions.to_numpy().max() * 10) / 10
    share = found.fractions.to_numpy().ravel() / high
    np.testing.assert_allclose(dots.get_sizes(), 200 * share**1.5)


def test_dotplot__groups_of_features_swapped_axes_and_title(mdata: MuData) -> None:
    markers = {"T cells": ["gene0", "gene1"], "B": "gene2", "none": []}
    for swap in (False, True):
        figure = pl.dotplot(
            mdata["rna"], markers, "leiden", swap_axes=swap, title="M", return_fig=True, show=False
        )
        main = figure.axes[0]
        figure.draw_without_rendering()
        assert [text.get_text() for text in main.texts] == ["T cells", "B"]
        names = main.get_yticklabels() if swap else main.get_xticklabels()
        assert [name.get_text() for name in names] == ["gene0", "gene1", "gene2"]
        assert main.get_title() == "M"
        if not swap:
            boxes = [text.get_window_extent() for text in (*main.texts, main.title)]
            assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_dotplot__in_given_axes(mdata: MuData) -> None:
    figure, axes = pyplot.subplots(1, 2, figsize=(9, 4))
    pl.dotplot(mdata["rna"], "gene0", "leiden", ax=axes[0], categories_order=["c", "a"], show=False)
    assert pyplot.get_fignums() == [figure.number]
    assert [label.get_text() for label in figure.axes[2].get_yticklabels()] == ["c", "a"]
    free = figure.add_axes((0, 0, 1, 1))
    with pytest.raises(ArgumentError, match="`ax` is free axes"):
        pl.dotplot(mdata["rna"], "gene0", "leiden", ax=free)


def test_dotplot__wrong_arguments(mdata: MuData) -> None:
    rna = mdata["rna"]
    with pytest.raises(ArgumentError, match="`var_names` is empty"):
        pl.dotplot(rna, [], "leiden")
    with pytest.raises(ArgumentError, match="`var_names` is 'leiden', but a dot shows the mean"):
        pl.dotplot(rna, "leiden", "leiden")
    with pytest.raises(ArgumentError, match="`standard_scale` is 'genes'"):
        pl.dotplot(rna, "gene0", "leiden", standard_scale="genes")
    with pytest.raises(MissingResultError, match="near it are gene7"):
        pl.dotplot(rna, "gene77", "leiden")
    with pytest.raises(ArgumentError, match="`order` is 'q'"):
        pl.dotplot(rna, "gene0", "leiden", categories_order=["q"])


# --- weights -------------------------------------------------------------------------------------


def test_modality_weights__boxes_of_each_group(mdata: MuData) -> None:
    with raise_if_dask_computes():
        ax = pl.modality_weights(mdata, "leiden_wnn", show=False)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["rna", "prot"]
    found = [line.get_ydata()[0] for line in ax.lines if line.get_color() == "black"]
    groups = mdata.obs["leiden_wnn"]
    prot = mdata["prot"].obs["mod_weight"]
    expected = [
        *mdata.obs["rna:mod_weight"].groupby(groups).median(),
        *prot.groupby(groups.reindex(prot.index)).median(),
    ]
    medians_found = [y for y in found if any(np.isclose(y, expected))]
    np.testing.assert_allclose(np.sort(np.unique(medians_found)), np.sort(expected))


def test_modality_weights__order_series_and_figure(mdata: MuData) -> None:
    groups = mdata.obs["leiden_wnn"].rename("clusters")
    figure = pl.modality_weights(mdata, groups, order=["b", "a"], return_fig=True, show=False)
    (ax,) = figure.axes
    assert [label.get_text() for label in ax.get_xticklabels()] == ["b", "a"]
    assert ax.get_xlabel() == "clusters"


def test_modality_weights__that_are_not_there(mdata: MuData) -> None:
    with pytest.raises(MissingResultError, match="obs has no column 'rna:other'"):
        pl.modality_weights(mdata, "leiden_wnn", weight_key="other")
    with pytest.raises(ArgumentError, match="`mdata` is a Modality"):
        pl.modality_weights(mdata["rna"], "leiden")


# --- quality -------------------------------------------------------------------------------------


def test_qc__usual_columns_with_limits(mdata: MuData) -> None:
    with raise_if_dask_computes():
        axes = pl.qc(mdata, limits={"rna:total_counts": (500, 3000)}, show=False)
    names = ["rna:n_genes_by_counts", "rna:total_counts", "rna:pct_counts_mt"]
    assert [ax.get_title().splitlines()[0] for ax in axes] == names
    total = mdata["rna"].obs["total_counts"]
    kept = int(total.between(500, 3000).sum())
    assert axes[1].get_title() == f"rna:total_counts\n{kept} of {N} cells kept"
    assert [line.get_xdata()[0] for line in axes[1].lines] == [500, 3000]
    heights = [patch.get_height() for patch in axes[1].patches]
    assert sum(heights) == N + kept  # all in grey, then those within the limits
    assert [ax.get_xscale() for ax in axes] == ["log", "log", "linear"]


def test_qc__one_modality_and_zeros(mdata: MuData) -> None:
    rna = mdata["rna"]
    rna.obs["n_genes_by_counts"] = [0] * 5 + [10] * (N - 5)
    (ax,) = pl.qc(rna, "n_genes_by_counts", limits={"n_genes_by_counts": (None, 3)}, show=False)
    assert ax.get_title().endswith(f"5 of {N} cells kept")
    rna.obs["nothing"] = np.nan
    (empty,) = pl.qc(rna, "nothing", show=False)
    assert len(empty.patches) == 0


def test_qc__wrong_arguments(mdata: MuData) -> None:
    with pytest.raises(MissingResultError, match="obs has none of n_genes_by_counts"):
        pl.qc(mdata["prot"])
    with pytest.raises(ArgumentError, match="`limits` is 'total', but drawn are"):
        pl.qc(mdata["rna"], limits={"total": (1, 2)})
    with pytest.raises(ArgumentError, match="`keys` is 'leiden', but a histogram shows"):
        pl.qc(mdata["rna"], "leiden")


# --- long names ----------------------------------------------------------------------------------

LONG = ("CD16-negative, CD56-bright natural killer cell, human", "B", "plasmacytoid dendritic cell")


@pytest.mark.parametrize("name", ["violin", "modality_weights"])
def test_long_names__lie_within_the_figure(mdata: MuData, name: str) -> None:
    groups = np.array(LONG)[np.arange(mdata.n_obs) % 3]
    if name == "violin":
        axes = pl.violin(mdata, ["rna:gene1", "rna:gene2"], list(groups), show=False)
    else:
        axes = [pl.modality_weights(mdata, list(groups), show=False)]
    figure = axes[0].figure
    figure.canvas.draw()
    low, high = figure.bbox.min, figure.bbox.max
    for ax in axes:
        assert ax.get_window_extent().height > 150
        for label in ax.get_xticklabels():
            box = label.get_window_extent()
            assert (box.min >= low).all()
            assert (box.max <= high).all()
