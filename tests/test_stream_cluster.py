"""Passes on the workers of a cluster: plans, tasks, names, progress and what is sent."""

from __future__ import annotations

import os
import pickle
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from lazymu.decomposition.reducers import ColumnMoments, Dot, Gram, GramDot, TDot
from lazymu.pl.group_sums import GroupSums
from lazymu.pp.batch_moments import ClippedReducer
from lazymu.prot.pp.background import Projection
from lazymu.settings import settings
from lazymu.store.sources import CSRSource
from lazymu.stream import (
    GroupMomentsReducer,
    LazyMatrix,
    Reducer,
    RowPieces,
    folds,
    passes,
    run_pass,
)
from lazymu.stream import exchange as exchange_module
from lazymu.stream.axis_reducers import axis_extreme
from lazymu.stream.cluster import WORKING_SHARE, active_client, workers
from lazymu.stream.compute import compute
from lazymu.stream.exchange import Exchange
from lazymu.stream.passes import pass_plan
from lazymu.stream.plan import plan_blocks
from lazymu.stream.progress import Tick, watching
from lazymu.stream.spread import Shared, over_rows
from lazymu.stream.stacked import stack
from lazymu.stream.stages import named_stage
from lazymu.stream.steps import Log1p, ScaleRows
from lazymu.stream.sums import SumsReducer
from tests.cluster import running
from tests.conftest import make_counts

REDUCERS: dict[str, Any] = {
    "sums": SumsReducer((90, 9)),
    "moments": ColumnMoments(9),
    "gram": Gram(9),
    "scores": Dot(90, np.ones((9, 2)), np.zeros(2)),
    "loadings": TDot(9, np.ones((90, 2))),
    "products": GramDot(np.eye(9, 4), keep_scores=True),
}


def matrix() -> LazyMatrix:
    return LazyMatrix(make_counts(90, 9)).with_steps(ScaleRows(np.linspace(1, 2, 90)), Log1p())


@contextmanager
def small_blocks(n_rows: int) -> Iterator[None]:
    """Let a block have about so many rows of 9 values."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passes, "plan_blocks", partial(plan_blocks, max_values=9 * n_rows))
        yield


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A cluster of two processes, which is nobody's default."""
    with running(tmp_path_factory.mktemp("cluster")) as (_, client), client.as_current():
        yield client


# --- states --------------------------------------------------------------------------------------


@pytest.mark.parametrize("reducer", REDUCERS.values(), ids=REDUCERS)
def test_tree__tasks_leave_alone_what_they_are_given(reducer: Reducer[Any, Any]) -> None:
    run, part = folds.Run((reducer,), "token"), folds.Part(matrix(), None)
    a, b = (folds.fold(run, part.cut(*ends), np.array([0, 20, 45])) for ends in ((0, 45), (45, 90)))
    before = pickle.dumps((a, b))
    for _ in range(2):
        (merged,) = folds.merge(run, [a, b])
        assert pickle.dumps((a, b)) == before
    (whole,) = folds.fold(run, part, np.array([0, 20, 45, 65, 90]))
    found, expected = reducer.finalize(merged), reducer.finalize(whole)
    for x, y in zip(flat(found), flat(expected), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-12)


def flat(values: Any) -> list[Any]:
    if isinstance(values, RowPieces):
        return [np.concatenate([piece for _, piece in values])]
    if isinstance(values, tuple):
        return [array for value in values for array in flat(value)]
    return [values]


@given(
    n_obs=st.integers(0, 40),
    n_rows=st.sampled_from([1, 3, 50]),
    n_tasks=st.integers(1, 5),
    order=st.sampled_from(["stored", "reversed", "permuted", "half"]),
)
@hypothesis_settings(max_examples=40, deadline=None)
def test_tree__is_the_chains(n_obs: int, n_rows: int, n_tasks: int, order: str) -> None:
    X = make_counts(max(n_obs, 1), 7)[:n_obs]
    rng = np.random.default_rng(0)
    key = {
        "stored": np.arange(n_obs),
        "reversed": np.arange(n_obs)[::-1],
        "permuted": rng.permutation(n_obs),
        "half": np.arange(n_obs)[::2],
    }[order]
    selected = LazyMatrix(X)[key].with_steps(ScaleRows(rng.random(len(key))))
    by_row = rng.random((len(key), 2))
    groups = rng.integers(0, 3, len(key))
    reducers = (
        SumsReducer(selected.shape),
        TDot(7, by_row),
        Projection(7, by_row[:, 0]),
        GroupMomentsReducer(groups, 3, 7),
        ClippedReducer(groups, np.full((3, 7), 2.0)),
        GroupSums(groups - 1, (2, 7), 0.5),
    )
    expected = run_pass(selected, *reducers, label="test")
    stored = np.argsort(selected.rows, kind="stable")
    part = folds.Part(selected[stored], stored)
    with small_blocks(n_rows):
        plan = pass_plan(part.matrix, reducers)
    with dask.config.set(scheduler="synchronous"):
        (states,) = compute([folds.tree(folds.Run(reducers, ""), part, plan, "t", n_tasks)])
    found = tuple(r.finalize(state) for r, state in zip(reducers, states, strict=True))
    for x, y in zip(flat(found), flat(expected), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-12)


# --- what is sent --------------------------------------------------------------------------------


def test_part__is_small_whatever_the_matrix() -> None:
    X = sp.random(200_000, 5, density=0.2, format="csr", random_state=0)
    source = CSRSource(X.data, X.indices, X.indptr, X.shape)
    whole = LazyMatrix(source)[::2].with_steps(ScaleRows(np.ones(100_000)))
    part = whole.part(50, 150)
    np.testing.assert_array_equal(part.load(0, 100).toarray(), X[100:300:2].toarray())
    part.source._data = part.source._indices = part.source._indptr_handle = None
    assert len(pickle.dumps(part)) < 5_000
    stacked = stack([LazyMatrix(source), LazyMatrix(source)], [None, None], 5)
    cut = stacked.part(199_990, 200_010)
    np.testing.assert_array_equal(
        cut.load(0, 20).toarray(), np.vstack([X[-10:].toarray(), X[:10].toarray()])
    )
    assert cut.source.indptr[-1] == X[-10:].nnz + X[:10].nnz


def test_tree__a_task_has_the_rows_of_its_own_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    """``U`` of ``C'U``, as a streaming decomposition asks for it, is sent once in all."""
    n_obs, k = 20_000, 40
    X = sp.random(n_obs, 5, density=0.2, format="csr", random_state=0)
    U = np.random.default_rng(0).random((n_obs, k))
    shared: list[int] = []
    sent: list[int] = []

    def task(label: str, function: Any, run: Any, *own: Any) -> int:
        if function is folds.fold_own:
            sent.append(len(pickle.dumps(own)))
        return 0

    monkeypatch.setattr(folds, "operand", lambda run: shared.append(len(pickle.dumps(run))))
    monkeypatch.setattr(folds, "task", task)
    with small_blocks(100):
        plan = pass_plan(LazyMatrix(X), [TDot(5, U)])
    part = folds.Part(LazyMatrix(X), None)
    folds.tree(folds.Run((TDot(5, U),), "token"), part, plan, "t", 4)
    assert sum(shared) < 1_000
    assert len(sent) >= 16
    counts = 8 * X.nnz + 4 * n_obs
    assert U.nbytes < sum(sent) < 1.1 * (U.nbytes + counts)
    assert max(sent) < 2 * U.nbytes / len(sent)


def test_tree__few_tasks_of_ten_million_cells() -> None:
    """7,500 values a cell, as peaks have, on 64 workers of 4 threads."""
    row_values = np.full(10**7, 7_500)
    with settings.override(memory_limit="4GB", n_threads=4):
        plan = plan_blocks(row_values, memory_limit=settings.memory_limit, n_threads=4)
    step = folds.blocks_per_task(plan, 256, folds.BLOCKS_PER_REMOTE_TASK)
    assert 8_000 < plan.n_blocks < 20_000
    assert plan.n_blocks / step < 2_000


# --- on a cluster --------------------------------------------------------------------------------


def test_workers__of_this_process() -> None:
    with settings.override(n_threads=3, memory_limit="1GB"):
        assert workers() == (3, 3, 10**9, False)


def test_workers__of_a_cluster_keep_both_limits(client: Any) -> None:
    with settings.override(memory_limit="8GB"):
        assert workers() == (2, 1, int(WORKING_SHARE * 2 * 10**9), True)
    with settings.override(memory_limit="1GB"):
        assert workers().memory_limit == 10**9


def test_workers__asked_of_the_scheduler(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not of the client, whose answer is at times one without workers."""
    monkeypatch.setattr(client, "scheduler_info", lambda **_: {"workers": {}})
    assert workers().n_tasks == 2


@pytest.mark.parametrize("selected", [slice(None), slice(None, None, -1)])
def test_run_pass__values_are_those_of_threads(client: Any, selected: slice) -> None:
    X = matrix()[selected]
    names = ("sums", "moments", "gram")
    with small_blocks(3):
        found = run_pass(X, *(REDUCERS[name] for name in names), label="test")
        with dask.config.set(scheduler="threads"):
            expected = run_pass(X, *(REDUCERS[name] for name in names), label="test")
            least = axis_extreme(X, 0, np.minimum)
        np.testing.assert_array_equal(axis_extreme(X, 0, np.minimum), least)
    for x, y in zip(flat(tuple(found)), flat(tuple(expected)), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-12)


def test_run_pass__tasks_have_the_names_of_stage_and_pass(client: Any) -> None:
    with named_stage("RNA embedding"), small_blocks(2):
        run_pass(matrix(), REDUCERS["gram"], label="Gram matrix")
    names = client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.task_prefixes))
    assert {"RNA-embedding-Gram-matrix", "RNA-embedding-Gram-matrix-merge"} <= set(names)


def test_run_pass__bar_moves_with_the_workers_blocks(client: Any) -> None:
    ticks: list[tuple[str, int, int]] = []

    def watch(tick: Tick) -> None:
        ticks.append((tick.label, tick.done_blocks, tick.n_blocks))

    with small_blocks(2), watching(watch):
        run_pass(matrix(), REDUCERS["gram"], label="watched")
    assert len({done for _, done, _ in ticks}) > 5
    assert Counter(label for label, _, _ in ticks).keys() == {"watched"}
    assert max(done for _, done, _ in ticks) <= ticks[0][2]


def test_workers__threads_that_dask_is_told_go_before_a_client(client: Any) -> None:
    assert active_client() is client
    with dask.config.set(scheduler="threads"):
        assert active_client() is None
        assert not workers().are_remote


def test_over_rows__as_in_threads_and_shared_values_once(client: Any, tmp_path: Path) -> None:
    rows, values = np.arange(50), np.arange(50) ** 2
    factor, counted = Shared((np.array([3]),)), Shared(Counting(tmp_path))
    for n_calls in (1, 2):
        found = over_rows(
            places_and_products, (rows, values), (factor, counted), block_rows=3, label="t"
        )
        assert len(found) == 8  # four tasks for each of two workers
        np.testing.assert_array_equal(np.concatenate([own for _, own in found]), 3 * rows * values)
        assert os.getpid() not in {process for process, _ in found}
        # a slow worker may have let its copy go between the calls
        assert len(list(tmp_path.iterdir())) <= 1 + n_calls
    with dask.config.set(scheduler="threads"):
        here = over_rows(
            places_and_products, (rows, values), (factor, counted), block_rows=3, label="t"
        )
    assert len(here) == 17
    assert {process for process, _ in here} == {os.getpid()}


def test_over_rows__in_this_process_where_workers_have_no_room(
    client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with settings.override(memory_limit="1MB"):
        factor = Shared((np.zeros(200_000),))
        found = over_rows(
            places_and_products,
            (np.arange(50), np.arange(50)),
            (factor, Shared(None)),
            block_rows=30,
            label="products",
        )
    assert {process for process, _ in found} == {os.getpid()}
    assert "products: workers with room for 1,000,000 bytes cannot hold 1,600,000" in caplog.text


def places_and_products(rows: Any, values: Any, factor: Any, _: Any) -> tuple[int, Any]:
    return os.getpid(), rows * values * factor[0][0]


@pytest.mark.parametrize("selected", [slice(None), slice(None, None, -1)])
def test_exchange__parts_are_put_together_on_workers(client: Any, selected: slice) -> None:
    X = matrix()[selected]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exchange_module, "plan_blocks", partial(plan_blocks, max_values=27))
        found = exchange_module.exchange(X, Thirds(np.arange(90)), label="thirds")
    assert os.getpid() not in {process for process, *_ in found}
    assert min(n_pieces for _, n_pieces, *_ in found) > 5
    order = np.argsort(np.arange(90)[selected])  # pieces come as rows are stored
    np.testing.assert_array_equal(np.hstack([own for *_, own in found]), X.toarray()[order])
    for *_, rows, _ in found:
        np.testing.assert_array_equal(rows, order)


class Thirds(Exchange[Any, Any]):
    """Columns in three parts; ``marks`` has one for each row."""

    per_row = ("marks",)
    n_parts, piece_bytes = 3, 0

    def __init__(self, marks: Any) -> None:
        self.marks = marks

    def cut(self, block: Any) -> list[Any]:
        values = block.X.toarray()
        return [(block.of(self.marks), values[:, 3 * n : 3 * n + 3]) for n in range(3)]

    def join(self, number: int, pieces: list[Any]) -> Any:
        marks, values = zip(*pieces, strict=True)
        return os.getpid(), len(pieces), np.concatenate(marks), np.concatenate(values)


def test_run_pass__operand_goes_to_each_worker_once(client: Any, tmp_path: Path) -> None:
    counted = Counting(tmp_path)
    with small_blocks(2):
        (total,) = run_pass(matrix(), counted, label="counted")
    assert total == 90
    assert len(list(tmp_path.iterdir())) <= 3  # two workers, and this process for `finalize`


class Counting(Reducer[int, int]):
    """Number of rows; leaves a file for each time that it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __setstate__(self, state: dict[str, Any]) -> None:
        import uuid

        self.__dict__ = state
        (self.folder / uuid.uuid4().hex).touch()

    def init(self) -> int:
        return 0

    def chunk(self, state: int, block: Any) -> int:
        return state + int(block.X.shape[0])

    def combine(self, a: int, b: int) -> int:
        return a + b

    def finalize(self, state: int) -> int:
        return state
