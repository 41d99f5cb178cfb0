"""lazymu beside its peers on the same data: `python -m benchmarks.compare --cells 20000`.

Each tool does each task in a fresh process, one after the other; files are in the page cache and
compiled code in its caches, as a first run on a small data set sees to.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

from benchmarks import data, machine
from benchmarks.accuracy import Accuracy, accuracy, cell_types
from benchmarks.pages import RESULTS
from benchmarks.settings import MEMORY, thread_variables
from benchmarks.stages import IMPORT, Stage, read_stages, total
from benchmarks.tasks import TASKS
from benchmarks.worker import EXACT_TOOL

WARM_CELLS = 500
LIMIT, LIMIT_A_CELL = 900.0, 0.018
"""Seconds that a tool may take, at least, and for each cell: half an hour at 100,000."""
EMBEDDING_TASKS = ("rna", "atac")
OTHER_DECOMPOSITION = ("snapatac2",)
"""Tools whose embedding is not the truncated SVD of TF-IDF."""
SPARE_BYTES = 1 << 30
"""A tool is stopped when the machine has less memory left."""
OK, TOO_LONG, TOO_LARGE, FAILED = "ok", "over the time limit", "out of memory", "failed"


@dataclass(frozen=True)
class Measured:
    """One task done by one tool."""

    task: str
    tool: str
    outcome: str
    stages: list[Stage]
    load: float
    """Processes that wanted to run in the minute before, this one's predecessor included."""
    accuracy: Accuracy | None = None

    @property
    def total(self) -> Stage:
        return total(self.stages)

    def seconds(self, *, imports: bool) -> float:
        """Return the wall time, with that of importing packages or without."""
        return sum(stage.seconds for stage in self.stages if imports or stage.label != IMPORT)


@dataclass(frozen=True)
class Comparison:
    """All that a results file holds."""

    cells: int
    genes: int
    peaks: int
    n_threads: int
    memory: str
    limit: float
    when: str
    machine: str
    measured: list[Measured]


def run_worker(task: str, tool: str, of: data.Data, out: Path, n_threads: int, limit: float) -> str:
    """Run one task in a process and return how it ended; what it wrote is in ``out``."""
    command = [sys.executable, "-m", "benchmarks.worker", task, tool, str(of.folder), str(out)]
    environment = os.environ | thread_variables(n_threads) | {"PYTHONWARNINGS": "ignore"}
    log = (out / f"{task}_{tool}.log").open("w")
    with log, subprocess.Popen(command, env=environment, stdout=log, stderr=log) as process:
        stop_at = time.monotonic() + limit
        while process.poll() is None:
            late = time.monotonic() > stop_at
            if late or machine.memory_bytes("MemAvailable") < SPARE_BYTES:
                process.kill()
                return TOO_LONG if late else TOO_LARGE
            time.sleep(0.2)
    return OK if process.returncode == 0 else FAILED


def exact_result(task: str, of: data.Data, n_threads: int) -> Path:
    """Return the file of the exact decomposition; make it where it is missing."""
    path = of.folder / f"{task}_{EXACT_TOOL}.npz"
    if not path.exists():
        print(f"{task}: exact decomposition to compare with", flush=True)
        outcome = run_worker(task, EXACT_TOOL, of, of.folder, n_threads, float("inf"))
        if outcome != OK:
            raise RuntimeError(f"{path.with_suffix('.log')} says why it {outcome}")
    return path


def measure(
    of: data.Data, out: Path, n_threads: int, limit: float, tools: Iterable[str] | None = None
) -> list[Measured]:
    """Return all tasks by all tools, or by those named."""
    types = cell_types(of.file)
    measured = []
    for task in EMBEDDING_TASKS:
        exact = exact_result(task, of, n_threads)
        for tool in TASKS[task]:
            if tools is not None and tool not in tools:
                continue
            data.warm(of.folder)
            load = machine.load()
            outcome = run_worker(task, tool, of, out, n_threads, limit)
            stages = read_stages(out / f"{task}_{tool}.jsonl")
            found = None
            if outcome == OK:
                own_exact = None if tool in OTHER_DECOMPOSITION else exact
                found = accuracy(out / f"{task}_{tool}.npz", own_exact, types)
            measured.append(Measured(task, tool, outcome, stages, load, found))
            print(f"{task} {tool}: {outcome}, {total(stages).seconds:.1f} s", flush=True)
    return measured


def first_run(n_threads: int, limit: float, under: Path = data.FOLDER) -> None:
    """Run everything on a small data set, so that the caches of compiled code are filled."""
    print(f"First run, {WARM_CELLS} cells", flush=True)
    measure(data.make(WARM_CELLS, under=under), fresh(under / "runs"), n_threads, limit)


def compare(
    cells: int,
    n_threads: int,
    limit: float,
    tools: Iterable[str] | None = None,
    under: Path = data.FOLDER,
) -> Comparison:
    """Measure all tools, or those named, on a data set of some size."""
    of = data.make(cells, under=under)
    print(f"Measured run, {cells} cells", flush=True)
    measured = measure(of, fresh(under / "runs"), n_threads, limit, tools)
    return Comparison(
        *(cells, data.N_GENES, data.N_PEAKS),
        n_threads=n_threads,
        memory=f"{MEMORY / 1e9:g} GB",
        limit=limit,
        when=date.today().isoformat(),
        machine=machine.description(),
        measured=measured,
    )


def fresh(folder: Path) -> Path:
    """Return an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def save(comparison: Comparison, path: Path) -> None:
    """Write a comparison as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(comparison), indent=1) + "\n")


def load(path: Path) -> Comparison:
    """Read a comparison back."""
    fields = json.loads(path.read_text())
    for entry in fields["measured"]:
        entry["stages"] = [Stage(*stage) for stage in entry["stages"]]
        entry["accuracy"] = entry["accuracy"] and Accuracy(*entry["accuracy"])
    fields["measured"] = [Measured(**entry) for entry in fields["measured"]]
    return Comparison(**fields)


def main() -> None:
    from benchmarks.plot import draw
    from benchmarks.report import report

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, nargs="+", default=[20_000, 100_000])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--limit", type=float, help="seconds that a tool may take")
    parser.add_argument("--tools", nargs="+", help="those to measure; all by default")
    arguments = parser.parse_args()
    first_run(arguments.threads, LIMIT)
    for cells in arguments.cells:
        limit = arguments.limit or max(LIMIT, LIMIT_A_CELL * cells)
        comparison = compare(cells, arguments.threads, limit, arguments.tools)
        name = RESULTS / f"compare-{cells}"
        save(comparison, name.with_suffix(".json"))
        name.with_suffix(".md").write_text(report(comparison))
        draw(comparison, name.with_suffix(".png"))
        print(report(comparison))


if __name__ == "__main__":
    main()
