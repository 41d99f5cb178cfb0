"""What `bench_markers` measures: each function is one task with one tool, in a process of its own.

Matrices are lazy, so that what is done before the measured stage reads nothing, but for variable
genes and the peers' reading.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.data import Data
from benchmarks.settings import HVG, MEMORY, TARGET, threads
from benchmarks.stages import FIRST, IMPORT, Stages

WORK = "work"
"""Label of the stage that is measured."""
BEFORE = "before"
FACTORS = 10
PARTS = 4
FEW_CELLS = 5000
"""Cells that mofapy2 is given."""
MANY_CELLS = 20_000
"""Beyond so many, tasks that hold all values are left out."""
GENE_WIDTH = 20_000
SEED = 0


class Bench:
    """What a task is given: data, a folder for what it writes, and its measured stage."""

    def __init__(self, data: Data, folder: Path, stages: Stages) -> None:
        self.data, self.folder, self.stages = data, folder, stages
        self.passes: list[Any] = []

    def lazymu(self) -> Any:
        """Import lazymu and set its limits."""
        with self.stages(IMPORT):
            import lazymu as mu
        mu.settings.memory_limit, mu.settings.n_threads = MEMORY, threads()
        return mu

    @contextmanager
    def work(self) -> Iterator[None]:
        """Measure a ``with`` block: time, memory, and what lazymu reads in it."""
        from lazymu.stream import recorded_passes

        with recorded_passes() as passes, self.stages(WORK):
            yield
        self.passes = passes

    def normalised(self, mu: Any, store: Path | None = None) -> tuple[Any, Any]:
        """Return RNA, log-normalised, and the types of the cells."""
        with self.stages(BEFORE):
            mdata = mu.read(self.data.store)
            rna = mdata["rna"] if store is None else mu.read(store)
            normalise(mu, rna)
        return rna, mdata.obs["cell_type"]


def normalise(tool: Any, modality: Any) -> None:
    tool.pp.normalize_total(modality, target_sum=TARGET)
    tool.pp.log1p(modality)


# --- markers --------------------------------------------------------------------------------------


def ranked(method: str) -> Callable[[Bench], None]:
    """Return the task of ranking the genes of each type of cells."""

    def rank(bench: Bench) -> None:
        mu = bench.lazymu()
        rna, types = bench.normalised(mu)
        with bench.work():
            mu.tl.rank_genes_groups(rna, types, method=method)

    return rank


def wilcoxon_of_copy(bench: Bench) -> None:
    mu = bench.lazymu()
    rna, types = bench.normalised(mu, copied(bench, mu))
    with bench.work():
        mu.tl.rank_genes_groups(rna, types, method="wilcoxon")


def ranked_by_scanpy(method: str) -> Callable[[Bench], None]:
    """Return the task of ranking by scanpy, of values in memory."""

    def rank(bench: Bench) -> None:
        with bench.stages(IMPORT):
            import mudata
            import scanpy as sc
        with bench.stages(BEFORE):
            rna = mudata.read_h5ad(bench.data.file, mod="rna")
            types = mudata.read_h5mu(bench.data.file, backed=True).obs["cell_type"]
            rna.obs["cell_type"] = types.reindex(rna.obs_names).astype("category")
            normalise(sc, rna)
        with bench.work():
            sc.tl.rank_genes_groups(rna, "cell_type", method=method)

    return rank


def aggregate(bench: Bench) -> None:
    mu = bench.lazymu()
    rna, types = bench.normalised(mu)
    with bench.work():
        mu.get.aggregate(rna, types, ["sum", "mean", "count_nonzero"])


# --- one gene -------------------------------------------------------------------------------------


def store_by_feature(bench: Bench) -> None:
    mu = bench.lazymu()
    rna = mu.read(rna_store(bench, mu))
    shutil.rmtree(copies_of(rna_store(bench, mu)), ignore_errors=True)
    with bench.work():
        rna.store_by_feature()


def one_gene(bench: Bench) -> None:
    mu = bench.lazymu()
    read_genes(bench, mu, bench.normalised(mu)[0])


def one_gene_of_copy(bench: Bench) -> None:
    mu = bench.lazymu()
    read_genes(bench, mu, bench.normalised(mu, copied(bench, mu))[0])


def read_genes(bench: Bench, mu: Any, rna: Any) -> None:
    """Read a gene, and measure reading another one."""
    with bench.stages(FIRST):
        mu.get.obs_df(rna, [rna.var_names[0]])
    with bench.work():
        mu.get.obs_df(rna, [rna.var_names[100]])


def rna_store(bench: Bench, mu: Any) -> Path:
    """Return a store of RNA alone, whose copy by feature no other task finds."""
    store = bench.folder / "rna.zarr"
    if not store.exists():
        mu.io.convert(f"{bench.data.store}/mod/rna", store)
    return store


def copied(bench: Bench, mu: Any) -> Path:
    """Return the store of RNA with its copy by feature."""
    store = rna_store(bench, mu)
    if not copies_of(store).exists():
        mu.read(store).store_by_feature()
    return store


def copies_of(store: Path) -> Path:
    return store.with_name(f"{store.name}.lazymu")


# --- samples --------------------------------------------------------------------------------------


def samples(bench: Bench, mu: Any) -> dict[str, Path]:
    """Return stores with a share of the cells each."""
    stores = {f"s{k}": bench.folder / f"sample{k}.zarr" for k in range(PARTS)}
    mdata = mu.read(bench.data.store)
    for k, store in enumerate(stores.values()):
        if not store.exists():
            mdata[np.arange(mdata.n_obs) * PARTS // mdata.n_obs == k].write(store)
    return stores


def concat(bench: Bench) -> None:
    mu = bench.lazymu()
    stores = samples(bench, mu)
    with bench.work():
        mu.concat(stores)


def t_test_of_concat(bench: Bench) -> None:
    mu = bench.lazymu()
    joined = mu.concat(samples(bench, mu))
    normalise(mu, joined["rna"])
    with bench.work():
        mu.tl.rank_genes_groups(joined["rna"], joined.obs["cell_type"])


def concat_written(bench: Bench) -> None:
    mu = bench.lazymu()
    stores = samples(bench, mu)
    with bench.work():
        mu.concat(stores, out=bench.folder / "joined.zarr", overwrite=True)
    shutil.rmtree(bench.folder / "joined.zarr")


# --- RNA and peaks --------------------------------------------------------------------------------


def factors(engine: str, cells: int | None = None) -> Callable[[Bench], None]:
    """Return the task of MOFA on variable genes and peaks of all or of the first cells."""

    def find(bench: Bench) -> None:
        mu = bench.lazymu()
        with bench.stages(BEFORE):
            mdata = mu.read(bench.data.store)
            mdata = mdata if cells is None else mdata[np.arange(min(cells, mdata.n_obs))]
            for modality in mdata.mod.values():
                normalise(mu, modality)
                mu.pp.highly_variable_genes(modality, n_top_genes=min(HVG, modality.n_vars))
        with bench.work():
            mu.tl.mofa(mdata, n_factors=FACTORS, engine=engine)

    return find


def gene_activity(bench: Bench) -> None:
    mu = bench.lazymu()
    with bench.stages(BEFORE):
        mdata = mu.read(bench.data.store)
        genes = placed_genes(mdata)
    with bench.work():
        mu.atac.tl.gene_activity(mdata, genes)


def peak_gene_links(bench: Bench) -> None:
    mu = bench.lazymu()
    with bench.stages(BEFORE):
        mdata = mu.read(bench.data.store)
        genes = placed_genes(mdata)
        names = [mdata.obs[name].astype(str) for name in ("cell_type", "batch")]
        mdata.obs["type_in_batch"] = names[0] + " " + names[1]
    with bench.work():
        mu.tl.peak_gene_links(mdata, genes, groupby="type_in_batch")


def placed_genes(mdata: Any) -> Any:
    """Return places for the simulated genes, which have none: each begins with a peak."""
    import pandas as pd

    rng = np.random.default_rng(SEED)
    names = mdata["rna"].var_names
    peaks = mdata["atac"].var_names.str.extract(r"(.*):(\d+)-(\d+)")
    starts = peaks.iloc[np.sort(rng.integers(0, len(peaks), len(names)))]
    start = starts[1].astype(int).to_numpy()
    return pd.DataFrame(
        {
            "chrom": starts[0].to_numpy(),
            "start": start,
            "end": start + rng.integers(1000, GENE_WIDTH, len(names)),
            "strand": rng.choice(["+", "-"], len(names)),
            "gene_name": names.to_numpy(),
        }
    )


# --- all of them ----------------------------------------------------------------------------------


class Task(NamedTuple):
    """One line of the page."""

    label: str
    tool: str
    run: Callable[[Bench], None]
    most_cells: int | None = None
    """Left out where there are more cells."""
    cells: int | None = None
    """Cells that it takes, where these are not all."""


LAZYMU, SCANPY, MOFAPY2 = "lazymu", "scanpy", "mofapy2"
TASKS: dict[str, Task] = {
    "t-test": Task("t-test", LAZYMU, ranked("t-test")),
    "wilcoxon": Task("Wilcoxon", LAZYMU, ranked("wilcoxon")),
    "copy": Task("writing the copy by feature", LAZYMU, store_by_feature),
    "wilcoxon-copy": Task("Wilcoxon, copy by feature", LAZYMU, wilcoxon_of_copy),
    "logreg": Task("logistic regression", LAZYMU, ranked("logreg"), MANY_CELLS),
    "scanpy-t-test": Task("t-test", SCANPY, ranked_by_scanpy("t-test"), MANY_CELLS),
    "scanpy-wilcoxon": Task("Wilcoxon", SCANPY, ranked_by_scanpy("wilcoxon"), MANY_CELLS),
    "aggregate": Task("aggregate by type", LAZYMU, aggregate),
    "gene": Task("one gene", LAZYMU, one_gene),
    "gene-copy": Task("one gene, copy by feature", LAZYMU, one_gene_of_copy),
    "concat": Task(f"concat of {PARTS} stores", LAZYMU, concat),
    "concat-t-test": Task("t-test of these", LAZYMU, t_test_of_concat),
    "concat-written": Task(f"concat of {PARTS} stores, written", LAZYMU, concat_written),
    "mofa": Task(f"MOFA, {FACTORS} factors", LAZYMU, factors("lazymu")),
    "mofa-few": Task(
        f"MOFA, {FACTORS} factors", LAZYMU, factors("lazymu", FEW_CELLS), MANY_CELLS, FEW_CELLS
    ),
    "mofapy2-few": Task(
        f"MOFA, {FACTORS} factors", MOFAPY2, factors("mofapy2", FEW_CELLS), MANY_CELLS, FEW_CELLS
    ),
    "gene-activity": Task("gene activity", LAZYMU, gene_activity),
    "links": Task("peak-gene links", LAZYMU, peak_gene_links),
}
