"""Analysis of peak counts and of fragments."""

from lazymu.atac.tl.count_fragments_features import count_fragments_features
from lazymu.atac.tl.locate_fragments import locate_fragments
from lazymu.atac.tl.lsi import lsi
from lazymu.atac.tl.nucleosome_signal import nucleosome_signal
from lazymu.atac.tl.tss_enrichment import tss_enrichment

__all__ = [
    "count_fragments_features",
    "locate_fragments",
    "lsi",
    "nucleosome_signal",
    "tss_enrichment",
]
