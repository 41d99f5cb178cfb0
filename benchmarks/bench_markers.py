"""Markers, aggregates, factors, samples and single genes: `make bench-markers`.

Every task runs in a process of its own, on stores simulated by `lazymu simulate`, some beside a
peer that holds all values in memory.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks import data, machine
from benchmarks.marker_tasks import MANY_CELLS, MOFAPY2, TASKS, WORK, Bench, Task
from benchmarks.pages import markdown, save
from benchmarks.settings import MEMORY, thread_variables
from benchmarks.stages import Stage, Stages, read_stages

CELLS = (20_000, 100_000)
FIRST_CELLS = 500
HEADER = ("task", "tool", "cells", "s", "CPU s", "peak MB", "passes", "M nonzeros read")


class Row(NamedTuple):
    """What one task took; no stage where it failed."""

    task: Task
    cells: int
    stage: Stage | None
    n_passes: int
    n_values: int


def work(name: str, of: data.Data, stages_path: Path) -> None:
    """Do a task in this process; write its stages, and its passes with the values they read."""
    bench = Bench(of, stages_path.parent, Stages(stages_path))
    TASKS[name].run(bench)
    read = [len(bench.passes), sum(entry.n_values for entry in bench.passes)]
    stages_path.with_suffix(".json").write_text(json.dumps(read))


def measure(name: str, of: data.Data, cells: int, n_threads: int) -> Row:
    """Do a task in a fresh process."""
    folder = of.folder / "markers"
    folder.mkdir(exist_ok=True)
    stages = folder / f"{name}.jsonl"
    stages.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.bench_markers", "--task", name]
    arguments = ["--data", str(of.folder), "--stages", str(stages)]
    environment = os.environ | thread_variables(n_threads) | {"PYTHONWARNINGS": "ignore"}
    with stages.with_suffix(".log").open("w") as log:
        done = subprocess.run(
            [*command, *arguments], env=environment, stdout=log, stderr=log, check=False
        )
    task = TASKS[name]
    taken = min(cells, task.cells or cells)
    if done.returncode:
        print(f"{name} failed: {stages.with_suffix('.log')} says why", flush=True)
        return Row(task, taken, None, 0, 0)
    (stage,) = (stage for stage in read_stages(stages) if stage.label == WORK)
    print(f"{name}: {stage.seconds:.1f} s", flush=True)
    return Row(task, taken, stage, *json.loads(stages.with_suffix(".json").read_text()))


def rows(cells: int, n_threads: int, names: Iterable[str], under: Path) -> Iterator[Row]:
    """Yield what the tasks take at some size, but those for fewer cells."""
    of = data.make(cells, under=under)
    for name in names:
        most = TASKS[name].most_cells
        if most is None or cells <= most:
            data.warm(of.store)
            yield measure(name, of, cells, n_threads)


def table(measured: Iterable[Row]) -> str:
    """Return a line a task."""
    return markdown(HEADER, map(line, measured))


def line(row: Row) -> tuple[str, ...]:
    first = (row.task.label, row.task.tool, f"{row.cells:,}")
    if row.stage is None:
        return (*first, "failed", *["-"] * 4)
    stage = row.stage
    taken = (f"{stage.seconds:.2f}", f"{stage.cpu_seconds:.2f}", f"{stage.peak_bytes / 1e6:.0f}")
    if row.task.tool != "lazymu":
        return (*first, *taken, "-", "-")
    return (*first, *taken, f"{row.n_passes}", f"{row.n_values / 1e6:.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, nargs="+", default=CELLS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS), metavar="TASK")
    parser.add_argument("--task", choices=TASKS, help="one task, in this process")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--stages", type=Path)
    chosen = parser.parse_args()
    if chosen.task is not None:
        work(chosen.task, data.Data(chosen.data), chosen.stages)
        return
    load = machine.load()
    print(f"First run, {FIRST_CELLS} cells, which fills the caches of compiled code", flush=True)
    first = [name for name in chosen.tasks if TASKS[name].tool != MOFAPY2]
    list(rows(FIRST_CELLS, chosen.threads, first, data.FOLDER))
    parts = [
        f"## {cells:,} cells\n\n" + table(rows(cells, chosen.threads, chosen.tasks, data.FOLDER))
        for cells in chosen.cells
    ]
    notes = (
        f"lazymu keeps to a limit of {MEMORY / 1e9:g} GB; scanpy and mofapy2 have none, and are "
        f"left out above {MANY_CELLS:,} cells, as is logistic regression, which holds all values. "
        "Times are of the task alone: packages are imported, matrices opened (scanpy's read and "
        "normalised) and variable features found before; lazymu imports some packages when they "
        "are first needed, within its times, but not in those of one gene, of which another one is "
        "read before. Peaks are those of the whole process."
    )
    title = f"Markers, factors, samples and single genes, {chosen.threads} threads"
    save("markers", title, "\n\n".join((*parts, notes)), load)


if __name__ == "__main__":
    main()
