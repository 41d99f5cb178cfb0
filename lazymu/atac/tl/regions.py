"""Features with places on the genome, and the fragments file with the barcodes of a modality."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from lazymu import keys
from lazymu.containers import Modality, MuData
from lazymu.errors import ArgumentError, MissingResultError, explain
from lazymu.typing import Bools, Int64s

COLUMN_NAMES = {
    "Chromosome": ("chromosome", "chrom", "chr"),
    "Start": ("start",),
    "End": ("end",),
}
"""Columns of features, and what they may be called in whatever case, best first."""
STRAND = "strand"
INTERVAL_PATTERN = r"^(?P<Chromosome>.+):(?P<Start>\d+)-(?P<End>\d+)$"


class Regions(NamedTuple):
    """Features by chromosome, start and end (half open, from 0)."""

    names: list[str]
    """Of the chromosomes."""
    chrom: Int64s
    """Position in these names."""
    start: Int64s
    end: Int64s
    minus: Bools | None
    """Whether a feature is on the minus strand; None where the table does not say."""


def regions_of(features: pd.DataFrame) -> Regions:
    """Return the places of a table's features.

    Raises
    ------
    ArgumentError
        If it has no such columns, or a start or end that is not a place.
    """
    if not isinstance(features, pd.DataFrame):
        got, rule = f"a {type(features).__name__}", "it must be a table of features"
        fix = "pass a pandas.DataFrame with the columns Chromosome, Start and End"
        raise ArgumentError(explain("features", got, rule, fix))
    if not len(features):
        rule = "it has no rows"
        raise ArgumentError(explain("features", "an empty table", rule, "pass some features"))
    columns = {column: _column(features, column) for column in COLUMN_NAMES}
    chrom, names = pd.factorize(columns["Chromosome"].astype(str))
    start, end = (_positions(columns[column], column) for column in ("Start", "End"))
    wrong = np.flatnonzero(end < start)
    if len(wrong):
        at = wrong[0]
        got = f"{names[chrom[at]]}:{start[at]}-{end[at]} at {features.index[at]!r}"
        raise ArgumentError(explain("features", got, "it ends before it starts", "mend it"))
    strand = [column for column in features.columns if str(column).lower() == STRAND]
    minus = (features[strand[0]].astype(str) == "-").to_numpy() if strand else None
    return Regions([str(name) for name in names], chrom.astype(np.int64), start, end, minus)


def _column(features: pd.DataFrame, column: str) -> pd.Series[Any]:
    lowered = {str(name).lower(): name for name in reversed(features.columns)}
    for name in COLUMN_NAMES[column]:
        if name in lowered:
            return features[lowered[name]]
    got = f"a table of {', '.join(map(str, features.columns)) or 'no columns'}"
    rule = f"it has no column {' or '.join(COLUMN_NAMES[column])}, in whatever case"
    raise ArgumentError(explain("features", got, rule, f"rename one to {column}"))


def _positions(column: pd.Series[Any], name: str) -> Int64s:
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    wrong = np.flatnonzero(~((values >= 0) & (values == np.floor(values)) & (values < 2**31)))
    if len(wrong):
        got = f"{str(column.iloc[wrong[0]])!r} at {column.index[wrong[0]]!r}"
        rule = "positions are whole numbers from 0 on, below 2^31"
        raise ArgumentError(explain(f"features[{name!r}]", got, rule, "mend it, or leave it out"))
    return values.astype(np.int64)


def given_features(data: Modality | MuData, features: pd.DataFrame | None) -> pd.DataFrame:
    """Return the features, or where there are none the genes of the RNA modality that have places.

    Raises
    ------
    ArgumentError
        If there are neither.
    """
    if features is not None:
        return features
    if isinstance(data, MuData):
        for name in keys.RNA_ALIASES:
            if name in data.mod and keys.INTERVAL in data.mod[name].var:
                return _genes(data.mod[name].var)
    rule = f"there is no RNA modality with var[{keys.INTERVAL!r}] to take genes from"
    fix = "pass a table with Chromosome, Start and End"
    raise ArgumentError(explain("features", None, rule, fix))


def _genes(var: pd.DataFrame) -> pd.DataFrame:
    """Return a table of the genes whose interval reads ``chr1:100-200``."""
    places = var[keys.INTERVAL].astype(str).str.extract(INTERVAL_PATTERN)
    present = places.notna().all(axis=1).to_numpy()
    genes = places[present].astype({"Start": np.int64, "End": np.int64})
    if keys.GENE_IDS in var:
        genes["gene_id"] = var[keys.GENE_IDS].to_numpy()[present]
    genes["gene_name"] = var.index.to_numpy()[present]
    return genes


def fragments_path(modality: Modality) -> str:
    """Return the path of the fragments file that was located.

    Raises
    ------
    MissingResultError
        If none was.
    """
    files = modality.uns.get(keys.FILES, {})
    if keys.FRAGMENTS not in files:
        rule = f"there is no uns[{keys.FILES!r}][{keys.FRAGMENTS!r}]"
        fix = "run atac.tl.locate_fragments first"
        raise MissingResultError(explain("data", "without a fragments file", rule, fix))
    return str(files[keys.FRAGMENTS])


def barcodes_of(modality: Modality, column: str | None) -> list[str]:
    """Return the barcode of each cell: its name, or of a column of `obs` ("" where missing).

    Raises
    ------
    MissingResultError
        If there is no such column.
    """
    if column is None:
        return modality.obs_names.astype(str).tolist()
    if column not in modality.obs:
        known = ", ".join(map(str, modality.obs.columns)) or "none"
        rule = f"columns of obs are: {known}"
        raise MissingResultError(explain("barcodes", repr(column), rule, "name one of them"))
    values = modality.obs[column]
    names: list[str] = values.astype(object).where(values.notna(), "").astype(str).tolist()
    return names
