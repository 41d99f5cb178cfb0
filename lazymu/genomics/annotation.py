"""Which genes peaks belong to, and how: the rules of Cell Ranger ARC."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lazymu.genomics.genes import Genes
from lazymu.genomics.intervals import Intervals, offsets_of
from lazymu.genomics.pairs import (
    Pairs,
    nearest_points,
    overlapping,
    points_within,
    signed_distance,
)
from lazymu.typing import Array, Int64s

PROMOTER_UPSTREAM = 1000
PROMOTER_DOWNSTREAM = 100
DISTAL_REACH = 200_000
PROMOTER, EXONIC, DISTAL, INTERGENIC = "promoter", "exonic", "distal", "intergenic"


class Annotation(NamedTuple):
    """Rows of an annotation: a peak, one of its genes (-1 for none), distance and type."""

    peak: Int64s
    gene: Int64s
    distance: Int64s
    peak_type: Array


class SortedSites(NamedTuple):
    """TSS by their position on the line of all chromosomes."""

    position: Int64s
    gene: Int64s


def annotate(peaks: Intervals, genes: Genes) -> Annotation:
    """Return the genes of each peak.

    A peak is a promoter peak of every gene of which a TSS lies at most 1,000 bases downstream or
    100 upstream of it. It is a distal peak of the gene of the nearest TSS (of each, where several
    are as near) up to 200,000 bases away, and of every gene whose body it overlaps (with distance
    0), unless it is a promoter peak of that gene. Distal peaks that overlap an exon of the gene
    are exonic. Peaks without a gene are intergenic. Rows are by peak, promoters first.
    """
    of_peaks, of_genes = offsets_of(peaks.chrom, genes.body.chrom)
    starts, ends = peaks.start + of_peaks, peaks.end + of_peaks
    sites = _sorted_sites(genes, of_genes)

    near = points_within(starts, ends, sites.position, PROMOTER_UPSTREAM)
    distances = _distances(starts, ends, sites, genes.strand, near)
    kept = (distances >= -PROMOTER_UPSTREAM) & (distances <= PROMOTER_DOWNSTREAM)
    promoter = _by_gene(near.first[kept], sites.gene[near.second[kept]], distances[kept])

    near = nearest_points(starts, ends, sites.position, DISTAL_REACH)
    distances = _distances(starts, ends, sites, genes.strand, near)
    distal = _by_gene(near.first, sites.gene[near.second], distances)

    over = overlapping(starts, ends, genes.body.start + of_genes, genes.body.end + of_genes)
    body = Annotation(
        over.first, over.second, np.zeros_like(over.first), _named(DISTAL, over.first)
    )
    distal = distal._replace(peak_type=_named(DISTAL, distal.peak))
    promoter = promoter._replace(peak_type=_named(PROMOTER, promoter.peak))
    rows = _first_of_each((promoter, distal, body), len(genes))

    exons = genes.exons
    begins, stops = exons.start + of_genes[exons.gene], exons.end + of_genes[exons.gene]
    over = overlapping(starts, ends, begins, stops)
    in_exon = np.isin(
        _keys(rows.peak, rows.gene, len(genes)),
        _keys(over.first, exons.gene[over.second], len(genes)),
    )
    rows.peak_type[in_exon & (rows.peak_type == DISTAL)] = EXONIC
    return _with_intergenic(rows, len(peaks.start))


def _sorted_sites(genes: Genes, offsets: Int64s) -> SortedSites:
    position = genes.sites.position + offsets[genes.sites.gene]
    order = np.lexsort((genes.sites.gene, position))
    return SortedSites(position[order], genes.sites.gene[order])


def _distances(
    starts: Int64s, ends: Int64s, sites: SortedSites, strand: Int64s, pairs: Pairs
) -> Int64s:
    interval, site = pairs
    strands = strand[sites.gene[site]]
    return signed_distance(starts[interval], ends[interval], sites.position[site], strands)


def _named(kind: str, like: Int64s) -> Array:
    return np.full(len(like), kind, dtype=object)


def _keys(peak: Int64s, gene: Int64s, n_genes: int) -> Int64s:
    return peak * n_genes + gene


def _by_gene(peak: Int64s, gene: Int64s, distance: Int64s) -> Annotation:
    """Return one row for each peak and gene, with the distance of the nearest of its TSS."""
    order = np.lexsort((distance, np.abs(distance), gene, peak))
    peak, gene, distance = peak[order], gene[order], distance[order]
    new = np.ones(len(peak), dtype=bool)
    new[1:] = (np.diff(peak) != 0) | (np.diff(gene) != 0)
    return Annotation(peak[new], gene[new], distance[new], _named("", peak[new]))


def _first_of_each(parts: tuple[Annotation, ...], n_genes: int) -> Annotation:
    """Return the rows of all parts, of each peak and gene the first; by peak, then by part."""
    together = Annotation(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    _, first = np.unique(_keys(together.peak, together.gene, n_genes), return_index=True)
    rank = np.repeat(np.arange(len(parts)), [len(part.peak) for part in parts])
    order = first[np.lexsort((together.gene[first], rank[first], together.peak[first]))]
    return Annotation(*(column[order] for column in together))


def _with_intergenic(rows: Annotation, n_peaks: int) -> Annotation:
    """Return the rows with one for each peak that has no gene."""
    alone = np.flatnonzero(np.bincount(rows.peak, minlength=n_peaks) == 0)
    none = np.full(len(alone), -1, dtype=np.int64)
    added = Annotation(alone, none, none, _named(INTERGENIC, alone))
    together = Annotation(*(np.concatenate(pair) for pair in zip(rows, added, strict=True)))
    order = np.argsort(together.peak, kind="stable")
    return Annotation(*(column[order] for column in together))
