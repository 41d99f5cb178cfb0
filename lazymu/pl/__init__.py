"""Plots of embeddings, groups of cells and quality, from any modality; matplotlib draws them."""

from lazymu.pl.dotplot import dotplot
from lazymu.pl.embedding import embedding, pca, umap
from lazymu.pl.violin import violin

__all__ = ["dotplot", "embedding", "pca", "umap", "violin"]
