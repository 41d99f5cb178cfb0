"""Plots of peak counts, in which a gene's name stands for an average of its peaks."""

from lazymu.atac.pl.dotplot import dotplot
from lazymu.atac.pl.embedding import embedding, lsi, mofa, pca, umap
from lazymu.atac.pl.tss_enrichment import tss_enrichment

__all__ = ["dotplot", "embedding", "lsi", "mofa", "pca", "tss_enrichment", "umap"]
