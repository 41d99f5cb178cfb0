"""Passes: every block once, in any number of blocks, threads and schedulers; progress."""

from __future__ import annotations

import threading
import tracemalloc
from itertools import pairwise

import dask
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import lazymu
from lazymu.errors import ArgumentError, MemoryLimitError
from lazymu.stream import Block, LazyMatrix, Reducer, RowPieces, iterate_blocks, memory, run_pass
from lazymu.stream.passes import pass_plan, storage_order
from lazymu.stream.progress import Tick, watching
from lazymu.stream.stages import named_stage
from lazymu.stream.steps import Log1p
from lazymu.stream.sums import SumsReducer
from tests.conftest import make_counts
from tests.counting import counting_scheduler
from tests.rna_data import small_blocks


class RowsSeen(Reducer[list[int], list[int]]):
    """Which rows the blocks held, in the order in which they came."""

    def __init__(self, n_rows: int) -> None:
        self.n_rows = n_rows

    def init(self) -> list[int]:
        return []

    def chunk(self, state: list[int], block: Block) -> list[int]:
        rows = np.arange(self.n_rows)[block.rows]
        assert len(rows) == block.X.shape[0]
        state.extend(rows.tolist())
        return state

    def combine(self, a: list[int], b: list[int]) -> list[int]:
        return a + b

    def finalize(self, state: list[int]) -> list[int]:
        return state


class RowSums(Reducer[RowPieces, np.ndarray]):
    """Sums of rows, and where they were computed."""

    def __init__(self, n_rows: int, *, state_bytes: int = 0) -> None:
        self.n_rows, self.bytes = n_rows, state_bytes
        self.threads: set[int] = set()

    @property
    def state_bytes(self) -> int:
        return self.bytes

    def init(self) -> RowPieces:
        return RowPieces()

    def chunk(self, state: RowPieces, block: Block) -> RowPieces:
        self.threads.add(threading.get_ident())
        state.append((block.rows, np.asarray(block.X.sum(axis=1)).ravel()))
        return state

    def combine(self, a: RowPieces, b: RowPieces) -> RowPieces:
        a.extend(b)
        return a

    def finalize(self, state: RowPieces) -> np.ndarray:
        return state.assemble(self.n_rows, (), np.float64)


class Failing(RowSums):
    def chunk(self, state: RowPieces, block: Block) -> RowPieces:
        raise ArithmeticError("a block that cannot be handled")


# --- run_pass ------------------------------------------------------------------------------------


@given(
    n_obs=st.integers(0, 60),
    n_rows=st.sampled_from([1, 3, 7, 100]),
    n_threads=st.integers(1, 4),
    order=st.sampled_from(["stored", "reversed", "permuted", "repeated", "half"]),
)
@settings(max_examples=60, deadline=None)
def test_run_pass__sees_every_row_once_whatever_the_blocks(
    n_obs: int, n_rows: int, n_threads: int, order: str
) -> None:
    X = make_counts(n_obs, 9)
    rng = np.random.default_rng(0)
    key = {
        "stored": np.arange(n_obs),
        "reversed": np.arange(n_obs)[::-1],
        "permuted": rng.permutation(n_obs),
        "repeated": rng.integers(0, max(n_obs, 1), n_obs),
        "half": np.arange(n_obs)[::2],
    }[order]
    matrix = LazyMatrix(X)[key]
    with small_blocks(n_rows, 9, n_threads=n_threads):
        seen, sums = run_pass(matrix, RowsSeen(len(key)), RowSums(len(key)), label="test")
    assert sorted(seen) == list(range(len(key)))
    np.testing.assert_array_equal(key[seen], np.sort(key))
    np.testing.assert_array_equal(sums, X.toarray()[key].sum(axis=1))


def test_run_pass__reads_rows_in_the_order_of_storage() -> None:
    rows = np.array([9, 2, 5, 2])
    matrix = LazyMatrix(make_counts(10, 4))[rows]
    (seen,) = run_pass(matrix, RowsSeen(4), label="test")
    assert rows[seen].tolist() == [2, 2, 5, 9]
    assert storage_order(matrix[[1, 3]]) is None


def test_run_pass__several_reducers_are_one_computation() -> None:
    matrix = LazyMatrix(make_counts())
    with counting_scheduler() as scheduler:
        run_pass(matrix, RowSums(60), RowsSeen(60), SumsReducer(matrix.shape), label="test")
    assert scheduler.n_computes == 1


def test_run_pass__keeps_one_state_for_each_thread() -> None:
    class Counted(RowSums):
        inits = 0

        def init(self) -> RowPieces:
            Counted.inits += 1
            return super().init()

    matrix = LazyMatrix(make_counts(200, 9))
    for n_threads in (1, 3):
        Counted.inits = 0
        with small_blocks(1, 9, n_threads=n_threads):
            assert pass_plan(matrix).n_blocks > 20
            run_pass(matrix, Counted(200), label="test")
        assert Counted.inits == n_threads


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_run_pass__on_the_scheduler_that_is_set(scheduler: str) -> None:
    X = make_counts()
    reducer = RowSums(60)
    with small_blocks(2, 40), dask.config.set(scheduler=scheduler):
        (sums,) = run_pass(LazyMatrix(X), reducer, label="test")
    np.testing.assert_array_equal(sums, X.toarray().sum(axis=1))
    if scheduler == "synchronous":
        assert reducer.threads == {threading.get_ident()}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_run_pass__on_a_cluster_of_processes() -> None:
    from distributed import Client, LocalCluster

    X = make_counts(90, 9)
    matrix = LazyMatrix(X).with_steps(Log1p())[::-1]
    expected = run_pass(matrix, SumsReducer(matrix.shape), label="test")
    with (
        small_blocks(3, 9),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster),
    ):
        found = run_pass(matrix, SumsReducer(matrix.shape), label="test")
    for ours, theirs in zip(
        found[0].cells + found[0].features, expected[0].cells + expected[0].features, strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_run_pass__error_in_a_block_comes_through() -> None:
    matrix = LazyMatrix(make_counts())
    with pytest.raises(ArithmeticError, match="a block that cannot be handled"):
        run_pass(matrix, Failing(60), label="test")


def test_run_pass__states_that_do_not_fit() -> None:
    matrix = LazyMatrix(make_counts())
    with (
        lazymu.settings.override(memory_limit=10**6, n_threads=2),
        counting_scheduler() as scheduler,
        pytest.raises(
            MemoryLimitError, match=r"this pass needs [\d,]+ \(3,000,000 of them for ope"
        ),
    ):
        run_pass(matrix, RowSums(60, state_bytes=10**6), label="test")
    assert scheduler.n_computes == 0


def test_run_pass__no_rows_and_no_columns() -> None:
    for shape in ((0, 5), (5, 0), (0, 0)):
        matrix = LazyMatrix(sp.csr_matrix(shape))
        (sums,) = run_pass(matrix, RowSums(shape[0]), label="test")
        assert sums.tolist() == [0] * shape[0]


def test_row_pieces__assemble_leaves_missing_rows_zero() -> None:
    pieces = RowPieces([(slice(0, 2), np.ones((2, 3))), (np.array([4, 3]), np.full((2, 3), 2.0))])
    found = pieces.assemble(6, (3,), np.float32)
    assert found.dtype == np.float32
    assert found[:, 0].tolist() == [1, 1, 0, 2, 2, 0]


# --- iterate_blocks ------------------------------------------------------------------------------


@pytest.mark.parametrize("n_rows", [2, 7, 100])
def test_iterate_blocks__yields_the_matrix_in_its_own_order(n_rows: int) -> None:
    X = make_counts(40, 9)
    rows = np.random.default_rng(0).permutation(40)
    with small_blocks(n_rows, 9):
        blocks = list(iterate_blocks(LazyMatrix(X)[rows], label="test"))
    np.testing.assert_array_equal(sp.vstack([b.X for b in blocks]).toarray(), X.toarray()[rows])
    assert blocks[0].rows.start == 0
    assert all(a.rows.stop == b.rows.start for a, b in pairwise(blocks))
    assert (len(blocks) > 1) == (n_rows < 40)


def test_iterate_blocks__may_be_left() -> None:
    with small_blocks(1, 40):
        for block in iterate_blocks(LazyMatrix(make_counts()), label="test"):
            assert block.rows.start == 0
            break


# --- progress ------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["run_pass", "iterate_blocks"])
def test_watching__is_told_of_every_block(how: str) -> None:
    told: list[tuple[int, int]] = []
    matrix = LazyMatrix(make_counts())

    def watch(tick: Tick) -> None:
        assert (tick.label, tick.n_values) == ("reading", make_counts().nnz)
        told.append((tick.done_blocks, tick.done_values))

    with small_blocks(2, 40), watching(watch):
        if how == "run_pass":
            n_blocks = pass_plan(matrix).n_blocks
            run_pass(matrix, RowSums(60), label="reading")
        else:
            n_blocks = len(list(iterate_blocks(matrix, label="reading")))
    assert n_blocks > 3
    assert [done for done, _ in told] == list(range(n_blocks + 1))
    assert told[0][1] == 0
    assert told[-1][1] == make_counts().nnz


def test_watching__ends_with_its_block() -> None:
    told: list[Tick] = []
    with watching(told.append):
        pass
    run_pass(LazyMatrix(make_counts()), RowSums(60), label="test")
    assert not told


def test_progress__bar_is_drawn_where_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    matrix = LazyMatrix(make_counts())
    with small_blocks(10, 40), lazymu.settings.override(progress=True):
        n_blocks = pass_plan(matrix).n_blocks
        run_pass(matrix, RowSums(60), label="sums of rows")
    drawn = capsys.readouterr().err
    assert drawn.startswith("\rsums of rows")
    assert drawn.endswith("\n")
    assert f"[{'#' * 24}] block {n_blocks} of {n_blocks}" in drawn


def test_progress__bar_names_the_stage(capsys: pytest.CaptureFixture[str]) -> None:
    with lazymu.settings.override(progress=True), named_stage("RNA quality"):
        run_pass(LazyMatrix(make_counts()), RowSums(60), label="sums of rows")
    assert capsys.readouterr().err.startswith("\rRNA quality: sums of rows")


@pytest.mark.parametrize("progress", [None, False])
def test_progress__nothing_is_drawn_elsewhere(
    progress: bool | None, capsys: pytest.CaptureFixture[str]
) -> None:
    with lazymu.settings.override(progress=progress):
        run_pass(LazyMatrix(make_counts()), RowSums(60), label="test")
    assert capsys.readouterr().err == ""


def test_tick__rate_and_time_left() -> None:
    tick = Tick("test", n_blocks=4, n_values=400, done_blocks=1, done_values=100)
    tick.started -= 10
    assert 9 < tick.values_per_second < 10.1
    assert 29 < tick.seconds_left < 31


def test_tick__of_a_sweep_over_bytes() -> None:
    tick = Tick("test", n_blocks=None, n_values=4_000_000, done_blocks=1, done_values=1_000_000)
    tick.started -= 10
    assert (tick.share, tick.place) == (0.25, "1 of 4 MB")
    assert tick.rate == "0.1 MB/s"
    assert Tick("test", n_blocks=None, n_values=0).share == 0
    assert Tick("test", n_blocks=0, n_values=0).place == "block 0 of 0"


def test_progress__setting_that_is_none() -> None:
    with pytest.raises(ArgumentError, match=r"`n_threads` is 0"):
        lazymu.settings.n_threads = 0


def test_row_pieces__stacking_takes_no_row_numbers_for_each_piece() -> None:
    """It did once: 8 bytes a row of the whole matrix for every block of it, 14 GB at a million."""
    n_obs, n_pieces = 400_000, 400
    step = n_obs // n_pieces
    pieces = RowPieces(
        (slice(start, start + step), sp.csr_matrix((step, 5), dtype=np.float32))
        for start in range(0, n_obs, step)
    )
    tracemalloc.start()
    try:
        assert pieces.stack((n_obs, 5), np.float32).shape == (n_obs, 5)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10 * 8 * n_obs


def test_return_freed__does_nothing_where_there_is_no_such_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    memory.return_freed()
    monkeypatch.setattr(memory, "_c_library", lambda: None)
    memory.return_freed()
