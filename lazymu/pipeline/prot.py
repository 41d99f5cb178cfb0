"""Stages of surface proteins: quality, centred log-ratio, principal components."""

from __future__ import annotations

from lazymu import pp
from lazymu.containers import Modality
from lazymu.pipeline.limits import fewer_components
from lazymu.pipeline.quality import draw_quality, keep_quality
from lazymu.pipeline.run import Run
from lazymu.prot import pp as prot_pp


def check_prot(run: Run, name: str, prot: Modality) -> None:
    """Compute quality metrics; no cell is dropped for its proteins."""
    pp.calculate_qc_metrics(prot, percent_top=None, inplace=True)
    draw_quality(run, name, prot, {})
    keep_quality(run, name, prot, {})


def embed_prot(run: Run, name: str, prot: Modality) -> None:
    """Take the centred log-ratio and compute principal components of all proteins."""
    n_comps = fewer_components(run, name, run.params.prot.n_comps, prot.n_obs, prot.n_vars)
    prot_pp.clr(prot, axis=run.params.prot.clr_axis)
    pp.pca(prot, n_comps=n_comps, random_state=run.params.joint.seed)
