"""The stage that finds the genes by which clusters differ."""

from __future__ import annotations

from lazymu import tl
from lazymu.containers import Modality
from lazymu.pipeline.run import Run

N_KEPT = 100
_LEAST_CELLS = 2  # a variance needs two


def rank_markers(run: Run, name: str, rna: Modality) -> None:
    """Rank the genes of each cluster by a t-test against the other cells."""
    clusters = run.main_clusters()
    sizes = clusters.value_counts()
    groups = [str(name) for name in sizes.index[sizes >= _LEAST_CELLS]]
    if len(sizes) < 2:
        run.note(f"{name}: there is one cluster, so that no genes mark it")
        return
    tl.rank_genes_groups(rna, clusters, groups=groups, n_genes=min(N_KEPT, rna.n_vars))
