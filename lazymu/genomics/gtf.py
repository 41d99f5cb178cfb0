"""Genes of a GTF file."""

from __future__ import annotations

import re
from array import array
from pathlib import Path

import numpy as np

from lazymu.errors import DamagedFileError, explain
from lazymu.genomics.genes import MOST_GENES, Exons, Genes, Sites, first_bases, sites_of
from lazymu.genomics.intervals import Intervals
from lazymu.genomics.lines import damaged, is_position, read_lines
from lazymu.typing import Int64s

FIELDS = 9
EXONS = 16
"""Transcripts and exons for each of the most genes that a file may have."""
GENE_ID = re.compile(r'(?:^|;)\s*gene_id\s+"([^"]+)"')
GENE_NAME = re.compile(r'(?:^|;)\s*gene_name\s+"([^"]+)"')
BASIC = 'tag "basic"'


def read_gtf(path: Path, *, exons: bool) -> Genes:
    """Return the genes of a GTF file, read line by line.

    A gene is what shares ``gene_id``, chromosome and strand; its body spans its records. Its name
    is ``gene_name``, else ``gene_id``. Of the records ``gene``, ``transcript`` and, with
    ``exons``, ``exon`` are used. Positions, from 1 in the file, are from 0 in the result.

    Raises
    ------
    MissingFileError
        If there is no such file.
    DamagedFileError
        Naming the line that is no GTF, or the file if it has no genes.
    """
    kinds = {"gene", "transcript", "exon"} if exons else {"gene", "transcript"}
    table = GeneTable()
    others: set[str] = set()
    for number, line in read_lines(path):
        if not line or line.startswith("#"):
            continue
        fields = line.split("\t")
        if len(fields) != FIELDS:
            rule = f"a GTF has {FIELDS} fields separated by tabs, and here are {len(fields)}"
            damaged(path, number, line, rule)
        if fields[2] in kinds:
            try:
                table.add(fields)
            except ValueError as error:
                damaged(path, number, line, str(error))
        else:
            others.add(fields[2])
    if not table.places:
        rule = f"it has no genes or transcripts, only {', '.join(sorted(others)) or 'no records'}"
        raise DamagedFileError(explain("genes", repr(str(path)), rule, "pass a complete GTF"))
    return table.genes()


class GeneTable:
    """Genes as records of a GTF are added."""

    def __init__(self) -> None:
        self.places: dict[tuple[str, str, str], int] = {}
        self.names: list[str] = []
        self.starts, self.ends = array("q"), array("q")
        self.transcript_gene, self.transcript_tss = array("q"), array("q")
        self.basic = array("b")
        self.exon_gene, self.exon_start, self.exon_end = array("q"), array("q"), array("q")

    def add(self, fields: list[str]) -> None:
        """Add a record; ValueError says what is wrong with it."""
        chrom, _, kind, first, last, _, strand, _, attributes = fields
        if max(len(self.names), self._n_parts // EXONS) >= MOST_GENES:
            raise ValueError(f"a genome has fewer than {MOST_GENES:,} genes")
        start, end = positions(first, last)
        if strand not in ("+", "-"):
            raise ValueError(f"a gene's strand is + or -, and here is {strand!r}")
        gene = self._gene(chrom, strand, attributes, start, end)
        if kind == "transcript":
            self.transcript_gene.append(gene)
            self.transcript_tss.append(start if strand == "+" else end - 1)
            self.basic.append(BASIC in attributes)
        elif kind == "exon":
            self.exon_gene.append(gene)
            self.exon_start.append(start)
            self.exon_end.append(end)

    @property
    def _n_parts(self) -> int:
        return len(self.exon_gene) + len(self.transcript_gene)

    def _gene(self, chrom: str, strand: str, attributes: str, start: int, end: int) -> int:
        found = GENE_ID.search(attributes)
        if found is None:
            raise ValueError('its last field has no gene_id "..."')
        key = (found[1], chrom, strand)
        gene = self.places.setdefault(key, len(self.places))
        if gene == len(self.names):
            named = GENE_NAME.search(attributes)
            self.names.append(found[1] if named is None else named[1])
            self.starts.append(start)
            self.ends.append(end)
        else:
            self.starts[gene] = min(self.starts[gene], start)
            self.ends[gene] = max(self.ends[gene], end)
        return gene

    def genes(self) -> Genes:
        """Return what was added."""
        ids, chroms, strands = (
            np.array(part, dtype=object) for part in zip(*self.places, strict=True)
        )
        strand = np.where(strands == "+", 1, -1).astype(np.int64)
        body = Intervals(chroms, _numbers(self.starts), _numbers(self.ends))
        transcripts = Sites(_numbers(self.transcript_gene), _numbers(self.transcript_tss))
        basic = np.array(self.basic, dtype=bool)
        sites = sites_of(transcripts, basic, first_bases(body, strand))
        parts = (_numbers(self.exon_gene), _numbers(self.exon_start), _numbers(self.exon_end))
        exons = Exons(*np.unique(np.stack(parts), axis=1))
        return Genes(body, strand, np.array(self.names, dtype=object), ids, sites, exons)


def positions(first: str, last: str) -> tuple[int, int]:
    """Return a GTF's start and end as positions from 0, the end exclusive."""
    if not (is_position(first) and is_position(last)) or not 0 < int(first) <= int(last):
        got = f"and here are {first!r} and {last!r}"
        raise ValueError(
            f"start and end are whole numbers from 1, the start not above the end, {got}"
        )
    return int(first) - 1, int(last)


def _numbers(values: array[int]) -> Int64s:
    return np.array(values, dtype=np.int64)
