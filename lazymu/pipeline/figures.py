"""The pictures of the result."""

from __future__ import annotations

from lazymu import get, keys, pl
from lazymu.containers import Modality, MuData
from lazymu.pipeline.run import Run

_MARKERS_PER_CLUSTER = 3


def draw_results(run: Run) -> None:
    """Write the pictures of clusters, of quality on the UMAP, and of marker genes."""
    draw_clusters(run)
    draw_quality_umap(run)
    rna = run.present().get(keys.RNA)
    if rna is not None and keys.RANK_GENES_GROUPS in run.mdata[rna].uns:
        draw_markers(run, run.mdata[rna])


def draw_clusters(run: Run) -> None:
    """UMAP coloured by the clusters of each resolution, and by known labels."""
    colors = [run.cluster_key(r) for r in run.params.joint.resolution]
    if run.summary.truth is not None:
        colors.append(run.summary.truth)
    figure = pl.umap(run.target, color=colors, ncols=2, show=False, return_fig=True)
    run.save(figure, "umap_clusters.png")


def draw_quality_umap(run: Run) -> None:
    """UMAP coloured by the counts of each modality and by its weight in the joint graph."""
    target = run.target
    joint = isinstance(target, MuData)
    colors = [
        keys.of_modality(name, column) if joint else column
        for column in (keys.TOTAL_COUNTS, *((keys.MOD_WEIGHT,) if joint else ()))
        for name in run.present().values()
    ]
    figure = pl.umap(
        target, color=colors, ncols=len(run.present()), vmax="p99", show=False, return_fig=True
    )
    run.save(figure, "umap_quality.png")


def draw_markers(run: Run, rna: Modality) -> None:
    """Dot plot of the best genes of each cluster."""
    table = get.rank_genes_groups_df(rna, None)
    best: dict[str, list[str]] = {}
    shown: set[str] = set()
    for cluster, names in table.groupby("group", observed=True)["names"]:
        best[str(cluster)] = [n for n in names if n not in shown][:_MARKERS_PER_CLUSTER]
        shown.update(best[str(cluster)])
    figure = pl.dotplot(
        rna, best, run.main_clusters(), standard_scale="var", show=False, return_fig=True
    )
    run.save(figure, "markers.png")
