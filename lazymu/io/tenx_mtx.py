"""Cell Ranger's folders of text: `matrix.mtx`, `features.tsv` or `genes.tsv`, `barcodes.tsv`."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path

import pandas as pd

from lazymu.errors import DamagedFileError, explain
from lazymu.io.elements import StoreElements
from lazymu.io.mtx_source import MtxSource
from lazymu.io.tenx_features import split_by_feature_type
from lazymu.io.tenx_h5 import check_lengths
from lazymu.io.text_files import text_of
from lazymu.keys import FEATURE_TYPES, GENE_IDS, INTERVAL
from lazymu.store.refusal import refusing

FEATURES = ("features.tsv", "genes.tsv", "peaks.bed")
NEEDED = 3
"""Fields of a feature that none is without, of those that a file has; places are of some."""


def matrix_file(path: Path) -> Path | None:
    """Return the ``.mtx`` file of a folder, or the file itself; None where there is none."""
    if path.is_dir():
        return next(
            (path / name for name in ("matrix.mtx.gz", "matrix.mtx") if (path / name).is_file()),
            None,
        )
    return path if path.name.endswith(("matrix.mtx", "matrix.mtx.gz")) else None


def read_tenx_mtx(matrix: Path) -> StoreElements:
    """Return one modality for each feature type of a folder; the matrix is not parsed yet.

    Files may be compressed with gzip, and their names may begin alike (``sample1_matrix.mtx``).
    """
    prefix = matrix.name[: matrix.name.index("matrix.mtx")]
    barcodes = _read_table(_beside(matrix, [f"{prefix}barcodes.tsv"]))
    obs = pd.DataFrame(index=pd.Index(_column(barcodes, 0)))
    features = _beside(matrix, [prefix + name for name in FEATURES])
    of_peaks = "peaks.bed" in features.name
    table = _read_table(features, comments=of_peaks)
    var = _peaks(table) if of_peaks else _features(table)
    source = MtxSource(matrix)
    check_lengths(source, obs, var, matrix)
    return split_by_feature_type(source, obs, var)


def _beside(matrix: Path, names: list[str]) -> Path:
    """Return the first of some files that is beside the matrix, compressed or not."""
    for name in names:
        for path in (matrix.with_name(f"{name}.gz"), matrix.with_name(name)):
            if path.is_file():
                return path
    rule = f"{matrix.name} needs {' or '.join(names)} beside it"
    raise DamagedFileError(explain("path", repr(str(matrix.parent)), rule, "copy the folder again"))


def _read_table(path: Path, *, comments: bool = False) -> pd.DataFrame:
    """Return a table without header as text; a gene may be called NA, and a barcode hold a #."""
    rule = "it is no table"
    with refusing("path", repr(str(path)), rule):
        n_comments = _n_comments(path) if comments else 0
        with text_of(path, held=True) as text:
            try:
                table = pd.read_csv(
                    text,
                    sep="\t",
                    header=None,
                    dtype=str,
                    keep_default_na=False,
                    quoting=3,
                    skiprows=n_comments,
                )
            except pd.errors.EmptyDataError:
                return pd.DataFrame()
        if table.iloc[:, :NEEDED].isna().any(axis=None):
            raise ValueError("a line has fewer fields than the first")
        return table.fillna("")


def _n_comments(path: Path) -> int:
    """Return how many lines of comments a file begins with."""
    with text_of(path, held=True) as text:
        return sum(1 for _ in takewhile(lambda line: line.startswith("#"), text))


def _column(table: pd.DataFrame, n: int) -> list[str]:
    return table[n].tolist() if n in table else []


def _features(table: pd.DataFrame) -> pd.DataFrame:
    """Return features: id, name, type; ARC adds chromosome, start and end."""
    ids = _column(table, 0)
    names = _column(table, 1) if 1 in table else ids
    var = pd.DataFrame({GENE_IDS: ids}, index=pd.Index(names))
    if 2 in table:
        var[FEATURE_TYPES] = _column(table, 2)
    if 5 in table:
        var[INTERVAL] = _intervals(table[[3, 4, 5]])
    return var


def _peaks(table: pd.DataFrame) -> pd.DataFrame:
    """Return the peaks of Cell Ranger ATAC, named by their intervals."""
    names = _intervals(table[[0, 1, 2]]) if len(table) else []
    return pd.DataFrame({GENE_IDS: names, FEATURE_TYPES: "Peaks"}, index=pd.Index(names))


def _intervals(places: pd.DataFrame) -> list[str]:
    """Return ``chromosome:start-end``, empty where a feature has no place."""
    rows = places.itertuples(index=False, name=None)
    return [f"{chrom}:{start}-{end}" if chrom else "" for chrom, start, end in rows]
