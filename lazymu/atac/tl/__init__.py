"""Analysis of peak counts."""

from lazymu.atac.tl.add_genes_peaks_groups import add_genes_peaks_groups
from lazymu.atac.tl.add_peak_annotation import add_peak_annotation
from lazymu.atac.tl.add_peak_annotation_gene_names import add_peak_annotation_gene_names
from lazymu.atac.tl.annotate_peaks import annotate_peaks
from lazymu.atac.tl.gene_activity import gene_activity
from lazymu.atac.tl.lsi import lsi
from lazymu.atac.tl.rank_peaks_groups import rank_peaks_groups

__all__ = [
    "add_genes_peaks_groups",
    "add_peak_annotation",
    "add_peak_annotation_gene_names",
    "annotate_peaks",
    "gene_activity",
    "lsi",
    "rank_peaks_groups",
]
