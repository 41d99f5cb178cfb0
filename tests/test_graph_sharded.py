"""The search by shards against the search in one: in threads, and on a cluster."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from lazymu.errors import ArgumentError, MemoryLimitError
from lazymu.graph.inverted import InvertedSearch
from lazymu.graph.knn import nearest_neighbors, sampled_recall
from lazymu.graph.partition import side_by_side
from lazymu.graph.scan import NOBODY, Scanned, merge
from lazymu.graph.sharded import ShardedSearch
from lazymu.graph.wnn import weighted_neighbors
from lazymu.settings import settings


def groups(n: int, d: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (4 * rng.normal(size=(9, d))[rng.integers(0, 9, n)] + rng.normal(size=(n, d))).astype(
        "f4"
    )


@pytest.mark.parametrize("n_threads", [1, 2, 5])
@pytest.mark.parametrize("k", [3, 40])
def test_sharded_search__as_in_one(n_threads: int, k: int) -> None:
    X = groups(21_000, 12)
    with settings.override(n_threads=n_threads):
        found = nearest_neighbors(X, k, method="sharded")
    expected = nearest_neighbors(X, k, method="inverted")
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_array_equal(found.distances, expected.distances)


def test_sharded_search__candidates_as_in_one() -> None:
    X = groups(9000, 12)
    rows = np.random.default_rng(0).permutation(9000)[:700]
    ones = np.ones(len(X))
    found = ShardedSearch(X, ones, 0).near(rows, 10, 100)
    expected = InvertedSearch(X, ones, 0).near(rows, 10, 100)
    np.testing.assert_array_equal(found.lists.indices, expected.lists.indices)
    np.testing.assert_array_equal(
        np.sort(found.candidates, axis=1), np.sort(expected.candidates, axis=1)
    )


def test_sharded_search__blocks_hold_every_cell_once_and_all_shards() -> None:
    X = groups(40_000, 5)
    with settings.override(n_threads=1):
        blocks = list(ShardedSearch(X, np.ones(len(X)), 0).blocks())
    assert len(blocks) == 3
    np.testing.assert_array_equal(np.sort(np.concatenate(blocks)), np.arange(len(X)))
    assert sampled_recall(X[blocks[0]], nearest_neighbors(X[blocks[0]], 5)) > 0.9


@pytest.mark.parametrize("n", [2, 5, 60])
def test_sharded_search__few_cells(n: int) -> None:
    X = groups(n, 3)
    found = nearest_neighbors(X, 4, method="sharded")
    exact = nearest_neighbors(X, 4, method="exact")
    assert found.indices.shape == exact.indices.shape
    assert all(len(set(row)) == found.indices.shape[1] for row in found.indices)


def test_sharded_search__joint_graph_on_a_cluster() -> None:
    from distributed import Client, LocalCluster

    embeddings = {"rna": groups(6000, 10), "atac": groups(6000, 7, seed=1)}
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", processes=False
        ) as cluster,
        Client(cluster),
    ):
        found = weighted_neighbors(embeddings, method="sharded")
    expected = weighted_neighbors(embeddings, method="inverted")
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_array_equal(found.distances, expected.distances)
    assert min(found.recall.values()) > 0.97


def test_sharded_search__memory_is_known_before_it_starts() -> None:
    X = np.zeros((20_000, 12))
    with settings.override(memory_limit=3_500_000):
        with pytest.raises(MemoryLimitError, match=r"20,000 cells.*of 3,500,000 bytes allowed"):
            ShardedSearch(X, np.ones(len(X)), 0)


def test_sharded_search__euclidean_alone() -> None:
    with pytest.raises(ArgumentError, match="'cosine', but an inverted file is searched by Eucl"):
        nearest_neighbors(groups(50, 3), 3, method="sharded", metric="cosine")


@hypothesis_settings(deadline=None, max_examples=50)
@given(st.integers(1, 4), st.integers(1, 6), st.integers(0, 10), st.integers(0, 99))
def test_merge__as_of_all_cells(n_parts: int, k: int, n_each: int, seed: int) -> None:
    """The nearest and the best of several shards, some of which hold fewer than are wanted."""
    rng = np.random.default_rng(seed)
    names = rng.permutation(n_parts * n_each).astype(np.int32).reshape(n_parts, n_each)
    squares = rng.integers(0, 8, names.shape).astype(float)
    n_kept = k + 3

    def best(own_names: np.ndarray, own_squares: np.ndarray) -> Scanned:
        order = np.lexsort((own_names, own_squares))
        found = Scanned(
            np.full((1, k), np.inf),
            np.full((1, k), NOBODY, np.int32),
            np.full((1, n_kept), -1, np.int32),
            np.full((1, n_kept), -np.inf, np.float32),
        )
        found.distances[0, : len(order)] = own_squares[order[:k]]
        found.ids[0, : len(order)] = own_names[order[:k]]
        found.names[0, : len(order)] = own_names[order[:n_kept]]
        found.scores[0, : len(order)] = -own_squares[order[:n_kept]]
        return found

    merged = merge([best(*part) for part in zip(names, squares, strict=True)])
    expected = best(names.ravel(), squares.ravel())
    np.testing.assert_array_equal(merged.ids, expected.ids)
    np.testing.assert_array_equal(merged.distances, expected.distances)
    np.testing.assert_array_equal(np.sort(merged.scores), np.sort(expected.scores))


@pytest.mark.parametrize("n", [1, 2, 37])
def test_side_by_side__an_order_along_a_line(n: int) -> None:
    centers = np.random.default_rng(n).permutation(n)[:, None] * np.array([[1.0, 0.5]])
    order = side_by_side(centers, np.ones(n, int))
    np.testing.assert_array_equal(np.sort(order), np.arange(n))
    steps = np.abs(np.diff(centers[order, 0]))
    assert steps.size == 0 or steps.max() == 1


def test_side_by_side__equal_centres_and_empty_clusters() -> None:
    order = side_by_side(np.zeros((5, 3)), np.zeros(5, int))
    np.testing.assert_array_equal(np.sort(order), np.arange(5))
