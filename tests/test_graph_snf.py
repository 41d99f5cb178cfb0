"""Similarity network fusion, against the published formulas written out with dense matrices."""

from __future__ import annotations

import tracemalloc
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anndata as ad
import mudata as md
import muon
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
    NoCommonCellsError,
)
from lazymu.graph import fusion, local_kernels, snf
from lazymu.graph.leiden import leiden_labels
from lazymu.graph.snf import FusedNeighbors, fused_neighbors
from lazymu.kernels import snf as kernels
from lazymu.stream.progress import Tick, watching

Dense = np.ndarray[Any, np.dtype[np.float64]]
EPS = np.finfo(np.float64).eps


# --- the published method -------------------------------------------------------------------------


def distances_of(X: Dense) -> Dense:
    return np.sqrt(((X[:, None] - X[None]) ** 2).sum(axis=2))


def affinities(D: Dense, k: int, sigma: float) -> Dense:
    means = np.sort(D, axis=1)[:, 1 : k + 1].mean(axis=1) + EPS
    deviation = sigma * ((means[:, None] + means) / 3 + D / 3 + EPS)
    return np.exp(-(D**2) / (2 * deviation**2)) / (np.sqrt(2 * np.pi) * deviation)


def normalized(A: Dense, present: np.ndarray | None = None) -> Dense:
    """Return rows with half of their sum on the diagonal, made symmetric; absent cells all 0."""
    sums = A.sum(axis=1) - np.diag(A)
    P = A / (2 * np.where(sums == 0, 1, sums))[:, None]
    np.fill_diagonal(P, 0.5 if present is None else 0.5 * present)
    return (P + P.T) / 2


def strongest(P: Dense, k: int) -> Dense:
    """Return the k largest of each row over their sum."""
    S = np.zeros_like(P)
    kept = np.argsort(-P, axis=1, kind="stable")[:, :k]
    np.put_along_axis(S, kept, np.take_along_axis(P, kept, axis=1), axis=1)
    sums = S.sum(axis=1, keepdims=True)
    return S / np.where(sums > 0, sums, 1)


def as_muon_scales(P: Dense, k: int) -> Dense:
    """Return the k largest of each column, each over the sum of the row that has its number."""
    kept = strongest(P, k).T > 0
    return np.where(kept, P, 0) / np.where(kept, P, 0).sum(axis=1)


def mean_of(P: list[Dense], present: np.ndarray, left_out: int | None) -> Dense:
    """Return pair by pair the mean over modalities that have both cells."""
    pairs = present[:, :, None] & present[:, None, :]
    used = [s for s in range(len(P)) if s != left_out]
    n = pairs[used].sum(axis=0)
    mean = sum(np.where(pairs[s], P[s], 0) for s in used) / np.maximum(n, 1)
    return mean if left_out is None else np.where(n > 0, mean, P[left_out])


def fused_densely(
    embeddings: Mapping[str, Dense],
    positions: Mapping[str, np.ndarray] | None = None,
    *,
    k: int = 20,
    n_iterations: int = 20,
    sigma: float = 0.5,
    scale: Any = strongest,
) -> Dense:
    """Return the fused network of all cells, (N, N)."""
    if positions is None:
        positions = {name: np.arange(len(X)) for name, X in embeddings.items()}
    present = np.array([rows >= 0 for rows in positions.values()])
    P, S = [], []
    for (name, X), here in zip(embeddings.items(), present, strict=True):
        own = normalized(affinities(distances_of(X[positions[name][here]]), k, sigma))
        for matrices, matrix in ((P, own), (S, scale(own, k))):
            matrices.append(np.zeros((len(here), len(here))))
            matrices[-1][np.ix_(here, here)] = matrix
    for _ in range(n_iterations):
        means = [mean_of(P, present, r) for r in range(len(P))]
        P = [normalized(S[r] @ means[r] @ S[r].T, present[r]) for r in range(len(P))]
    return normalized(mean_of(P, present, None))


def largest(W: Dense, k: int) -> tuple[np.ndarray, Dense]:
    """Return each row's k largest, the diagonal apart."""
    others = np.where(np.eye(len(W), dtype=bool), -1, W)
    order = np.argsort(-others, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(W, order, axis=1)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Return the mean part of a row that is in the other's row."""
    return float(
        np.mean([len(np.intersect1d(*rows)) / len(rows[0]) for rows in zip(a, b, strict=True)])
    )


# --- data -----------------------------------------------------------------------------------------


def groups(n: int, n_groups: int = 10, spread: float = 0.8, seed: int = 0) -> dict[str, Dense]:
    """Return two modalities of noisy groups; each takes two pairs of groups together."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, n_groups, n)
    found = {}
    for name, d, alike in (("rna", 20, (0, 2)), ("prot", 12, (4, 6))):
        centres = spread * rng.normal(size=(n_groups, d))
        for group in alike:
            centres[group + 1] = centres[group]
        found[name] = centres[labels] + rng.normal(size=(n, d))
    return found


def multimodal(embeddings: Mapping[str, Dense], rows: Mapping[str, Any] | None = None) -> mu.MuData:
    """Return a MuData of embeddings, of each modality perhaps some rows."""
    mods = {}
    for name, X in embeddings.items():
        kept = np.arange(len(X)) if rows is None or name not in rows else np.asarray(rows[name])
        obs = pd.DataFrame(index=[f"cell{i}" for i in kept])
        var = pd.DataFrame(index=[f"{name}{i}" for i in range(60)])
        counts = np.ones((len(kept), 60), np.float32)
        mods[name] = mu.Modality(counts, obs=obs, var=var, obsm={"X_pca": X[kept]})
    return mu.MuData(mods)


def graph_of(W: Dense, k: int) -> sp.csr_matrix:
    return FusedNeighbors(*largest(W, k), {}).graph()


# --- all pairs ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("k", "n_iterations", "sigma"), [(20, 20, 0.5), (7, 1, 0.3), (12, 3, 1.0), (2, 5, 0.5)]
)
@pytest.mark.parametrize("n_modalities", [2, 3])
def test_fused_neighbors__is_the_published_method(
    k: int, n_iterations: int, sigma: float, n_modalities: int
) -> None:
    X = groups(150)
    if n_modalities == 3:
        X["atac"] = groups(150, seed=5)["rna"][:, :9]
    found = fused_neighbors(X, n_neighbors=k, n_iterations=n_iterations, sigma=sigma, n_pairs=149)
    W = fused_densely(X, k=k, n_iterations=n_iterations, sigma=sigma)
    indices, values = largest(W, k)
    np.testing.assert_array_equal(found.indices, indices)
    np.testing.assert_allclose(found.similarities, values, rtol=1e-8)
    assert found.indices.dtype == np.int32
    assert not found.recall


def test_fused_neighbors__graph_is_of_either_list() -> None:
    X = groups(150)
    found = fused_neighbors(X, n_pairs=149)
    graph = found.graph()
    W = fused_densely(X)
    listed = np.zeros(W.shape, bool)
    np.put_along_axis(listed, largest(W, 20)[0], True, axis=1)
    np.testing.assert_allclose(graph.toarray(), np.where(listed | listed.T, W, 0), rtol=1e-6)
    assert graph.dtype == np.float32
    assert graph.has_canonical_format
    assert (graph != graph.T).nnz == 0


def test_fused_neighbors__cells_missing_from_modalities() -> None:
    """Against dense matrices, pair by pair; some cells are in one modality alone."""
    X = groups(160)
    X["atac"] = groups(160, seed=5)["rna"][:, :9]
    rng = np.random.default_rng(2)
    present = rng.random((3, 160)) < 0.7
    present[:, ~present.any(axis=0)] = True
    positions, kept = {}, {}
    for (name, own), here in zip(X.items(), present, strict=True):
        rows = rng.permutation(here.sum())
        positions[name] = np.full(160, -1)
        positions[name][here] = rows
        kept[name] = np.empty((here.sum(), own.shape[1]))
        kept[name][rows] = own[here]
    found = fused_neighbors(kept, positions, n_neighbors=15, n_pairs=159)
    indices, values = largest(fused_densely(kept, positions, k=15), 15)
    np.testing.assert_array_equal(found.indices, indices)
    np.testing.assert_allclose(found.similarities, values, rtol=1e-8)
    assert (present.sum(axis=0) == 1).any()


# --- few pairs ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def thousand() -> tuple[dict[str, Dense], Dense]:
    X = groups(1000, spread=1.2)
    return X, fused_densely(X)


def test_fused_neighbors__few_pairs_are_near_the_published_method(
    thousand: tuple[dict[str, Dense], Dense],
) -> None:
    X, W = thousand
    indices, values = largest(W, 20)
    shares = [overlap(fused_neighbors(X, n_pairs=n).indices, indices) for n in (20, 40, 60, 120)]
    assert shares == sorted(shares)
    assert 0.93 < shares[0] < 0.98 < shares[2] < 0.9999
    found = fused_neighbors(X)
    assert overlap(found.indices, indices) == shares[2]
    ratio = found.similarities / values
    assert 0.95 < np.median(ratio) < 1.05
    assert np.quantile(ratio, 0.01) > 0.8
    assert np.quantile(ratio, 0.99) < 1.2
    labels = leiden_labels(found.graph(), resolution=2.0, n_iterations=10).labels
    dense = leiden_labels(graph_of(W, 20), resolution=2.0, n_iterations=10).labels
    assert len(np.unique(dense)) == 9
    assert adjusted_rand_score(labels, dense) > 0.98


def test_fused_neighbors__few_cells_stand_for_those_far_away(
    thousand: tuple[dict[str, Dense], Dense], monkeypatch: pytest.MonkeyPatch
) -> None:
    X, W = thousand
    indices, _ = largest(W, 20)
    shares = []
    for n in (64, 256, 4096):
        monkeypatch.setattr(local_kernels, "BACKGROUND_CELLS", n)
        shares.append(overlap(fused_neighbors(X).indices, indices))
    assert 0.85 < shares[0] < shares[1] < shares[2]
    assert shares[1] > 0.95


def test_fused_neighbors__approximate_search_and_another_order(
    thousand: tuple[dict[str, Dense], Dense],
) -> None:
    X, W = thousand
    found = fused_neighbors(X, method="inverted")
    assert set(found.recall) == {"rna", "prot"}
    assert all(0.97 < share <= 1 for share in found.recall.values())
    assert 0.97 < overlap(found.indices, largest(W, 20)[0]) < 0.9999


@pytest.mark.parametrize("missing", [False, True])
def test_fused_neighbors__any_number_of_threads(
    *, missing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    X = groups(400)
    positions = {name: np.arange(400) for name in X}
    if missing:
        X["prot"] = X["prot"][:300]
        positions["prot"] = np.where(np.arange(400) < 300, np.arange(400), -1)
    monkeypatch.setattr(fusion, "BLOCK_ROWS", 7)
    monkeypatch.setattr(local_kernels, "BLOCK_ROWS", 7)
    monkeypatch.setattr(local_kernels, "FAR_ROWS", 11)
    found = []
    for n_threads in (1, 2, 5):
        with mu.settings.override(n_threads=n_threads):
            found.append(fused_neighbors(X, positions))
    for other in found[1:]:
        np.testing.assert_array_equal(other.indices, found[0].indices)
        np.testing.assert_array_equal(other.similarities, found[0].similarities)
    monkeypatch.undo()
    whole = fused_neighbors(X, positions)
    assert overlap(whole.indices, found[0].indices) > 0.999


def test_fused_neighbors__equal_cells_and_narrow_kernels() -> None:
    """Where affinities are huge, or 0 but for a few, all similarities are numbers."""
    X = groups(90)
    for own in X.values():
        own[:40] = own[0]
    for sigma in (0.5, 1e-3):
        found = fused_neighbors(X, n_neighbors=5, sigma=sigma)
        assert np.isfinite(found.similarities).all()
        assert np.all((found.similarities >= 0) & (found.similarities <= 0.5))
        assert np.isin(found.indices[:40], [-1, *range(40)]).all()


def test_fused_neighbors__fewer_cells_than_neighbours() -> None:
    found = fused_neighbors(groups(6))
    assert found.indices.shape == (6, 5)
    np.testing.assert_array_equal(np.sort(found.indices[2]), [0, 1, 3, 4, 5])


def test_fused_neighbors__memory_is_what_was_said() -> None:
    X = groups(2000)
    fused_neighbors(groups(100))  # compiles
    needed = snf.memory_needed(2000, 2, 20, 60)
    tracemalloc.start()
    fused_neighbors(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    search = 2000 * (60 * 20 + 3 * 20 * 8) + 2 * (local_kernels.FAR_ROWS * 2000 * 8)
    assert 0.3 * needed < peak < needed + search


def test_fused_neighbors__progress_is_told() -> None:
    ticks: list[tuple[str, int, int]] = []

    def watch(tick: Tick) -> None:
        ticks.append((tick.label, tick.done_blocks, tick.n_blocks))

    with watching(watch):
        fused_neighbors(groups(100), n_iterations=3)
    told = [tick[1:] for tick in ticks if tick[0] == "fusion of networks"]
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert "neighbours in rna" in {tick[0] for tick in ticks}


def test_strongest_pairs__equals_the_product() -> None:
    rng = np.random.default_rng(0)
    S = [sp.random(60, 60, 0.06, format="csr", rng=rng) for _ in range(2)]
    pairs = fusion.strongest_pairs(S, 9)
    product = sum((A @ A.T).toarray() for A in S)
    np.fill_diagonal(product, 0)
    chosen = np.zeros(product.shape, bool)
    for i, row in enumerate(product):
        chosen[i, [j for j in np.argsort(-row, kind="stable")[:9] if row[j] > 0]] = True
    found = sp.csr_matrix((np.ones(len(pairs.cols)), pairs.cols, pairs.indptr), (60, 60))
    np.testing.assert_array_equal(found.toarray() > 0, chosen | chosen.T)
    assert found.has_canonical_format


def test_diffused_rows__equals_the_product() -> None:
    rng = np.random.default_rng(1)
    S = sp.csr_matrix(sp.random(40, 40, 0.2, format="csr", rng=rng))
    Q = sp.csr_matrix(sp.random(40, 40, 0.2, format="csr", rng=rng))
    Q.setdiag(0)
    Q.eliminate_zeros()
    Q.sort_indices()
    out, diagonal = np.empty(Q.nnz), np.empty(40)
    arrays = (Q.indptr.astype(np.uint64), Q.indices.astype(np.uint32), Q.data)
    rows = (S.indptr.astype(np.uint64), S.indices.astype(np.uint32), S.data)
    kernels.diffused_rows(out, diagonal, 0, 40, *arrays, *rows)
    expected = (S @ (Q + sp.eye(40) / 2) @ S.T).toarray()
    np.testing.assert_allclose(out, expected[Q.nonzero()], rtol=1e-12)
    np.testing.assert_allclose(diagonal, np.diag(expected), rtol=1e-12)


# --- the facade -----------------------------------------------------------------------------------


@pytest.mark.parametrize("key_added", [None, "snf"])
def test_snf__writes_a_graph(key_added: str | None) -> None:
    X = groups(150)
    mdata = multimodal(X)
    mu.tl.snf(mdata, key_added=key_added, n_pairs=149)
    name = key_added or "neighbors"
    prefix = "" if key_added is None else "snf_"
    graph = mdata.uns[name]
    assert graph["connectivities_key"] == f"{prefix}connectivities"
    assert graph["distances_key"] == f"{prefix}distances"
    params = graph["params"]
    assert (params["method"], params["n_neighbors"]) == ("snf", 20)
    assert (params["eps"], params["sigma"], params["n_iterations"]) == (EPS, 0.5, 20)
    assert params["mod_use_rep"] == {"rna": "X_pca", "prot": "X_pca"}
    indices, values = largest(fused_densely(X), 20)
    distances = mdata.obsp[f"{prefix}distances"]
    np.testing.assert_array_equal(np.diff(distances.indptr), 20)
    np.testing.assert_allclose(
        np.take_along_axis(distances.toarray(), indices, axis=1), 0.5 - values, rtol=1e-6
    )
    expected = graph_of(fused_densely(X), 20).toarray()
    np.testing.assert_allclose(mdata.obsp[f"{prefix}connectivities"].toarray(), expected, rtol=1e-6)
    np.testing.assert_array_equal(mdata.obsm[f"{name}_weights"], np.full((150, 2), 0.5))


def test_snf__graph_serves_lazymu_scanpy_and_files(tmp_path: Path) -> None:
    mdata = multimodal(groups(300))
    mu.tl.snf(mdata, key_added="snf")
    mu.tl.umap(mdata, neighbors_key="snf", maxiter=10)
    mu.tl.leiden(mdata, neighbors_key="snf", key_added="leiden_snf")
    assert mdata.obs["leiden_snf"].nunique() > 3
    for name in ("fused.h5mu", "fused.zarr"):
        mdata.write(tmp_path / name)
        again = mu.read(tmp_path / name)
        for key in ("snf_distances", "snf_connectivities"):
            assert (again.obsp[key] != mdata.obsp[key]).nnz == 0
        assert again.uns["snf"]["params"]["mod_use_rep"] == {"rna": "X_pca", "prot": "X_pca"}
        assert again.uns["snf"]["params"]["eps"] == EPS
        mu.tl.umap(again, neighbors_key="snf", maxiter=10)
        np.testing.assert_array_equal(again.obsm["X_umap"], mdata.obsm["X_umap"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stored = md.read_h5mu(tmp_path / "fused.h5mu")
    sc.tl.umap(stored, neighbors_key="snf", maxiter=10)
    sc.tl.leiden(stored, neighbors_key="snf", flavor="igraph", n_iterations=2, directed=False)
    np.testing.assert_array_equal(mdata.obsm["X_umap"], stored.obsm["X_umap"])
    pairs = set(zip(stored.obs["leiden"], mdata.obs["leiden_snf"], strict=True))
    assert len(pairs) == mdata.obs["leiden_snf"].nunique()


def test_snf__rows_are_matched_by_name() -> None:
    X = groups(200)
    shuffled = np.random.default_rng(3).permutation(200)
    straight, mixed = multimodal(X), multimodal(X, {"prot": shuffled})
    for mdata in (straight, mixed):
        mu.tl.snf(mdata)
    assert list(mixed["prot"].obs_names) != list(straight["prot"].obs_names)
    assert list(mixed.obs_names) == list(straight.obs_names)
    assert (mixed.obsp["distances"] != straight.obsp["distances"]).nnz == 0


def test_snf__cells_missing_from_a_modality() -> None:
    X = groups(400)
    mdata, whole = multimodal(X, {"prot": np.arange(0, 400, 2)}), multimodal(X)
    for data in (mdata, whole):
        mu.tl.snf(data)
    absent = np.arange(400) % 2 == 1
    weights = mdata.obsm["neighbors_weights"]
    np.testing.assert_array_equal(weights[absent], np.tile([1, 0], (200, 1)))
    np.testing.assert_array_equal(weights[~absent], np.full((200, 2), 0.5))
    assert mdata.obsp["distances"].nnz == 400 * 20
    lists, expected = (d.obsp["distances"].indices.reshape(400, 20) for d in (mdata, whole))
    assert overlap(lists[absent], expected[absent]) > 0.3
    assert overlap(lists[~absent], expected[~absent]) > 0.5


def test_snf__embeddings_of_the_graphs() -> None:
    """By the modalities' graphs, one name for all, or names given."""
    X = groups(200)
    mdata = multimodal(X)
    mdata["rna"].obsm["X_other"] = X["rna"][:, ::-1] ** 3
    mu.pp.neighbors(mdata["rna"], use_rep="X_other", n_pcs=6, key_added="mine")
    mu.pp.neighbors(mdata["prot"], key_added="mine")
    mu.tl.snf(mdata, neighbor_keys="mine", key_added="a")
    params = mdata.uns["a"]["params"]
    assert params["mod_use_rep"] == {"rna": "X_other", "prot": "X_pca"}
    assert params["mod_n_pcs"] == {"rna": 6}
    other = {"rna": "X_other", "prot": "X_pca"}
    mu.tl.snf(mdata, use_rep=other, n_pcs={"rna": 6}, key_added="b")
    mine = dict.fromkeys(["rna", "prot"], "mine")
    mu.tl.snf(mdata, neighbor_keys=mine, use_rep="X_pca", key_added="c")
    assert (mdata.obsp["a_distances"] != mdata.obsp["b_distances"]).nnz == 0
    assert (mdata.obsp["a_distances"] != mdata.obsp["c_distances"]).nnz > 0


def test_snf__three_modalities_and_some_of_them() -> None:
    X = groups(150)
    X["atac"] = groups(150, seed=5)["rna"][:, :9]
    mdata = multimodal(X)
    mu.tl.snf(mdata, key_added="all", n_pairs=149)
    mu.tl.snf(mdata, key_added="two", use_rep={"atac": "X_pca", "rna": "X_pca"}, n_pairs=149)
    for key, names in (("all", ["rna", "prot", "atac"]), ("two", ["atac", "rna"])):
        W = fused_densely({name: X[name] for name in names})
        found = mdata.obsp[f"{key}_distances"]
        np.testing.assert_allclose(found.sum(), (0.5 - largest(W, 20)[1]).sum(), rtol=1e-6)
        assert list(mdata.uns[key]["params"]["modalities"]) == names
        assert mdata.obsm[f"{key}_weights"].shape == (150, len(names))


def in_muon(X: Mapping[str, Dense]) -> md.MuData:
    """Return muon's fusion; of all distances: those that a graph lacks it takes for 0."""
    mods = {}
    for name, own in X.items():
        adata = ad.AnnData(np.ones((len(own), 60), np.float32), obsm={"X_pca": own})
        adata.obs_names = [f"cell{i}" for i in range(len(own))]
        adata.var_names = [f"{name}{i}" for i in range(60)]
        sc.pp.neighbors(adata, use_rep="X_pca")
        adata.obsp["distances"] = distances_of(own)
        mods[name] = adata
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mdata = md.MuData(mods)
        muon.tl.snf(mdata)
    return mdata


def test_snf__and_muon() -> None:
    """muon scales the columns of S, and connects the least similar; the rest is the same."""
    X = groups(150)
    theirs, ours = in_muon(X), multimodal(X)
    mu.tl.snf(ours, n_pairs=149)
    W = fused_densely(X, scale=as_muon_scales)
    indices, values = largest(W, 20)
    listed = theirs.obsp["distances"].indices.reshape(150, 20)
    np.testing.assert_array_equal(np.sort(listed, axis=1), np.sort(indices, axis=1))
    np.testing.assert_allclose(
        np.sort(theirs.obsp["distances"].data.reshape(150, 20), axis=1), 0.5 - values, rtol=1e-8
    )
    found = ours.obsp["distances"].indices.reshape(150, 20)
    assert 0.93 < overlap(found, listed) < 0.999
    connected = theirs.obsp["connectivities"].indices.reshape(150, 20)
    assert overlap(connected, listed) == 0
    names = {"connectivities_key", "distances_key", "params"}
    assert names <= set(theirs.uns["neighbors"])
    assert names <= set(ours.uns["neighbors"])
    params = theirs.uns["neighbors"]["params"]
    for name in ("n_neighbors", "eps", "method"):
        assert params[name] == ours.uns["neighbors"]["params"][name]


def same_names() -> mu.MuData:
    return multimodal(groups(60))


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"n_neighbors": 1}, ArgumentError, "`n_neighbors` is 1, but it must be 2 or more"),
        ({"n_iterations": 0}, ArgumentError, "`n_iterations` is 0, but it must be 1 or more"),
        ({"sigma": 0.0}, ArgumentError, "`sigma` is 0.0.*above 0; pass e.g. sigma=0.5"),
        ({"sigma": float("nan")}, ArgumentError, "`sigma` is nan.*above 0"),
        ({"eps": 0.0}, ArgumentError, "`eps` is 0.0.*above 0; pass e.g. eps=2.2e-16"),
        ({"n_pairs": 19}, ArgumentError, "`n_pairs` is 19, but it must be 20 or more"),
        ({"knn": "fast"}, ArgumentError, "`knn` is 'fast', but it must be one of 'auto'"),
        ({"use_rep": {"rna": "X_pca"}}, ArgumentError, "`modalities` is rna.*of two or more"),
        ({"neighbor_keys": {}}, ArgumentError, "`modalities` is none.*of two or more"),
        ({"use_rep": "X_mofa"}, MissingResultError, "obsm of rna has no such embedding.*X_pca"),
        ({"n_pcs": 13}, ArgumentError, "`n_pcs` is 13, but X_pca has 12 components"),
        (
            {"neighbor_keys": "mine"},
            MissingResultError,
            "`neighbor_keys` is 'mine', but rna has no graph.*call lazymu.pp.neighbors",
        ),
        (
            {"neighbor_keys": {"rna": None, "prot": None}},
            MissingResultError,
            "`neighbor_keys` is 'neighbors', but rna has no graph",
        ),
        ({"neighbor_keys": {"rna": None, "adt": None}}, ModalityNotFoundError, "adt"),
    ],
)
def test_snf__errors(arguments: dict[str, Any], error: type[Exception], match: str) -> None:
    mdata = same_names()
    if "adt" in str(arguments):
        mu.pp.neighbors(mdata["rna"])
    with pytest.raises(error, match=match):
        mu.tl.snf(mdata, **arguments)
    assert not mdata.obsp


def test_snf__errors_of_cells_and_graphs() -> None:
    X = groups(60)
    mdata = multimodal(X, {"rna": range(30), "prot": range(30, 60)})
    with pytest.raises(NoCommonCellsError, match="no cell name is in all of them"):
        mu.tl.snf(mdata)
    X["atac"] = X["rna"]
    mdata = multimodal(X, {"rna": range(40), "prot": range(20, 50)})
    with pytest.raises(ArgumentError, match="10 cells are in none of them"):
        mu.tl.snf(mdata, use_rep={"rna": "X_pca", "prot": "X_pca"})
    mdata = same_names()
    mu.pp.neighbors(mdata["prot"], metric="cosine")
    with pytest.raises(ArgumentError, match=r"in prot a graph of metric 'cosine'.*Euclidean"):
        mu.tl.snf(mdata)
    mu.tl.snf(mdata, use_rep="X_pca")
    with pytest.raises(ArgumentError, match="`mdata` is a Modality"):
        mu.tl.snf(mdata["rna"])


def test_snf__error_of_memory() -> None:
    mdata = multimodal(groups(400))
    needed = snf.memory_needed(400, 2, 20, 60)
    with mu.settings.override(memory_limit=needed - 1):
        with pytest.raises(MemoryLimitError, match=f"may take {needed:,} of {needed - 1:,} bytes"):
            mu.tl.snf(mdata)
    with mu.settings.override(memory_limit=needed):
        mu.tl.snf(mdata)
