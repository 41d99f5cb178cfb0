"""Stages of gene expression: quality, normalisation, variable genes, principal components."""

from __future__ import annotations

import numpy as np

from lazymu import keys, pp
from lazymu.containers import Modality
from lazymu.errors import EmptyResultError, explain
from lazymu.pipeline.limits import check_size, fewer_components
from lazymu.pipeline.quality import Limits, draw_quality, drop_poor, keep_quality
from lazymu.pipeline.run import Run

MITOCHONDRIAL = "mt"


def check_rna(run: Run, name: str, rna: Modality) -> None:
    """Compute quality metrics and drop poor cells."""
    params = run.params.rna
    names = rna.var_names.str.upper()
    rna.var[MITOCHONDRIAL] = names.str.startswith(keys.MITOCHONDRIAL_PREFIX)
    marked = [MITOCHONDRIAL] if rna.var[MITOCHONDRIAL].any() else []
    pp.calculate_qc_metrics(rna, qc_vars=marked, percent_top=None, inplace=True)
    limits: dict[str, Limits] = {keys.N_GENES_BY_COUNTS: (params.min_genes, None)}
    if marked:
        limits[keys.pct_counts_of(MITOCHONDRIAL)] = (None, params.max_pct_mt)
    draw_quality(run, name, rna, limits)
    keep_quality(run, name, rna, limits)
    drop_poor(run, name, rna, "rna.min_genes", params.min_genes)
    if marked:
        rule = f"at most {params.max_pct_mt:g} % mitochondrial counts (rna.max_pct_mt)"
        with run.filtering(name, "cells", rule):
            _drop_damaged(rna, params.max_pct_mt)
    else:
        run.note(f"{name}: no gene is named MT-..., so no cell is dropped as damaged")


def embed_rna(run: Run, name: str, rna: Modality) -> None:
    """Drop rare genes, normalise, choose variable genes, and compute principal components."""
    params = run.params.rna
    with run.filtering(name, "features", f"in at least {params.min_cells:,} cells (rna.min_cells)"):
        pp.filter_genes(rna, min_cells=params.min_cells)
    check_size(name, rna.n_obs, rna.n_vars)
    n_top = min(params.n_top_genes, rna.n_vars)
    of_counts = params.flavor.startswith("seurat_v3")
    if of_counts:
        pp.highly_variable_genes(rna, n_top_genes=n_top, flavor=params.flavor)
    pp.normalize_total(rna, target_sum=params.target_sum)
    pp.log1p(rna)
    if not of_counts:
        pp.highly_variable_genes(rna, n_top_genes=n_top, flavor=params.flavor)
    n_variable = int(rna.var[keys.HIGHLY_VARIABLE].sum())
    n_comps = fewer_components(run, name, params.n_comps, rna.n_obs, n_variable)
    pp.pca(rna, n_comps=n_comps, random_state=run.params.joint.seed)


def _drop_damaged(rna: Modality, max_pct: float) -> None:
    share = rna.obs[keys.pct_counts_of(MITOCHONDRIAL)].to_numpy()
    kept = share <= max_pct
    if not kept.any():
        rule = f"the smallest percentage of mitochondrial counts is {np.nanmin(share):.1f}"
        raise EmptyResultError(explain("rna.max_pct_mt", max_pct, rule, "raise it"))
    rna.subset_obs(kept)
