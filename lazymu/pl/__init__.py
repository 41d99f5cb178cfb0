"""Plots of embeddings, groups of cells and quality, from any modality; matplotlib draws them."""

from lazymu.pl.embedding import embedding, pca, umap

__all__ = ["embedding", "pca", "umap"]
