"""`pp.neighbors`, `pp.l2norm`, `tl.umap` and `tl.leiden` on modalities and on MuData."""

from __future__ import annotations

import logging
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
import scanpy as sc

import lazymu as mu
from lazymu.errors import (
    ArgumentError,
    MissingResultError,
    ModalityNotFoundError,
    NoCommonCellsError,
)
from lazymu.graph import search
from lazymu.graph.search import ExactSearch, NeighborLists
from lazymu.graph.shared import shared_neighbors
from lazymu.graph.umap import Layout
from lazymu.graph.wnn import weighted_neighbors


def embedding(n: int, d: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    centres = 3 * generator.normal(size=(6, d))
    return (centres[np.arange(n) % 6] + generator.normal(size=(n, d))).astype(np.float32)


def names(n: int) -> list[str]:
    return [f"cell{i}" for i in range(n)]


def modality(n: int, seed: int = 0, *, key: str = "X_pca", d: int = 8) -> mu.Modality:
    obs = pd.DataFrame(index=names(n))
    var = pd.DataFrame(index=[f"{key}{seed}_{i}" for i in range(60)])
    obsm = {key: embedding(n, d, seed)}
    return mu.Modality(np.ones((n, 60), np.float32), obs=obs, var=var, obsm=obsm)


def multimodal(n: int = 240) -> mu.MuData:
    return mu.MuData({"rna": modality(n, 1), "atac": modality(n, 2, key="X_lsi", d=6)})


def as_anndata(mod: mu.Modality) -> ad.AnnData:
    obsm = {key: np.array(values) for key, values in mod.obsm.items()}
    return ad.AnnData(mod.X.toarray(), obs=mod.obs.copy(), obsm=obsm)


# --- one modality ---------------------------------------------------------------------------------


@pytest.mark.parametrize("key_added", [None, "second"])
def test_neighbors__of_a_modality_equal_scanpy(key_added: str | None) -> None:
    mod = modality(300)
    adata = as_anndata(mod)
    sc.pp.neighbors(adata, n_neighbors=12, n_pcs=5, key_added=key_added)
    mu.pp.neighbors(mod, n_neighbors=12, n_pcs=5, key_added=key_added)
    graph = adata.uns[key_added or "neighbors"]
    ours = mod.uns[key_added or "neighbors"]
    for kind in ("distances_key", "connectivities_key"):
        assert ours[kind] == graph[kind]
        found, expected = mod.obsp[ours[kind]], adata.obsp[graph[kind]].tocsr().sorted_indices()
        np.testing.assert_array_equal(found.indices, expected.indices)
        np.testing.assert_allclose(found.data, expected.data, rtol=2e-4)
        assert found.dtype == np.float32
    assert ours["params"] == {**graph["params"], "use_rep": "X_pca"}


def test_neighbors__embedding_by_default() -> None:
    """X_pca, else X_lsi, else a matrix of few features."""
    both = modality(80)
    both.obsm["X_lsi"] = embedding(80, 4, 9)
    mu.pp.neighbors(both)
    assert both.uns["neighbors"]["params"]["use_rep"] == "X_pca"
    del both.obsm["X_pca"]
    mu.pp.neighbors(both)
    assert both.uns["neighbors"]["params"]["use_rep"] == "X_lsi"
    panel = mu.Modality(embedding(80, 10, 3))
    mu.pp.neighbors(panel)
    adata = as_anndata(panel)
    sc.pp.neighbors(adata)
    np.testing.assert_allclose(
        panel.obsp["connectivities"].toarray(), adata.obsp["connectivities"].toarray(), atol=1e-5
    )


def test_neighbors__some_components() -> None:
    mod, rest = modality(100, key="X_lsi"), modality(100, key="X_lsi")
    rest.obsm["X_lsi"] = rest.obsm["X_lsi"][:, 1:]
    mu.pp.neighbors(mod, use_rep="X_lsi[1:]")
    mu.pp.neighbors(rest)
    np.testing.assert_array_equal(
        mod.obsp["connectivities"].toarray(), rest.obsp["connectivities"].toarray()
    )
    params = mod.uns["neighbors"]["params"]
    assert (params["use_rep"], params["components"]) == ("X_lsi", "1:")
    adata = mod.to_anndata()
    sc.tl.umap(adata, maxiter=3)
    assert adata.obsm["X_umap"].shape == (100, 2)


def test_neighbors__recall_of_an_approximate_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """By modality for a MuData; not there where the search is exact."""

    def half_right(X: np.ndarray, scale: np.ndarray, metric: str, n: int, seed: int | None) -> Any:
        every = ExactSearch(X, scale).nearest(np.arange(len(X)), len(X) - 1)
        ranks = np.r_[0:20:2, len(X) - n + 8 : len(X) - 1]  # of the 20 nearest every other one
        return NeighborLists(every.indices[:, ranks], every.distances[:, ranks])

    monkeypatch.setattr(search, "descend", half_right)
    mod, mdata = modality(300), multimodal(300)
    mu.pp.neighbors(mod, n_neighbors=21)
    assert "recall" not in mod.uns["neighbors"]
    mu.pp.neighbors(mod, n_neighbors=21, transformer="pynndescent")
    assert 0.5 <= mod.uns["neighbors"]["recall"] < 0.6
    mu.pp.neighbors(mdata, transformer="pynndescent")
    assert set(mdata.uns["neighbors"]["recall"]) == {"rna", "atac"}
    assert all(0.5 < share < 0.6 for share in mdata.uns["neighbors"]["recall"].values())


def test_neighbors__fewer_cells_than_neighbours() -> None:
    mod = modality(6)
    mu.pp.neighbors(mod)
    assert mod.obsp["distances"].nnz == 30
    assert mod.uns["neighbors"]["params"]["n_neighbors"] == 6


def test_neighbors__component_that_follows_depth(caplog: pytest.LogCaptureFixture) -> None:
    mod = modality(60, key="X_lsi")
    mod.uns["lsi"] = {"depth_corr": np.array([-0.97, 0.8, 0.1, 0, 0, 0, 0, 0])}
    with caplog.at_level(logging.WARNING, "lazymu"):
        mu.pp.neighbors(mod)
        mu.pp.neighbors(mod, use_rep="X_lsi[1:]")
        mu.pp.neighbors(mod, use_rep="X_lsi[2:]")
    first, second = (record.getMessage() for record in caplog.records)
    assert "component 1 of X_lsi correlates with depth (r = -0.97)" in first
    assert "component 2" in second
    assert 'use_rep="X_lsi[2:]"' in second


def test_neighbors__depth_component_left_out_by_hand(caplog: pytest.LogCaptureFixture) -> None:
    """The tutorial drops the first component itself; the second is then not taken for the first."""
    mod = modality(60, key="X_lsi")
    mod.uns["lsi"] = {"depth_corr": np.array([-0.97, 0.1, 0.1, 0, 0, 0, 0, 0])}
    mod.obsm["X_lsi"] = mod.obsm["X_lsi"][:, 1:]
    with caplog.at_level(logging.WARNING, "lazymu"):
        mu.pp.neighbors(mod)
    assert not caplog.records


# --- a MuData -------------------------------------------------------------------------------------


def test_neighbors__of_a_mudata_writes_the_weighted_graph() -> None:
    mdata = multimodal()
    mu.pp.neighbors(mdata, key_added="wnn", n_multineighbors=90, n_bandwidth_neighbors=15)
    expected = weighted_neighbors(
        {"rna": mdata["rna"].obsm["X_pca"], "atac": mdata["atac"].obsm["X_lsi"]},
        n_multineighbors=90,
        n_bandwidth_neighbors=15,
    )
    distances = mdata.obsp["wnn_distances"]
    assert (np.diff(distances.indptr) == 20).all()
    order = np.sort(expected.indices, axis=1)
    np.testing.assert_array_equal(distances.indices.reshape(240, 20), order)
    np.testing.assert_array_equal(mdata.obsm["wnn_weights"], expected.weights)
    np.testing.assert_array_equal(mdata.obs["atac:mod_weight"], expected.weights[:, 1])
    graph = mdata.uns["wnn"]
    assert graph["connectivities_key"] == "wnn_connectivities"
    assert list(graph["params"]["modalities"]) == ["rna", "atac"]
    assert graph["params"]["mod_use_rep"] == {"rna": "X_pca", "atac": "X_lsi"}
    assert graph["params"]["n_neighbors"] == 20
    assert (mdata.obsp["wnn_connectivities"] != mdata.obsp["wnn_connectivities"].T).nnz == 0


def test_neighbors__weights_and_shared_neighbours_on_request() -> None:
    mdata = multimodal()
    embeddings = {"rna": mdata["rna"].obsm["X_pca"], "atac": mdata["atac"].obsm["X_lsi"]}
    share = np.linspace(0.1, 0.9, 240)
    mdata.obs["share"] = share
    rest = pd.Series(1 - share, index=mdata.obs_names)[::-1]  # goes by name
    mu.pp.neighbors(mdata, key_added="wnn", weights={"rna": "share", "atac": rest}, add_snn=True)
    expected = weighted_neighbors(embeddings, weights=np.column_stack([share, 1 - share]))
    np.testing.assert_allclose(mdata.obsm["wnn_weights"][:, 0], share)
    order = np.sort(expected.indices, axis=1)
    np.testing.assert_array_equal(mdata.obsp["wnn_distances"].indices.reshape(240, 20), order)
    graph = mdata.obsp["wnn_snn"]
    assert (graph != shared_neighbors(expected.indices)).nnz == 0
    mu.tl.leiden(mdata, obsp="wnn_snn", key_added="of_snn")
    assert mdata.obs["of_snn"].nunique() > 1
    mu.pp.neighbors(mdata, key_added="even", weights={"rna": 1, "atac": 1})
    np.testing.assert_array_equal(mdata.obsm["even_weights"], 0.5)
    assert "even_snn" not in mdata.obsp


def test_neighbors__without_a_name_as_muon() -> None:
    mdata = multimodal(90)
    mu.pp.neighbors(mdata, add_weights_to_modalities=True, weight_key="w")
    assert {"distances", "connectivities"} <= set(mdata.obsp)
    assert mdata.uns["neighbors"]["distances_key"] == "distances"
    weights = mdata.obsm["neighbors_weights"]
    np.testing.assert_array_equal(mdata["atac"].obs["w"], weights[:, 1])
    assert not any(":" in column for column in mdata.obs)


def test_neighbors__cells_go_by_name() -> None:
    """Other orders, and cells that a modality lacks."""
    order = np.random.default_rng(0).permutation(200)[:180]
    whole = {"rna": modality(200, 1), "atac": modality(200, 2, key="X_lsi")}
    mdata = mu.MuData({"rna": whole["rna"], "atac": whole["atac"][order]})
    mu.pp.neighbors(mdata, key_added="wnn", add_weights_to_modalities=True)
    positions = np.full(200, -1)
    positions[order] = np.arange(180)
    expected = weighted_neighbors(
        {"rna": whole["rna"].obsm["X_pca"], "atac": whole["atac"].obsm["X_lsi"][order]},
        {"rna": np.arange(200), "atac": positions},
    )
    np.testing.assert_array_equal(mdata.obs_names, names(200))
    np.testing.assert_array_equal(mdata.obsm["wnn_weights"], expected.weights)
    np.testing.assert_array_equal(
        mdata.obsp["wnn_distances"].indices.reshape(200, 20), np.sort(expected.indices, axis=1)
    )
    np.testing.assert_array_equal(mdata["atac"].obs["mod_weight"], expected.weights[order, 1])


def test_neighbors__embeddings_of_the_modalities_graphs() -> None:
    """As after `sc.pp.neighbors` on each modality, in muon's way."""
    mdata = multimodal(120)
    mdata["rna"].obsm["X_pca"][:, 0] *= 50
    mu.pp.neighbors(mdata["rna"], use_rep="X_pca[1:]", n_pcs=4, key_added="own")
    mu.pp.neighbors(mdata["atac"], use_rep="X_lsi[2:]")
    mu.pp.neighbors(mdata, neighbor_keys={"rna": "own", "atac": None}, key_added="wnn")
    params = mdata.uns["wnn"]["params"]
    assert params["mod_use_rep"] == {"rna": "X_pca[1:]", "atac": "X_lsi[2:]"}
    assert params["mod_n_pcs"] == {"rna": 4}
    expected = mdata.obsm["wnn_weights"]
    mu.pp.neighbors(
        mdata, use_rep={"rna": "X_pca[1:]", "atac": "X_lsi[2:]"}, n_pcs={"rna": 4}, key_added="b"
    )
    np.testing.assert_array_equal(mdata.obsm["b_weights"], expected)


def test_neighbors__muon_flavor_starts_from_the_modalities_graphs() -> None:
    mdata = multimodal(150)
    mu.pp.neighbors(mdata["rna"], n_neighbors=9)
    mu.pp.neighbors(mdata["atac"], n_neighbors=12)
    mu.pp.neighbors(mdata, flavor="muon")
    lists = {}
    for name, n in (("rna", 8), ("atac", 11)):
        stored = mdata[name].obsp["distances"]
        ids, distances = stored.indices.reshape(150, n), stored.data.reshape(150, n)
        order = np.argsort(distances, axis=1, kind="stable")
        lists[name] = NeighborLists(
            np.take_along_axis(ids, order, 1), np.take_along_axis(distances, order, 1)
        )
    expected = weighted_neighbors(
        {"rna": mdata["rna"].obsm["X_pca"], "atac": mdata["atac"].obsm["X_lsi"]},
        n_neighbors=10,
        flavor="muon",
        lists=lists,
    )
    np.testing.assert_array_equal(mdata.obsm["neighbors_weights"], expected.weights)
    assert mdata.uns["neighbors"]["params"]["n_neighbors"] == 10
    assert (np.diff(mdata.obsp["distances"].indptr) == 11).all()
    # Cells dropped since then leave holes in the lists: they are made anew.
    mdata["rna"].subset_obs(np.arange(150) % 5 > 0)
    mdata["atac"].subset_obs(np.arange(150) % 5 > 0)
    mu.pp.neighbors(mdata, flavor="muon")
    assert mdata.obsm["neighbors_weights"].shape == (120, 2)
    assert np.isfinite(mdata.obsm["neighbors_weights"]).all()


def test_neighbors__three_modalities_and_some_of_them() -> None:
    mdata = mu.MuData({name: modality(70, seed) for seed, name in enumerate("abc")})
    mu.pp.neighbors(mdata, key_added="wnn", weight_key=None)
    assert mdata.obsm["wnn_weights"].shape == (70, 3)
    assert not len(mdata.obs.columns)
    mu.pp.neighbors(mdata, key_added="two", use_rep={"c": "X_pca", "a": "X_pca"})
    assert list(mdata.uns["two"]["params"]["modalities"]) == ["c", "a"]


def test_neighbors__scanpy_reads_the_joint_graph(tmp_path: Path) -> None:
    mdata = multimodal(120)
    mu.pp.neighbors(mdata, key_added="wnn")
    mu.tl.leiden(mdata, neighbors_key="wnn", key_added="leiden_wnn")
    mdata.write(tmp_path / "joint.h5mu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stored = md.read_h5mu(tmp_path / "joint.h5mu")
    sc.tl.umap(stored, neighbors_key="wnn", maxiter=10)
    sc.tl.leiden(stored, neighbors_key="wnn", flavor="igraph", n_iterations=2, directed=False)
    mu.tl.umap(mdata, neighbors_key="wnn", maxiter=10)
    np.testing.assert_array_equal(mdata.obsm["X_umap"], stored.obsm["X_umap"])
    pairs = set(zip(stored.obs["leiden"], mdata.obs["leiden_wnn"], strict=True))
    assert len(pairs) == stored.obs["leiden"].nunique() == mdata.obs["leiden_wnn"].nunique()


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"use_rep": "X_mofa"}, MissingResultError, "obsm of rna has no such embedding.*X_pca"),
        ({"use_rep": {"rna": "X_lsi"}}, MissingResultError, "call lazymu.atac.tl.lsi first"),
        ({"use_rep": {"prot": "X_pca"}}, ModalityNotFoundError, "prot"),
        ({"neighbor_keys": {"rna": "own"}}, MissingResultError, r"neighbors\(mdata\['rna'\]"),
        ({"metric": "cosine"}, ArgumentError, "distances are Euclidean"),
        ({"method": "gauss"}, ArgumentError, "'gauss'"),
        ({"transformer": "rapids"}, ArgumentError, "'rapids'"),
        ({"knn": False}, ArgumentError, "no kernel over all of them"),
        ({"knn": "annoy"}, ArgumentError, "'auto', 'exact', 'inverted', 'sharded', 'pynndescent'"),
        ({"knn": "exact", "transformer": "sklearn"}, ArgumentError, "name two searches"),
        ({"flavor": "scarf"}, ArgumentError, "'seurat', 'muon'"),
        ({"weights": {"rna": 1}}, ArgumentError, "in use are rna, atac"),
        ({"weights": {"rna": 1, "atac": "x"}}, MissingResultError, "joint obs has no such column"),
        ({"n_pcs": 99}, ArgumentError, "X_pca has 8 components"),
        ({"use_rep": {"rna": "X_pca[8:]", "atac": "X_lsi"}}, ArgumentError, "no component"),
    ],
)
def test_neighbors__unusable_arguments(arguments: dict, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        mu.pp.neighbors(multimodal(40), **arguments)


@pytest.mark.parametrize("knn", ["exact", "inverted", "sharded", "pynndescent"])
def test_neighbors__searches_by_name(knn: str) -> None:
    """All of them find nearly the same; who is approximate says how much."""
    mdata, exact = multimodal(2000), multimodal(2000)
    mu.pp.neighbors(exact)
    mu.pp.neighbors(mdata, knn=knn)
    assert ("recall" in mdata.uns["neighbors"]) == (knn != "exact")
    found, expected = (data.obsp["distances"] > 0 for data in (mdata, exact))
    assert found.multiply(expected).sum() > 0.95 * expected.sum()
    with_word = multimodal(2000)
    mu.pp.neighbors(with_word, knn=True)
    np.testing.assert_array_equal(with_word.obsp["distances"].data, exact.obsp["distances"].data)


def test_neighbors__unusable_data() -> None:
    mod = modality(30)
    with pytest.raises(ArgumentError, match="wrap an AnnData"):
        mu.pp.neighbors(as_anndata(mod))
    with pytest.raises(ArgumentError, match="one embedding"):
        mu.pp.neighbors(mod, use_rep={"rna": "X_pca"})
    with pytest.raises(ArgumentError, match="`n_neighbors` is 1"):
        mu.pp.neighbors(mod, n_neighbors=1)
    del mod.obsm["X_pca"]
    with pytest.raises(MissingResultError, match=r"neither X_pca nor X_lsi.*lazymu.pp.pca"):
        mu.pp.neighbors(mod)


def test_neighbors__modalities_without_common_cells() -> None:
    other = modality(40)
    other.obs_names = [f"other{i}" for i in range(40)]
    mdata = mu.MuData({"rna": modality(40), "atac": other})
    with pytest.raises(NoCommonCellsError, match="no cell name is in all"):
        mu.pp.neighbors(mdata)
    mdata = mu.MuData({"rna": modality(30), "atac": modality(30), "prot": modality(40)})
    with pytest.raises(ArgumentError, match=r"10 cells are in none.*intersect_obs"):
        mu.pp.neighbors(mdata, use_rep={"rna": "X_pca", "atac": "X_pca"})


# --- l2norm ---------------------------------------------------------------------------------------


def test_l2norm__equals_muon() -> None:
    mdata = multimodal(50)
    mdata["rna"].obsm["X_pca"][3] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import muon

        theirs = md.MuData({name: as_anndata(mod) for name, mod in mdata.mod.items()})
        muon.pp.l2norm(theirs, rep=["X_pca", "X_lsi"], n_pcs=[8, 4])
    copied = mu.pp.l2norm(mdata, rep=["X_pca", "X_lsi"], n_pcs=[8, 4], copy=True)
    for name, key in (("rna", "X_pca"), ("atac", "X_lsi")):
        np.testing.assert_allclose(copied[name].obsm[key], theirs[name].obsm[key], rtol=1e-6)
    np.testing.assert_array_equal(copied["rna"].obsm["X_pca"][3], 0)
    assert np.linalg.norm(mdata["rna"].obsm["X_pca"][0]) > 2


def test_l2norm__of_the_matrix_stays_lazy() -> None:
    counts = np.random.default_rng(0).poisson(0.4, (40, 30)).astype(np.float32)
    counts[7] = 0
    mod = mu.Modality(counts)
    mu.pp.l2norm(mod)
    lengths = np.linalg.norm(counts, axis=1, keepdims=True)
    np.testing.assert_allclose(mod.X.toarray(), counts / np.where(lengths, lengths, 1), rtol=1e-6)
    assert mod.X.steps


def test_l2norm__some_modalities_and_components() -> None:
    mdata = multimodal(30)
    before = mdata["atac"].obsm["X_lsi"].copy()
    mu.pp.l2norm(mdata, mod="atac", rep="X_lsi[1:]")
    found = mdata["atac"].obsm["X_lsi"]
    np.testing.assert_array_equal(found[:, 0], before[:, 0])
    np.testing.assert_allclose(np.linalg.norm(found[:, 1:], axis=1), 1, rtol=1e-6)


def test_l2norm__unusable_arguments() -> None:
    with pytest.raises(ArgumentError, match=r"`rep` is.*2 modalities"):
        mu.pp.l2norm(multimodal(10), rep=["X_pca"])
    with pytest.raises(ArgumentError, match="X has features"):
        mu.pp.l2norm(modality(10), rep="X", n_pcs=3)


# --- UMAP and Leiden ------------------------------------------------------------------------------


def test_umap__equals_scanpy() -> None:
    mod = modality(200)
    mu.pp.neighbors(mod, n_pcs=6)
    adata = mod.to_anndata()
    sc.tl.umap(adata, maxiter=30, random_state=3)
    mu.tl.umap(mod, maxiter=30, random_state=3)
    np.testing.assert_array_equal(mod.obsm["X_umap"], adata.obsm["X_umap"])
    assert mod.uns["umap"]["params"] == pytest.approx(adata.uns["umap"]["params"])
    sc.tl.umap(adata, maxiter=5, init_pos="X_umap", n_components=2, key_added="again")
    mu.tl.umap(mod, maxiter=5, init_pos="X_umap", key_added="again")
    np.testing.assert_array_equal(mod.obsm["again"], adata.obsm["again"])
    assert "again" in mod.uns


def test_umap__starts_from_components_of_the_weightiest_modality(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where the spectrum is out of reach; cells it lacks start among their neighbours."""
    seen = {}

    def record(graph: object, **arguments: object) -> Layout:
        seen.update(arguments)
        return Layout(np.zeros((100, 2), np.float32), 1.0, 1.0, "components")

    monkeypatch.setattr(import_module("lazymu.tl.umap"), "umap_layout", record)
    mdata = mu.MuData({"rna": modality(100, 1)[20:], "atac": modality(100, 2, key="X_lsi")})
    mu.pp.neighbors(mdata, key_added="wnn")
    mdata.obsm["wnn_weights"] = np.tile([0.9, 0.1], (100, 1))
    mu.tl.umap(mdata, neighbors_key="wnn")
    rows = mdata.obs_positions("rna")
    data, graph = seen["data"], mdata.obsp["wnn_connectivities"].toarray()
    known = mdata["rna"].obsm["X_pca"]
    np.testing.assert_array_equal(data[rows >= 0], known[rows[rows >= 0]])
    lost = int(np.flatnonzero(rows < 0)[0])
    weights = graph[lost, rows >= 0]
    expected = weights @ known[rows[rows >= 0]] / max(weights.sum(), 1e-30)
    np.testing.assert_allclose(data[lost], expected, rtol=1e-5)


def test_umap__without_the_embedding_of_the_graph() -> None:
    mod = modality(60)
    mu.pp.neighbors(mod)
    del mod.obsm["X_pca"]
    mu.tl.umap(mod, maxiter=3)
    assert mod.obsm["X_umap"].shape == (60, 2)
    mdata = multimodal(60)
    mu.pp.neighbors(mdata)
    del mdata.obsm["neighbors_weights"]
    mu.tl.umap(mdata, maxiter=3)
    assert mdata.obsm["X_umap"].shape == (60, 2)


def test_leiden__equals_scanpy() -> None:
    mod = modality(240)
    mu.pp.neighbors(mod)
    adata = mod.to_anndata()
    sc.tl.leiden(adata, flavor="igraph", n_iterations=2, directed=False, resolution=0.8)
    mu.tl.leiden(mod, resolution=0.8)
    found, expected = mod.obs["leiden"], adata.obs["leiden"]
    assert len(set(zip(found, expected, strict=True))) == expected.nunique() == found.nunique()
    assert list(found.cat.categories) == [str(i) for i in range(found.nunique())]
    assert mod.uns["leiden"]["params"] == adata.uns["leiden"]["params"]
    assert 0 < mod.uns["leiden"]["modularity"] < 1


def test_leiden__several_resolutions_and_graphs() -> None:
    mod = modality(120)
    mu.pp.neighbors(mod, key_added="own")
    mu.tl.leiden(mod, [0.2, 1.5], neighbors_key="own", key_added="c")
    assert list(mod.obs) == ["c_0.2", "c_1.5"]
    assert mod.uns["c_0.2"]["params"]["resolution"] == 0.2
    mu.tl.leiden(mod, 0.2, obsp="own_connectivities", key_added="same")
    mu.tl.leiden(mod, 0.2, adjacency=mod.obsp["own_connectivities"], key_added="given")
    assert mod.obs["same"].equals(mod.obs["c_0.2"])
    assert mod.obs["given"].equals(mod.obs["c_0.2"])
    mu.tl.leiden(mod, flavor="leidenalg", neighbors_key="own", random_state=None)
    assert mod.uns["leiden"]["params"] == {"resolution": 1.0, "n_iterations": -1}


@pytest.mark.parametrize("tool", [mu.tl.umap, mu.tl.leiden])
def test_tools__graph_not_there(tool: object) -> None:
    mdata = multimodal(40)
    with pytest.raises(MissingResultError, match=r"only: none.*neighbors\(.*key_added='wnn'\)"):
        tool(mdata, neighbors_key="wnn")
    mu.pp.neighbors(mdata, key_added="wnn")
    with pytest.raises(MissingResultError, match=r"'neighbors'.*only: wnn"):
        tool(mdata)
    del mdata.obsp["wnn_connectivities"]
    with pytest.raises(MissingResultError, match="is gone"):
        tool(mdata, neighbors_key="wnn")


def test_tools__unusable_arguments() -> None:
    mod = modality(40)
    mu.pp.neighbors(mod)
    with pytest.raises(ArgumentError, match="name two graphs"):
        mu.tl.leiden(mod, neighbors_key="neighbors", obsp="connectivities")
    with pytest.raises(MissingResultError, match="X_paga"):
        mu.tl.umap(mod, init_pos="X_paga")
