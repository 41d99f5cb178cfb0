"""Analysis of peak counts and of fragments."""

from lazymu.atac.tl.add_genes_peaks_groups import add_genes_peaks_groups
from lazymu.atac.tl.add_peak_annotation import add_peak_annotation
from lazymu.atac.tl.add_peak_annotation_gene_names import add_peak_annotation_gene_names
from lazymu.atac.tl.annotate_peaks import annotate_peaks
from lazymu.atac.tl.count_fragments_features import count_fragments_features
from lazymu.atac.tl.gene_activity import gene_activity
from lazymu.atac.tl.locate_fragments import locate_fragments
from lazymu.atac.tl.lsi import lsi
from lazymu.atac.tl.nucleosome_signal import nucleosome_signal
from lazymu.atac.tl.rank_peaks_groups import rank_peaks_groups
from lazymu.atac.tl.tss_enrichment import tss_enrichment

__all__ = [
    "add_genes_peaks_groups",
    "add_peak_annotation",
    "add_peak_annotation_gene_names",
    "annotate_peaks",
    "count_fragments_features",
    "gene_activity",
    "locate_fragments",
    "lsi",
    "nucleosome_signal",
    "rank_peaks_groups",
    "tss_enrichment",
]
