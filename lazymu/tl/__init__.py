"""Tools: embeddings, clusters, and features that distinguish them."""

from lazymu.tl.leiden import leiden
from lazymu.tl.mofa import mofa
from lazymu.tl.rank_genes_groups import rank_genes_groups
from lazymu.tl.umap import umap

__all__ = ["leiden", "mofa", "rank_genes_groups", "umap"]
