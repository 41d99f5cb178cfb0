"""Peak memory of whole processes beside the limit that was set and the plan that was made.

Of a workflow, the whole peak; of every other function that streams, what a call adds to the process
under a limit less than half of the matrix.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
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
ADDED = 128 * 10**6
"""Limit of what one call may add to a process that has made it before, with few cells."""
FEW, MANY = 200, 20_000
"""Cells: 3 MB and 0.32 GB in memory as float32 CSR."""

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
    """Stores of few and of many cells: the same cells over and over, on loci of two chromosomes."""
    rng = np.random.default_rng(0)
    cols = np.sort(rng.integers(0, N_VARS // PER_CELL, (BLOCK_CELLS, PER_CELL), dtype=np.int32))
    cols += np.arange(PER_CELL, dtype=np.int32) * (N_VARS // PER_CELL)
    values = rng.geometric(0.5, cols.size).astype(np.float32)
    offsets = np.arange(BLOCK_CELLS + 1, dtype=np.int32) * PER_CELL
    X = sp.csr_matrix((values, cols.ravel(), offsets), shape=(BLOCK_CELLS, N_VARS))
    loci = [f"chr{i % 2}:{i // 2}000-{i // 2}500" for i in range(N_VARS)]
    var = pd.DataFrame({"few": np.arange(N_VARS) < 100}, index=loci)
    folder = tmp_path_factory.mktemp("memory")
    paths = {n_obs: folder / f"{n_obs}.zarr" for n_obs in (SMALL, LARGE, FEW, MANY)}
    for n_obs, path in paths.items():
        rows = np.arange(n_obs) % BLOCK_CELLS
        groups = pd.Categorical(np.array(list("abcdefghijklmnopqrst"))[np.arange(n_obs) % 20])
        obs = pd.DataFrame({"group": groups}, index=[f"c{i}" for i in range(n_obs)])
        Modality(LazyMatrix(X)[rows], obs=obs, var=var).write(path)
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
    for n_obs in (SMALL, LARGE):
        peak, projected, results, read = measured(stores[n_obs], work)
        assert peak <= LIMIT + results
        assert 0.4 * projected <= peak <= projected + results
        assert projected <= working_bytes(LIMIT) + RUNTIME_BYTES
        if work == "ranks":  # of many cells, values are written by feature and read again
            assert read <= 2 * n_obs * PER_CELL


# --- functions beside the workflow ----------------------------------------------------------------

# Makes each call with few cells, so that libraries are loaded and kernels compiled, then with many:
# prints what the process took before and, of each call, its peak.
MEASURE_CALLS = """
import json, sys, tempfile
import numpy as np, pandas as pd
import lazymu as sc
from lazymu.stream.memory import return_freed

def status(field):
    return int(open("/proc/self/status").read().split(field + ":")[1].split()[0]) * 1024

def make(call, path):
    x = sc.read(path)
    genes = list(x.var_names[:20])
    annotation = pd.DataFrame({
        "chrom": "chr1", "start": np.arange(50) * 9000, "end": np.arange(50) * 9000 + 2000,
        "strand": "+", "gene_name": x.var_names[:50],
    })
    exec(call, globals() | locals())

few, many, calls = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
sc.settings.memory_limit, sc.settings.n_threads = int(sys.argv[4]), 2
for call in calls.values():
    make(call, few)
return_freed()
base, peaks = status("VmRSS"), {}
for name, call in calls.items():
    return_freed()
    open("/proc/self/clear_refs", "w").write("5")  # the peak begins anew
    make(call, many)
    peaks[name] = status("VmHWM")
print(json.dumps([base, peaks]))
"""
CALLS = {
    "tests": {
        "t-test": "sc.pp.log1p(x); sc.tl.rank_genes_groups(x, 'group', pts=True)",
        "overestim_var": "sc.tl.rank_genes_groups(x, 'group', method='t-test_overestim_var')",
        "peaks": "sc.atac.tl.rank_peaks_groups(sc.MuData({'atac': x}), 'group')",
        "aggregate": "sc.get.aggregate(x, 'group', ['sum', 'var', 'fraction'])",
    },
    "wilcoxon": {
        "wilcoxon": "sc.pp.log1p(x); sc.tl.rank_genes_groups(x, 'group', method='wilcoxon')",
    },
    "models": {
        "logreg": (
            "sc.pp.log1p(x); sc.tl.rank_genes_groups("
            "x, x.obs['group'].astype(str).isin(list('abc')), method='logreg', mask_var='few',"
            "max_iter=5)"
        ),
        "mofa": "sc.pp.log1p(x); sc.tl.mofa(x, n_factors=3, use_var='few', n_iterations=3)",
    },
    "peaks": {
        "gene_activity": "sc.atac.tl.gene_activity(x, annotation)",
        "peak_gene_links": (
            "mdata = sc.MuData({'rna': x, 'atac': x}); mdata.obs['group'] = x.obs['group'];"
            "sc.tl.peak_gene_links(mdata, annotation, groupby='group')"
        ),
    },
    "copies": {
        "to_anndata": (
            "folder = tempfile.TemporaryDirectory();"
            "sc.MuData({'a': x, 'b': x}).to_anndata(path=folder.name + '/wide.zarr')"
        ),
        "concat": (
            "folder = tempfile.TemporaryDirectory();"
            "sc.concat([path, path], index_unique='-', out=folder.name + '/long.zarr')"
        ),
        "batches": "assert sum(len(cells) for _, cells in x.batches(128)) == x.n_obs",
    },
    "plots": {
        "dotplot": "sc.pl.dotplot(x, genes, 'group', show=False)",
        "matrixplot": "sc.pl.matrixplot(x, genes, 'group', show=False)",
        "heatmap": "sc.pl.heatmap(x, genes, 'group', show=False)",
        "violin": "sc.pl.violin(x, genes[:2], 'group', show=False)",
        "scatter": "sc.pl.scatter(x, genes[0], genes[1], color=genes[2], show=False)",
        "histogram": "sc.pl.histogram(x, genes[0], show=False)",
        "embedding": (
            "x.obsm['X_umap'] = np.zeros((x.n_obs, 2)); sc.pl.umap(x, color=genes[:2], show=False)"
        ),
    },
}
KINDS = [pytest.param(kind, marks=[pytest.mark.slow] * (kind == "wilcoxon")) for kind in CALLS]


@pytest.mark.parametrize("kind", KINDS)
def test_added_memory__keeps_a_limit_less_than_half_of_the_matrix(
    kind: str, stores: dict[int, Path]
) -> None:
    arguments = [str(stores[FEW]), str(stores[MANY]), json.dumps(CALLS[kind]), str(ADDED)]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE_CALLS, *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
    )
    base, peaks = json.loads(done.stdout.splitlines()[-1])
    assert peaks.keys() == CALLS[kind].keys()
    added = {name: peak - base for name, peak in peaks.items()}
    assert max(added.values()) <= ADDED, added
    assert min(added.values()) > 0, added
