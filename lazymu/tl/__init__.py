"""Tools: embeddings, clusters, and features that distinguish them."""

from lazymu.tl.mofa import mofa
from lazymu.tl.rank_genes_groups import rank_genes_groups

__all__ = ["mofa", "rank_genes_groups"]
