"""Whole passes over a simulated store: `python -m benchmarks.bench_passes --cells 20000`.

Millions of nonzeros a second of each kind of pass beside the same blocks only being read, and of
bringing a file into a store.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import data, machine
from benchmarks.pages import markdown, save
from benchmarks.roofline import best_seconds
from benchmarks.settings import MEMORY, N_COMPS
from lazymu import MuData, atac, pp, read
from lazymu.decomposition.krylov import block_width
from lazymu.decomposition.reducers import ColumnMoments, GramDot
from lazymu.decomposition.svd import N_OVERSAMPLES
from lazymu.io import convert
from lazymu.settings import settings
from lazymu.stream import Block, LazyMatrix, Reducer, run_pass
from lazymu.stream.sums import SumsReducer

REPEATS = 3
READING = "reading"
TARGETS = "Asked: a product at 40 million nonzeros a second, every pass at half of reading alone."


class Nothing(Reducer[int, int]):
    """Takes blocks and does nothing with them."""

    def init(self) -> int:
        return 0

    def chunk(self, state: int, block: Block) -> int:
        return state + block.X.nnz

    def combine(self, a: int, b: int) -> int:
        return a + b

    def finalize(self, state: int) -> int:
        return state


class Rate(NamedTuple):
    """What one kind of pass reached."""

    modality: str
    label: str
    n_values: int
    seconds: float

    @property
    def millions(self) -> float:
        return self.n_values / self.seconds / 1e6


def passes_over(store: Path) -> Iterator[tuple[str, str, LazyMatrix, Reducer[Any, Any]]]:
    """Yield the modality, the label, the matrix and the reducer of each kind of pass."""
    mdata = read(store)
    rna, peaks = mdata["rna"], mdata["atac"]
    for name, modality in (("rna", rna), ("atac", peaks)):
        yield name, READING, modality.X.counts, Nothing()
        yield name, "sums of cells and features", modality.X.counts, SumsReducer(modality.shape)
    pp.normalize_total(rna, target_sum=1e4)
    pp.log1p(rna)
    yield "rna", "normalised values", rna.X, Nothing()
    yield "rna", "their moments", rna.X, ColumnMoments(rna.n_vars)
    atac.pp.tfidf(peaks)
    yield "atac", "TF-IDF", peaks.X, Nothing()
    width = block_width(N_COMPS + N_OVERSAMPLES, peaks.shape)
    Q = np.random.default_rng(0).standard_normal((peaks.n_vars, width)).astype(np.float32)
    yield "atac", f"TF-IDF, product of {width} columns", peaks.X, GramDot(Q, keep_scores=True)


def measure(store: Path, repeats: int = REPEATS) -> list[Rate]:
    """Make each pass some times and keep its best."""
    found = []
    for modality, label, matrix, reducer in passes_over(store):
        run = partial(run_pass, matrix, reducer, label="measured")
        run()
        n_values = int(matrix.row_values.sum())
        found.append(Rate(modality, label, n_values, best_seconds(run, repeats)))
    return found


def measure_import(file: Path, out: Path) -> Rate:
    """Bring a file into a store once."""
    seconds = best_seconds(lambda: convert(file, out, overwrite=True), 1)
    made = read(out)
    modalities = made.mod.values() if isinstance(made, MuData) else [made]
    n_values = sum(int(modality.X.row_values.sum()) for modality in modalities)
    shutil.rmtree(out)
    names = " and ".join(made.mod) if isinstance(made, MuData) else "atac"
    return Rate(names, f"`lazymu convert` of {file.suffix}", n_values, seconds)


def table(rates: list[Rate]) -> str:
    """Return a line a pass, with its share of reading alone."""
    reading = {rate.modality: rate.millions for rate in rates if rate.label == READING}
    rows = (
        (
            rate.label,
            rate.modality,
            f"{rate.seconds:.2f}",
            f"{rate.millions:.0f}",
            "-" if "convert" in rate.label else f"{rate.millions / reading[rate.modality]:.2f}",
        )
        for rate in rates
    )
    return markdown(("pass", "modality", "s", "M nonzeros/s", "of reading"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=20_000)
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    load = machine.load()
    of = data.make(chosen.cells)
    with settings.override(memory_limit=MEMORY, n_threads=chosen.threads, progress=False):
        rates = measure(of.store)
        for file in (of.file, of.atac_file):
            data.warm(file)
            rates.append(measure_import(file, of.folder / "imported.zarr"))
    title = f"Passes over {chosen.cells:,} cells, {chosen.threads} threads, {MEMORY / 1e9:g} GB"
    save("passes", title, f"{table(rates)}\n\n{TARGETS}", load)


if __name__ == "__main__":
    main()
