"""Exact decompositions to compare with, by SciPy and NumPy alone.

They are made once for a data set and kept beside it; nobody waits for them in the tables.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import svds

from benchmarks.data import Data
from benchmarks.settings import HVG, MIN_CELLS, MIN_GENES, N_COMPS, TARGET

LANCZOS_VECTORS = 4
"""For each component wanted."""
TOLERANCE = 1e-4
"""SciPy hands its square to ARPACK: residuals are below 1e-8 of the eigenvalues."""
MANY_CELLS, FEW_COMPS = 50_000, 16
"""Of more cells, so many components: those of noise, ever closer together, take hours."""


def exact_atac(data: Data) -> dict[str, Any]:
    """Return the leading left singular vectors of TF-IDF, by ARPACK in float64."""
    X, cells = counts(data, "atac")
    n, s = np.asarray(X.sum(1)).ravel(), np.asarray(X.sum(0)).ravel()
    X = sp.diags_array(1e4 / np.maximum(n, 1)).astype(np.float32) @ X
    X.data = np.log1p(X.data)
    X = X @ sp.diags_array(np.log1p(X.shape[0] / np.maximum(s, 1)).astype(np.float32))
    X = sp.csr_matrix(X, dtype=np.float64)
    k = min(FEW_COMPS if X.shape[0] > MANY_CELLS else N_COMPS, min(X.shape) - 1)
    vectors = min(LANCZOS_VECTORS * k, min(X.shape) - 1)
    U, S, _ = svds(X, k=k, ncv=vectors, tol=TOLERANCE, rng=np.random.default_rng(0))
    return {"scores": U[:, ::-1], "values": S[::-1], "cells": cells}


def exact_rna(data: Data) -> dict[str, Any]:
    """Return the leading principal components of scanpy's variable genes, from their covariance."""
    import scanpy as sc
    from anndata import AnnData

    X, cells = counts(data, "rna")
    kept = np.diff(X.indptr) >= MIN_GENES
    X, cells = X[kept], cells[kept]
    X = X[:, np.bincount(X.indices, minlength=X.shape[1]) >= MIN_CELLS]
    X = sp.csr_matrix(sp.diags_array(TARGET / np.asarray(X.sum(1)).ravel()) @ X)
    X.data = np.log1p(X.data)
    logged = AnnData(X, uns={"log1p": {"base": None}})
    sc.pp.highly_variable_genes(logged, n_top_genes=min(HVG, X.shape[1]))
    Y = X[:, logged.var["highly_variable"].to_numpy()]
    mean = np.asarray(Y.mean(0)).ravel()
    covariance = (Y.T @ Y).toarray() / Y.shape[0] - np.outer(mean, mean)
    values, V = np.linalg.eigh(covariance)
    V = V[:, ::-1][:, :N_COMPS]
    return {
        "scores": Y @ V - mean @ V,
        "values": np.sqrt(Y.shape[0] * values[::-1][:N_COMPS]),
        "cells": cells,
    }


def counts(data: Data, modality: str) -> tuple[sp.csr_matrix, Any]:
    """Return the counts of a modality in float32, and the cells' names."""
    import mudata

    adata = mudata.read_h5ad(data.file, mod=modality)
    return sp.csr_matrix(adata.X, dtype=np.float32), np.array(adata.obs_names, dtype=str)


EXACT = {"rna": exact_rna, "atac": exact_atac}
