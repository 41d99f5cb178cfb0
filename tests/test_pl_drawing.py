"""The drawing layer: colours, scales, orders, label places, densities; arrays in."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from scipy.stats import gaussian_kde

from lazymu.errors import ArgumentError
from lazymu.pl.draw.boxes import box_statistics
from lazymu.pl.draw.density import density
from lazymu.pl.draw.dots import DotStyle
from lazymu.pl.draw.embedding import GridStyle, Panel, draw_embedding
from lazymu.pl.draw.histograms import bin_edges, draw_histogram
from lazymu.pl.draw.label_layout import overlaps, spread_boxes
from lazymu.pl.draw.legend import LegendStyle, add_colorbar
from lazymu.pl.draw.palette import VISIONS, distinct_colors, oklab
from lazymu.pl.draw.points import (
    Categories,
    PointStyle,
    order_of_categories,
    order_of_values,
    runs_of_one_color,
)
from lazymu.pl.draw.scale import ColorScale, one_for_each

pytestmark = pytest.mark.usefixtures("closed_figures")

# Beside which scanpy's default_20 has 0.005 and matplotlib's tab20 0.007.
LEAST_SEPARATION = {7: 0.07, 20: 0.06, 30: 0.05, 60: 0.03}


def scattered(n: int, n_categories: int, seed: int = 0) -> tuple[np.ndarray, Categories]:
    generator = np.random.default_rng(seed)
    codes = generator.integers(0, n_categories, n)
    points = generator.normal(size=(n_categories, 2))[codes] * 8 + generator.normal(size=(n, 2))
    labels = tuple(f"group {code}" for code in range(n_categories))
    return points, Categories(codes, labels, distinct_colors(n_categories))


def draw(panels: list[Panel], **styles):
    return draw_embedding(
        panels,
        styles.get("points", PointStyle()),
        styles.get("legend", LegendStyle()),
        styles.get("grid", GridStyle()),
        styles.get("ax"),
    )


# --- colours -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "least"), LEAST_SEPARATION.items())
def test_distinct_colors__stay_apart_for_every_vision(n: int, least: float) -> None:
    colors = np.array([to_rgb(color) for color in distinct_colors(n)])
    for vision in VISIONS:
        lab = oklab(colors, vision)
        gaps = np.linalg.norm(lab[:, None] - lab[None], axis=2)[~np.eye(n, dtype=bool)]
        assert gaps.min() > least


def test_distinct_colors__fewer_are_a_prefix_of_more() -> None:
    assert distinct_colors(40)[:11] == distinct_colors(11)
    assert distinct_colors(0) == ()


def test_oklab__of_white_grey_and_red() -> None:
    # Ottosson's published values of white and of sRGB red.
    lab = oklab(np.array([[1.0, 1, 1], [1, 0, 0]]), np.eye(3))
    np.testing.assert_allclose(lab, [[1, 0, 0], [0.628, 0.225, 0.126]], atol=2e-3)


# --- scales ------------------------------------------------------------------------------------


def test_normalize__percentile_is_numpys(rng: np.random.Generator) -> None:
    values = np.append(rng.gamma(2, 1, 500), np.nan)
    norm = ColorScale(vmin="p2.5", vmax="p99").normalize(values)
    expected = np.nanpercentile(values, [2.5, 99])
    np.testing.assert_allclose([norm.vmin, norm.vmax], expected)


def test_normalize__percentile_without_a_scale_gives_way_to_the_extreme() -> None:
    values = np.zeros(1000)
    values[:3] = 5.0
    norm = ColorScale(vmax="p99").normalize(values)
    assert (norm.vmin, norm.vmax) == (0, 5)
    norm = ColorScale(vmin="p99").normalize(-values)
    assert (norm.vmin, norm.vmax) == (-5, 0)


def test_normalize__numbers_functions_center_and_norm(rng: np.random.Generator) -> None:
    values = rng.normal(size=100)
    norm = ColorScale(vmin=-1, vmax=np.median).normalize(values)
    np.testing.assert_allclose([norm.vmin, norm.vmax], [-1, np.median(values)])
    centered = ColorScale(vcenter=0).normalize(values)
    assert centered(0.0) == 0.5
    above = ColorScale(vcenter=0).normalize(np.array([1.0, 2.0]))
    np.testing.assert_allclose(above([-2, 0, 2]), [0, 0.5, 1])
    assert ColorScale(norm=norm).normalize(values) is norm


def test_normalize__nothing_known() -> None:
    norm = ColorScale(vmax="p99", vmin=np.min).normalize(np.array([np.nan, np.nan]))
    assert (norm.vmin, norm.vmax) == (0, 1)


@pytest.mark.parametrize("bound", ["99", "p101", "q9"])
def test_normalize__wrong_percentile(bound: str) -> None:
    with pytest.raises(ArgumentError, match=r"`vmax` is '.*' but|a string must be a percentile"):
        ColorScale(vmax=bound).normalize(np.arange(3.0))


def test_one_for_each__list_of_wrong_length() -> None:
    assert one_for_each("vmax", [1, "p9"], 2) == [1, "p9"]
    assert one_for_each("vmax", [1], 3) == [1, 1, 1]
    with pytest.raises(ArgumentError, match="`vmax` is a list of 2, but there are 3 panels"):
        one_for_each("vmax", [1, 2], 3)


# --- points ------------------------------------------------------------------------------------


def test_order_of_categories__rare_ones_end_up_on_top_and_equals_are_mixed() -> None:
    codes = np.repeat([0, 1, 2, -1], [5000, 5000, 20, 100])
    order = order_of_categories(codes)
    assert sorted(order) == list(range(len(codes)))
    assert (codes[order[:100]] == -1).all()
    rank = np.empty(len(order))
    rank[order] = np.linspace(0, 1, len(order))
    assert rank[codes == 2].min() > 0.95
    assert abs(rank[codes == 0].mean() - rank[codes == 1].mean()) < 0.03
    np.testing.assert_array_equal(order, order_of_categories(codes))


def test_order_of_values__missing_first_largest_last() -> None:
    order = order_of_values(np.array([3.0, np.nan, 1.0, 2.0]))
    np.testing.assert_array_equal(order, [1, 2, 3, 0])


@pytest.mark.parametrize("in_order", [False, True])
def test_runs_of_one_color__hold_each_point_once(in_order: bool, rng) -> None:
    color_of = rng.integers(0, 5, 1000)
    order = np.argsort(color_of, kind="stable") if in_order else rng.permutation(1000)
    runs = runs_of_one_color(order, color_of, rare_on_top=True)
    assert len(runs) <= (5 if in_order else 5 * 10)
    assert all(len(set(color_of[run])) == 1 for run in runs)
    np.testing.assert_array_equal(np.sort(np.concatenate(runs)), np.arange(1000))
    if in_order:
        np.testing.assert_array_equal(np.concatenate(runs), order)


@pytest.mark.parametrize("rare", range(4))
def test_runs_of_one_color__rare_category_is_above_all_others(rare: int, rng) -> None:
    """Whatever its number: colours of a slice are not in the order of the categories."""
    codes = rng.choice(np.delete(np.arange(4), rare), 100_000)
    codes[:50] = rare
    runs = runs_of_one_color(order_of_categories(codes), codes, rare_on_top=True)
    drawn = codes[np.concatenate(runs)]
    assert np.flatnonzero(drawn == rare).min() > 0.97 * len(codes)
    assert (drawn[-50:] == rare).mean() > 0.5


def test_runs_of_one_color__equal_categories_are_above_one_another_by_turns(rng) -> None:
    codes = rng.integers(0, 2, 200_000)
    runs = runs_of_one_color(order_of_categories(codes), codes, rare_on_top=True)
    place = rng.integers(0, 2_000, 200_000)  # of a canvas on which a hundred points share a pixel
    seen = np.empty(2_000, dtype=int)
    for run in runs:
        seen[place[run]] = codes[run[0]]
    assert 0.25 < seen.mean() < 0.75


def test_draw_embedding__rare_category_is_seen_among_many_points(rng) -> None:
    """The first of the categories, in the midst of another one with a thousand times its cells."""
    points = rng.normal(size=(120_000, 2))
    codes = np.where(np.arange(120_000) < 120, 0, rng.integers(1, 4, 120_000))
    points[:120] *= 0.05
    values = Categories(codes, tuple("abcd"), ("#ff0000", "#00ff00", "#0000ff", "#00ffff"))
    figure, _ = draw([Panel(points=points, values=values)], legend=LegendStyle(loc=None))
    figure.canvas.draw()
    rgb = np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int)
    assert ((rgb[..., 0] > 120) & (rgb[..., 1] < 120) & (rgb[..., 2] < 120)).sum() > 60


def test_sizes__are_scanpys_within_limits() -> None:
    assert PointStyle().sizes(3000, np.arange(2)) == 40
    assert PointStyle().sizes(10, np.arange(2)) == 400
    assert PointStyle().sizes(1_000_000, np.arange(2)) == 1
    given = PointStyle(size=np.array([1.0, 2.0, 3.0])).sizes(3, np.array([2, 0]))
    np.testing.assert_array_equal(given, [3, 1])


@pytest.mark.parametrize("few", [5000, 500])
def test_draw_embedding__every_point_has_its_place_and_color(
    few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where points are so many that they are drawn one colour at a time."""
    monkeypatch.setattr("lazymu.pl.draw.points._FEW", few)
    points, values = scattered(2000, 4)
    values.codes[::7] = -1
    _, (ax,) = draw([Panel(points=points, values=values)])
    drawn = [
        (*offset, *color[:3])
        for one in ax.collections
        for offset, color in zip(
            one.get_offsets().data,
            np.broadcast_to(one.get_facecolors(), (len(one.get_offsets()), 4)),
            strict=True,
        )
    ]
    palette = np.array([to_rgb(color) for color in (*values.colors, "lightgray")])
    expected = np.column_stack([points, palette[values.codes]])
    drawn = np.array(drawn)
    np.testing.assert_allclose(
        drawn[np.lexsort(drawn[:, :2].T)], expected[np.lexsort(expected[:, :2].T)], atol=1e-6
    )
    assert all(one.get_rasterized() for one in ax.collections)


def test_draw_embedding__numbers_in_runs_have_the_colors_of_the_scale(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lazymu.pl.draw.points._FEW", 500)
    values = rng.gamma(1, 1, 2000)
    points = np.column_stack([values, values])
    scale = ColorScale(vmax=3, cmap="viridis")
    _, (ax,) = draw([Panel(points=points, values=values, scale=scale)])
    colormap = pyplot.get_cmap("viridis")
    for run in ax.collections:
        expected = colormap(run.get_offsets().data[:, 0] / 3)
        assert np.abs(run.get_facecolors() - expected).max() < 0.03
    order = np.concatenate([run.get_offsets().data[:, 0] for run in ax.collections])
    assert np.diff(order).min() > -3 / 256


# --- legends -----------------------------------------------------------------------------------


@pytest.mark.parametrize("n_categories", [3, 15, 30, 60])
def test_legend__right_margin_fits_the_figure(n_categories: int) -> None:
    points, values = scattered(600, n_categories)
    figure, (ax,) = draw([Panel(points=points, values=values, title="leiden")])
    figure.draw_without_rendering()
    box, axes = ax.get_legend().get_window_extent(), ax.get_window_extent()
    assert axes.x1 <= box.x0 + 1
    assert box.x1 <= figure.bbox.x1 + 1
    assert 0 <= box.y0 < box.y1 <= figure.bbox.y1
    assert axes.width > 350
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(values.labels)


def test_legend__has_missing_unless_told_otherwise() -> None:
    points, values = scattered(100, 3)
    values.codes[0] = -1
    panel = Panel(points=points, values=values)
    for shown in (True, False):
        _, (ax,) = draw([panel], legend=LegendStyle(na_in_legend=shown))
        words = [text.get_text() for text in ax.get_legend().get_texts()]
        assert ("NA" in words) is shown


def test_legend__within_the_axes_none_and_unknown() -> None:
    points, values = scattered(100, 3)
    panel = Panel(points=points, values=values)
    _, (ax,) = draw([panel], legend=LegendStyle(loc="upper left"))
    assert ax.get_legend() is not None
    for without in (None, "none"):
        assert draw([panel], legend=LegendStyle(loc=without))[1][0].get_legend() is None
    with pytest.raises(ArgumentError, match="`legend_loc` is 'nowhere'"):
        draw([panel], legend=LegendStyle(loc="nowhere"))


@pytest.mark.parametrize("word", ["", "CD8-positive, alpha-beta memory T cell "])
@pytest.mark.parametrize("n_categories", [3, 15, 30])
def test_labels_on_data__do_not_overlap(n_categories: int, word: str) -> None:
    points, values = scattered(900, n_categories)
    labels = tuple(f"{word}{code}" for code in range(n_categories))
    values = Categories(values.codes, labels, values.colors)
    figure, (ax,) = draw([Panel(points=points, values=values)], legend=LegendStyle(loc="on data"))
    figure.draw_without_rendering()
    frame = ax.get_window_extent()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert [text.get_text().replace("\n", " ") for text in ax.texts] == list(labels)
    crowded = n_categories == 30 and bool(word)  # more letters than there is room for
    assert crowded or not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert all(frame.x0 - 1 <= box.x0 and box.x1 <= frame.x1 + 1 for box in boxes)


def test_labels_on_data__one_label_stands_at_the_median() -> None:
    points, _ = scattered(200, 1)
    values = Categories(np.zeros(200, dtype=int), ("a",), ("#000000",))
    _, (ax,) = draw([Panel(points=points, values=values)], legend=LegendStyle(loc="on data"))
    np.testing.assert_allclose(ax.texts[0].get_position(), np.median(points, axis=0), atol=1e-6)


def test_labels_on_data__does_not_hide_a_small_category(rng) -> None:
    points = np.vstack([rng.normal(size=(5000, 2)) - [0, 2], rng.normal(0, 0.02, size=(30, 2))])
    codes = np.repeat([0, 1], [5000, 30])
    values = Categories(codes, ("large", "small"), ("#aaaaaa", "#ff0000"))
    figure, (ax,) = draw([Panel(points=points, values=values)], legend=LegendStyle(loc="on data"))
    figure.draw_without_rendering()
    box = ax.texts[1].get_window_extent()
    few = ax.transData.transform(points[5000:])
    assert (few[:, 1] < box.y0).mean() > 0.9
    assert box.y0 - few[:, 1].max() < 10


def test_legend__letters_are_smaller_where_that_spares_a_column() -> None:
    widths = []
    for size in (None, 10):
        points, values = scattered(900, 40)
        panel = Panel(points=points, values=values)
        figure, (ax,) = draw([panel], legend=LegendStyle(fontsize=size))
        figure.draw_without_rendering()
        widths.append(figure.get_size_inches()[0])
        sizes = {text.get_fontsize() for text in ax.get_legend().get_texts()}
        assert sizes == {10} if size else 7 <= sizes.pop() < 10
    assert widths[0] < widths[1]


def test_labels_on_data__line_leads_from_a_label_that_was_moved_far() -> None:
    """Three categories in one place: the label of one stays, two go above and below."""
    points = np.random.default_rng(0).normal(size=(300, 2))
    codes = np.arange(300) % 3
    values = Categories(codes, ("two\nlines 0", "two\nlines 1", "two\nlines 2"), ("r", "g", "b"))
    figure, (ax,) = draw([Panel(points=points, values=values)], legend=LegendStyle(loc="on data"))
    figure.draw_without_rendering()
    height = ax.texts[0].get_window_extent().height
    medians = np.array([np.median(points[codes == code], axis=0) for code in range(3)])
    places = np.array([text.get_position() for text in ax.texts])
    moved = np.linalg.norm(ax.transData.transform(places) - ax.transData.transform(medians), axis=1)
    far = moved > 1.5 * height
    (lines,) = (one for one in ax.collections if isinstance(one, LineCollection))
    found = np.array(lines.get_segments()).reshape(-1, 2, 2)
    np.testing.assert_allclose(found, np.stack([medians, places], axis=1)[far], atol=1e-6)


def test_spread_boxes__moves_little_and_only_what_overlaps() -> None:
    anchors = np.array([[50.0, 50], [52, 50], [52, 50], [150, 150]])
    sizes = np.full((4, 2), 20.0)
    centers = spread_boxes(anchors, sizes, np.zeros(2), np.full(2, 200.0))
    assert not overlaps(centers, sizes).any()
    np.testing.assert_array_equal(centers[3], anchors[3])
    assert np.abs(centers - anchors).max() < 45


@pytest.mark.parametrize(
    ("scale", "extend"),
    [
        (ColorScale(), "neither"),
        (ColorScale(vmax=40), "max"),
        (ColorScale(vmin=3), "min"),
        (ColorScale(vmin=3, vmax=40), "both"),
    ],
)
def test_colorbar__points_beyond_its_ends(scale: ColorScale, extend: str) -> None:
    values = np.arange(50.0)
    _, ax = pyplot.subplots()
    mappable = ScalarMappable(scale.normalize(values))
    mappable.set_array(values)
    assert add_colorbar(ax, mappable, LegendStyle()).extend == extend


def test_colorbar__may_be_left_out() -> None:
    panel = Panel(points=np.eye(2), values=np.arange(2.0))
    assert len(draw([panel])[0].axes) == 2
    assert len(draw([panel], legend=LegendStyle(colorbar_loc=None))[0].axes) == 1


# --- figures -----------------------------------------------------------------------------------


def test_draw_embedding__grid_has_ncols_and_no_empty_axes() -> None:
    points, values = scattered(50, 3)
    panels = [Panel(points=points, values=values, title=str(i)) for i in range(5)]
    figure, axes = draw(panels, grid=GridStyle(ncols=2))
    assert len(figure.axes) == len(axes) == 5
    assert len({round(ax.get_position().x0, 2) for ax in axes}) == 2
    with pytest.raises(ArgumentError, match="`ncols` is 0"):
        draw(panels, grid=GridStyle(ncols=0))


def test_draw_embedding__given_axes_take_one_panel() -> None:
    points, values = scattered(50, 3)
    panel = Panel(points=points, values=values, title="x" * 50)
    figure, ax = pyplot.subplots()
    assert draw([panel], ax=ax) == (figure, [ax])
    assert len(ax.get_title().splitlines()) == 2
    with pytest.raises(ArgumentError, match="`ax` is one axes, but there are 2 panels"):
        draw([panel, panel], ax=ax)


def test_draw_embedding__frame_and_names_of_axes() -> None:
    panel = Panel(points=np.eye(2), values=None, axis_labels=("UMAP1", "UMAP2"))
    for frameon, frame, label in (
        (None, False, "UMAP1"),
        (True, True, "UMAP1"),
        (False, False, ""),
    ):
        _, (ax,) = draw([panel], grid=GridStyle(frameon=frameon))
        assert ax.spines["left"].get_visible() is frame
        assert ax.get_xlabel() == label
        assert len(ax.get_xticks()) == 0


# --- densities, boxes, bins, dots ----------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 30, 5000])
def test_density__is_scipys(n: int, rng: np.random.Generator) -> None:
    values = rng.gamma(2, 3, n)
    grid, height = density(values)
    expected = gaussian_kde(values)(grid)
    np.testing.assert_allclose(height, expected, atol=2e-3 * expected.max())


def test_density__one_value() -> None:
    for values in (np.array([3.0]), np.full(9, 3.0)):
        grid, height = density(values)
        assert set(grid) == {3.0}
        assert set(height) == {1.0}


def test_box_statistics__are_matplotlibs(rng: np.random.Generator) -> None:
    from matplotlib.cbook import boxplot_stats

    sample = rng.standard_t(3, 500)
    (expected,) = boxplot_stats(sample)
    found = box_statistics(sample)
    for key in ("med", "q1", "q3", "whislo", "whishi"):
        np.testing.assert_allclose(found[key], expected[key])


def test_bin_edges__span_the_values() -> None:
    values = np.geomspace(1, 1000, 400)
    edges = bin_edges(values, log=True)
    np.testing.assert_allclose(edges[1:] / edges[:-1], edges[1] / edges[0])
    np.testing.assert_allclose(edges[[0, -1]], [1, 1000])
    assert len(bin_edges(values, log=False)) == 21
    np.testing.assert_array_equal(bin_edges(np.full(3, 2.0), log=False), [1.5, 2.5])
    np.testing.assert_array_equal(
        bin_edges(np.array([8.0, 9, 9, 10]), log=False), np.arange(7.5, 11)
    )


@pytest.mark.parametrize(
    ("values", "limit", "scale", "labels"),
    [
        ((8, 9, 9, 10), None, "linear", {8, 9, 10}),
        ((900, 1000, 2500), None, "linear", {1200, 1600, 2000, 2400}),
        ((900, 1000, 5500), None, "log", {1000, 2000, 5000}),
        ((4000, 9000, 16_000), 200, "log", {300, 1000, 3000, 10_000}),
        ((1, 10, 5000), None, "log", {1, 10, 100, 1000}),
    ],
)
def test_draw_histogram__labels_that_do_not_touch(
    values: tuple[int, ...], limit: float | None, scale: str, labels: set[float]
) -> None:
    figure, ax = pyplot.subplots(figsize=(3.2, 2.5), layout="constrained")
    n_kept = draw_histogram(ax, np.array(values, dtype=float), (limit, None), log=True)
    figure.canvas.draw()
    assert n_kept == len(values)
    assert ax.get_xscale() == scale
    low, high = ax.get_xlim()
    shown = [label for label in ax.get_xticklabels() if low <= label.get_position()[0] <= high]
    assert {float(label.get_text()) for label in shown if label.get_text()} == labels
    boxes = sorted((label.get_window_extent() for label in shown), key=lambda box: box.x0)
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))


def test_dot_style__areas_follow_the_power_and_bounds() -> None:
    style = DotStyle(smallest_dot=10)
    table = pd.DataFrame([[0.0, 0.42]])
    assert style.bounds(table) == (0, 0.5)
    areas = style.areas(np.array([0.0, 0.25, 0.5]), (0, 0.5))
    np.testing.assert_allclose(areas, [10, 10 + 190 * 0.5**1.5, 200])
    with pytest.raises(ArgumentError, match=r"`dot_min, dot_max` is \(0.5, 0.2\)"):
        DotStyle(dot_min=0.5, dot_max=0.2).bounds(table)
