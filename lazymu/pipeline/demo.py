"""The demonstration: the workflow on two simulated data sets, or on a file of the user's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lazymu import datasets
from lazymu.datasets.cells import CELL_TYPE
from lazymu.datasets.tenx import truth_path
from lazymu.pipeline.params import RunParams
from lazymu.pipeline.records import RunSummary
from lazymu.pipeline.run import StageWatcher
from lazymu.pipeline.workflow import run_workflow
from lazymu.store.locations import redacted

N_CELLS = 5000


class DemoInput(NamedTuple):
    """A file to run the workflow on, and where its cell types are known from."""

    title: str
    path: str | Path
    truth: str


def demo_inputs(folder: Path, n_cells: int = N_CELLS) -> Iterator[DemoInput]:
    """Write a Multiome ``.h5mu`` and a 10x CITE-seq ``.h5`` into a folder, one after the other."""
    folder.mkdir(parents=True, exist_ok=True)
    path = datasets.multiome(folder / "multiome.h5mu", n_cells, overwrite=True)
    yield DemoInput(f"Simulated Multiome, {n_cells:,} cells", path, CELL_TYPE)
    path = datasets.citeseq_10x(folder / "citeseq.h5", n_cells, overwrite=True)
    yield DemoInput(f"Simulated CITE-seq, {n_cells:,} cells", path, str(truth_path(path)))


def run_demo(data: DemoInput, folder: Path, watch: StageWatcher | None = None) -> RunSummary:
    """Run the workflow on one input; the store and the pictures go into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    params = RunParams().updated({"joint": {"truth": data.truth}})
    name = Path(redacted(data.path)).name.split(".")[0]
    store = folder / f"{name}.zarr"
    return run_workflow(data.path, store, params, overwrite=True, watch=watch)
