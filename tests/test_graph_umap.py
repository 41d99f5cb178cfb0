"""Layouts against scanpy's."""

from __future__ import annotations

import warnings

import anndata as ad
import numpy as np
import pytest
import scanpy as sc
import scipy.sparse as sp

from lazymu.errors import ArgumentError
from lazymu.graph import umap
from lazymu.graph.connectivities import umap_connectivities
from lazymu.graph.knn import nearest_neighbors
from lazymu.graph.umap import umap_layout


def cells(n: int = 300, *, spread: float = 1.0, n_clusters: int = 5) -> np.ndarray:
    generator = np.random.default_rng(0)
    centres = spread * generator.normal(size=(n_clusters, 6))
    members = np.arange(n) % n_clusters
    return (centres[members] + generator.normal(size=(n, 6))).astype(np.float32)


def graph_of(X: np.ndarray, k: int = 14) -> sp.csr_matrix:
    return umap_connectivities(nearest_neighbors(X, k))


def of_scanpy(X: np.ndarray, graph: sp.csr_matrix, **arguments: object) -> ad.AnnData:
    adata = ad.AnnData(X)
    adata.obsp["connectivities"] = graph
    params = {"method": "umap", "use_rep": "X", "metric": "euclidean"}
    adata.uns["neighbors"] = {"connectivities_key": "connectivities", "params": params}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Graph is not fully connected")
        sc.tl.umap(adata, **arguments)
    return adata


@pytest.mark.parametrize(
    ("spread", "n_clusters"), [(1.0, 5), (60.0, 3), (60.0, 8)], ids=["whole", "3 parts", "8 parts"]
)
def test_umap_layout__equals_scanpy(spread: float, n_clusters: int) -> None:
    X = cells(spread=spread, n_clusters=n_clusters)
    graph = graph_of(X)
    adata = of_scanpy(X, graph, maxiter=60)
    found = umap_layout(graph, data=X, n_epochs=60)
    np.testing.assert_array_equal(found.coordinates, adata.obsm["X_umap"])
    assert found.start == "spectral"
    assert {"a": found.a, "b": found.b} == pytest.approx(adata.uns["umap"]["params"])
    assert found.coordinates.dtype == np.float32


def test_umap_layout__equals_scanpy_with_other_arguments() -> None:
    X = cells()
    graph = graph_of(X)
    arguments = {
        **{"n_components": 3, "min_dist": 0.2, "spread": 1.5, "alpha": 0.7, "gamma": 1.2},
        **{"negative_sample_rate": 3, "random_state": 4},
    }
    adata = of_scanpy(X, graph, maxiter=15, **arguments)
    found = umap_layout(graph, n_epochs=15, **arguments)
    np.testing.assert_array_equal(found.coordinates, adata.obsm["X_umap"])
    random = of_scanpy(X, graph, maxiter=15, init_pos="random", a=1.1, b=0.9)
    found = umap_layout(graph, n_epochs=15, init="random", a=1.1, b=0.9)
    np.testing.assert_array_equal(found.coordinates, random.obsm["X_umap"])


def test_umap_layout__starts_from_given_coordinates() -> None:
    X = cells()
    graph = graph_of(X)
    adata = of_scanpy(X, graph, maxiter=5, init_pos=X[:, :2])
    found = umap_layout(graph, n_epochs=5, init=X[:, :2])
    np.testing.assert_array_equal(found.coordinates, adata.obsm["X_umap"])
    assert found.start == "given"


@pytest.mark.parametrize("limit", ["CELLS", "COMPONENTS", "RESTARTS"])
def test_umap_layout__leading_components_where_the_spectrum_is_out_of_reach(
    limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above the size, of too many parts, or where the eigensolver does not converge."""
    X = cells(spread=60.0 if limit == "COMPONENTS" else 1.0, n_clusters=8)
    # A ring: its eigenvalues are so close that no few restarts tell them apart.
    ring = sp.diags([1.0, 1.0], [1, -1], (3000, 3000), format="csr")
    X, graph = (np.ones((3000, 3)), ring) if limit == "RESTARTS" else (X, graph_of(X))
    if limit == "RESTARTS":
        X = np.random.default_rng(0).normal(size=(3000, 3))
    monkeypatch.setattr(umap, f"SPECTRAL_MAX_{limit}", 1)
    assert umap_layout(graph, data=X, n_epochs=5).start == "components"
    assert umap_layout(graph, n_epochs=5).start == "random"


def test_umap_layout__repeatable_and_leaves_the_graph_alone() -> None:
    graph = graph_of(cells())
    before = graph.copy()
    first, second = umap_layout(graph, n_epochs=20), umap_layout(graph, n_epochs=20)
    np.testing.assert_array_equal(first.coordinates, second.coordinates)
    np.testing.assert_array_equal(graph.data, before.data)


@pytest.mark.parametrize("n", [3, 5, 8])
def test_umap_layout__few_cells(n: int) -> None:
    X = cells(n)
    found = umap_layout(graph_of(X, 2), data=X, n_epochs=5)
    assert found.coordinates.shape == (n, 2)
    assert np.isfinite(found.coordinates).all()


def test_umap_layout__unusable_arguments() -> None:
    graph = graph_of(cells(20))
    with pytest.raises(ArgumentError, match="'spectral', 'random'"):
        umap_layout(graph, init="paga")  # type: ignore[arg-type]  # the point of the test
    with pytest.raises(ArgumentError, match=r"of shape \(20, 2\)"):
        umap_layout(graph, init=np.zeros((20, 3)))
    with pytest.raises(ArgumentError, match="`n_components` is 0"):
        umap_layout(graph, n_components=0)
