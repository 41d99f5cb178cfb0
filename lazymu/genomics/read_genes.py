"""Genes from whatever holds them: a GTF, a table in a file, a data frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from lazymu.errors import ArgumentError, UnknownFormatError, explain
from lazymu.genomics.genes import Genes
from lazymu.genomics.gtf import read_gtf
from lazymu.genomics.tables import genes_of_frame, read_bed

COMPRESSED = (".gz", ".bgz", ".bgzf")
TABLES = (".bed", ".tsv", ".txt", ".tab")


def as_genes(genes: Any, *, exons: bool = False) -> Genes:
    """Return the genes of a GTF (``.gtf``), a table (``.bed``, ``.tsv``) or a data frame.

    Raises
    ------
    ArgumentError
        If ``genes`` is something else, or a data frame that holds no genes.
    UnknownFormatError
        If the suffix of a file is not known.
    MissingFileError
        If there is no such file.
    DamagedFileError
        Naming the line of a file that cannot be read.
    """
    if isinstance(genes, Genes):
        return genes
    if isinstance(genes, pd.DataFrame):
        return genes_of_frame(genes)
    if not isinstance(genes, str | Path):
        rule = "it must be a path or a data frame"
        got = f"a {type(genes).__name__}"
        raise ArgumentError(explain("genes", got, rule, "pass the path of a GTF or BED file"))
    path = Path(genes).expanduser()
    bare = path.with_suffix("") if path.suffix.lower() in COMPRESSED else path
    suffix = bare.suffix.lower()
    if suffix == ".gtf":
        return read_gtf(path, exons=exons)
    if suffix in TABLES:
        return read_bed(path)
    rule = f"known are .gtf, {', '.join(TABLES)}, also with {' or '.join(COMPRESSED)}"
    raise UnknownFormatError(explain("genes", repr(str(path)), rule, "convert it to one of them"))
