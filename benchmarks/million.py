"""The whole workflow on a million cells: `python -m benchmarks.million --cells 1000000`.

The simulated file and the store that it is brought into are used again where they are whole. A
table that is finished is kept: delete it to measure anew.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

from benchmarks import data, machine
from benchmarks.pages import RESULTS, markdown
from benchmarks.report import figures
from benchmarks.settings import thread_variables
from benchmarks.stages import Stages, read_stages, total

CELLS = 1_000_000
MEMORY = 4 * 10**9
UMAP_STAGE = "UMAP"
AFTER_CLUSTERS = (UMAP_STAGE, "Comparison", "Markers", "Figures", "Write")
"""Stages that come after Leiden."""


def prepared(cells: int, n_threads: int, under: Path) -> data.Data:
    """Return file and store; make what is missing, and keep what that took beside them."""
    of = data.place(cells, under=under)
    for task, made in (("simulate", of.file), ("import", of.store)):
        if not made.exists():
            stages = of.folder / f"{task}.jsonl"
            stages.unlink(missing_ok=True)
            work(task, of, cells, n_threads, stages)
    return of


def work(task: str, of: data.Data, cells: int, n_threads: int, stages: Path) -> None:
    """Do a task in a fresh process, which writes its stages as they end."""
    of.folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "benchmarks.million", "--task", task]
    arguments = ["--cells", cells, "--threads", n_threads, "--path", of.folder, "--stages", stages]
    environment = os.environ | thread_variables(n_threads)
    subprocess.run([*command, *map(str, arguments)], env=environment, check=True)


def simulate_task(of: data.Data, cells: int, n_threads: int, stages: Stages) -> None:
    """Do what `lazymu simulate` does."""
    import lazymu

    lazymu.settings.memory_limit, lazymu.settings.n_threads = MEMORY, n_threads
    with stages("Simulate"):
        lazymu.datasets.simulate(of.file, cells, data.N_GENES, data.N_PEAKS)


def import_task(of: data.Data, cells: int, n_threads: int, stages: Stages) -> None:
    """Do what `lazymu convert` does."""
    import lazymu

    lazymu.settings.memory_limit, lazymu.settings.n_threads = MEMORY, n_threads
    with stages("Import"):
        lazymu.io.convert(of.file, of.store)


def run_task(of: data.Data, cells: int, n_threads: int, stages: Stages) -> None:
    """Do what `lazymu run` does, with the simulated types to compare with."""
    from lazymu.cli.summary import result_lines
    from lazymu.pipeline import RunParams, run_workflow
    from lazymu.pipeline.params import JointParams
    from lazymu.settings import settings

    settings.memory_limit, settings.n_threads = MEMORY, n_threads

    def watch(label: str, number: int, total: int) -> None:
        print(f"{number}/{total or '?'} {label}", flush=True)
        stages.begin(label)

    out = of.folder / "result.zarr"
    params = RunParams(joint=JointParams(truth="cell_type"))
    summary = run_workflow(of.store, out, params, overwrite=True, watch=watch)
    stages.end()
    lines = list(result_lines(summary))[: len(summary.clusterings)]
    (of.folder / "result.json").write_text(json.dumps(lines))


TASKS: dict[str, Callable[[data.Data, int, int, Stages], None]] = {
    "simulate": simulate_task,
    "import": import_task,
    "run": run_task,
}


def report(cells: int, n_threads: int, folder: Path, load: float) -> str:
    """Return the page of a finished run."""
    simulation, imported, run = (
        read_stages(folder / f"{task}.jsonl") for task in ("simulate", "import", "run")
    )
    to_clusters = total([stage for stage in run if stage.label not in AFTER_CLUSTERS] + imported)
    rows = [
        *simulation,
        *imported,
        *run,
        total(run)._replace(label="whole run"),
        to_clusters._replace(label="import to Leiden"),
        total([s for s in run if s.label == UMAP_STAGE])._replace(label="UMAP"),
    ]
    store = folder / "multiome.zarr"
    size = sum(file.stat().st_size for file in store.rglob("*") if file.is_file())
    repeat = f"`make bench-million CELLS={cells}`"
    parts = [
        f"# {cells:,} cells, {data.N_GENES:,} genes, {data.N_PEAKS:,} peaks: the whole workflow",
        f"Measured on {date.today().isoformat()} with {n_threads} threads under a memory limit of "
        f"{MEMORY / 1e9:g} GB; the store takes {size / 1e9:.2f} GB on disk. "
        f"Load before: {load:.1f}. "
        f"{repeat} repeats it once this file is deleted.",
        machine.description(),
        markdown(("stage", "wall s", "CPU s", "peak GB"), ((s.label, *figures(s)) for s in rows)),
        "\n".join(json.loads((folder / "result.json").read_text())),
        "Targets at a million: import to Leiden in 2,700 s, UMAP in 1,500 s, 4 GiB (4.29 GB).",
    ]
    return "\n\n".join(parts) + "\n"


def measure(cells: int, n_threads: int, under: Path = data.FOLDER, results: Path = RESULTS) -> Path:
    """Run the workflow, unless its table is there; return the table's path."""
    table = results / f"run-{cells}.md"
    if not table.exists():
        load = machine.load()
        of = prepared(cells, n_threads, under)
        stages = of.folder / "run.jsonl"
        stages.unlink(missing_ok=True)
        work("run", of, cells, n_threads, stages)
        table.parent.mkdir(parents=True, exist_ok=True)
        table.write_text(report(cells, n_threads, of.folder, load))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=CELLS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--task", choices=TASKS, help="one task, in this process")
    parser.add_argument("--path", type=Path)
    parser.add_argument("--stages", type=Path)
    chosen = parser.parse_args()
    if chosen.task is None:
        print(measure(chosen.cells, chosen.threads).read_text())
    else:
        of, stages = data.Data(chosen.path), Stages(chosen.stages)
        TASKS[chosen.task](of, chosen.cells, chosen.threads, stages)


if __name__ == "__main__":
    main()
