"""Plots of embeddings, groups of cells and quality, from any modality; matplotlib draws them."""

from lazymu.pl.dotplot import dotplot
from lazymu.pl.embedding import embedding, pca, umap
from lazymu.pl.heatmap import heatmap
from lazymu.pl.matrixplot import matrixplot
from lazymu.pl.modality_weights import modality_weights
from lazymu.pl.qc import qc
from lazymu.pl.violin import violin

__all__ = [
    "dotplot",
    "embedding",
    "heatmap",
    "matrixplot",
    "modality_weights",
    "pca",
    "qc",
    "umap",
    "violin",
]
