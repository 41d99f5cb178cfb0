"""Tools: embeddings, clusters, and features that distinguish them."""

from lazymu.tl.leiden import leiden
from lazymu.tl.louvain import louvain
from lazymu.tl.mofa import mofa
from lazymu.tl.peak_gene_links import peak_gene_links
from lazymu.tl.rank_genes_groups import rank_genes_groups
from lazymu.tl.snf import snf
from lazymu.tl.umap import umap

__all__ = [
    "leiden",
    "louvain",
    "mofa",
    "peak_gene_links",
    "rank_genes_groups",
    "snf",
    "umap",
]
