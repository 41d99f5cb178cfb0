"""Analysis of peak counts."""

from lazymu.atac.tl.add_genes_peaks_groups import add_genes_peaks_groups
from lazymu.atac.tl.lsi import lsi
from lazymu.atac.tl.rank_peaks_groups import rank_peaks_groups

__all__ = ["add_genes_peaks_groups", "lsi", "rank_peaks_groups"]
