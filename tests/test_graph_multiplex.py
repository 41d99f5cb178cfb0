"""Clusters of several graphs of the same cells against muon's and leidenalg's, and Louvain's."""

from __future__ import annotations

import logging
import warnings
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import anndata as ad
import igraph
import leidenalg
import mudata as md
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp
from sklearn.metrics import adjusted_rand_score

import lazymu as mu
from lazymu.errors import (
    ArgumentError,
    MemoryLimitError,
    MissingResultError,
    ModalityNotFoundError,
)
from lazymu.graph.communities import order_by_size
from lazymu.graph.connectivities import umap_connectivities
from lazymu.graph.knn import nearest_neighbors
from lazymu.graph.levels import Level, level_of, quality
from lazymu.graph.louvain import louvain_at_resolutions
from lazymu.graph.multiplex import Layer, multiplex_leiden, multiplex_louvain
from lazymu.kernels.louvain import move_vertices
from lazymu.settings import settings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import muon

N = 400
METHODS = [multiplex_leiden, multiplex_louvain]


def coordinates(seed: int) -> np.ndarray:
    """Return an embedding in which cell ``i`` is of type ``i % 7``; each seed confuses others."""
    generator = np.random.default_rng(seed)
    centres = 1.6 * generator.normal(size=(7, 6))
    return (centres[np.arange(N) % 7] + generator.normal(size=(N, 6))).astype(np.float32)


def connectivities(seed: int) -> sp.csr_matrix:
    return umap_connectivities(nearest_neighbors(coordinates(seed), 14))


@pytest.fixture(scope="module")
def graphs() -> dict[str, sp.csr_matrix]:
    return {"rna": connectivities(1), "atac": connectivities(2)}


def one_way(graph: sp.csr_matrix, seed: int) -> sp.csr_matrix:
    """Return a graph that lacks the way back of every third edge or so."""
    lost = np.random.default_rng(seed).random(graph.nnz) < 0.3
    directed = graph.copy()
    directed.data = np.where(lost, 0, graph.data)
    directed.eliminate_zeros()
    return directed


def layers_of(graphs: Mapping[str, sp.csr_matrix], **own: Sequence[float]) -> dict[str, Layer]:
    rows = np.arange(next(iter(graphs.values())).shape[0])
    options = [dict(zip(own, values, strict=True)) for values in zip(*own.values(), strict=True)]
    options = options or [{}] * len(graphs)
    return {
        name: Layer(graph, rows, **option)
        for (name, graph), option in zip(graphs.items(), options, strict=True)
    }


def partition(
    graph: sp.csr_matrix,
    resolution: float = 1.0,
    *,
    directed: bool = True,
    use_weights: bool = False,
    labels: np.ndarray | None = None,
) -> Any:
    entries = graph.tocoo()
    edges = list(zip(entries.row.tolist(), entries.col.tolist(), strict=True))
    return leidenalg.RBConfigurationVertexPartition(
        igraph.Graph(n=graph.shape[0], edges=edges, directed=directed),
        initial_membership=None if labels is None else labels.tolist(),
        weights=entries.data.tolist() if use_weights else None,
        resolution_parameter=resolution,
    )


def same_clusters(found: Any, expected: Any) -> bool:
    pairs = set(zip(found, expected, strict=True))
    return len(pairs) == len(set(found)) == len(set(expected))


# --- Leiden on several graphs ---------------------------------------------------------------------


@pytest.mark.parametrize("directed", [True, False])
@pytest.mark.parametrize("use_weights", [True, False])
@pytest.mark.parametrize("n_iterations", [2, -1])
def test_multiplex_leiden__equals_leidenalg(
    graphs: dict[str, sp.csr_matrix], directed: bool, use_weights: bool, n_iterations: int
) -> None:
    kind = {"directed": directed, "use_weights": use_weights}
    graphs = {name: one_way(graph, seed) for seed, (name, graph) in enumerate(graphs.items())}
    parts = [partition(g, r, **kind) for g, r in zip(graphs.values(), (0.8, 1.3), strict=True)]
    optimiser = leidenalg.Optimiser()
    optimiser.set_rng_seed(4)
    improvement = optimiser.optimise_partition_multiplex(parts, [1.0, 2.5], n_iterations)
    layers = layers_of(graphs, resolution=(0.8, 1.3), weight=(1.0, 2.5))
    found = multiplex_leiden(layers, n_iterations=n_iterations, random_state=4, **kind)
    expected = order_by_size(np.array(parts[0].membership))
    np.testing.assert_array_equal(found.labels, expected)
    np.testing.assert_allclose(found.improvement, improvement)
    assert found.labels.dtype == np.int32


def test_multiplex_leiden__a_seed_of_0_is_a_seed(graphs: dict[str, sp.csr_matrix]) -> None:
    layers = layers_of(graphs, resolution=(4.0, 4.0), weight=(1.0, 1.0))
    first, second = (multiplex_leiden(layers, random_state=0) for _ in range(2))
    np.testing.assert_array_equal(first.labels, second.labels)
    assert first.improvement == second.improvement
    assert multiplex_leiden(layers, random_state=None).labels.shape == (N,)


# --- Louvain on several graphs --------------------------------------------------------------------


@pytest.mark.parametrize("directed", [True, False])
@pytest.mark.parametrize("use_weights", [True, False])
def test_multiplex_louvain__quality_is_leidenalgs(
    graphs: dict[str, sp.csr_matrix], directed: bool, use_weights: bool
) -> None:
    kind = {"directed": directed, "use_weights": use_weights}
    graphs = {name: one_way(graph, seed) for seed, (name, graph) in enumerate(graphs.items())}
    options = {"resolution": (0.7, 1.4), "weight": (1.0, 0.3)}
    found = multiplex_louvain(layers_of(graphs, **options), n_iterations=-1, **kind)
    gain = 0.0
    for graph, resolution, weight in zip(graphs.values(), *options.values(), strict=True):
        before = partition(graph, resolution, **kind)
        after = partition(graph, resolution, labels=found.labels, **kind)
        gain += weight * (after.quality() - before.quality())
    np.testing.assert_allclose(found.improvement, gain)
    best = multiplex_leiden(layers_of(graphs, **options), n_iterations=-1, **kind)
    assert found.improvement > 0.99 * best.improvement


def test_multiplex_louvain__no_cell_is_better_elsewhere(graphs: dict[str, sp.csr_matrix]) -> None:
    options = {"resolution": (1.0, 2.0), "weight": (1.0, 1.5)}
    found = multiplex_louvain(layers_of(graphs, **options), n_iterations=-1, use_weights=True)
    parts = [
        partition(graph, resolution, use_weights=True, labels=found.labels)
        for graph, resolution in zip(graphs.values(), options["resolution"], strict=True)
    ]
    gains = [
        sum(w * p.diff_move(cell, c) for w, p in zip(options["weight"], parts, strict=True))
        for cell in range(N)
        for c in range(int(found.labels.max()) + 1)
    ]
    assert max(gains) < 1e-9


@pytest.mark.parametrize("start", ["alone", "types"])
def test_move_vertices__equals_a_search_with_leidenalgs_gains(
    graphs: dict[str, sp.csr_matrix], start: str
) -> None:
    """The same queue, where leidenalg says what a move gains, in whole graphs and from scratch."""
    graphs = {name: one_way(graph, seed) for seed, (name, graph) in enumerate(graphs.items())}
    resolutions, weights = [1.0, 1.8], [1.0, 0.6]
    level = level_of(list(graphs.values()), resolutions, weights)
    community = np.arange(N) if start == "alone" else np.arange(N) % 7
    order = np.random.default_rng(5).permutation(N)
    expected = plain_moves(graphs, resolutions, weights, community, order)
    before, n_moves = quality(level, community), moved_in_place(level, community, order)
    assert same_clusters(community, expected)
    assert n_moves > 0
    assert quality(level, community) > before


def moved_in_place(level: Level, community: np.ndarray, order: np.ndarray) -> int:
    graph = level.weights
    return move_vertices(
        *(community, order, graph.indptr, graph.indices, graph.data),
        *(level.out, level.into, level.pull, 1e-10),
    )


def plain_moves(
    graphs: Mapping[str, sp.csr_matrix],
    resolutions: Sequence[float],
    weights: Sequence[float],
    community: np.ndarray,
    order: np.ndarray,
) -> np.ndarray:
    parts = [
        partition(graph, resolution, use_weights=True, labels=community)
        for graph, resolution in zip(graphs.values(), resolutions, strict=True)
    ]
    near = sum(graph + graph.T for graph in graphs.values()).tocsr()
    queue, waiting = deque(order.tolist()), set(order.tolist())
    while queue:
        v = queue.popleft()
        waiting.remove(v)
        neighbors = near.indices[near.indptr[v] : near.indptr[v + 1]]
        home, members = parts[0].membership[v], np.bincount(parts[0].membership, minlength=N)
        choices = [c for c in dict.fromkeys(np.array(parts[0].membership)[neighbors]) if c != home]
        if members[home] > 1:
            choices.append(int(np.flatnonzero(members == 0)[0]))
        gains = [
            sum(w * p.diff_move(v, int(c)) for w, p in zip(weights, parts, strict=True))
            for c in choices
        ]
        if not gains or max(gains) < 1e-9:
            continue
        best = int(choices[int(np.argmax(gains))])
        for part in parts:
            part.move_node(v, best)
        for u in neighbors.tolist():
            if u not in waiting and parts[0].membership[u] != best:
                queue.append(u)
                waiting.add(u)
    return np.array(parts[0].membership)


def test_multiplex_louvain__finds_the_types(graphs: dict[str, sp.csr_matrix]) -> None:
    """Of two layers more than of each."""
    truth = np.arange(N) % 7
    both = adjusted_rand_score(truth, multiplex_louvain(layers_of(graphs)).labels)
    for name in graphs:
        alone = multiplex_louvain(layers_of({name: graphs[name]}))
        assert adjusted_rand_score(truth, alone.labels) < both
    assert both > 0.75


def test_multiplex_louvain__one_layer_is_as_good_as_igraph(
    graphs: dict[str, sp.csr_matrix],
) -> None:
    found = multiplex_louvain(layers_of({"rna": graphs["rna"]}), use_weights=True).labels
    (expected,) = louvain_at_resolutions(graphs["rna"], [1.0])
    of_found = partition(graphs["rna"], use_weights=True, labels=found).quality()
    assert of_found / graphs["rna"].sum() > 0.99 * expected.modularity


# --- both -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("cluster", METHODS)
def test_multiplex__cells_go_by_their_rows(
    graphs: dict[str, sp.csr_matrix], cluster: Callable[..., Any]
) -> None:
    """A layer's own order does not matter; a cell it lacks stands alone in it."""
    whole, order = layers_of(graphs), np.random.default_rng(0).permutation(N)
    row_of = np.argsort(order)
    moved = {**whole, "atac": Layer(graphs["atac"][order][:, order], row_of)}
    expected, found = cluster(whole, random_state=2), cluster(moved, random_state=2)
    np.testing.assert_array_equal(found.labels, expected.labels)
    assert found.improvement == expected.improvement

    kept = order[: N - 40]
    rows = np.full(N, -1)
    rows[kept] = np.arange(len(kept))
    mask = sp.diags((rows >= 0).astype(np.float32))
    isolated = {**whole, "atac": Layer(sp.csr_matrix(mask @ graphs["atac"] @ mask), np.arange(N))}
    fewer = {**whole, "atac": Layer(graphs["atac"][kept][:, kept], rows)}
    expected, found = cluster(isolated, random_state=2), cluster(fewer, random_state=2)
    np.testing.assert_array_equal(found.labels, expected.labels)


@pytest.mark.parametrize("cluster", METHODS)
def test_multiplex__stored_zeros_are_no_edges(
    graphs: dict[str, sp.csr_matrix], cluster: Callable[..., Any]
) -> None:
    with_zeros = {name: graph.copy() for name, graph in graphs.items()}
    for graph in with_zeros.values():
        graph.data[::5] = 0
    without = {name: graph.copy() for name, graph in with_zeros.items()}
    for graph in without.values():
        graph.eliminate_zeros()
    found, expected = cluster(layers_of(with_zeros)), cluster(layers_of(without))
    np.testing.assert_array_equal(found.labels, expected.labels)
    assert with_zeros["rna"].nnz == graphs["rna"].nnz


@pytest.mark.parametrize("cluster", METHODS)
def test_multiplex__cells_without_neighbours(cluster: Callable[..., Any]) -> None:
    empty = sp.csr_matrix((4, 4))
    found = cluster({"rna": Layer(empty, np.arange(4)), "atac": Layer(empty, np.arange(4))})
    np.testing.assert_array_equal(found.labels, [0, 1, 2, 3])
    assert found.improvement == 0


@pytest.mark.parametrize("cluster", METHODS)
def test_multiplex__memory_is_known_before_it_starts(
    graphs: dict[str, sp.csr_matrix], cluster: Callable[..., Any]
) -> None:
    """Each layer alone would fit."""
    one = 190 if cluster is multiplex_leiden else 70
    limit = one * (graphs["rna"].nnz + graphs["atac"].nnz) - 1
    with settings.override(memory_limit=limit):
        cluster(layers_of({"rna": graphs["rna"]}))
        with pytest.raises(MemoryLimitError, match=r"2 graphs of \d+,\d{3} edges"):
            cluster(layers_of(graphs))


# --- facades on several modalities ----------------------------------------------------------------


def modality(seed: int, key: str | None = None) -> mu.Modality:
    obs = pd.DataFrame(index=[f"cell{i}" for i in range(N)])
    var = pd.DataFrame(index=[f"{seed}_{i}" for i in range(3)])
    obsm = {"X_pca": coordinates(seed)}
    mod = mu.Modality(np.ones((N, 3), np.float32), obs=obs, var=var, obsm=obsm)
    mu.pp.neighbors(mod, n_neighbors=14, key_added=key)
    return mod


@pytest.fixture
def mdata() -> mu.MuData:
    return mu.MuData({"rna": modality(1), "atac": modality(2)})


def of_muon(mdata: mu.MuData, **arguments: Any) -> md.MuData:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = md.MuData({name: mod.to_anndata() for name, mod in mdata.mod.items()})
        muon.tl.leiden(theirs, random_state=3, **arguments)
    return theirs


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"resolution": 0.5},
        {"resolution": {"rna": 0.4, "atac": 1.5}},
        {"mod_weights": {"atac": 3.0}},
        {"resolution": {"atac": 1.2, "rna": 0.7}, "mod_weights": {"rna": 0.5, "atac": 2}},
        {"directed": False},
        {"n_iterations": -1},
    ],
)
def test_leiden__of_several_graphs_equals_muon(mdata: mu.MuData, arguments: dict[str, Any]) -> None:
    theirs = of_muon(mdata, **arguments)
    mu.tl.leiden(mdata, random_state=3, **arguments)
    found, expected = mdata.obs["leiden"], theirs.obs["leiden"]
    assert same_clusters(found, expected)
    assert adjusted_rand_score(expected, found) == 1
    assert found.value_counts().index.tolist() == [str(i) for i in range(found.nunique())]
    assert found.nunique() > 2
    ours = mdata.uns["leiden"]["params"]
    params = theirs.uns["leiden"]["params"]
    assert set(params) <= set(ours)
    assert ours["resolution"] == (params["resolution"] or 1.0)
    assert ours["random_state"] == 3
    assert ours["n_iterations"] == arguments.get("n_iterations", 2)
    assert ours["mod_weights"] == {"rna": 1.0, "atac": 1.0} | arguments.get("mod_weights", {})
    assert ours["partition_improvement"] == pytest.approx(params["partition_improvement"])


@pytest.mark.parametrize("tool", [mu.tl.leiden, mu.tl.louvain])
def test_tools__cells_of_several_graphs_go_by_name(mdata: mu.MuData, tool: Any) -> None:
    key = tool.__name__
    tool(mdata)
    order = np.random.default_rng(0).permutation(N)
    shuffled = mu.MuData({"rna": mdata["rna"], "atac": mdata["atac"][order]})
    tool(shuffled)
    assert shuffled["atac"].obs_names.tolist() != shuffled.obs_names.tolist()
    pd.testing.assert_series_equal(shuffled.obs[key], mdata.obs[key])


@pytest.mark.parametrize("tool", [mu.tl.leiden, mu.tl.louvain])
def test_tools__cells_that_a_modality_lacks(mdata: mu.MuData, tool: Any) -> None:
    """They have edges in the others alone, and no cell takes another one's place."""
    kept = np.sort(np.random.default_rng(1).permutation(N)[: N - N // 10])
    fewer = mu.MuData({"rna": mdata["rna"][::-1], "atac": mdata["atac"][kept]})
    tool(fewer, random_state=3, mod_weights={"rna": 2})
    labels = fewer.obs[tool.__name__]
    assert labels.shape == (N,)
    assert adjusted_rand_score([int(name[4:]) % 7 for name in fewer.obs_names], labels) > 0.8
    if tool is mu.tl.leiden:
        graphs = [np.zeros((N, N), np.float32) for _ in fewer.mod]
        for graph, mod in zip(graphs, fewer.mod.values(), strict=True):
            at = fewer.obs_names.get_indexer(mod.obs_names)
            graph[np.ix_(at, at)] = mod.obsp["connectivities"].toarray()
        parts = [partition(sp.csr_matrix(graph)) for graph in graphs]
        optimiser = leidenalg.Optimiser()
        optimiser.set_rng_seed(3)
        optimiser.optimise_partition_multiplex(parts, [2, 1])
        assert same_clusters(labels, parts[0].membership)


@pytest.mark.parametrize("tool", [mu.tl.leiden, mu.tl.louvain])
def test_tools__which_graphs_are_clustered(mdata: mu.MuData, tool: Any) -> None:
    """The joint one where there is one, unless arguments speak of modalities."""
    key = tool.__name__
    tool(mdata, resolution=1)
    assert "partition_improvement" in mdata.uns[key]["params"]
    several = mdata.obs[key].copy()
    mu.pp.neighbors(mdata)
    tool(mdata)
    assert "modularity" in mdata.uns[key]
    for arguments in ({"mod_weights": {}}, {"resolution": {"rna": 1, "atac": 1}}):
        tool(mdata, **arguments)
        pd.testing.assert_series_equal(mdata.obs[key], several)
        assert "modularity" not in mdata.uns[key]
    tool(mdata, 0.5, {"rna": 1}, key_added="second")
    assert mdata.uns["second"]["params"]["mod_weights"] == {"rna": 1, "atac": 1}
    tool(mdata["rna"], [0.5, 1.0], key_added="c")
    assert list(mdata["rna"].obs) == ["c_0.5", "c_1"]


def test_leiden__weights_of_several_graphs(mdata: mu.MuData) -> None:
    """Edges have theirs on request; of one graph unless told."""
    mu.tl.leiden(mdata, use_weights=True, resolution=3)
    graphs = {name: mod.obsp["connectivities"] for name, mod in mdata.mod.items()}
    layers = layers_of(graphs, resolution=(3.0, 3.0))
    found = mdata.obs["leiden"].cat.codes
    np.testing.assert_array_equal(found, multiplex_leiden(layers, use_weights=True).labels)
    assert not np.array_equal(found, multiplex_leiden(layers).labels)
    for tool in (mu.tl.leiden, mu.tl.louvain):
        tool(mdata["rna"], key_added="default")
        tool(mdata["rna"], use_weights=True, key_added="weighted")
        tool(mdata["rna"], use_weights=False, key_added="plain")
        scores = [mdata["rna"].uns[key]["modularity"] for key in ("default", "weighted", "plain")]
        assert scores[0] == scores[1] != scores[2]


def test_leiden__modalities_without_the_graph_are_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    mdata = mu.MuData({"rna": modality(1, "own"), "atac": modality(2, "own"), "prot": modality(3)})
    pair = mu.MuData({"rna": mdata["rna"], "atac": mdata["atac"]})
    with caplog.at_level(logging.WARNING, "lazymu"):
        mu.tl.leiden(pair, neighbors_key="own")
        assert not caplog.records
        mu.tl.leiden(mdata, neighbors_key="own")
    assert "No graph 'own' in prot" in caplog.text
    pd.testing.assert_series_equal(mdata.obs["leiden"], pair.obs["leiden"])
    assert set(mdata.uns["leiden"]["params"]["mod_weights"]) == {"rna", "atac"}


@pytest.mark.parametrize("tool", [mu.tl.leiden, mu.tl.louvain])
@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"resolution": [0.5, 1.0]}, ArgumentError, r"one clustering.*\{'rna': ..., 'atac': ...\}"),
        ({"resolution": {"rna": 1}}, ArgumentError, "atac would have none"),
        ({"resolution": {"rna": 1, "atac": "x"}}, ArgumentError, "numbers of 0 or more"),
        ({"resolution": float("nan")}, ArgumentError, "`resolution` is nan"),
        ({"resolution": None}, ArgumentError, "`resolution` is None"),
        ({"resolution": {"rna": 1, "atac": 1, "x": 1}}, ModalityNotFoundError, "'x'.*rna, atac"),
        ({"mod_weights": {"prot": 1}}, ModalityNotFoundError, "this MuData has: rna, atac"),
        ({"mod_weights": [1, 2]}, ArgumentError, "by the modalities' names.*pass a mapping"),
        ({"mod_weights": 2}, ArgumentError, "`mod_weights` is 2"),
        ({"mod_weights": {"rna": -1}}, ArgumentError, "`mod_weights`.*numbers of 0 or more"),
        ({"mod_weights": {"rna": 0, "atac": 0}}, ArgumentError, "would count nothing"),
        ({"mod_weights": {}, "obsp": "c"}, ArgumentError, "`mod_weights`.*leave out `obsp`"),
        (
            {"resolution": {"rna": 1, "atac": 1}, "adjacency": sp.eye(N, format="csr")},
            ArgumentError,
            "`resolution` is of several modalities, but `adjacency` names one graph",
        ),
        (
            {"neighbors_key": "wnn"},
            MissingResultError,
            r"only: neighbors of rna, neighbors of atac; call lazymu.pp.neighbors\(mdata, "
            r"key_added='wnn'\) first, or lazymu.pp.neighbors\(mdata\[name\], key_added='wnn'\)",
        ),
        (
            {"neighbors_key": "wnn", "mod_weights": {}},
            MissingResultError,
            "no modality has a graph of that name, only: neighbors of rna",
        ),
    ],
)
def test_tools__unusable_arguments_of_several_graphs(
    mdata: mu.MuData, tool: Any, arguments: dict, error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        tool(mdata, **arguments)
    assert not len(mdata.obs.columns)


@pytest.mark.parametrize("tool", [mu.tl.leiden, mu.tl.louvain])
def test_tools__graphs_not_there(mdata: mu.MuData, tool: Any) -> None:
    with pytest.raises(ArgumentError, match="a modality has one graph; pass the MuData"):
        tool(mdata["rna"], mod_weights={"rna": 1})
    with pytest.raises(ArgumentError, match=r"`resolution`.*a modality has one graph"):
        tool(mdata["rna"], resolution={"rna": 1})
    with pytest.raises(ArgumentError, match=r"`resolution`.*numbers of 0 or more"):
        tool(mdata["rna"], resolution=[1, -1])
    del mdata["atac"].uns["neighbors"]
    with pytest.raises(MissingResultError, match=r"only: none; call.*neighbors\(mdata\['atac'\]"):
        tool(mdata, mod_weights={"atac": 2})
    del mdata["rna"].obsp["connectivities"]
    with pytest.raises(MissingResultError, match=r"obsp\['connectivities'\] of rna is gone"):
        tool(mdata)


@pytest.mark.parametrize("suffix", ["zarr", "h5mu"])
def test_tools__clusters_of_several_graphs_are_stored(
    mdata: mu.MuData, suffix: str, tmp_path: Path
) -> None:
    mu.tl.leiden(mdata, resolution={"rna": 0.5, "atac": 1}, random_state=None)
    mu.tl.louvain(mdata, mod_weights={"rna": 2})
    mdata.write(path := tmp_path / f"clusters.{suffix}")
    read = mu.read_zarr if suffix == "zarr" else mu.read_h5mu
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = (md.read_zarr if suffix == "zarr" else md.read_h5mu)(path)
    for stored in (read(path), theirs):
        for key in ("leiden", "louvain"):
            assert stored.obs[key].astype(str).tolist() == mdata.obs[key].tolist()
            assert list(stored.obs[key].cat.categories) == list(mdata.obs[key].cat.categories)
            assert stored.uns[key]["params"] == mdata.uns[key]["params"]
    assert "random_state" not in mdata.uns["leiden"]["params"]
    assert mdata.uns["leiden"]["params"]["resolution"] == {"rna": 0.5, "atac": 1.0}


# --- Louvain on one graph -------------------------------------------------------------------------


@pytest.mark.parametrize("use_weights", [True, False])
@pytest.mark.parametrize("resolution", [1.0, 2.5])
def test_louvain_at_resolutions__modularity_is_that_of_the_labels(
    graphs: dict[str, sp.csr_matrix], use_weights: bool, resolution: float
) -> None:
    graph = graphs["rna"]
    (found,) = louvain_at_resolutions(graph, [resolution], use_weights=use_weights)
    weights = graph.toarray() if use_weights else (graph.toarray() > 0).astype(float)
    degrees, same = weights.sum(axis=1), found.labels[:, None] == found.labels
    expected = weights - resolution * np.outer(degrees, degrees) / degrees.sum()
    np.testing.assert_allclose(found.modularity, expected[same].sum() / degrees.sum(), rtol=1e-6)
    assert np.all(np.diff(np.bincount(found.labels)) <= 0)


def test_louvain_at_resolutions__equals_igraph(graphs: dict[str, sp.csr_matrix]) -> None:
    """With the same random numbers, on a graph made of a list of edges."""
    upper = sp.triu(graphs["rna"] + graphs["rna"].T).tocoo()
    edges = list(zip(upper.row.tolist(), upper.col.tolist(), strict=True))
    plain = igraph.Graph(n=N, edges=edges)

    class Numbers:
        """numpy's, as scanpy gives them to igraph."""

        def __init__(self) -> None:
            self.state = np.random.RandomState(7)

        def getrandbits(self, k: int) -> int:
            return int(self.state.tomaxint()) & ((1 << k) - 1)

        def randint(self, a: int, b: int) -> int:
            return int(self.state.randint(a, b + 1))

        def __getattr__(self, name: str) -> Any:
            return getattr(self.state, "normal" if name == "gauss" else "random_sample")

    for resolution in (0.5, 1.0, 3.0):
        igraph.set_random_number_generator(Numbers())
        weights = upper.data.astype(float).tolist()
        expected = plain.community_multilevel(weights=weights, resolution=resolution)
        (found,) = louvain_at_resolutions(graphs["rna"], [resolution], random_state=7)
        np.testing.assert_array_equal(found.labels, order_by_size(np.array(expected.membership)))
        np.testing.assert_allclose(found.modularity, expected.modularity)


def test_louvain_at_resolutions__memory_is_known_before_it_starts(
    graphs: dict[str, sp.csr_matrix],
) -> None:
    with settings.override(memory_limit=10**5):
        with pytest.raises(MemoryLimitError, match=r"a graph of \d+,\d{3} edges"):
            louvain_at_resolutions(graphs["rna"], [1.0])


def test_louvain__of_one_graph(mdata: mu.MuData) -> None:
    mod = mdata["rna"]
    mu.tl.louvain(mod, 0.8, random_state=5)
    (expected,) = louvain_at_resolutions(mod.obsp["connectivities"], [0.8], random_state=5)
    np.testing.assert_array_equal(mod.obs["louvain"].cat.codes, expected.labels)
    assert mod.uns["louvain"] == {
        "params": {"resolution": 0.8, "random_state": 5},
        "modularity": expected.modularity,
    }
    mu.tl.louvain(mod, 0.8, random_state=5, obsp="connectivities", key_added="same")
    mu.tl.louvain(mod, 0.8, random_state=5, adjacency=mod.obsp["connectivities"], key_added="given")
    assert mod.obs["louvain"].equals(mod.obs["same"])
    assert mod.obs["louvain"].equals(mod.obs["given"])
    adata = ad.AnnData(np.zeros((N, 1), np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.tl.louvain(adata, adjacency=mod.obsp["connectivities"], flavor="igraph")
    mu.tl.louvain(mod, use_weights=False, key_added="plain")
    assert adjusted_rand_score(adata.obs["louvain"], mod.obs["plain"]) > 0.7
    mu.pp.neighbors(mdata, key_added="wnn")
    mu.tl.louvain(mdata, neighbors_key="wnn", key_added="joint")
    (expected,) = louvain_at_resolutions(mdata.obsp["wnn_connectivities"], [1.0])
    np.testing.assert_array_equal(mdata.obs["joint"].cat.codes, expected.labels)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"directed": True}, "takes undirected graphs"),
        ({"n_iterations": 2}, "goes on while the modularity rises"),
        ({"neighbors_key": "neighbors", "obsp": "connectivities"}, "name two graphs"),
    ],
)
def test_louvain__unusable_arguments_of_one_graph(
    mdata: mu.MuData, arguments: dict, match: str
) -> None:
    with pytest.raises(ArgumentError, match=match):
        mu.tl.louvain(mdata["rna"], **arguments)
    mu.tl.louvain(mdata["rna"], directed=False)
