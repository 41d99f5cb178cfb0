"""Workers killed in the middle of their work: results are those of an undisturbed run."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest

from lazymu import Modality, read
from lazymu.decomposition.reducers import GramDot
from lazymu.decomposition.svd import truncated_svd
from lazymu.errors import ClusterLostError
from lazymu.graph import bandwidth, weights
from lazymu.graph.knn import nearest_neighbors
from lazymu.graph.wnn import weighted_neighbors
from lazymu.settings import settings
from lazymu.stream import LazyMatrix, exchange, passes, run_pass
from lazymu.stream.plan import plan_blocks
from lazymu.tl.group_tests import wilcoxon
from tests.cluster import running
from tests.conftest import make_counts
from tests.test_graph_sharded import groups

SABOTEUR = Path(__file__).with_name("saboteur.py")


@pytest.fixture(scope="module")
def orders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where workers are told in which function to die."""
    return tmp_path_factory.mktemp("orders")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, orders: Path) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("cluster")
    config = {"SABOTAGE": str(orders)}
    with running(folder, preload=SABOTEUR, config=config) as (_, client), client.as_current():
        yield client


@pytest.fixture
def order(client: Any, orders: Path) -> Iterator[Any]:
    """Give an order to die, and see that one worker has obeyed."""
    client.wait_for_workers(2, timeout=60)
    given: list[str] = []

    def give(name: str) -> None:
        given.append(name)
        (orders / f"kill-{name}").touch()

    yield give
    for name in given:
        (orders / f"killed-{name}").unlink()


def small_blocks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(passes, "plan_blocks", partial(plan_blocks, max_values=300))


@pytest.mark.parametrize("name", ["block", "merge"])
def test_run_pass__worker_killed(name: str, order: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    small_blocks(monkeypatch)
    matrix = LazyMatrix(make_counts(400, 20))
    reducer = GramDot(np.eye(20, 4), keep_scores=True)
    with dask.config.set(scheduler="threads"):
        expected = run_pass(matrix, reducer, label="test")[0]
    order(name)
    found = run_pass(matrix, reducer, label="test")[0]
    np.testing.assert_allclose(found.W, expected.W, rtol=1e-12)
    scores = found.Y.assemble(400, (4,), np.float64)
    np.testing.assert_allclose(scores, expected.Y.assemble(400, (4,), np.float64), rtol=1e-12)


def test_truncated_svd__worker_killed(order: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    small_blocks(monkeypatch)
    matrix = LazyMatrix(make_counts(400, 60))
    # So small a limit that the counts are read from where they are.
    with settings.override(memory_limit="500MB"):
        with dask.config.set(scheduler="threads"):
            expected = truncated_svd(matrix, 5, random_state=0)
        order("block")
        found = truncated_svd(matrix, 5, random_state=0)
    np.testing.assert_allclose(found.S, expected.S, rtol=1e-6)


@pytest.mark.parametrize("name", ["ask", "join"])
def test_sharded_search__worker_killed(name: str, order: Any) -> None:
    X = groups(21_000, 6)
    expected = nearest_neighbors(X, 5, method="inverted")
    order(name)
    found = nearest_neighbors(X, 5, method="sharded")
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_array_equal(found.distances, expected.distances)


@pytest.mark.parametrize("name", ["bandwidths", "weights", "affinities"])
def test_weighted_neighbors__worker_killed(
    name: str, order: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bandwidth, "BLOCK_ROWS", 100)
    monkeypatch.setattr(weights, "BLOCK_ROWS", 100)
    embeddings = {"rna": groups(900, 6), "prot": groups(900, 4, seed=1)}
    with dask.config.set(scheduler="threads"):
        expected = weighted_neighbors(embeddings)
    order(name)
    found = weighted_neighbors(embeddings)
    for x, y in zip(found[:4], expected[:4], strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize(("name", "by_feature"), [("cut", False), ("rank", False), ("rank", True)])
def test_wilcoxon__worker_killed(
    name: str, by_feature: bool, order: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "plan_blocks", partial(plan_blocks, max_values=300))
    Modality(make_counts(400, 30)).write(tmp_path / "x.zarr")
    mod = read(tmp_path / "x.zarr")
    if by_feature:
        mod.store_by_feature()
    codes = np.arange(400) % 4 - 1
    with dask.config.set(scheduler="threads"):
        expected = wilcoxon(mod.X, codes, 3, tie_correct=True)
    order(name)
    found = wilcoxon(mod.X, codes, 3, tie_correct=True)
    for x, y in zip(found, expected, strict=True):
        np.testing.assert_array_equal(x, y)


def test_compute__scheduler_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_blocks(monkeypatch)
    slow = LazyMatrix(make_counts(400, 20))
    with running(tmp_path, n_workers=1) as (cluster, client), client.as_current():
        run_pass(slow, GramDot(np.eye(20, 4)), label="test")
        threading.Timer(0.3, os.killpg, (cluster.scheduler.pid, signal.SIGKILL)).start()
        with pytest.raises(ClusterLostError, match="start it again and repeat the step"):
            many_passes(slow)


def many_passes(matrix: LazyMatrix) -> None:
    for _ in range(1000):
        run_pass(matrix, GramDot(np.eye(20, 4)), label="test")
