"""The inverted-file search against the exact one; its kernels; candidates in a file."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from lazymu.errors import MemoryLimitError
from lazymu.graph.candidates import Candidates
from lazymu.graph.inverted import InvertedSearch
from lazymu.graph.knn import nearest_neighbors, search_all
from lazymu.graph.search import ExactSearch
from lazymu.kernels import inverted, panels
from lazymu.kernels.jit import kernel
from lazymu.kernels.wnn import drop_repeated
from lazymu.settings import settings


def groups(n: int, d: int, n_groups: int = 8, seed: int = 0) -> np.ndarray:
    """Return cells of groups of unequal size and spread, all directions alike in each."""
    rng = np.random.default_rng(seed)
    of = rng.choice(n_groups, n, p=np.arange(1, n_groups + 1) / (n_groups * (n_groups + 1) / 2))
    spread = np.linspace(0.5, 2, n_groups)[of, None]
    X = 6 * rng.normal(size=(n_groups, d))[of] + spread * rng.normal(size=(n, d))
    return X.astype(np.float32)


def shared(found: np.ndarray, expected: np.ndarray) -> float:
    pairs = zip(found, expected, strict=True)
    return float(np.mean([len(np.intersect1d(*pair)) for pair in pairs])) / expected.shape[1]


@pytest.mark.parametrize("d", [2, 10, 40])
@pytest.mark.parametrize("k", [5, 60])
def test_inverted_search__finds_the_part_that_it_promises(d: int, k: int) -> None:
    X = groups(6000, d)
    scale = np.random.default_rng(1).uniform(0.9, 1.1, len(X))
    found = search_all(InvertedSearch(X, scale, 0), len(X), k, "x")
    expected = ExactSearch(X, scale).nearest(np.arange(len(X)), k)
    assert 0.975 < shared(found.indices, expected.indices) <= 1
    assert not np.any(found.indices == np.arange(len(X))[:, None])
    assert np.all(np.diff(found.distances, axis=1) >= 0)
    vectors = X.astype(np.float64) * scale[:, None]
    for row in (0, 17, 5999):
        np.testing.assert_allclose(
            found.distances[row],
            np.linalg.norm(vectors[row] - vectors[found.indices[row]], axis=1),
            rtol=1e-12,
        )


def test_inverted_search__rows_in_any_order_and_number() -> None:
    X = groups(3000, 8)
    search = InvertedSearch(X, np.ones(len(X)), 0)
    whole = search.nearest(np.arange(len(X)), 12)
    rows = np.random.default_rng(2).permutation(len(X))[:777]
    some = search.nearest(rows, 12)
    np.testing.assert_array_equal(some.indices, whole.indices[rows])
    np.testing.assert_array_equal(some.distances, whole.distances[rows])
    assert search.nearest(np.arange(0), 12).indices.shape == (0, 12)


def test_inverted_search__same_lists_for_any_number_of_threads() -> None:
    X = groups(5000, 20)
    lists = []
    for n_threads in (1, 2, 3):
        with settings.override(n_threads=n_threads):
            lists.append(nearest_neighbors(X, 15, method="inverted", random_state=3))
    for found in lists[1:]:
        np.testing.assert_array_equal(found.indices, lists[0].indices)
        np.testing.assert_array_equal(found.distances, lists[0].distances)


@pytest.mark.parametrize("n_equal", [300, 2000])
def test_inverted_search__equal_cells(n_equal: int) -> None:
    """More than a list, or a cluster, holds; they are at distance 0 from each other."""
    X = groups(2000, 6)
    X[:n_equal] = X[0]
    found = InvertedSearch(X, np.ones(len(X)), 0).nearest(np.arange(n_equal), 20)
    np.testing.assert_array_equal(found.distances, 0.0)
    assert found.indices.max() < n_equal
    assert all(len(np.unique(row)) == 20 for row in found.indices)


def test_inverted_search__far_from_the_origin() -> None:
    """Distances of near cells are kept where all cells share a large offset."""
    X = groups(3000, 10).astype(np.float64)
    there = nearest_neighbors(X + 1e7, 10, method="inverted")
    here = nearest_neighbors(X, 10, method="exact")
    assert shared(there.indices, here.indices) > 0.97


def test_inverted_search__memory_is_known_before_it_starts() -> None:
    with settings.override(memory_limit=10**6):
        with pytest.raises(MemoryLimitError, match=r"20,000 cells.*of 1,000,000 bytes allowed"):
            InvertedSearch(np.zeros((20_000, 12)), np.ones(20_000), 0)


@hypothesis_settings(deadline=None, max_examples=40)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 99))
def test_select_best__the_largest_come_first(n: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 20, n).astype(np.float32)  # with ties
    before, ids = scores.copy(), np.arange(n, dtype=np.int32)
    inverted.select_best(scores, ids, n, min(k, n))
    np.testing.assert_array_equal(before[ids], scores)
    np.testing.assert_array_equal(np.sort(scores[:k])[::-1], np.sort(before)[::-1][:k])


@hypothesis_settings(deadline=None, max_examples=30)
@given(st.integers(1, 300), st.integers(1, 20), st.integers(1, 4), st.integers(0, 99))
def test_offer_scores__keeps_the_best(n: int, n_kept: int, n_tiles: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    tiles = [rng.normal(size=(3, n)).astype(np.float32) for _ in range(n_tiles)]
    scores = np.empty((3, 2 * n_kept), np.float32)
    ids, sizes = np.empty(scores.shape, np.int32), np.zeros(3, np.int32)
    bars = np.full(3, -np.inf, np.float32)
    for tile, products in enumerate(tiles):
        inverted.offer_scores(scores, ids, sizes, bars, products, tile * n)
    every = np.concatenate(tiles, axis=1)
    for row in range(3):
        best = np.argsort(-every[row])[:n_kept]
        assert set(best.tolist()) <= set(ids[row, : sizes[row]].tolist())
        np.testing.assert_array_equal(scores[row, : sizes[row]], every[row, ids[row, : sizes[row]]])


@kernel
def above(matrix, c, bar):  # type: ignore[no-untyped-def]
    return panels.any_above(matrix, 1, c, 32, bar)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_any_above__every_lane_counts(dtype: type) -> None:
    bar = dtype(2)
    for lane in range(32):
        matrix = np.full((3, 45), 2, dtype)
        matrix[:, 3:35] = 1
        assert not above(matrix, 3, bar)
        matrix[1, 3 + lane] = 2
        assert not above(matrix, 3, bar)
        matrix[1, 3 + lane] = 2.5
        assert above(matrix, 3, bar)
        assert not above(np.where(matrix == 2.5, np.nan, matrix), 3, bar)


@pytest.mark.parametrize("limit", [10**10, 10**6])
def test_candidates__in_memory_or_in_a_file(limit: int) -> None:
    rng = np.random.default_rng(0)
    order = rng.permutation(5000)
    lists = rng.integers(0, 5000, (5000, 30)).astype(np.int32)
    with settings.override(memory_limit=limit):
        candidates = Candidates(5000, 30, order)
    for start in range(0, 5000, 700):
        rows = order[start : start + 700]
        candidates.write(rows, lists[rows])
    rows = rng.integers(0, 5000, 1000)
    np.testing.assert_array_equal(candidates.read(rows), lists[rows])


@kernel
def squares(X, i, a, Y, j, b, stop):  # type: ignore[no-untyped-def]
    return panels.squares_apart(X, i, a, Y, j, b, stop)


@pytest.mark.parametrize("dtypes", [(np.float32, np.float32), (np.float64, np.float32)])
def test_squares_apart__as_numpy(dtypes: tuple[type, type]) -> None:
    rng = np.random.default_rng(0)
    X, Y = (rng.normal(size=(4, 29)).astype(dtype) for dtype in dtypes)
    for stop in (0, 8, 16, 24):
        apart = 0.5 * X[2, :stop].astype(float) - 3.0 * Y[1, :stop].astype(float)
        expected = (apart**2).sum()
        assert squares(X, 2, 0.5, Y, 1, 3.0, stop) == pytest.approx(expected, rel=1e-14)


@hypothesis_settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.integers(1, 80), st.sampled_from([1, 1 << 14, 1 << 20]))
def test_drop_repeated__each_cell_once(n_names: int, width: int, step: int) -> None:
    """Names that fall into one place of the table are told apart."""
    rng = np.random.default_rng(n_names * width)
    candidates = (rng.integers(-1, n_names, (5, width)) * step).astype(np.int32)
    candidates[candidates < 0] = -1
    before = candidates.copy()
    drop_repeated(candidates)
    for old, new in zip(before, candidates, strict=True):
        kept = new[new >= 0]
        np.testing.assert_array_equal(np.sort(kept), np.unique(old[old >= 0]))


@hypothesis_settings(deadline=None, max_examples=30)
@given(st.integers(1, 50), st.integers(1, 12), st.integers(1, 12), st.integers(0, 99))
def test_keep_best__the_first_come_first(n: int, n_kept: int, n_first: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, n_first = min(n, 2 * n_kept), min(n_first, n_kept)
    every = rng.permutation(n).astype(np.float32)
    scores = np.zeros((1, 2 * n_kept), np.float32)
    found, sizes = np.zeros(scores.shape, np.int32), np.array([n], np.int32)
    scores[0, :n], found[0, :n] = every, np.arange(n)
    inverted.keep_best(scores, found, sizes, n_first)
    assert sizes[0] == min(n, n_kept)
    best = np.argsort(-every)
    assert set(found[0, : sizes[0]]) == set(best[: sizes[0]])
    assert set(found[0, : min(n_first, sizes[0])]) == set(best[: min(n_first, sizes[0])])


@pytest.mark.parametrize("k", [1, 5, 30])
def test_inverted_search__candidates_hold_the_lists(k: int) -> None:
    X = groups(3000, 10)
    search = InvertedSearch(X, np.ones(len(X)), 0)
    rows = np.arange(0, 3000, 7)
    near = search.near(rows, k, 40)
    exact = nearest_neighbors(X, 40, method="exact")
    assert near.candidates.shape == (len(rows), 40)
    assert not (near.candidates == rows[:, None]).any()
    assert shared(near.candidates, exact.indices[rows]) > 0.97
    for listed, candidates in zip(near.lists.indices, near.candidates, strict=True):
        assert set(listed) <= set(candidates)
        assert len(set(candidates)) == 40
