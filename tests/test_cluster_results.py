"""Results of a Dask cluster of two processes beside those of threads: the same, bit for bit."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
from distributed import Future

import lazymu
from lazymu.errors import MemoryLimitError
from lazymu.graph import affinity, bandwidth, knn, shared, weights
from lazymu.graph.sharded import ShardedSearch
from lazymu.graph.shared import shared_neighbors
from lazymu.graph.wnn import weighted_neighbors
from lazymu.settings import settings
from lazymu.stream import LazyMatrix, exchange, recorded_passes, spread
from lazymu.stream.compute import task
from lazymu.stream.plan import plan_blocks
from lazymu.tl import rank_genes_groups
from lazymu.tl.group_tests import wilcoxon
from tests.cluster import running
from tests.conftest import make_counts
from tests.test_graph_sharded import groups
from tests.test_graph_wnn import without


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with running(tmp_path_factory.mktemp("cluster")) as (_, client), client.as_current():
        yield client


def tasks_of(client: Any) -> set[str]:
    """Return the names of the tasks that the scheduler has seen."""
    return set(client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.task_prefixes)))


def in_threads() -> Any:
    return dask.config.set(scheduler="threads")


def assert_same(found: Any, expected: Any) -> None:
    for x, y in zip(found, expected, strict=True):
        np.testing.assert_array_equal(x, y)


# --- neighbours ----------------------------------------------------------------------------------


@pytest.mark.parametrize("flavor", ["seurat", "muon"])
def test_weighted_neighbors__as_in_threads(
    client: Any, flavor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bandwidth, "BLOCK_ROWS", 50)
    monkeypatch.setattr(weights, "BLOCK_ROWS", 50)
    monkeypatch.setattr(affinity, "BLOCK_CELLS", 150)
    positions = without(700, {"rna": np.arange(20), "prot": np.arange(50, 120), "atac": [300]})
    embeddings = {
        name: groups((rows >= 0).sum(), d, seed=d)
        for (name, rows), d in zip(positions.items(), (6, 4, 9), strict=True)
    }
    find = partial(weighted_neighbors, embeddings, positions, flavor=flavor)
    with in_threads():
        expected = find()
    assert_same(find()[:4], expected[:4])
    assert {"bandwidths", "weights", "joint-neighbours"} <= tasks_of(client)


def test_weighted_neighbors__tasks_bring_their_own_cells_alone(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Per cell: its places and lists; for ranks 2 x 99 candidates, its weights and widths."""
    sent: dict[str, int] = {}

    def counted(label: str, function: Any, *arguments: Any) -> Any:
        own = [each for each in arguments if isinstance(each, np.ndarray)]
        assert all(isinstance(each, np.ndarray | Future) for each in arguments)
        sent[label] = sent.get(label, 0) + len(pickle.dumps(own))
        return task(label, function, *arguments)

    monkeypatch.setattr(spread, "task", counted)
    n = 3_000
    embeddings = {"rna": groups(n, 50), "prot": groups(n, 40, seed=1)}
    weighted_neighbors(embeddings, n_neighbors=20, n_multineighbors=100)
    assert sent["bandwidths"] / n == pytest.approx(2 * 8, rel=0.1)
    assert sent["weights"] / n == pytest.approx(4 * (4 + 19 * 4), rel=0.1)
    assert sent["joint neighbours"] / n == pytest.approx(8 + 4 * 2 * 99 + 6 * 8, rel=0.1)


def test_weighted_neighbors__large_data_are_searched_by_shards(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(knn, "EXACT_MAX_CELLS", 2_000)
    X = groups(5_000, 6)
    make = partial(knn.make_search, X, np.ones(len(X)), metric="euclidean", method="auto")
    assert isinstance(make(n_built=20, random_state=0), ShardedSearch)
    embeddings = {"rna": X, "prot": groups(5_000, 4, seed=1)}
    with in_threads():
        assert not isinstance(make(n_built=20, random_state=0), ShardedSearch)
        expected = weighted_neighbors(embeddings)
    found = weighted_neighbors(embeddings)
    assert_same(found[:4], expected[:4])
    assert found.recall == expected.recall
    with settings.override(memory_limit=ShardedSearch.n_bytes(X) - 1):
        assert not isinstance(make(n_built=20, random_state=0), ShardedSearch)


def test_shared_neighbors__as_in_threads(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "BLOCK_ROWS", 7)
    monkeypatch.setattr(shared, "FIRST_GUESS", 1)
    lists = np.stack([np.random.default_rng(i).permutation(60)[:9] for i in range(60)])
    lists[5, 4:] = -1
    with in_threads():
        expected = shared_neighbors(lists)
    found = shared_neighbors(lists)
    assert_same(
        (found.data, found.indices, found.indptr),
        (expected.data, expected.indices, expected.indptr),
    )
    assert "shared-neighbours" in tasks_of(client)


# --- rank tests ----------------------------------------------------------------------------------


@pytest.mark.parametrize("reference", [None, 1])
@pytest.mark.parametrize("kind", ["stored", "permuted", "dense", "by feature", "few by feature"])
def test_wilcoxon__as_in_threads(
    client: Any, kind: str, reference: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "plan_blocks", partial(plan_blocks, max_values=300))
    X = make_counts(300, 40)
    lazymu.Modality(X.toarray() if kind == "dense" else X).write(tmp_path / "x.zarr")
    mod = lazymu.read(tmp_path / "x.zarr")
    if "by feature" in kind:
        mod.store_by_feature()
    lazymu.pp.normalize_total(mod)
    lazymu.pp.log1p(mod)
    if kind == "permuted":
        mod = mod[np.random.default_rng(0).permutation(300)[:280]]
    if kind == "few by feature":
        mod = mod[::-1][:, [7, 3, 30, 12]]
    codes = np.random.default_rng(1).integers(-1, 4, mod.n_obs)
    test = partial(wilcoxon, n_groups=4, reference=reference, tie_correct=True)
    with in_threads():
        expected = test(mod.X, codes)
    with recorded_passes() as passes:
        found = test(mod.X, codes)
    assert_same(found, expected)
    labels = [entry.label for entry in passes]
    assert labels == ([] if "by feature" in kind else ["rank features"])


def test_wilcoxon__as_many_passes_as_the_workers_have_no_room_for(client: Any) -> None:
    X = make_counts(3000, 200, density=0.4)
    groups = np.random.default_rng(0).integers(-1, 4, 3000)
    with in_threads():
        expected = wilcoxon(LazyMatrix(X), groups, 4)
    with settings.override(memory_limit=1_000_000), recorded_passes() as passes:
        found = wilcoxon(LazyMatrix(X), groups, 4)
    assert_same(found, expected)
    labels = [entry.label for entry in passes]
    assert labels == ["sums"] + ["rank features"] * (len(passes) - 1)
    # 16 bytes a value, in half of what two workers plan with, half a megabyte each
    least = -(-16 * X.nnz // 500_000)
    assert len(passes) - 1 in (least, least + 1)


def test_wilcoxon__one_feature_beyond_a_workers_memory(client: Any) -> None:
    X = LazyMatrix(np.ones((20_000, 2), dtype=np.float32))
    with (
        settings.override(memory_limit=200_000),
        pytest.raises(MemoryLimitError, match=r"ranking the 20,000 values of one feature takes"),
    ):
        wilcoxon(X, np.arange(20_000) % 2, 2)


@pytest.mark.parametrize("method", ["t-test", "wilcoxon", "logreg"])
def test_rank_genes_groups__as_in_threads(client: Any, method: Any) -> None:
    mod = lazymu.Modality(make_counts(200, 12))
    labels = np.arange(200) % 3
    with in_threads():
        rank_genes_groups(mod, labels, method=method, key_added="threads")
    rank_genes_groups(mod, labels, method=method, key_added="cluster")
    found, expected = mod.uns["cluster"], mod.uns["threads"]
    for field in ("0", "1", "2"):
        assert found["names"][field].tolist() == expected["names"][field].tolist()
        np.testing.assert_allclose(found["scores"][field], expected["scores"][field], rtol=1e-6)
