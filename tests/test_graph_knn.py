"""Neighbour lists against scikit-learn and scanpy."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
import scanpy as sc
from scipy.spatial.distance import cdist

from lazymu.errors import ArgumentError, MemoryLimitError
from lazymu.graph import search as searching
from lazymu.graph.connectivities import distance_matrix, umap_connectivities
from lazymu.graph.knn import nearest_neighbors, sampled_recall
from lazymu.graph.search import DescentSearch, ExactSearch, NeighborLists
from lazymu.settings import settings


def clustered(n: int, d: int, *, seed: int = 0, n_clusters: int = 6) -> np.ndarray:
    generator = np.random.default_rng(seed)
    centres = 3 * generator.normal(size=(n_clusters, d))
    points = centres[generator.integers(n_clusters, size=n)] + generator.normal(size=(n, d))
    return points.astype(np.float32)


def plain_lists(X: np.ndarray, k: int, metric: str = "euclidean") -> NeighborLists:
    """Sort full rows by (distance, index), the cell itself taken out."""
    full = cdist(X.astype(np.float64), X.astype(np.float64), metric=metric)
    np.fill_diagonal(full, np.inf)
    order = np.argsort(full, axis=1, kind="stable")[:, :k]
    return NeighborLists(order.astype(np.int32), np.take_along_axis(full, order, axis=1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n", "d", "k"), [(300, 10, 14), (150, 1, 7), (600, 33, 199)])
def test_nearest_neighbors__are_the_nearest(dtype: type, n: int, d: int, k: int) -> None:
    X = clustered(n, d).astype(dtype)
    expected = plain_lists(X, k)
    found = nearest_neighbors(X, k)
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_allclose(found.distances, expected.distances, rtol=1e-12)
    assert (found.indices.dtype, found.distances.dtype) == (np.int32, np.float64)


@pytest.mark.parametrize("shift", [0.0, 1e4, -3e7])
@pytest.mark.parametrize("size", [1e-12, 1.0, 1e15])
def test_nearest_neighbors__any_offset_and_unit(shift: float, size: float) -> None:
    """The float32 products only sieve; the distances decide."""
    X = (clustered(200, 5).astype(np.float64) + shift) * size
    np.testing.assert_array_equal(nearest_neighbors(X, 9).indices, plain_lists(X, 9).indices)


def test_nearest_neighbors__outlier_does_not_blur_the_rest() -> None:
    X = clustered(200, 5).astype(np.float64)
    X[17] *= 1e9
    np.testing.assert_array_equal(nearest_neighbors(X, 9).indices, plain_lists(X, 9).indices)


def test_nearest_neighbors__duplicates_are_neighbours_at_distance_zero() -> None:
    X = np.repeat(clustered(40, 4), 3, axis=0)
    found = nearest_neighbors(X, 4)
    assert not np.any(found.indices == np.arange(120)[:, None])
    np.testing.assert_array_equal(found.distances[:, :2], 0.0)
    triples = np.arange(120)[:, None] // 3
    np.testing.assert_array_equal(found.indices[:, :2] // 3, np.broadcast_to(triples, (120, 2)))
    np.testing.assert_array_equal(found.indices, plain_lists(X, 4).indices)


def test_nearest_neighbors__equal_cells_in_order() -> None:
    found = nearest_neighbors(np.ones((6, 3)), 2)
    np.testing.assert_array_equal(found.indices[:3], [[1, 2], [0, 2], [0, 1]])


def test_nearest_neighbors__more_than_there_are_cells() -> None:
    found = nearest_neighbors(clustered(5, 2), 50)
    assert found.indices.shape == (5, 4)
    assert [set(row) for row in found.indices] == [set(range(5)) - {i} for i in range(5)]


def test_nearest_neighbors__blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    X = clustered(500, 8)
    expected = nearest_neighbors(X, 12)
    monkeypatch.setattr(searching, "TILE_ROWS", 7)
    monkeypatch.setattr(searching, "TILE_COLS", 33)
    found = nearest_neighbors(X, 12)
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_array_equal(found.distances, expected.distances)


@pytest.mark.parametrize("metric", ["cosine", "manhattan", "correlation"])
def test_nearest_neighbors__other_metrics(metric: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "BLOCK_BYTES", 8 * 200 * 17)
    X = clustered(200, 6)
    expected = plain_lists(X, 8, {"manhattan": "cityblock"}.get(metric, metric))
    found = nearest_neighbors(X, 8, metric=metric)
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_allclose(found.distances, expected.distances, rtol=1e-5)


def test_exact_search__rows_scaled_to_length_one() -> None:
    X = clustered(200, 6)
    lengths = np.linalg.norm(X.astype(np.float64), axis=1)
    found = ExactSearch(X, 1 / lengths).nearest(np.arange(50, 90), 11)
    expected = plain_lists(X / lengths[:, None], 11)
    np.testing.assert_array_equal(found.indices, expected.indices[50:90])
    np.testing.assert_allclose(found.distances, expected.distances[50:90], rtol=1e-12)


@pytest.mark.slow
def test_descent__recalls_the_nearest() -> None:
    X = clustered(3000, 20)
    X[:80] = X[0]  # more equal cells than an index holds neighbours
    ones = np.ones(len(X))
    search, exact = DescentSearch(X, ones, "euclidean", 30, 0), ExactSearch(X, ones)
    cells = np.arange(len(X))
    for k in (14, 30):
        found, expected = search.nearest(cells, k), exact.nearest(cells, k)
        assert not np.any(found.indices == np.arange(3000)[:, None])
        assert np.all(np.diff(found.distances, axis=1) >= 0)
        np.testing.assert_array_equal(found.distances[:80, :10], 0.0)
        assert 0.99 < shared(found.indices[80:], expected.indices[80:]) <= 1
        for row in (0, 100, 2999):
            np.testing.assert_allclose(
                found.distances[row],
                np.sqrt(((X[row] - X[found.indices[row]]) ** 2).sum(axis=1)),
                rtol=1e-5,
            )


@pytest.mark.slow
def test_descent__same_lists_for_any_number_of_threads() -> None:
    X = clustered(4000, 12)
    lists = []
    for n_threads in (1, 2, 3):
        with settings.override(n_threads=n_threads):
            search = DescentSearch(X, np.ones(len(X)), "euclidean", 15, 0)
            lists.append(search.nearest(np.arange(4000), 15))
    for found in lists[1:]:
        np.testing.assert_array_equal(found.indices, lists[0].indices)
        np.testing.assert_array_equal(found.distances, lists[0].distances)


def test_descent__memory_is_known_before_it_starts() -> None:
    with settings.override(memory_limit=10**6):
        with pytest.raises(MemoryLimitError, match=r"4,000 cells.*of 1,000,000 bytes allowed"):
            nearest_neighbors(clustered(4000, 12), 15, method="pynndescent")


def test_sampled_recall__is_the_part_found() -> None:
    X = clustered(5000, 8)
    lists = plain_lists(X, 10)
    assert sampled_recall(X, lists) == 1.0
    assert sampled_recall(X, plain_lists(X, 10, "cosine"), metric="cosine") == 1.0
    worse = NeighborLists(lists.indices.copy(), lists.distances)
    worse.indices[:, 7:] = (np.arange(5000)[:, None] + 2500) % 5000
    assert sampled_recall(X, worse) == pytest.approx(0.7, abs=0.01)


def shared(a: np.ndarray, b: np.ndarray) -> float:
    """Return the mean part of a row's entries that two lists have in common."""
    return (
        float(np.mean([len(np.intersect1d(*rows)) for rows in zip(a, b, strict=True)])) / a.shape[1]
    )


@pytest.mark.parametrize(
    ("X", "match"),
    [
        (np.ones(5), "two or more cells"),
        (np.ones((1, 5)), "two or more cells"),
        (np.array([[1.0], [np.nan]]), "NaN or infinity"),
    ],
)
def test_nearest_neighbors__unusable_embedding(X: np.ndarray, match: str) -> None:
    with pytest.raises(ArgumentError, match=match):
        nearest_neighbors(X, 2)


def test_nearest_neighbors__unusable_arguments() -> None:
    X = clustered(10, 2)
    with pytest.raises(ArgumentError, match="`n_neighbors` is 0"):
        nearest_neighbors(X, 0)
    with pytest.raises(ArgumentError, match=r"`metric` is 'cosine'.*Euclidean.*method=.auto."):
        nearest_neighbors(X, 2, metric="cosine", method="inverted")
    with pytest.raises(
        ArgumentError, match="'auto', 'exact', 'inverted', 'sharded', 'pynndescent'"
    ):
        nearest_neighbors(X, 2, method="annoy")  # type: ignore[arg-type]  # the point of the test


def scanpy_graph(X: np.ndarray, n_neighbors: int, metric: str = "euclidean") -> ad.AnnData:
    adata = ad.AnnData(X)
    sc.pp.neighbors(adata, n_neighbors, use_rep="X", metric=metric)
    return adata


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_connectivities__equal_scanpy(metric: str) -> None:
    X = clustered(400, 12).astype(np.float64)
    adata = scanpy_graph(X, 15, metric)
    lists = nearest_neighbors(X, 14, metric=metric)
    distances, connectivities = distance_matrix(lists), umap_connectivities(lists)
    expected = adata.obsp["distances"].tocsr().sorted_indices()
    np.testing.assert_array_equal(distances.indptr, expected.indptr)
    np.testing.assert_array_equal(distances.indices, expected.indices)
    np.testing.assert_allclose(distances.data, expected.data, rtol=1e-6)
    expected = adata.obsp["connectivities"].tocsr().sorted_indices()
    np.testing.assert_array_equal(connectivities.indices, expected.indices)
    np.testing.assert_allclose(connectivities.data, expected.data, rtol=5e-5)
    assert connectivities.dtype == distances.dtype == np.float32
    assert connectivities.has_canonical_format
    assert distances.has_canonical_format


def test_distance_matrix__keeps_zeros_and_leaves_out_absent() -> None:
    lists = NeighborLists(np.array([[2, 1], [0, -1], [1, 0]], np.int32), np.zeros((3, 2)))
    matrix = distance_matrix(lists)
    np.testing.assert_array_equal(matrix.indptr, [0, 2, 3, 5])
    np.testing.assert_array_equal(matrix.indices, [1, 2, 0, 0, 1])
    assert matrix.nnz == 5


@pytest.mark.parametrize("first_is_self", [False, True])
def test_connectivities__equal_umap(first_is_self: bool) -> None:
    """Of cells at distance 0 the nearest distance above 0 counts; where all are 0 there is none.

    muon hands its lists of k + 1 others to UMAP as if the first were the cell itself.
    """
    from umap.umap_ import fuzzy_simplicial_set

    X = np.repeat(clustered(60, 3), [12] * 5 + [2] * 25 + [1] * 30, axis=0)
    lists = nearest_neighbors(X, 7)
    indices, distances = lists.indices, lists.distances.astype(np.float32)
    if not first_is_self:
        indices = np.column_stack([np.arange(len(X)), indices])
        distances = np.column_stack([np.zeros(len(X), np.float32), distances])
    expected, _, _ = fuzzy_simplicial_set(
        np.empty((len(X), 1)),
        indices.shape[1],
        None,
        None,
        knn_indices=indices,
        knn_dists=distances,
    )
    found = umap_connectivities(lists, first_is_self=first_is_self)
    np.testing.assert_allclose(found.toarray(), expected.toarray(), rtol=5e-5, atol=1e-7)
    assert (lists.distances.max(axis=1) == 0).any()
