"""What a run on a cluster would take: `python -m benchmarks.scaling --cells 20000`.

Rates are measured in this process and on workers of this machine; what the model of
`scaling_model` makes of them is compared with passes on one and two workers, and projected to 10
and 100 million cells. Graphs of passes over 10 million cells are built, not run.
"""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, NamedTuple

import numpy as np

from benchmarks import data, machine
from benchmarks.bench_passes import Nothing
from benchmarks.pages import save
from benchmarks.roofline import best_seconds
from benchmarks.scaling_model import Crew, Pass, Rates
from benchmarks.scaling_page import page
from benchmarks.settings import HVG, N_COMPS
from lazymu import atac, cluster, pp, read
from lazymu.decomposition.krylov import block_width
from lazymu.decomposition.reducers import ColumnMoments, Dot, Gram, GramDot
from lazymu.decomposition.svd import N_OVERSAMPLES
from lazymu.settings import settings
from lazymu.stream import LazyMatrix, Reducer, folds, run_pass
from lazymu.stream.cluster import WORKING_SHARE
from lazymu.stream.compute import compute, task
from lazymu.stream.passes import pass_plan
from lazymu.stream.steps import ScaleRows
from lazymu.stream.sums import SumsReducer

WORKER_MEMORY = 3 * 10**9
"""Of the workers that are measured."""
PROJECTED_MEMORY, PROJECTED_THREADS = 8 * 10**9, 4
"""Of those of the projection."""
N_NOTHINGS, SENT_BYTES, SUM_BYTES = 400, 1 << 26, 1 << 26
SCORES = ("scores",)
"""Words in the label of a pass that has results by cell, `N_COMPS` float32 each."""


class Kind(NamedTuple):
    """One kind of pass that is measured."""

    modality: str
    label: str
    matrix: LazyMatrix
    reducer: Reducer[Any, Any]


def kinds(store: Path) -> Iterator[Kind]:
    """Yield the passes of the workflow, each kind once."""
    mdata = read(store)
    rna, peaks = mdata["rna"], mdata["atac"]
    yield Kind("atac", "sums", peaks.X.counts, SumsReducer(peaks.shape))
    pp.normalize_total(rna, target_sum=1e4)
    pp.log1p(rna)
    yield Kind("rna", "moments", rna.X, ColumnMoments(rna.n_vars))
    variable = rna.X[:, spread_over(rna.n_vars)]  # in the place of variable features
    n_some = variable.shape[1]
    yield Kind("rna", "Gram matrix", variable, Gram(n_some))
    V = np.random.default_rng(0).standard_normal((n_some, N_COMPS))
    yield Kind("rna", "scores", variable, Dot(rna.n_obs, V, np.zeros(N_COMPS)))
    atac.pp.tfidf(peaks)
    width = block_width(N_COMPS + N_OVERSAMPLES, peaks.shape)
    Q = np.random.default_rng(0).standard_normal((peaks.n_vars, width)).astype(np.float32)
    yield Kind("atac", "product", peaks.X, GramDot(Q))
    zeros = np.zeros(N_COMPS)
    yield Kind("atac", "scores", peaks.X, Dot(peaks.n_obs, Q[:, :N_COMPS], zeros, np.float32))


def spread_over(n_vars: int) -> Any:
    """Return `HVG` columns, or all, evenly spread."""
    return np.arange(0, n_vars, max(n_vars // HVG, 1))[:HVG]


def measured_pass(kind: Kind, bytes_per_value: float, repeats: int) -> Pass:
    """Return a pass with its rate in one thread of this process, by processor time."""
    n_values = int(kind.matrix.row_values.sum())
    run = partial(run_pass, kind.matrix, kind.reducer, label="measured")
    return Pass(
        kind.modality,
        kind.label,
        values_per_cell=n_values / kind.matrix.shape[0],
        bytes_per_value=bytes_per_value,
        seconds_per_value=best_cpu_seconds(run, repeats) / n_values,
        state_bytes=kind.reducer.state_bytes,
        operand_bytes=kind.reducer.operand_bytes,
        row_bytes=4 * N_COMPS if kind.label in SCORES else 0,
    )


def stored_bytes_per_value(store: Path, modality: str, n_values: int) -> float:
    """Return the bytes on disk for each stored value of a modality."""
    files = (store / "mod" / modality / "X").rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file()) / n_values


# --- rates ---------------------------------------------------------------------------------------


def best_cpu_seconds(call: Callable[[], Any], repeats: int) -> float:
    """Return the least processor time of this process: other work on the machine is not in it."""
    seconds = []
    for _ in range(repeats):
        start = process_time()
        call()
        seconds.append(process_time() - start)
    return min(seconds)


def nothing() -> None:
    """Do nothing."""


def measured_rates(client: Any) -> Rates:
    """Return the rates of a cluster of two workers, what is read being in the page cache.

    Scheduler and client are this process: a task's seconds are the processor time of both.
    """
    tiny = LazyMatrix(np.ones((1, 1), np.float32))
    run_pass(tiny, Nothing(), label="nothing")
    latency = best_seconds(partial(run_pass, tiny, Nothing(), label="nothing"), 5)

    def many() -> None:
        compute([task("nothing", nothing) for _ in range(N_NOTHINGS)])

    many()
    task_seconds = best_cpu_seconds(many, 3) / N_NOTHINGS
    return Rates(
        storage=np.inf,
        storage_in_all=np.inf,
        network=SENT_BYTES / best_seconds_sent(client),
        merge=merge_rate(),
        latency=latency,
        task_seconds=task_seconds,
    )


def best_seconds_sent(client: Any, repeats: int = 3) -> float:
    """Return how long it takes to bring an array from one worker to another."""
    here, there = sorted(client.nthreads())
    seconds = []
    for number in range(repeats):
        array = client.submit(np.full, SENT_BYTES, number, np.uint8, workers=[here])
        client.submit(len, array, workers=[here]).result()
        start = perf_counter()
        client.submit(len, array, workers=[there], pure=False).result()
        seconds.append(perf_counter() - start)
    return min(seconds)


def merge_rate() -> float:
    """Return the bytes a second of one state that are added to another."""
    a, b = np.ones(SUM_BYTES // 8), np.ones(SUM_BYTES // 8)
    return SUM_BYTES / best_cpu_seconds(lambda: np.add(a, b, out=a), 3)


# --- graphs --------------------------------------------------------------------------------------


class Graph(NamedTuple):
    """The tasks of one pass on a cluster."""

    folds: int
    merges: int
    sent_bytes: int
    """What the folds bring of their rows, operands apart."""


def graph_of(matrix: LazyMatrix, reducer: Reducer[Any, Any], n_slots: int) -> Graph:
    """Build the graph of a pass for workers that keep the settings; run nothing."""
    plan = pass_plan(matrix, [reducer])
    run, part = folds.Run((reducer,), "token"), folds.Part(matrix, None)
    keys = list(folds.tree(run, part, plan, "pass", n_slots).__dask_graph__())
    n_merges = sum("merge" in str(key) for key in keys)
    n_folds = sum(str(key).startswith("pass") for key in keys) - n_merges
    rows = matrix.shape[0] // n_folds
    return Graph(n_folds, n_merges, n_folds * len(pickle.dumps(part.cut(0, rows))))


class Imagined:
    """A source of many cells with equally many values each; nothing can be read of it."""

    dtype, is_dense, origin = np.dtype(np.uint8), False, None

    def __init__(self, shape: tuple[int, int], values_per_cell: int, first: int = 0) -> None:
        self.shape, self.values_per_cell, self.first = shape, values_per_cell, first

    @property
    def indptr(self) -> Any:
        return np.arange(self.shape[0] + 1, dtype=np.int64) * self.values_per_cell

    def window(self, first: int, stop: int) -> Any:
        """Return some rows, with their offsets as a store has them."""
        part = Imagined((stop - first, self.shape[1]), self.values_per_cell, first)
        part.offsets = part.indptr
        return part

    def read(self, start: int, stop: int) -> Any:
        raise NotImplementedError("nothing is there")


def graphs(passes: list[Pass], n_cells: int, crew: Crew) -> dict[str, Graph]:
    """Return the graph of each kind of pass over so many cells."""
    limit = int(WORKING_SHARE * PROJECTED_MEMORY)
    found = {}
    with settings.override(memory_limit=limit, n_threads=crew.threads):
        for of in passes:
            source: Any = Imagined((n_cells, data.N_PEAKS), round(of.values_per_cell))
            matrix = LazyMatrix(source).with_steps(ScaleRows(np.ones(n_cells)))
            reducer = Sized(of.state_bytes, of.operand_bytes)
            found[f"{of.modality} {of.label}"] = graph_of(matrix, reducer, crew.slots)
    return found


class Sized(Nothing):
    """Takes as much memory as another reducer."""

    def __init__(self, state: int, operand: int) -> None:
        self._state, self._operand = state, operand

    @property
    def state_bytes(self) -> int:
        return self._state

    @property
    def operand_bytes(self) -> int:
        return self._operand


# --- the comparison ------------------------------------------------------------------------------


class Checked(NamedTuple):
    """A pass on a cluster of this machine."""

    of: Pass
    n_workers: int
    folds: int
    seconds: float
    worker_seconds: float
    """Processor time of all workers."""


def checked(
    found: list[tuple[Kind, Pass]], n_workers: int, repeats: int
) -> tuple[list[Checked], Rates | None]:
    """Measure the passes on workers of one thread; the rates too, where there are two."""
    client = cluster.local(n_workers, threads=1, memory=WORKER_MEMORY)
    try:
        client.wait_for_workers(n_workers)
        rates = measured_rates(client) if n_workers > 1 else None
        rows = []
        for kind, of in found:
            times = [timed_pass(client, kind) for _ in range(repeats)]
            folds_made = graph_of(kind.matrix, kind.reducer, n_workers).folds
            rows.append(Checked(of, n_workers, folds_made, *map(min, zip(*times, strict=True))))
    finally:
        client.shutdown()
    return rows, rates


def timed_pass(client: Any, kind: Kind) -> tuple[float, float]:
    """Return the seconds of a pass on workers, and the processor time that it took of them."""
    before, start = sum(client.run(process_time).values()), perf_counter()
    run_pass(kind.matrix, kind.reducer, label="measured")
    seconds = perf_counter() - start
    return seconds, sum(client.run(process_time).values()) - before


def measure(store: Path, repeats: int = 4) -> tuple[list[Pass], list[Checked], Rates]:
    """Return the passes with their rates, and what they took on one worker and on two."""
    limit = int(WORKING_SHARE * WORKER_MEMORY)
    with settings.override(memory_limit=limit, n_threads=1, progress=False):
        found = []
        for kind in kinds(store):
            n_values = int(kind.matrix.counts.row_values.sum())
            stored = stored_bytes_per_value(store, kind.modality, n_values)
            found.append((kind, measured_pass(kind, stored, repeats)))
        of_one, _ = checked(found, 1, repeats)
        of_two, rates = checked(found, 2, repeats)
    assert rates is not None
    return [of for _, of in found], of_one + of_two, rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=4)
    chosen = parser.parse_args()
    load = machine.load()
    of = data.make(chosen.cells)
    data.warm(of.store)
    passes, rows, rates = measure(of.store, chosen.repeats)
    crew = Crew(16, PROJECTED_THREADS)
    tasks = graphs(passes, 10**7, crew)
    text = page(passes, rows, rates, tasks, chosen.cells, machine.load())
    save("scaling", "Scaling: a model, checked on one machine", text, load)


if __name__ == "__main__":
    main()
