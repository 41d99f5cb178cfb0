"""The pictures of the result."""

from __future__ import annotations

from lazymu import get, keys, pl
from lazymu.containers import Modality, MuData
from lazymu.pipeline.run import Run

_MARKERS_PER_CLUSTER = 3
_PROTEINS_SHOWN = 50


def draw_results(run: Run) -> None:
    """Write the pictures of clusters, counts, weights, marker genes and proteins."""
    draw_clusters(run)
    draw_quality_umap(run)
    if isinstance(run.target, MuData):
        draw_weights(run, run.target)
    rna = run.present().get(keys.RNA)
    if rna is not None and keys.RANK_GENES_GROUPS in run.mdata[rna].uns:
        draw_markers(run, run.mdata[rna])
    prot = run.present().get(keys.PROT)
    if prot is not None:
        draw_proteins(run, run.mdata[prot])


def draw_clusters(run: Run) -> None:
    """UMAP coloured by the clusters of each resolution, and by known labels."""
    colors = [run.cluster_key(r) for r in run.params.joint.resolution]
    if run.summary.truth is not None:
        colors.append(run.summary.truth)
    figure = pl.umap(run.target, color=colors, ncols=2, show=False, return_fig=True)
    run.save(figure, "umap_clusters.png")


def draw_quality_umap(run: Run) -> None:
    """UMAP coloured by the counts of each modality."""
    target = run.target
    joint = isinstance(target, MuData)
    colors = [
        keys.of_modality(name, keys.TOTAL_COUNTS) if joint else keys.TOTAL_COUNTS
        for name in run.present().values()
    ]
    figure = pl.umap(
        target, color=colors, ncols=len(run.present()), vmax="p99", show=False, return_fig=True
    )
    run.save(figure, "umap_quality.png")


def draw_proteins(run: Run, prot: Modality) -> None:
    """Dot plot of the proteins in each cluster."""
    figure = pl.dotplot(
        prot,
        list(prot.var_names[:_PROTEINS_SHOWN]),
        run.main_clusters(),
        standard_scale="var",
        show=False,
        return_fig=True,
    )
    run.save(figure, "proteins.png")


def draw_weights(run: Run, mdata: MuData) -> None:
    """Boxes of the weight of each modality in each cluster."""
    figure = pl.modality_weights(mdata, run.main_clusters(), show=False, return_fig=True)
    run.save(figure, "modality_weights.png")


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
