"""The picture of a result that the README shows: `make pictures`."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib

import lazymu

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TARGET = Path(__file__).parent / "pictures" / "result.png"
N_CELLS, N_GENES, N_PEAKS, DEPTH = 6000, 5000, 20_000, 1.2
MARKERS_PER_CLUSTER = 2
INCHES, DPI = (10.4, 8.2), 150


def analysed() -> lazymu.MuData:
    """Return a simulated Multiome with clusters, coordinates and marker genes."""
    lazymu.datasets.multiome("cells.zarr", N_CELLS, N_GENES, N_PEAKS, depth=DEPTH)
    mdata = lazymu.read("cells.zarr")
    rna, atac = mdata["rna"], mdata["atac"]
    for modality in (rna, atac):
        lazymu.pp.filter_cells(modality, min_genes=100)
        lazymu.pp.filter_genes(modality, min_cells=3)
    lazymu.pp.intersect_obs(mdata)
    lazymu.pp.normalize_total(rna, target_sum=1e4)
    lazymu.pp.log1p(rna)
    lazymu.pp.highly_variable_genes(rna, n_top_genes=1500)
    lazymu.pp.pca(rna)
    lazymu.atac.pp.tfidf(atac)
    lazymu.atac.tl.lsi(atac, drop="auto")
    lazymu.pp.neighbors(mdata, use_rep={"rna": "X_pca", "atac": "X_lsi"}, key_added="wnn")
    lazymu.tl.umap(mdata, min_dist=0.8, neighbors_key="wnn")
    lazymu.tl.leiden(mdata, neighbors_key="wnn", key_added="leiden_wnn")
    lazymu.tl.rank_genes_groups(rna, mdata.obs["leiden_wnn"])
    return mdata


def drawn(mdata: lazymu.MuData) -> Figure:
    """Return the figure: UMAP and weights by cluster above, marker genes below."""
    from matplotlib import pyplot

    rna, clusters = mdata["rna"], mdata.obs["leiden_wnn"]
    table = lazymu.get.rank_genes_groups_df(rna, None)
    best = table.groupby("group", observed=True)["names"].head(MARKERS_PER_CLUSTER)
    figure = pyplot.figure(figsize=INCHES, layout="constrained")
    grid = figure.add_gridspec(2, 2, height_ratios=(1.25, 1), hspace=0.06)
    umap, weights = (figure.add_subplot(grid[0, column]) for column in range(2))
    markers = figure.add_subplot(grid[1, :])
    lazymu.pl.umap(
        mdata,
        color="leiden_wnn",
        title=f"Clusters of {mdata.n_obs:,} cells",
        size=16,
        legend_loc="on data",
        legend_fontoutline=2,
        ax=umap,
        show=False,
    )
    lazymu.pl.modality_weights(mdata, "leiden_wnn", ax=weights, show=False)
    weights.set_title("What each modality weighs in a cluster")
    lazymu.pl.dotplot(
        rna, list(dict.fromkeys(best)), clusters, standard_scale="var", ax=markers, show=False
    )
    return figure


def main() -> None:
    """Analyse in a folder that goes afterwards, and write the picture."""
    matplotlib.use("agg")
    target = TARGET.resolve()
    target.parent.mkdir(exist_ok=True)
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            drawn(analysed()).savefig(target, dpi=DPI, metadata={"Software": None})
        finally:
            os.chdir(here)


if __name__ == "__main__":
    main()
