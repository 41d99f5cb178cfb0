"""Plots of embeddings, groups of cells and quality, from any modality; matplotlib draws them."""

from lazymu.pl.dotplot import dotplot
from lazymu.pl.embedding import embedding, mofa, pca, umap
from lazymu.pl.heatmap import heatmap
from lazymu.pl.histogram import histogram
from lazymu.pl.lsi_depth import lsi_depth
from lazymu.pl.matrixplot import matrixplot
from lazymu.pl.modality_weights import modality_weights
from lazymu.pl.mofa_loadings import mofa_loadings
from lazymu.pl.mofa_variance import mofa_variance
from lazymu.pl.qc import qc
from lazymu.pl.scatter import scatter
from lazymu.pl.violin import violin

__all__ = [
    "dotplot",
    "embedding",
    "heatmap",
    "histogram",
    "lsi_depth",
    "matrixplot",
    "modality_weights",
    "mofa",
    "mofa_loadings",
    "mofa_variance",
    "pca",
    "qc",
    "scatter",
    "umap",
    "violin",
]
