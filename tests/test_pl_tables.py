"""pl.matrixplot and pl.heatmap on containers."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from matplotlib import pyplot
from matplotlib.colors import to_hex
from matplotlib.text import Text

from lazymu import pl
from lazymu.containers import Modality, MuData, read
from lazymu.errors import ArgumentError, MissingResultError
from lazymu.pl.draw.heat import kept_apart
from lazymu.pl.drawn_cells import drawn_cells
from lazymu.settings import settings
from tests.conftest import PEERS_WARN, make_counts
from tests.counting import counting_scheduler

pytestmark = pytest.mark.usefixtures("closed_figures")

N = 200
NAMES = ["gene3", "gene0", "gene5"]


@pytest.fixture
def rna(rng: np.random.Generator) -> ad.AnnData:
    adata = ad.AnnData(make_counts(N, 8))
    adata.var_names = [f"gene{i}" for i in range(8)]
    adata.var["symbol"] = [f"S{i}" for i in range(8)]
    adata.obs["leiden"] = pd.Categorical(rng.choice(list("abc"), N), categories=list("abcz"))
    adata.obs["depth"] = rng.gamma(2, 900, N)
    adata.layers["doubled"] = adata.X * 2
    return adata


@pytest.fixture
def mdata(rna: ad.AnnData, rng: np.random.Generator) -> MuData:
    prot = ad.AnnData(rng.normal(size=(N - 50, 4)))
    prot.obs_names = rna.obs_names[50:][::-1]
    prot.var_names = ["CD3", "CD4", "CD19", "CD8"]
    mdata = MuData({"rna": rna, "prot": prot})
    mdata.obs["leiden_wnn"] = rna.obs["leiden"].astype(str)
    return mdata


# --- matrix plots --------------------------------------------------------------------------------


def squares(axes) -> np.ndarray:
    return np.asarray(axes["mainplot_ax"].collections[0].get_array())


class TestMatrixplotBesideScanpy:
    pytestmark = PEERS_WARN

    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"standard_scale": "var"},
            {"standard_scale": "group"},
            {"log": True},
            {"layer": "doubled"},
            {"swap_axes": True},
        ],
    )
    def test_matrixplot__draws_scanpys_numbers(self, rna: ad.AnnData, options) -> None:
        own = squares(pl.matrixplot(Modality(rna), NAMES, "leiden", show=False, **options))
        # scanpy draws no group without cells, but warns of the mean of none.
        rna.obs["leiden"] = rna.obs["leiden"].cat.remove_unused_categories()
        theirs = sc.pl.matrixplot(rna, NAMES, "leiden", show=False, **options)["mainplot_ax"]
        expected = np.asarray(theirs.collections[0].get_array()).reshape(own.shape)
        np.testing.assert_allclose(own, expected, rtol=1e-5, atol=1e-7)


def test_matrixplot__names_brackets_and_title(mdata: MuData) -> None:
    groups = {"T cells": ["rna:gene3", "prot:CD3"], "B": "prot:CD19"}
    axes = pl.matrixplot(mdata, groups, "leiden_wnn", title="means", show=False)
    main = axes["mainplot_ax"]
    names = ["rna:gene3", "prot:CD3", "prot:CD19"]
    assert [label.get_text() for label in main.get_xticklabels()] == names
    assert [label.get_text() for label in main.get_yticklabels()] == ["a", "b", "c"]
    assert [text.get_text() for text in main.texts] == ["T cells", "B"]
    assert main.get_title() == "means"
    assert main.get_ylim() == (2.5, -0.5)


def test_matrixplot__order_of_groups(mdata: MuData) -> None:
    whole = squares(pl.matrixplot(mdata["rna"], NAMES, "leiden", show=False))
    some = pl.matrixplot(mdata["rna"], NAMES, "leiden", categories_order=["c", "a"], show=False)
    np.testing.assert_array_equal(squares(some), whole[[2, 0]])


def test_matrixplot__color_scale_and_bar(mdata: MuData) -> None:
    axes = pl.matrixplot(
        mdata["rna"], NAMES, "leiden", vmax="p50", cmap="magma", colorbar_title="m", show=False
    )
    drawn = axes["mainplot_ax"].collections[0]
    assert drawn.norm.vmax == np.percentile(squares(axes), 50)
    assert drawn.get_cmap().name == "magma"
    assert axes["color_legend_ax"].get_title() == "m"


def test_matrixplot__one_pass_for_each_matrix(mdata: MuData) -> None:
    with counting_scheduler() as scheduler:
        pl.matrixplot(mdata, ["rna:gene0", "rna:gene1", "prot:CD3"], "leiden_wnn", show=False)
    assert scheduler.n_computes == 2


def test_matrixplot__ax_save_and_return(mdata: MuData, tmp_path: Path) -> None:
    figure, (_, place) = pyplot.subplots(1, 2)
    axes = pl.matrixplot(
        mdata["rna"], NAMES, "leiden", ax=place, show=False, save=tmp_path / "m.pdf"
    )
    assert axes["mainplot_ax"].figure is figure
    assert (tmp_path / "m.pdf").stat().st_size > 1000
    made = pl.matrixplot(mdata["rna"], NAMES, "leiden", figsize=(5, 4), return_fig=True)
    np.testing.assert_allclose(made.get_size_inches(), (5, 4))
    assert pl.matrixplot(mdata["rna"], NAMES, "leiden", show=True) is None
    free = figure.add_axes((0, 0, 1, 1))
    with pytest.raises(ArgumentError, match="`ax` is free axes, but it must stand in a grid"):
        pl.matrixplot(mdata["rna"], NAMES, "leiden", ax=free)


def test_matrixplot__wrong_arguments(mdata: MuData) -> None:
    with pytest.raises(ArgumentError, match='means are scaled within "var" or "group"'):
        pl.matrixplot(mdata["rna"], NAMES, "leiden", standard_scale="obs")
    with pytest.raises(ArgumentError, match="`var_names` is empty"):
        pl.matrixplot(mdata["rna"], [], "leiden")
    with pytest.raises(MissingResultError, match="near it are gene"):
        pl.matrixplot(mdata["rna"], ["gene9"], "leiden")
    with pytest.raises(ArgumentError, match="pass it as `groupby`"):
        pl.matrixplot(mdata["rna"], ["leiden"], "leiden")


# --- heat maps -----------------------------------------------------------------------------------


def cells_of(axes) -> np.ndarray:
    return np.asarray(axes["heatmap_ax"].images[0].get_array())


class TestHeatmapBesideScanpy:
    pytestmark = PEERS_WARN

    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"standard_scale": "var"},
            {"standard_scale": "obs"},
            {"log": True},
            {"layer": "doubled"},
            {"swap_axes": True},
        ],
    )
    def test_heatmap__draws_scanpys_cells(self, rna: ad.AnnData, options) -> None:
        own = cells_of(pl.heatmap(Modality(rna), NAMES, "leiden", show=False, **options))
        theirs = sc.pl.heatmap(rna, NAMES, "leiden", show=False, **options)["heatmap_ax"]
        expected = np.asarray(theirs.images[0].get_array())
        # Within a group scanpy's sort keeps no order: compare the cells as sets.
        if options.get("swap_axes"):
            own, expected = own.T, expected.T
        ends = np.append(0, np.cumsum(rna.obs["leiden"].value_counts(sort=False)))
        for start, stop in pairwise(ends):
            a, b = own[start:stop], expected[start:stop]
            np.testing.assert_allclose(a[np.lexsort(a.T)], b[np.lexsort(b.T)], rtol=1e-6)


def test_heatmap__cells_of_a_mudata_come_by_name(mdata: MuData) -> None:
    names = ["rna:gene3", "prot:CD3", "rna:depth"]
    own = cells_of(pl.heatmap(mdata, names, "leiden_wnn", show=False))
    table = mdata["rna"].to_anndata().to_df()[["gene3"]]
    table["CD3"] = mdata["prot"].to_anndata().to_df()["CD3"].reindex(table.index)
    table["depth"] = mdata["rna"].obs["depth"]
    order = np.argsort(mdata.obs["leiden_wnn"].to_numpy(), kind="stable")
    np.testing.assert_allclose(own, table.to_numpy()[order], rtol=1e-6)
    assert np.isnan(own).sum() == 50


def test_heatmap__strip_has_the_stored_colors(mdata: MuData) -> None:
    axes = pl.heatmap(mdata["rna"], NAMES, "leiden", show=False)
    blocks = np.asarray(axes["groupby_ax"].images[0].get_array())[:, 0]
    codes = np.sort(mdata["rna"].obs["leiden"].cat.codes.to_numpy())
    stored = np.array(mdata["rna"].uns["leiden_colors"])
    assert [to_hex(one) for one in blocks] == list(stored[codes])
    assert [text.get_text() for text in axes["groupby_ax"].texts] == ["a", "b", "c"]


def test_heatmap__many_cells_are_sampled_and_rare_groups_kept(tmp_path: Path, rng) -> None:
    n = 12_000
    groups = np.where(np.arange(n) < 30, "rare", "common")
    mod = Modality(np.arange(2.0 * n).reshape(n, 2), obs=pd.DataFrame({"group": groups}))
    MuData({"rna": mod}).write(tmp_path / "m.zarr")
    stored = read(tmp_path / "m.zarr")["rna"]
    with settings.override(memory_limit="1GB"), counting_scheduler() as scheduler:
        axes = pl.heatmap(stored, ["0", "1"], "group", show=False)
    assert scheduler.n_computes == 1
    drawn = cells_of(axes)
    assert drawn.shape == (1800, 2)
    np.testing.assert_array_equal(drawn[:, 1], drawn[:, 0] + 1)
    assert (drawn[-30:, 0] < 60).all()
    assert (np.diff(drawn[:-30, 0]) > 0).all()


def test_drawn_cells__all_or_shares() -> None:
    codes = np.repeat([0, 1, 2, -1], [5000, 400, 3, 10])
    assert [len(one) for one in drawn_cells(codes, [0, 1, 2], 6000)] == [5000, 400, 3]
    few = drawn_cells(codes, [0, 1, 2], 600)
    assert [len(one) for one in few][2] == 3
    assert sum(map(len, few)) <= 600
    assert len(few[1]) >= 50
    assert all((codes[cells] == code).all() for code, cells in enumerate(few))
    assert all((np.diff(cells) > 0).all() for cells in few)
    again = drawn_cells(codes, [0, 1, 2], 600)
    np.testing.assert_array_equal(np.concatenate(few), np.concatenate(again))


def test_kept_apart__moves_least_in_squares(rng: np.random.Generator) -> None:
    from scipy.optimize import minimize

    middles = np.sort(rng.uniform(0, 10, 12))
    places = kept_apart(middles, 0.7, 100.0)
    apart = [
        {"type": "ineq", "fun": lambda p, i=i: p[i + 1] - p[i] - 0.7}
        for i in range(len(places) - 1)
    ]
    inside = [{"type": "ineq", "fun": lambda p: p[0]}]
    best = minimize(
        lambda p: ((p - middles) ** 2).sum(), np.arange(12.0), constraints=[*apart, *inside]
    )
    assert np.diff(places).min() > 0.7 - 1e-9
    np.testing.assert_allclose(((places - middles) ** 2).sum(), best.fun, rtol=0.02)
    crowded = kept_apart(np.zeros(3), 5.0, 10.0)
    np.testing.assert_allclose(crowded, [0, 5, 10])


@pytest.mark.parametrize("swap_axes", [False, True])
@pytest.mark.parametrize("word", ["", "CD8-positive, alpha-beta memory T cell "])
def test_heatmap__names_of_many_groups_do_not_overlap(swap_axes: bool, word: str, rng) -> None:
    shares = rng.dirichlet(np.full(40, 0.5))
    groups = [f"{word}{one}" for one in rng.choice(40, 3000, p=shares)]
    mod = Modality(np.arange(6000.0).reshape(3000, 2))
    axes = pl.heatmap(mod, ["0", "1"], groups, swap_axes=swap_axes, show=False)
    strip = axes["groupby_ax"]
    strip.figure.draw_without_rendering()
    boxes = [Text.get_window_extent(text) for text in strip.texts]  # without the lines
    frame = strip.figure.bbox
    along = [(box.x0, box.x1) if swap_axes else (box.y0, box.y1) for box in boxes]
    along.sort()
    assert all(b[0] > a[1] - 0.3 * (a[1] - a[0]) for a, b in pairwise(along))
    assert all(frame.x0 <= box.x0 and box.y1 <= frame.y1 + 1 for box in boxes)


def test_heatmap__names_of_features_up_to_fifty(mdata: MuData, tmp_path: Path) -> None:
    mod = Modality(np.arange(240.0).reshape(4, 60))
    names = list(mod.var_names)
    axes = pl.heatmap(mod, names, list("aabb"), show=False, save=tmp_path / "h.png")
    assert not axes["heatmap_ax"].get_xticklabels()
    assert (tmp_path / "h.png").exists()
    axes = pl.heatmap(mod, names, list("aabb"), show_gene_labels=True, show=False)
    assert len(axes["heatmap_ax"].get_xticklabels()) == 60
    assert pl.heatmap(mod, names, list("aabb"), show=True) is None


def test_heatmap__wrong_arguments(mdata: MuData) -> None:
    with pytest.raises(ArgumentError, match='values are scaled within "var" or "obs"'):
        pl.heatmap(mdata["rna"], NAMES, "leiden", standard_scale="group")
    with pytest.raises(ArgumentError, match="`var_names` is 'leiden', but a heat map shows"):
        pl.heatmap(mdata["rna"], ["leiden"], "leiden")
    with pytest.raises(ArgumentError, match="no cell has a group"):
        pl.heatmap(mdata["rna"], NAMES, [None] * N)
