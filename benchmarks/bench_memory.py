"""Peak memory at two sizes: `python -m benchmarks.bench_memory --cells 100000 400000`.

What grows with the number of cells beyond the results (tables, names, embeddings) would show in
the ratio of the peaks without them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import data, machine
from benchmarks.pages import markdown, save
from benchmarks.settings import MEMORY, thread_variables
from benchmarks.stages import Stages, read_stages

CELLS = (100_000, 400_000)
MOST = 1.15


class Peak(NamedTuple):
    """One task at one size."""

    task: str
    cells: int
    seconds: float
    peak_bytes: int
    result_bytes: int

    @property
    def apart(self) -> int:
        """Bytes without the results."""
        return self.peak_bytes - self.result_bytes


def result_bytes(modality: Any) -> int:
    """Return what a modality holds for its cells and features: tables, names, arrays, offsets."""
    tables = (modality.obs, modality.var)
    held = sum(int(table.memory_usage(deep=True).sum()) for table in tables)
    arrays = (*modality.obsm.values(), *modality.varm.values())
    held += sum(getattr(value, "nbytes", 0) for value in arrays)
    return held + modality.X.source.indptr.nbytes + modality.X.row_values.nbytes


def work(task: str, cells: int, stages_path: Path) -> None:
    """Do a task in this process; write its stages and the size of its results."""
    import lazymu as mu
    from benchmarks.settings import threads
    from benchmarks.tasks import atac_embedding, rna_embedding, rna_quality

    mu.settings.memory_limit, mu.settings.n_threads = MEMORY, threads()
    stages = Stages(stages_path)
    mdata = mu.read(data.place(cells).store)
    modality = mdata[task]
    if task == "rna":
        rna_quality(mu, modality, stages)
        rna_embedding(mu, modality, stages)
    else:
        atac_embedding(mu, modality, stages)
    others = [mdata.obs, *(mod.obs for name, mod in mdata.mod.items() if name != task)]
    held = result_bytes(modality) + sum(int(t.memory_usage(deep=True).sum()) for t in others)
    stages_path.with_suffix(".json").write_text(json.dumps(held))


def measure(task: str, cells: int, n_threads: int) -> Peak:
    """Do a task in a fresh process."""
    store = data.place(cells).store
    data.simulate(store, cells, data.N_GENES, data.N_PEAKS)
    stages = store.with_name(f"memory_{task}.jsonl")
    stages.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.bench_memory", "--task", task]
    arguments = ["--cells", str(cells), "--stages", str(stages)]
    environment = os.environ | thread_variables(n_threads)
    subprocess.run([*command, *arguments], env=environment, check=True)
    found = read_stages(stages)
    held = json.loads(stages.with_suffix(".json").read_text())
    seconds, peak = sum(s.seconds for s in found), max(s.peak_bytes for s in found)
    return Peak(task, cells, seconds, peak, held)


def table(peaks: list[Peak]) -> str:
    """Return a line a task and size, and the ratio of each to the smallest size."""
    least = {peak.task: peak.apart for peak in reversed(peaks)}
    rows = (
        (
            *(p.task, f"{p.cells:,}", f"{p.seconds:.1f}"),
            *(f"{b / 1e6:.0f}" for b in (p.peak_bytes, p.result_bytes, p.apart)),
            f"{p.apart / least[p.task]:.2f}",
        )
        for p in peaks
    )
    header = ("task", "cells", "s", "peak MB", "results MB", "without them MB", "ratio")
    return markdown(header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, nargs="+", default=CELLS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--task", choices=("rna", "atac"), help="one task, in this process")
    parser.add_argument("--stages", type=Path)
    chosen = parser.parse_args()
    if chosen.task is not None:
        work(chosen.task, chosen.cells[0], chosen.stages)
        return
    load = machine.load()
    peaks = [measure(t, n, chosen.threads) for t in ("rna", "atac") for n in chosen.cells]
    title = f"Peak memory under a limit of {MEMORY / 1e9:g} GB, {chosen.threads} threads"
    asked = f"Asked: a ratio of at most {MOST} from 100,000 cells to 400,000."
    save("memory", title, f"{table(peaks)}\n\n{asked}", load)


if __name__ == "__main__":
    main()
