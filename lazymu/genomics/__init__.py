"""Places on a genome: intervals, genes, and which of them lie near each other.

Pure functions of arrays, and readers of gene annotation. Coordinates count from 0, and an
interval's end is the position after its last base, as in BED.
"""

from lazymu.genomics.genes import Genes
from lazymu.genomics.intervals import Intervals, parse_intervals
from lazymu.genomics.read_genes import as_genes

__all__ = ["Genes", "Intervals", "as_genes", "parse_intervals"]
