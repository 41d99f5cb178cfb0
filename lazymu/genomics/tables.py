"""Genes of a table: a data frame or a file like BED."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lazymu.errors import ArgumentError, DamagedFileError, explain
from lazymu.genomics.genes import MOST_GENES, Genes, genes_without_transcripts
from lazymu.genomics.intervals import Intervals
from lazymu.genomics.lines import damaged, is_position, read_lines

ALIASES = {
    "chrom": ("chrom", "chr", "chromosome", "seqnames", "seqname"),
    "start": ("start", "chromstart"),
    "end": ("end", "chromend"),
    "strand": ("strand",),
    "name": ("gene_name", "gene", "name", "symbol"),
    "gene_id": ("gene_id", "gene_ids", "ensembl_id"),
}
NEEDED = ("chrom", "start", "end", "strand", "name")
BED_COLUMNS = {"chrom": 0, "start": 1, "end": 2, "name": 3, "strand": 5}
NO_RECORDS = ("#", "track", "browser")


def columns_of(names: Iterable[Any]) -> dict[str, int]:
    """Return where the columns of genes are among names, whatever their case.

    Examples
    --------
    >>> columns_of(["Chromosome", "Start", "End", "Strand", "gene_name"])
    {'chrom': 0, 'start': 1, 'end': 2, 'strand': 3, 'name': 4}
    """
    places = {str(name).strip().lower(): at for at, name in reversed(list(enumerate(names)))}
    return {
        role: places[found[0]]
        for role, aliases in ALIASES.items()
        if (found := [alias for alias in aliases if alias in places])
    }


def genes_of_frame(frame: pd.DataFrame) -> Genes:
    """Return the genes of a data frame with chrom, start, end, strand and gene_name.

    Raises
    ------
    ArgumentError
        Naming the columns that are missing, or the first row that is no gene.
    """
    columns = columns_of(frame.columns)
    if missing := [role for role in NEEDED if role not in columns]:
        got = f"a table with columns {', '.join(map(str, frame.columns))}"
        rule = f"it has no column {missing[0]!r}"
        fix = "name columns chrom, start, end, strand and gene_name"
        raise ArgumentError(explain("genes", got, rule, fix))
    records = zip(*(frame.iloc[:, at].tolist() for at in columns.values()), strict=True)
    genes = []
    for at, values in enumerate(records):
        record = dict(zip(columns, map(str, values), strict=True))
        try:
            genes.append(checked(record))
        except ValueError as error:
            fix = "correct it, or leave it out"
            raise ArgumentError(
                explain("genes", f"a table with row {at}", str(error), fix)
            ) from None
    return assembled(genes)


def read_bed(path: Path) -> Genes:
    """Return the genes of a BED file (chrom, start, end, name, score, strand), read by line.

    A first line with the names of columns, perhaps after ``#``, says where they are instead.

    Raises
    ------
    MissingFileError
        If there is no such file.
    DamagedFileError
        Naming the line that is no gene, or the file if it has none.
    """
    columns: dict[str, int] | None = None
    genes: list[tuple[str, int, int, int, str, str]] = []
    for number, line in read_lines(path):
        fields = line.split("\t")
        if columns is None:
            columns = header_of(fields)
            if columns is not None:
                continue
        if not line.strip() or line.startswith(NO_RECORDS):
            continue
        columns = columns or BED_COLUMNS
        if len(fields) <= max(columns.values()):
            rule = f"it needs {max(columns.values()) + 1} fields separated by tabs"
            damaged(path, number, line, f"{rule}, and here are {len(fields)}")
        if len(genes) == MOST_GENES:
            damaged(path, number, line, f"a genome has fewer than {MOST_GENES:,} genes")
        try:
            genes.append(checked({role: fields[at] for role, at in columns.items()}))
        except ValueError as error:
            damaged(path, number, line, str(error))
    if not genes:
        raise DamagedFileError(explain("genes", repr(str(path)), "it has no genes", "pass another"))
    return assembled(genes)


def header_of(fields: Sequence[str]) -> dict[str, int] | None:
    """Return where the columns are, if the fields are names of all that are needed."""
    columns = columns_of([fields[0].lstrip("#"), *fields[1:]])
    return columns if all(role in columns for role in NEEDED) else None


def checked(record: dict[str, str]) -> tuple[str, int, int, int, str, str]:
    """Return a gene's values; ValueError says what is wrong with them."""
    first, last, strand = record["start"], record["end"], record["strand"]
    if not (is_position(first) and is_position(last)) or int(first) >= int(last):
        got = f"and here are {first!r} and {last!r}"
        raise ValueError(f"start and end are whole numbers from 0, the start below the end, {got}")
    if strand not in ("+", "-"):
        raise ValueError(f"a gene's strand is + or -, and here is {strand!r}")
    name = record["name"]
    sign = 1 if strand == "+" else -1
    return record["chrom"], int(first), int(last), sign, name, record.get("gene_id", name)


def assembled(genes: list[tuple[str, int, int, int, str, str]]) -> Genes:
    """Return genes as arrays."""
    chrom, start, end, strand, name, ids = zip(*genes, strict=True) if genes else ((),) * 6
    body = Intervals(
        np.array(chrom, dtype=object),
        np.array(start, dtype=np.int64),
        np.array(end, dtype=np.int64),
    )
    signs = np.array(strand, dtype=np.int64)
    return genes_without_transcripts(
        body, signs, np.array(name, dtype=object), np.array(ids, dtype=object)
    )
