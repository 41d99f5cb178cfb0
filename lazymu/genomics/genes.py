"""Genes: bodies, transcription start sites and exons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lazymu.genomics.intervals import Intervals
from lazymu.typing import Array, Bools, Int64s

MOST_GENES = 1 << 22
"""Genes of a file at most: a hundred times those of a genome, and what fits any memory."""


class Sites(NamedTuple):
    """Transcription start sites (TSS), each of one gene."""

    gene: Int64s
    position: Int64s


class Exons(NamedTuple):
    """Exons, each of one gene."""

    gene: Int64s
    start: Int64s
    end: Int64s


@dataclass(frozen=True)
class Genes:
    """Genes and what belongs to them; coordinates count from 0, ends are exclusive."""

    body: Intervals
    strand: Int64s
    """1 or -1."""
    name: Array
    gene_id: Array
    sites: Sites
    exons: Exons

    def __len__(self) -> int:
        return len(self.name)

    @property
    def tss(self) -> Int64s:
        """The first base of each gene's body in the direction of its strand."""
        return first_bases(self.body, self.strand)

    def take(self, index: Array) -> Genes:
        """Return some of the genes, by mask or positions."""
        positions = np.arange(len(self.name))[index]
        place = np.full(len(self.name), -1, dtype=np.int64)
        place[positions] = np.arange(len(positions))
        sites, exons = place[self.sites.gene], place[self.exons.gene]
        return Genes(
            self.body.take(index),
            *(self.strand[index], self.name[index], self.gene_id[index]),
            Sites(sites[sites >= 0], self.sites.position[sites >= 0]),
            Exons(exons[exons >= 0], self.exons.start[exons >= 0], self.exons.end[exons >= 0]),
        )


def first_bases(body: Intervals, strand: Int64s) -> Int64s:
    """Return where bodies begin in the direction of their strand."""
    return np.where(strand > 0, body.start, body.end - 1)


def no_exons() -> Exons:
    """Return exons of an annotation that has none."""
    empty = np.zeros(0, dtype=np.int64)
    return Exons(empty, empty, empty)


def genes_without_transcripts(body: Intervals, strand: Int64s, name: Array, ids: Array) -> Genes:
    """Return genes whose only TSS is where the body begins."""
    sites = Sites(np.arange(len(name), dtype=np.int64), first_bases(body, strand))
    return Genes(body, strand, name, ids, sites, no_exons())


def sites_of(transcripts: Sites, basic: Bools, tss: Int64s) -> Sites:
    """Return each gene's TSS: of its basic transcripts, else of all of them, else of its body.

    Source: 10x Genomics' description of Cell Ranger ARC's peak annotation.
    """
    n_genes = len(tss)
    has_basic = np.bincount(transcripts.gene[basic], minlength=n_genes) > 0
    kept = basic | ~has_basic[transcripts.gene]
    bare = np.flatnonzero(np.bincount(transcripts.gene, minlength=n_genes) == 0)
    gene = np.concatenate([transcripts.gene[kept], bare])
    position = np.concatenate([transcripts.position[kept], tss[bare]])
    found = np.unique(np.stack([gene, position]), axis=1)
    return Sites(found[0], found[1])
