"""Peak memory of whole processes beside the limit that was set and the plan that was made."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from lazymu.containers import Modality
from lazymu.stream import LazyMatrix
from lazymu.stream.plan import RUNTIME_BYTES, working_bytes
from tests.conftest import REPOSITORY

LIMIT = 800 * 10**6
N_VARS = 20_000
PER_CELL = 2_000
BLOCK_CELLS = 2_000
SMALL, LARGE = 10_000, 40_000
"""Cells: 20 and 80 million nonzeros, 0.16 and 0.64 GB in memory as float32 CSR."""

# What a process does and holds: prints its peak, the largest plan of its passes, its results, and
# how many values it reads.
MEASURE = """
import json, sys
import lazymu as sc
from lazymu.stream import recorded_passes

sc.settings.memory_limit, sc.settings.n_threads = int(sys.argv[3]), 2
x = sc.read(sys.argv[1])
with recorded_passes() as passes:
    exec(sys.argv[2])
results = sum(value.nbytes for value in [*x.obsm.values(), *x.varm.values()])
status = open("/proc/self/status").read()  # what getrusage says begins with the parent's
peak = int(status.split("VmHWM:")[1].split()[0]) * 1024
read = sum(entry.n_values for entry in passes)
print(json.dumps([peak, max(entry.projected_bytes for entry in passes), results, read]))
"""
WORK = {
    "lsi": "sc.atac.pp.tfidf(x); sc.atac.tl.lsi(x, n_comps=20)",
    "rna": (
        "sc.pp.filter_cells(x, min_counts=1); sc.pp.normalize_total(x); sc.pp.log1p(x);"
        "sc.pp.highly_variable_genes(x, n_top_genes=1000); sc.pp.pca(x, n_comps=20)"
    ),
    "ranks": (
        "x.obs['group'] = [str(i % 3) for i in range(x.n_obs)]; sc.pp.log1p(x);"
        "sc.tl.rank_genes_groups(x, 'group', method='wilcoxon')"
    ),
}


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Stores of few and of many cells: the same few thousand cells over and over."""
    rng = np.random.default_rng(0)
    cols = np.sort(rng.integers(0, N_VARS // PER_CELL, (BLOCK_CELLS, PER_CELL), dtype=np.int32))
    cols += np.arange(PER_CELL, dtype=np.int32) * (N_VARS // PER_CELL)
    values = rng.geometric(0.5, cols.size).astype(np.float32)
    offsets = np.arange(BLOCK_CELLS + 1, dtype=np.int32) * PER_CELL
    X = sp.csr_matrix((values, cols.ravel(), offsets), shape=(BLOCK_CELLS, N_VARS))
    folder = tmp_path_factory.mktemp("memory")
    paths = {n_obs: folder / f"{n_obs}.zarr" for n_obs in (SMALL, LARGE)}
    for n_obs, path in paths.items():
        rows = np.arange(n_obs) % BLOCK_CELLS
        Modality(LazyMatrix(X)[rows]).write(path)
    return paths


def measured(store: Path, work: str) -> list[int]:
    """Return a process's peak memory, what was projected, the size of results, and values read."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(store), WORK[work], str(LIMIT)],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
    )
    values: list[int] = json.loads(done.stdout.splitlines()[-1])
    return values


@pytest.mark.parametrize("work", WORK)
def test_peak__is_the_projected_one_whatever_the_number_of_cells(
    work: str, stores: dict[int, Path]
) -> None:
    for n_obs, store in stores.items():
        peak, projected, results, read = measured(store, work)
        assert peak <= LIMIT + results
        assert 0.4 * projected <= peak <= projected + results
        assert projected <= working_bytes(LIMIT) + RUNTIME_BYTES
        if work == "ranks":  # of many cells, values are written by feature and read again
            assert read <= 2 * n_obs * PER_CELL
