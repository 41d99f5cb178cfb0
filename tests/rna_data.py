"""Real RNA counts for parity tests, and counts in blocks so small that every pass has several."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp

from lazymu.settings import settings
from lazymu.stream import folds
from lazymu.stream.plan import BYTES_PER_ROW, BYTES_PER_VALUE
from tests.conftest import make_counts


def stimulated(folder: Path) -> ad.AnnData:
    """2,000 cells of two batches, 9,015 genes."""
    parts = {
        name: ad.read_h5ad(folder / "rna_pbmc_stim2000" / f"pbmc_{name}.h5ad")
        for name in ("ctrl", "stim")
    }
    return ad.concat(parts, label="batch", index_unique="-")


def variable_5k(folder: Path) -> ad.AnnData:
    """3,994 cells, 4,000 genes."""
    return ad.read_h5ad(folder / "rna_pbmc5k_hvg" / "rna_pbmc5k_hvg.h5ad")


def cite_seq(folder: Path) -> ad.AnnData:
    """892 cells, 36,601 genes of which many are empty."""
    path = folder / "citeseq_pbmc1k_10x" / "filtered_feature_bc_matrix.h5"
    adata = sc.read_10x_h5(path, gex_only=True)
    adata.var_names_make_unique()
    return adata


LOADERS: dict[str, Callable[[Path], ad.AnnData]] = {
    "stimulated": stimulated,
    "variable_5k": variable_5k,
    "cite_seq": cite_seq,
}


@cache
def real_counts(name: str, folder: Path) -> ad.AnnData:
    """Return a real data set, float32 counts, with mitochondrial genes marked. Do not change it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what anndata and scanpy say of files that they read
        adata = LOADERS[name](folder)
    adata = ad.AnnData(sp.csr_matrix(adata.X, dtype=np.float32), adata.obs, adata.var)
    adata.var["mt"] = adata.var_names.str.startswith("MT-")
    return adata


def made_counts(n_obs: int = 90, n_vars: int = 60, *, density: float = 0.3) -> ad.AnnData:
    """Return made counts of two batches; one cell and one gene are empty."""
    X = make_counts(n_obs, n_vars, density=density).tolil()
    X[4, :] = 0
    X[:, 7] = 0
    obs = pd.DataFrame(
        {"batch": pd.Categorical(["a", "b", "b"] * (n_obs // 3))},
        index=[f"cell{i}" for i in range(n_obs)],
    )
    var = pd.DataFrame(
        {"mt": np.arange(n_vars) % 9 == 0, "ribo": np.arange(n_vars) % 5 == 1},
        index=[f"gene{j}" for j in range(n_vars)],
    )
    return ad.AnnData(sp.csr_matrix(X, dtype=np.float32), obs=obs, var=var)


@contextmanager
def small_blocks(
    n_rows: int,
    n_vars: int,
    *,
    state_bytes: int = 0,
    operand_bytes: int = 0,
    n_threads: int = 2,
) -> Iterator[None]:
    """Set the memory limit such that a block has ``n_rows`` rows of ``n_vars`` values, or more.

    Half of so small a limit is planned with. ``state_bytes`` and ``operand_bytes`` are those of the
    reducers; where they are less, blocks are larger. Two blocks are folded by one task.
    """
    block = n_rows * (n_vars * BYTES_PER_VALUE + BYTES_PER_ROW)
    limit = 2 * (n_threads * block + (n_threads + 1) * state_bytes + operand_bytes)
    with (
        settings.override(memory_limit=limit, n_threads=n_threads, progress=False),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(folds, "BLOCKS_PER_TASK", 2)  # so that partial results are merged
        yield
