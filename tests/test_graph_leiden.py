"""Clusters against scanpy's."""

from __future__ import annotations

import random
import warnings

import anndata as ad
import numpy as np
import pytest
import scanpy as sc
import scipy.sparse as sp

from lazymu.errors import ArgumentError, MemoryLimitError
from lazymu.graph import communities
from lazymu.graph.communities import order_by_size
from lazymu.graph.connectivities import umap_connectivities
from lazymu.graph.knn import nearest_neighbors
from lazymu.graph.leiden import (
    Implementation,
    leiden_at_resolutions,
    leiden_labels,
)
from lazymu.settings import settings


@pytest.fixture(scope="module")
def graph() -> sp.csr_matrix:
    generator = np.random.default_rng(0)
    centres = 2 * generator.normal(size=(9, 8))
    X = centres[generator.integers(9, size=700)] + generator.normal(size=(700, 8))
    return umap_connectivities(nearest_neighbors(X, 14))


def of_scanpy(graph: sp.csr_matrix, **arguments: object) -> ad.AnnData:
    adata = ad.AnnData(np.zeros((graph.shape[0], 1), np.float32))
    with warnings.catch_warnings():
        # scanpy advises igraph where leidenalg is asked for.
        warnings.simplefilter("ignore")
        sc.tl.leiden(adata, adjacency=graph, **arguments)
    return adata


@pytest.mark.parametrize("seed", [0, 3])
@pytest.mark.parametrize("use_weights", [True, False])
@pytest.mark.parametrize(("resolution", "n_iterations"), [(1.0, 2), (0.3, 2), (2.5, -1)])
def test_leiden_labels__equal_scanpy(
    graph: sp.csr_matrix, seed: int, use_weights: bool, resolution: float, n_iterations: int
) -> None:
    """scanpy gives igraph every edge twice; once, with twice the weight, is the same graph."""
    arguments = {
        **{"resolution": resolution, "n_iterations": n_iterations},
        **{"random_state": seed, "use_weights": use_weights},
    }
    adata = of_scanpy(graph, flavor="igraph", directed=False, **arguments)
    found = leiden_labels(graph, **arguments)
    np.testing.assert_array_equal(found.labels, order_by_size(adata.obs["leiden"].astype(int)))
    if "modularity" in adata.uns["leiden"]:
        np.testing.assert_allclose(found.modularity, adata.uns["leiden"]["modularity"])


@pytest.mark.parametrize("directed", [None, True, False])
def test_leiden_labels__equal_scanpy_with_leidenalg(
    graph: sp.csr_matrix, directed: bool | None
) -> None:
    adata = of_scanpy(graph, flavor="leidenalg", directed=directed, n_iterations=2)
    found = leiden_labels(graph, flavor="leidenalg", directed=directed, n_iterations=2)
    np.testing.assert_array_equal(found.labels, order_by_size(adata.obs["leiden"].astype(int)))


def test_leiden_labels__modularity_is_that_of_the_labels(graph: sp.csr_matrix) -> None:
    found = leiden_labels(graph, resolution=0.7)
    weights, same = graph.toarray(), found.labels[:, None] == found.labels
    degrees = weights.sum(axis=1)
    expected = weights - 0.7 * np.outer(degrees, degrees) / degrees.sum()
    np.testing.assert_allclose(found.modularity, expected[same].sum() / degrees.sum(), rtol=1e-6)
    assert np.all(np.diff(np.bincount(found.labels)) <= 0)


def test_leiden_labels__both_directions_add_up() -> None:
    """Of a graph with one direction of each edge, and loops, igraph is given the sum."""
    generator = np.random.default_rng(1)
    upper = sp.triu(sp.random(60, 60, 0.2, random_state=2), 1)
    loops = sp.diags(generator.random(60))
    symmetric = leiden_labels(sp.csr_matrix(upper + upper.T + 2 * loops))
    one_way = leiden_labels(sp.csr_matrix(2 * upper + 2 * loops))
    np.testing.assert_array_equal(one_way.labels, symmetric.labels)
    adata = of_scanpy(sp.csr_matrix(upper + loops), flavor="igraph", n_iterations=2)
    found = leiden_labels(sp.csr_matrix(upper + loops))
    np.testing.assert_array_equal(found.labels, order_by_size(adata.obs["leiden"].astype(int)))


def test_leiden_labels__leaves_random_states_alone(graph: sp.csr_matrix) -> None:
    random.seed(5)
    np.random.seed(5)  # the global state is what is tested
    expected = random.random(), np.random.random()
    random.seed(5)
    np.random.seed(5)
    leiden_labels(graph)
    assert (random.random(), np.random.random()) == expected


def test_leiden_labels__does_not_change_the_graph(graph: sp.csr_matrix) -> None:
    before = graph.copy()
    leiden_labels(graph, use_weights=False)
    leiden_labels(graph)
    np.testing.assert_array_equal(graph.data, before.data)
    np.testing.assert_array_equal(graph.indices, before.indices)


def test_leiden_labels__cells_without_neighbours() -> None:
    np.testing.assert_array_equal(leiden_labels(sp.csr_matrix((4, 4))).labels, [0, 1, 2, 3])


def test_leiden_labels__unusable_arguments(graph: sp.csr_matrix) -> None:
    with pytest.raises(ArgumentError, match="takes undirected graphs"):
        leiden_labels(graph, directed=True)
    with pytest.raises(ArgumentError, match="'igraph', 'leidenalg'"):
        leiden_labels(graph, flavor="louvain")  # type: ignore[arg-type]  # the point of the test


def test_leiden_labels__memory_is_known_before_it_starts(graph: sp.csr_matrix) -> None:
    with settings.override(memory_limit=10**5):
        with pytest.raises(MemoryLimitError, match=r"a graph of \d+,\d{3} edges.*0.00 GB allowed"):
            leiden_labels(graph)


def test_leiden_labels__edges_given_in_parts(
    graph: sp.csr_matrix, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = leiden_labels(graph)
    monkeypatch.setattr(communities, "ADDED_EDGES", 1000)
    assert graph.nnz > 5 * communities.ADDED_EDGES
    parts = leiden_labels(graph)
    np.testing.assert_array_equal(parts.labels, whole.labels)
    assert parts.modularity == whole.modularity


@pytest.mark.parametrize("flavor", ["igraph", "leidenalg"])
def test_leiden_at_resolutions__one_graph_gives_what_each_alone_does(
    graph: sp.csr_matrix, flavor: Implementation
) -> None:
    options = {"n_iterations": 2, "flavor": flavor, "directed": None, "use_weights": True}
    found = leiden_at_resolutions(graph, [0.4, 2.0, 0.4], random_state=1, **options)
    for resolution, clusters in zip([0.4, 2.0, 0.4], found, strict=True):
        alone = leiden_labels(graph, resolution=resolution, random_state=1, **options)
        np.testing.assert_array_equal(clusters.labels, alone.labels)
        assert clusters.modularity == alone.modularity
    assert found[0].labels.max() < found[1].labels.max()
