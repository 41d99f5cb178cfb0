"""Weighted nearest neighbours against Seurat's results, a plain transcription, and muon."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import anndata as ad
import mudata as md
import numpy as np
import pytest
import scanpy as sc
from scipy.spatial.distance import cdist
from scipy.special import softmax
from sklearn.decomposition import PCA

from lazymu.errors import ArgumentError
from lazymu.graph import affinity
from lazymu.graph.search import NeighborLists
from lazymu.graph.wnn import WeightedNeighbors, weighted_neighbors
from lazymu.stream.progress import Tick, watching

GOLDEN = Path(__file__).parent / "data" / "seurat_wnn_golden.npz"
Positions = Mapping[str, np.ndarray]


def made(n: int, dims: Mapping[str, int], *, seed: int = 0) -> dict[str, np.ndarray]:
    """Return embeddings of the same cells; each modality splits other clusters."""
    generator = np.random.default_rng(seed)
    cluster = generator.integers(8, size=n)
    embeddings = {}
    for modality, d in dims.items():
        centres = 3 * generator.normal(size=(8, d))
        centres[generator.integers(8)] = centres[0]
        noise = generator.normal(size=(n, d))
        embeddings[modality] = (centres[cluster] + noise).astype(np.float32)
    return embeddings


def without(n: int, missing: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return positions of n cells where each modality misses some."""
    positions = {}
    for modality, cells in missing.items():
        present = np.setdiff1d(np.arange(n), cells)
        positions[modality] = np.full(n, -1)
        positions[modality][present] = np.arange(len(present))
    return positions


def agree(found: WeightedNeighbors, expected: WeightedNeighbors) -> None:
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_allclose(found.distances, expected.distances, rtol=1e-6, atol=2e-8)
    np.testing.assert_allclose(found.weights, expected.weights, atol=1e-6)
    np.testing.assert_allclose(found.sigma, expected.sigma, rtol=1e-6, atol=1e-9)


# --- the oracle: loops over cells and modalities, straight from the definitions -------------------


class Oracle:
    """WNN with full distance matrices over N cells; NaN rows where a cell has no embedding."""

    def __init__(
        self,
        embeddings: Mapping[str, np.ndarray],
        positions: Positions | None,
        *,
        k: int,
        n_bandwidth: int = 20,
        n_multi: int = 200,
        flavor: str = "seurat",
        eps: float = 1e-4,
    ) -> None:
        self.k, self.n_bandwidth, self.n_multi, self.eps = k, n_bandwidth, n_multi, eps
        self.seurat = flavor == "seurat"
        self.names = list(embeddings)
        self.X, self.D = {}, {}
        for name, embedding in embeddings.items():
            rows = np.arange(len(embedding)) if positions is None else positions[name]
            X = np.full((len(rows), embedding.shape[1]), np.nan)
            X[rows >= 0] = embedding[rows[rows >= 0]].astype(np.float64)
            if self.seurat:
                lengths = np.linalg.norm(X, axis=1, keepdims=True)
                X = np.where(lengths == 0, 0.0, X / np.where(lengths == 0, 1.0, lengths))
            self.X[name] = X
            self.D[name] = cdist(X, X)
            np.fill_diagonal(self.D[name], np.nan)
        self.n = len(X)
        self.present = {r: ~np.isnan(X[:, 0]) for r, X in self.X.items()}
        self.near = {r: [self.nearest(r, i, k - 1) for i in range(self.n)] for r in self.names}
        self.d1 = {
            r: np.nanmin(np.where(self.present[r][:, None], self.D[r], 0), axis=1)
            for r in self.names
        }
        self.shared = {r: self.shared_neighbors(r) for r in self.names}
        self.sigma = {r: np.array([self.width(r, i) for i in range(self.n)]) for r in self.names}

    def nearest(self, r: str, i: int, k: int) -> np.ndarray:
        if not self.present[r][i]:
            return np.array([], int)
        order = np.argsort(self.D[r][i], kind="stable")
        return order[: min(k, np.sum(~np.isnan(self.D[r][i])))]

    def shared_neighbors(self, r: str) -> np.ndarray:
        """Return how many neighbours each two cells share, with Seurat themselves too."""
        A = self.seurat * np.eye(self.n, dtype=np.float32)
        for i, near in enumerate(self.near[r]):
            A[i, near] = 1
        return A @ A.T

    def width(self, r: str, i: int) -> float:
        if not self.present[r][i]:
            return np.nan
        shared = self.shared[r][i]
        distance = np.where(np.arange(self.n) == i, 0.0, self.D[r][i])
        if self.seurat:
            excess = np.maximum(0, distance - self.d1[r][i])
            kin = np.flatnonzero(shared > 0)
            kin = kin[np.argsort(shared[kin], kind="stable")]
            taken = min(self.n_bandwidth, len(kin))
            kin = kin[shared[kin] <= shared[kin[taken - 1]]]
            return max(np.sort(excess[kin])[-taken:].mean(), 1e-10)
        kin = np.array([j for j in np.flatnonzero(shared > 0) if j != i])
        kin = kin[np.lexsort((-distance[kin], shared[kin]))][: self.n_bandwidth]
        return float(distance[kin].mean())

    def theta(self, r: str, s: str, i: int) -> float:
        known = [j for j in self.near[s][i] if self.present[r][j]]
        if not known:
            return np.nan
        error = np.linalg.norm(self.X[r][i] - self.X[r][known].mean(axis=0))
        width = self.sigma[r][i] - (0 if self.seurat else self.d1[r][i])
        return float(np.exp(-max(0.0, error - self.d1[r][i]) / width))

    def weights_of(self, i: int) -> np.ndarray:
        mine = [r for r in self.names if self.present[r][i]]
        logits = np.full(len(self.names), -np.inf)
        for r in mine:
            own = np.nan_to_num(self.theta(r, r, i))
            cross = [self.theta(r, s, i) for s in mine if s != r]
            cross = [own if np.isnan(theta) else theta for theta in cross]
            at = self.names.index(r)
            if not cross:
                logits[at] = 0.0
            elif self.seurat:
                scores = [min(max(own / (theta + self.eps), 0), 200) for theta in cross]
                logits[at] = np.log(np.sum(np.exp(scores)))
            else:
                logits[at] = own / (max(cross) + self.eps)
        return softmax(logits)

    def result(self) -> WeightedNeighbors:
        weights = np.array([self.weights_of(i) for i in range(self.n)])
        n_kept = min(self.k + (not self.seurat), self.n - 1)
        indices = np.full((self.n, n_kept), -1)
        distances = np.full((self.n, n_kept), np.nan)
        for i in range(self.n):
            near = [self.nearest(r, i, self.n_multi - self.seurat) for r in self.names]
            candidates = np.unique(np.concatenate(near))
            a = np.zeros(len(candidates))
            for w, r in zip(weights[i], self.names, strict=True):
                if self.present[r][i]:
                    offset = self.d1[r][i] if self.seurat else 0.0
                    excess = np.maximum(0, self.D[r][i, candidates] - offset)
                    a += np.nan_to_num(w * np.exp(-excess / self.sigma[r][i]))
            order = np.argsort(-a, kind="stable")[:n_kept]
            indices[i, : len(order)] = candidates[order]
            distances[i, : len(order)] = np.sqrt(np.clip((1 - a[order]) / 2, 0, 1))
            distances[i, len(order) :] = distances[i, len(order) - 1]
        sigma = np.column_stack([self.sigma[r] for r in self.names])
        return WeightedNeighbors(indices, distances, weights, sigma, {})


# --- Seurat's flavour -----------------------------------------------------------------------------


def test_weighted_neighbors__equals_seurat() -> None:
    """`FindMultiModalNeighbors(k.nn = 20)` of Seurat 4.3.0, its Annoy replaced by exact search."""
    golden = np.load(GOLDEN)
    found = weighted_neighbors({name: golden[f"rep_{name}"] for name in golden["modalities"]})
    np.testing.assert_array_equal(found.indices, golden["nn_idx"])
    np.testing.assert_allclose(found.distances, golden["nn_dist"], atol=1e-12)
    np.testing.assert_allclose(found.weights, golden["weights"], atol=1e-12)


@pytest.mark.parametrize("flavor", ["seurat", "muon"])
@pytest.mark.parametrize("dims", [{"a": 9, "b": 4}, {"a": 7, "b": 5, "c": 3}])
def test_weighted_neighbors__equals_the_definition(flavor: str, dims: dict[str, int]) -> None:
    embeddings = made(160, dims)
    expected = Oracle(embeddings, None, k=11, n_bandwidth=15, n_multi=40, flavor=flavor).result()
    found = weighted_neighbors(
        embeddings,
        n_neighbors=11,
        n_bandwidth_neighbors=15,
        n_multineighbors=40,
        flavor=flavor,  # type: ignore[arg-type]  # parametrized
    )
    agree(found, expected)
    assert found.weights[:, 0].std() > 0.05


@pytest.mark.parametrize("flavor", ["seurat", "muon"])
def test_weighted_neighbors__cells_missing_from_modalities(flavor: str) -> None:
    """A tenth of the cells lacks one modality, some lack two; each keeps to what it has."""
    n = 150
    positions = without(
        n, {"a": np.arange(0, 15), "b": np.arange(15, 40), "c": np.r_[0:5, 20:24, 100:115]}
    )
    full = made(n, {"a": 6, "b": 4, "c": 5})
    embeddings = {r: X[positions[r] >= 0] for r, X in full.items()}
    expected = Oracle(embeddings, positions, k=8, n_multi=30, flavor=flavor).result()
    found = weighted_neighbors(
        embeddings,
        positions,
        n_neighbors=8,
        n_multineighbors=30,
        flavor=flavor,  # type: ignore[arg-type]  # parametrized
    )
    agree(found, expected)
    np.testing.assert_array_equal(found.weights[:5], [[0, 1, 0]] * 5)
    np.testing.assert_array_equal(found.weights[20:24], [[1, 0, 0]] * 4)
    np.testing.assert_allclose(found.weights.sum(axis=1), 1)
    missing = np.column_stack([positions[r] < 0 for r in embeddings])
    np.testing.assert_array_equal(found.weights[missing], 0)
    np.testing.assert_array_equal(np.isnan(found.sigma), missing)


def test_weighted_neighbors__order_of_a_modality_does_not_matter() -> None:
    embeddings = made(300, {"rna": 8, "prot": 5})
    embeddings["prot"][200:220] = embeddings["prot"][199]  # ties, which no order may decide
    expected = weighted_neighbors(embeddings)
    order = np.random.default_rng(1).permutation(300)
    shuffled = {"rna": embeddings["rna"], "prot": embeddings["prot"][order]}
    found = weighted_neighbors(shuffled, {"rna": np.arange(300), "prot": np.argsort(order)})
    for name, value in found._asdict().items():
        np.testing.assert_array_equal(value, getattr(expected, name))


def incomplete_and_shuffled(
    embeddings: Mapping[str, np.ndarray], seed: int = 0
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return them without a tenth of the first one's cells, the last one's in another order."""
    rng = np.random.default_rng(seed)
    first, *_, last = embeddings
    n = len(embeddings[first])
    positions = without(n, {r: np.array([], int) for r in embeddings})
    positions |= without(n, {first: rng.choice(n, n // 10, replace=False)})
    order = rng.permutation(n)
    positions[last] = np.argsort(order)
    kept = dict(embeddings)
    kept[first], kept[last] = embeddings[first][positions[first] >= 0], embeddings[last][order]
    return kept, positions


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("dims", [{"rna": 20, "prot": 8}, {"rna": 15, "atac": 12, "prot": 6}])
def test_weighted_neighbors__thousands_of_simulated_cells(
    dims: dict[str, int], whole: bool
) -> None:
    embeddings, positions = made(2200, dims, seed=4), None
    if not whole:
        embeddings, positions = incomplete_and_shuffled(embeddings)
    agree(weighted_neighbors(embeddings, positions), Oracle(embeddings, positions, k=20).result())


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("n_panels", [2, 3])
def test_weighted_neighbors__thousands_of_real_cells(
    data_dir: Path, n_panels: int, whole: bool
) -> None:
    """Cells of a blood sample; each modality is the principal components of its own genes."""
    cells = ad.read_h5ad(data_dir / "rna_pbmc5k_hvg" / "rna_pbmc5k_hvg.h5ad")[:2500]
    counts = np.asarray(cells.X.todense(), np.float64)
    embeddings, positions = {}, None
    for panel in range(n_panels):
        own = np.log1p(counts[:, panel::n_panels])
        embeddings[f"panel{panel}"] = PCA(20, random_state=0).fit_transform(own)
    if not whole:
        embeddings, positions = incomplete_and_shuffled(embeddings)
    found = weighted_neighbors(embeddings, positions)
    agree(found, Oracle(embeddings, positions, k=20).result())
    assert found.weights[found.weights > 0].std() > 0.01


@pytest.mark.parametrize("flavor", ["seurat", "muon"])
def test_weighted_neighbors__one_modality_has_all_weight(flavor: str) -> None:
    embeddings = made(90, {"rna": 5})
    expected = Oracle(embeddings, None, k=10, flavor=flavor).result()
    found = weighted_neighbors(embeddings, n_neighbors=10, flavor=flavor)  # type: ignore[arg-type]
    agree(found, expected)
    np.testing.assert_array_equal(found.weights, 1)


@pytest.mark.parametrize("n", [50, 20, 12, 3, 2])
def test_weighted_neighbors__fewer_cells_than_neighbours(n: int) -> None:
    embeddings = made(n, {"rna": 6, "prot": 4})
    found = weighted_neighbors(embeddings)
    agree(found, Oracle(embeddings, None, k=20).result())
    assert found.indices.shape == (n, min(20, n - 1))


def test_weighted_neighbors__duplicates() -> None:
    """Cells measured alike are neighbours, never themselves; nothing is NaN."""
    embeddings = {r: np.repeat(X, 30, axis=0) for r, X in made(4, {"rna": 6, "prot": 4}).items()}
    found = weighted_neighbors(embeddings)
    agree(found, Oracle(embeddings, None, k=20).result())
    np.testing.assert_array_equal(found.distances, 0)
    np.testing.assert_array_equal(
        found.indices // 30, np.arange(120)[:, None] // 30 + 0 * found.indices
    )
    assert not np.any(found.indices == np.arange(120)[:, None])
    assert np.isfinite(found.weights).all()


def test_weighted_neighbors__panel_of_one_protein() -> None:
    """Scaled to length 1 its cells are 1 or -1: ties go in order, rounding decides nothing."""
    embeddings = made(80, {"rna": 6, "prot": 1})
    agree(weighted_neighbors(embeddings), Oracle(embeddings, None, k=20).result())


def test_weighted_neighbors__cell_without_counts() -> None:
    """A row of zeros has no direction: it is at distance 1 from all, and nothing becomes NaN."""
    embeddings = made(80, {"rna": 6, "prot": 3})
    embeddings["rna"][5] = 0
    found = weighted_neighbors(embeddings)
    assert all(np.isfinite(value).all() for value in found[:4])
    assert found.sigma[5, 0] < 1e-6 < found.sigma[4, 0]
    assert all(len(set(row)) == 20 for row in found.indices)


def test_weighted_neighbors__modality_of_few_cells_gives_few_candidates() -> None:
    """Cells seen only in a modality of 4 have 3 candidates; the rest of their lists is -1."""
    n = 60
    positions = without(n, {"rna": np.arange(4), "prot": np.arange(4, n)})
    embeddings = {r: X[positions[r] >= 0] for r, X in made(n, {"rna": 5, "prot": 3}).items()}
    found = weighted_neighbors(embeddings, positions, n_neighbors=6)
    agree(found, Oracle(embeddings, positions, k=6).result())
    np.testing.assert_array_equal(np.sum(found.indices >= 0, axis=1), np.r_[[3] * 4, [6] * 56])
    assert np.isfinite(found.distances).all()


def test_weighted_neighbors__blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    n = 200
    positions = without(n, {"rna": np.arange(40, 70), "prot": np.arange(0, 35)})
    embeddings = {r: X[positions[r] >= 0] for r, X in made(n, {"rna": 5, "prot": 3}).items()}
    expected = weighted_neighbors(embeddings, positions)
    monkeypatch.setattr(affinity, "BLOCK_CELLS", 33)
    monkeypatch.setattr(affinity, "THREAD_CELLS", 5)
    found = weighted_neighbors(embeddings, positions)
    for name, value in found._asdict().items():
        np.testing.assert_array_equal(value, getattr(expected, name))


def test_weighted_neighbors__tells_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(affinity, "BLOCK_CELLS", 40)
    told: dict[str, Tick] = {}
    with watching(lambda tick: told.update({tick.label: tick})):
        weighted_neighbors(made(100, {"rna": 4, "prot": 3}))
    assert list(told) == ["neighbours in rna", "neighbours in prot", "joint neighbours"]
    assert [tick.n_blocks for tick in told.values()] == [1, 1, 3]
    assert all(tick.done_blocks == tick.n_blocks for tick in told.values())
    assert all(tick.done_values == tick.n_values for tick in told.values())


def test_weighted_neighbors__length_of_cells_matters_without_l2_norm() -> None:
    embeddings = made(100, {"rna": 6, "prot": 4})
    longer = {
        r: X * np.random.default_rng(0).uniform(1, 9, (100, 1)) for r, X in embeddings.items()
    }
    expected = weighted_neighbors(embeddings)
    np.testing.assert_array_equal(weighted_neighbors(longer).indices, expected.indices)
    plain = weighted_neighbors(longer, l2_norm=False)
    assert np.mean(plain.indices == expected.indices) < 0.9


@pytest.mark.slow
def test_weighted_neighbors__approximate_search_keeps_the_neighbours() -> None:
    embeddings = made(2500, {"rna": 15, "prot": 8})
    exact = weighted_neighbors(embeddings, method="exact")
    found = weighted_neighbors(embeddings, method="pynndescent")
    kept = [len(np.intersect1d(*rows)) for rows in zip(found.indices, exact.indices, strict=True)]
    assert 0.97 < np.mean(kept) / 20 <= 1
    assert 0.99 < np.corrcoef(found.weights[:, 0], exact.weights[:, 0])[0, 1] <= 1


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"flavor": "scarf"}, "'seurat', 'muon'"),
        ({"n_neighbors": 1}, "`n_neighbors` is 1"),
        ({"n_multineighbors": 1}, "`n_multineighbors` is 1"),
        ({"n_bandwidth_neighbors": 0}, "`n_bandwidth_neighbors` is 0"),
        ({"weights": np.ones(3)}, r"of shape \(3,\).* 10 cells and 2 modalities"),
        ({"weights": np.array([-1.0, 1])}, "from -1"),
        ({"weights": np.array([np.nan, 1])}, "finite and not negative"),
        ({"weights": np.r_[np.ones((9, 2)), np.zeros((1, 2))]}, "all 0 in 1 cells"),
        ({"positions": {"a": np.arange(9), "b": np.arange(10)}}, "same number of cells|every row"),
        ({"positions": {"a": np.arange(10), "b": np.zeros(10, int)}}, "every row"),
        ({"positions": {m: np.r_[np.arange(10), -1] for m in "ab"}}, "-1 for 1 cells"),
        ({"positions": {"a": np.arange(10), "b": np.r_[np.arange(10), -1]}}, "of lengths"),
    ],
)
def test_weighted_neighbors__unusable_arguments(arguments: dict, match: str) -> None:
    embeddings = made(10, {"a": 3, "b": 2})
    with pytest.raises(ArgumentError, match=match):
        weighted_neighbors(embeddings, **arguments)


def test_weighted_neighbors__weights_of_the_user() -> None:
    n = 150
    positions = without(n, {"a": np.arange(0, 15), "b": np.arange(15, 40)})
    embeddings = {r: X[positions[r] >= 0] for r, X in made(n, {"a": 6, "b": 4}).items()}
    own = weighted_neighbors(embeddings, positions)
    again = weighted_neighbors(embeddings, positions, weights=5 * own.weights)
    agree(again, own)
    alike = weighted_neighbors(embeddings, positions, weights=np.array([3.0, 1.0]))
    np.testing.assert_allclose(alike.weights[40:], [[0.75, 0.25]] * 110)
    np.testing.assert_array_equal(alike.weights[:15], [[0, 1]] * 15)
    # All weight in one modality: its own nearest cells.
    whole = made(n, {"a": 6, "b": 4})
    of_a = weighted_neighbors(whole, weights=np.array([1.0, 0.0]), n_multineighbors=40)
    alone = weighted_neighbors({"a": whole["a"]}, n_multineighbors=40)
    np.testing.assert_array_equal(of_a.indices, alone.indices)


def test_weighted_neighbors__no_modality() -> None:
    with pytest.raises(ArgumentError, match="`embeddings` is 0"):
        weighted_neighbors({})


# --- muon's flavour -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def of_muon() -> md.MuData:
    """muon's own result on 450 aligned cells."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import muon

        mod = {r: ad.AnnData(X) for r, X in made(450, {"rna": 10, "prot": 6}).items()}
        for adata in mod.values():
            sc.pp.neighbors(adata, use_rep="X")
        mdata = md.MuData(mod)
        muon.pp.neighbors(mdata)
    return mdata


@pytest.mark.slow
def test_weighted_neighbors__follows_muon(of_muon: md.MuData) -> None:
    """muon's bandwidths come from an approximate search; the rest is the same."""
    lists = {}
    for name, adata in of_muon.mod.items():
        stored = adata.obsp["distances"]
        assert (np.diff(stored.indptr) == 14).all()
        indices, distances = stored.indices.reshape(-1, 14), stored.data.reshape(-1, 14)
        order = np.argsort(distances, axis=1)
        lists[name] = NeighborLists(
            np.take_along_axis(indices, order, 1), np.take_along_axis(distances, order, 1)
        )
    found = weighted_neighbors(
        {name: adata.X for name, adata in of_muon.mod.items()},
        n_neighbors=15,
        flavor="muon",
        lists=lists,
    )
    expected = np.column_stack([of_muon.obs[f"{name}:mod_weight"] for name in of_muon.mod])
    assert found.indices.shape == (450, 16)
    stored = of_muon.obsp["distances"]
    kept = [
        len(
            np.intersect1d(
                found.indices[i], stored.indices[stored.indptr[i] : stored.indptr[i + 1]]
            )
        )
        for i in range(450)
    ]
    correlation = np.corrcoef(found.weights[:, 0], expected[:, 0])[0, 1]
    print(f"muon: weights correlate {correlation:.3f}, neighbours kept {np.mean(kept) / 16:.3f}")
    assert 0.8 < correlation < 1
    assert 0.8 < np.mean(kept) / 16 < 1
