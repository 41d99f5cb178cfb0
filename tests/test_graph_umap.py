"""Layouts against scanpy's."""

from __future__ import annotations

import warnings

import anndata as ad
import numpy as np
import pytest
import scanpy as sc
import scipy.sparse as sp
from sklearn.manifold import trustworthiness

from lazymu.errors import ArgumentError
from lazymu.graph import descent, umap
from lazymu.graph.connectivities import umap_connectivities
from lazymu.graph.descent import _rounds, descend
from lazymu.graph.knn import nearest_neighbors
from lazymu.graph.umap import umap_layout
from lazymu.kernels.layout import edges_by_blocks, power_of_each
from lazymu.settings import settings
from lazymu.stream.progress import Tick, watching


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


def kept_neighbors(X: np.ndarray, layout: np.ndarray, k: int = 15) -> float:
    """Return the part of each cell's neighbours that are among as many in the layout."""
    near, shown = nearest_neighbors(X, k).indices, nearest_neighbors(layout, k).indices
    return float(
        np.mean([len(np.intersect1d(*rows)) / k for rows in zip(near, shown, strict=True)])
    )


def test_umap_layout__threaded_descent_is_as_good_as_umap(monkeypatch: pytest.MonkeyPatch) -> None:
    X = cells(3000, n_clusters=12)
    graph = graph_of(X)
    expected = umap_layout(graph, n_epochs=200).coordinates
    monkeypatch.setattr(umap, "SERIAL_MAX_CELLS", 0)
    # 375 cells a block; there are more of them wherever this descent is chosen.
    monkeypatch.setattr(descent, "N_BLOCKS", 8)
    found = umap_layout(graph, n_epochs=200).coordinates
    trust = [trustworthiness(X, y, n_neighbors=15) for y in (expected, found)]
    assert trust[1] == pytest.approx(trust[0], abs=0.01)
    assert kept_neighbors(X, found) == pytest.approx(kept_neighbors(X, expected), abs=0.01)
    np.testing.assert_allclose(np.ptp(found, axis=0), np.ptp(expected, axis=0), rtol=0.3)


@pytest.mark.parametrize("n_components", [2, 3])
def test_umap_layout__same_for_any_number_of_threads(
    n_components: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(umap, "SERIAL_MAX_CELLS", 0)
    graph = graph_of(cells(700))
    layouts = []
    for n_threads in (1, 2, 5):
        with settings.override(n_threads=n_threads):
            found = umap_layout(graph, n_components=n_components, n_epochs=30, random_state=3)
            layouts.append(found.coordinates)
    assert layouts[0].shape == (700, n_components)
    assert layouts[0].dtype == np.float32
    np.testing.assert_array_equal(layouts[0], layouts[1])
    np.testing.assert_array_equal(layouts[0], layouts[2])
    other = umap_layout(graph, n_components=n_components, n_epochs=30, random_state=4).coordinates
    assert not np.allclose(other, layouts[0], atol=0.1)


@pytest.mark.parametrize("n", [3, 31, 33])
@pytest.mark.parametrize("init", ["random", "spectral"])
def test_umap_layout__threaded_descent_of_few_cells(
    n: int, init: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fewer cells than blocks, and one more."""
    monkeypatch.setattr(umap, "SERIAL_MAX_CELLS", 0)
    X = cells(n)
    found = umap_layout(graph_of(X, 2), data=X, init=init, n_epochs=20)
    assert found.coordinates.shape == (n, 2)
    assert np.isfinite(found.coordinates).all()


def test_umap_layout__tells_its_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(umap, "SERIAL_MAX_CELLS", 0)
    shares: list[float] = []

    def note(tick: Tick) -> None:
        assert tick.label == "UMAP"
        shares.append(tick.done_blocks / tick.n_blocks)

    graph = graph_of(cells())
    with watching(note):
        umap_layout(graph, init=cells()[:, :2], n_epochs=4)
    assert shares == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_descend__cells_without_edges_stay() -> None:
    start = cells(50)[:, :2]
    arguments = {"a": 1.0, "b": 1.0, "alpha": 1.0, "gamma": 1.0, "negative_sample_rate": 5}
    empty = sp.csr_matrix((50, 50), dtype=np.float32)
    state = np.random.RandomState(0)
    found = descend(empty, start, n_epochs=3, random_state=state, **arguments)
    np.testing.assert_array_equal(found, start)


def test_rounds__all_pairs_of_blocks_meet_once_and_no_block_twice_in_a_round() -> None:
    rounds = list(_rounds(8))
    for pairs in rounds[1:]:
        assert sorted(block for pair in pairs for block in pair) == list(range(8))
    met = sorted(pair for pairs in rounds for pair in pairs)
    assert met == [(i, j) for i in range(8) for j in range(i, 8)]


def test_edges_by_blocks__hold_every_pair_once() -> None:
    graph = graph_of(cells(90), 6)
    position = np.random.default_rng(1).permutation(90).astype(np.int32)
    parts = (graph.indptr, graph.indices, graph.data)
    ends, shares, starts = edges_by_blocks(*parts, position, 12, 8, 0.2)
    upper = sp.triu(graph, 1).tocoo()
    kept = upper.data >= 0.2
    places = np.sort(np.column_stack([position[upper.row], position[upper.col]])[kept], axis=1)
    expected = {(i, j): w for (i, j), w in zip(places.tolist(), upper.data[kept], strict=True)}
    found = {(i, j): w for (i, j), w in zip(ends.tolist(), shares * upper.data.max(), strict=True)}
    assert len(ends) == len(found) > 100
    assert found == pytest.approx(expected, rel=1e-6)
    pairs = np.repeat(np.arange(64), np.diff(starts))
    np.testing.assert_array_equal(ends // 12 @ [8, 1], pairs)


@pytest.mark.parametrize("exponent", [-0.3, 0.5, 0.79, 1.0, 1.6])
def test_power__to_1e_5(exponent: float) -> None:
    x = np.exp(np.linspace(np.log(1e-30), np.log(1e12), 10_001)).astype(np.float32)
    expected = np.clip(x.astype(np.float64) ** exponent, 2.0**-100, 2.0**100)
    np.testing.assert_allclose(power_of_each(x, exponent), expected, rtol=1e-5)
