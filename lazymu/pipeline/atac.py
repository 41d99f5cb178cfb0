"""Stages of chromatin accessibility: quality, TF-IDF, latent semantic indexing."""

from __future__ import annotations

import numpy as np

from lazymu import keys, pp
from lazymu.atac import pp as atac_pp
from lazymu.atac import tl as atac_tl
from lazymu.containers import Modality
from lazymu.pipeline.limits import fewer_components
from lazymu.pipeline.quality import Limits, draw_quality, drop_poor, keep_quality
from lazymu.pipeline.run import Run


def check_atac(run: Run, name: str, atac: Modality) -> None:
    """Compute quality metrics and drop poor cells."""
    params = run.params.atac
    pp.calculate_qc_metrics(atac, percent_top=None, inplace=True)
    limits: dict[str, Limits] = {keys.N_GENES_BY_COUNTS: (params.min_features, None)}
    draw_quality(run, name, atac, limits)
    keep_quality(run, name, atac, limits)
    drop_poor(run, name, atac, "atac.min_features", params.min_features)


def embed_atac(run: Run, name: str, atac: Modality) -> None:
    """Drop rare peaks, weight by TF-IDF and compute LSI components."""
    least = run.params.atac.min_cells
    with run.filtering(name, "features", f"in at least {least:,} cells (atac.min_cells)"):
        pp.filter_genes(atac, min_cells=least)
    n_comps = fewer_components(run, name, run.params.atac.n_comps, atac.n_obs, atac.n_vars)
    atac_pp.tfidf(atac)
    atac_tl.lsi(
        atac,
        n_comps=n_comps,
        drop="auto" if run.params.atac.drop_depth else None,
        random_state=run.params.joint.seed,
    )
    dropped = np.asarray(atac.uns[keys.UNS_LSI].get("dropped", ()))
    if dropped.size:
        numbers = ", ".join(str(component + 1) for component in dropped)
        run.note(f"{name}: left out LSI component {numbers}, which follows sequencing depth")
