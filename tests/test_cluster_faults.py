"""Workers killed in the middle of their work: results are those of an undisturbed run."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import dask
import numpy as np
import pytest

from lazymu import Modality, read
from lazymu.decomposition.reducers import GramDot
from lazymu.decomposition.svd import truncated_svd
from lazymu.errors import ClusterLostError, WorkerKilledError
from lazymu.graph import bandwidth, weights
from lazymu.graph.knn import nearest_neighbors
from lazymu.graph.wnn import weighted_neighbors
from lazymu.settings import settings
from lazymu.stream import LazyMatrix, exchange, passes, run_pass
from lazymu.stream.cluster import known_workers
from lazymu.stream.compute import held
from lazymu.stream.plan import plan_blocks
from lazymu.tl.group_tests import wilcoxon
from tests.cluster import Cluster, running
from tests.conftest import make_counts
from tests.network import Network, linked_network
from tests.test_graph_sharded import groups

SABOTEUR = Path(__file__).with_name("saboteur.py")
CUT_OFF_SECONDS = 120
"""Within which a pass ends of which a worker is cut off, by the timeouts set below."""


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
        (orders / f"obeyed-kill-{name}").unlink()


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


# --- cut off from the network --------------------------------------------------------------------


@pytest.fixture(scope="module")
def cut_off(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    """A cluster of two workers, one of them behind a link; where that one is told to wait."""
    folder, orders = tmp_path_factory.mktemp("network"), tmp_path_factory.mktemp("far")
    quick = {
        "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "5s",
        "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "11s",  # distributed takes no less
        "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "10s",
        "SABOTAGE": str(tmp_path_factory.mktemp("near")),
    }
    options = {"preload": SABOTEUR, "config": quick}
    with linked_network() as network:
        with running(folder, n_workers=1, host=network.here, **options) as (cluster, client):
            with client.as_current():
                yield Far(network, cluster, client, orders)


class Far(NamedTuple):
    """A worker behind a link, beside another that is not."""

    network: Network
    cluster: Cluster
    client: Any
    orders: Path

    def joined(self) -> None:
        """Wait until the worker is there: one that the scheduler has dropped ends by itself."""
        deadline = time.monotonic() + 120
        while len(known_workers(self.client)) < 2:
            assert time.monotonic() < deadline
            ended = [worker.poll() is not None for worker in self.cluster.workers[1:]]
            if all(ended):
                far = {"SABOTAGE": str(self.orders)}
                self.cluster.add_worker(within=self.network.run_in(), config=far)
            time.sleep(0.2)


@contextmanager
def cut_while(far: Far, name: str) -> Iterator[None]:
    """Cut the link while the worker behind it is in a function; restore it at the end."""
    network, orders = far.network, far.orders
    far.joined()
    (orders / f"pause-{name}").touch()
    obeyed = orders / f"obeyed-pause-{name}"

    def cut() -> None:
        deadline = time.monotonic() + 90
        while not obeyed.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        network.cut()
        obeyed.unlink()

    thread = threading.Thread(target=cut)
    thread.start()
    try:
        started = time.monotonic()
        yield
        assert time.monotonic() - started < CUT_OFF_SECONDS
        assert len(known_workers(far.client)) == 1
    finally:
        thread.join()
        network.restore()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["block", "merge"])
def test_run_pass__worker_cut_off(name: str, cut_off: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    small_blocks(monkeypatch)
    with dask.config.set(scheduler="threads"):
        expected = products()
    with cut_while(cut_off, name):
        during = products()
    restored = products()
    cut_off.joined()
    for found in (during, restored, products()):
        for x, y in zip(found, expected, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-12)


def products() -> tuple[Any, Any]:
    matrix, reducer = LazyMatrix(make_counts(400, 20)), GramDot(np.eye(20, 4), keep_scores=True)
    found = run_pass(matrix, reducer, label="test")[0]
    return found.W, found.Y.assemble(400, (4,), np.float64)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ask", "join"])
def test_sharded_search__worker_cut_off(name: str, cut_off: Far) -> None:
    X = groups(21_000, 6)
    expected = nearest_neighbors(X, 5, method="inverted")
    with cut_while(cut_off, name):
        during = nearest_neighbors(X, 5, method="sharded")
    restored = nearest_neighbors(X, 5, method="sharded")
    for found in (during, restored):
        np.testing.assert_array_equal(found.indices, expected.indices)
        np.testing.assert_array_equal(found.distances, expected.distances)


@pytest.mark.slow
def test_held__worker_cut_off_before(cut_off: Far) -> None:
    cut_off.joined()
    cut_off.network.cut()
    try:
        started = time.monotonic()
        futures = held([np.arange(3), np.arange(4)])
        assert time.monotonic() - started < CUT_OFF_SECONDS
        assert [len(value) for value in cut_off.client.gather(futures)] == [3, 4]
    finally:
        cut_off.network.restore()


# --- beyond a worker's memory --------------------------------------------------------------------

MEMORY = 800_000_000


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, orders: Path) -> Iterator[Any]:
    """A cluster of workers with little memory, which gives a task up after two of them."""
    config = {"SABOTAGE": str(orders), "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}
    folder = tmp_path_factory.mktemp("small")
    options = {"preload": SABOTEUR, "config": config, "memory": str(MEMORY)}
    with running(folder, **options) as (_, client), client.as_current():
        yield client


def test_run_pass__worker_beyond_its_memory_once(
    small: Any, orders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_blocks(monkeypatch)
    matrix, reducer = LazyMatrix(make_counts(400, 20)), GramDot(np.eye(20, 4))
    with dask.config.set(scheduler="threads"):
        expected = run_pass(matrix, reducer, label="test")[0]
    (orders / "fill-block").touch()
    found = run_pass(matrix, reducer, label="test")[0]
    (orders / "obeyed-fill-block").unlink()
    assert len(small.get_events("worker-restart-memory")) == 1
    np.testing.assert_allclose(found.W, expected.W, rtol=1e-12)


def one_pass() -> None:
    run_pass(LazyMatrix(make_counts(400, 20)), GramDot(np.eye(20, 4)), label="test")


def one_search() -> None:
    nearest_neighbors(groups(21_000, 6), 5, method="sharded")


@pytest.mark.parametrize(
    ("name", "work", "rule"),
    [
        ("block", one_pass, "task '.*' went beyond it on 2 workers in turn, which were killed"),
        pytest.param("ask", one_search, "in 4 attempts . workers went", marks=pytest.mark.slow),
    ],
    ids=["block", "ask"],
)
def test_compute__worker_beyond_its_memory_always(
    name: str,
    work: Callable[[], None],
    rule: str,
    small: Any,
    orders: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small_blocks(monkeypatch)
    small.wait_for_workers(2, timeout=60)
    before = len(small.get_events("worker-restart-memory"))
    always = orders / f"always-fill-{name}"
    always.touch()
    try:
        with pytest.raises(WorkerKilledError, match=f"{BEYOND}{rule}.*{MENDED}"):
            work()
    finally:
        always.unlink()
    # Two tasks run at a time; each takes two workers down, or one in each attempt.
    assert len(small.get_events("worker-restart-memory")) - before <= 8


BEYOND = "`--memory-limit` is 800,000,000 bytes for 1 thread of a worker, but "
MENDED = (
    "start workers with more memory or fewer threads, or set lazymu.settings.memory_limit, by "
    "which work is planned, to 240,000,000 or less."
)


@pytest.mark.slow
def test_recovering__workers_lost_again_and_again(client: Any, orders: Path) -> None:
    client.wait_for_workers(2, timeout=60)
    always = orders / "always-kill-ask"
    always.touch()
    try:
        with pytest.raises(WorkerKilledError, match="lost in each of 4 attempts"):
            one_search()
    finally:
        always.unlink()


@pytest.mark.slow
def test_compute__workers_killed_by_others(client: Any, orders: Path) -> None:
    client.wait_for_workers(2, timeout=60)
    always = orders / "always-kill-block"
    always.touch()
    try:
        with pytest.raises(WorkerKilledError, match=r"died while they worked on task .* logs"):
            one_pass()
    finally:
        always.unlink()


# --- the scheduler -------------------------------------------------------------------------------


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
