"""Plots of peak counts, in which a gene's name stands for an average of its peaks."""

from lazymu.atac.pl.embedding import embedding, lsi, umap

__all__ = ["embedding", "lsi", "umap"]
