"""Cell Ranger's tables of peaks and genes, brought into one form."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import NoReturn

import numpy as np
import pandas as pd

from lazymu.errors import ArgumentError, DamagedFileError, MissingFileError, explain
from lazymu.genomics.intervals import NAME
from lazymu.typing import Array

LISTS = ("gene", "distance", "peak_type")
PLACE = ("chrom", "start", "end")


def read_table(path: Path, sep: str) -> pd.DataFrame:
    """Return a table of text, '' where nothing stands.

    Raises
    ------
    MissingFileError
        If there is no such file.
    DamagedFileError
        If it is no table.
    """
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise OSError("it is no regular file")
        return pd.read_csv(path, sep=sep, dtype=str, keep_default_na=False)
    except (FileNotFoundError, IsADirectoryError) as error:
        rule, fix = "there is no such file", "check the path"
        raise MissingFileError(explain("annotation", repr(str(path)), rule, fix)) from error
    except (ValueError, EOFError, OSError, zlib.error) as error:
        rule = f"it is no table ({str(error).strip()})"
        fix = "fetch the file again, or pass its sep"
        raise DamagedFileError(explain("annotation", repr(str(path)), rule, fix)) from error


def long_table(table: pd.DataFrame, source: str) -> pd.DataFrame:
    """Return columns peak, distance and peak_type, indexed by gene: a row for a peak and a gene.

    Known are peak, gene, distance and peak_type with lists separated by ``;`` (Cell Ranger ATAC 1,
    ARC 1) and chrom, start, end instead of peak, with a row for each gene (ATAC 2, ARC 2). Peaks
    become ``chr1:100-200``; genes that are missing become ''. Distances are int64, or pandas'
    Int64 where some are missing.

    Raises
    ------
    ArgumentError
        If columns are missing.
    DamagedFileError
        Naming the row of ``source`` whose lists differ in length or whose distance is no number.
    """
    require_columns(table, source)
    text = table.astype(object).where(table.notna(), "").astype(str)
    lists = {column: text[column].str.split(";") for column in LISTS}
    lengths = {column: values.map(len).to_numpy(dtype=np.int64) for column, values in lists.items()}
    uneven = lengths["gene"] != lengths["distance"]
    uneven |= lengths["gene"] != lengths["peak_type"]
    if np.any(uneven):
        row = int(np.argmax(uneven))
        damaged(source, row, "gene, distance and peak_type have as many entries", text.iloc[row])
    rows = np.repeat(np.arange(len(text)), lengths["gene"])
    parts = {c: np.array([x for entry in lists[c] for x in entry], dtype=object) for c in LISTS}
    distance = pd.to_numeric(pd.Series(parts["distance"], dtype=object), errors="coerce")
    values = distance.to_numpy(dtype=np.float64)
    missing = parts["distance"] == ""
    wrong = ~missing & ~(np.isfinite(values) & (values == np.trunc(values)))
    if np.any(wrong):
        row = int(rows[np.argmax(wrong)])
        damaged(source, row, "a distance is a whole number", text.iloc[row])
    return frame_of(peak_names(text)[rows], parts["gene"], values, parts["peak_type"])


def frame_of(peak: Array, gene: Array, distance: Array, peak_type: Array) -> pd.DataFrame:
    """Return the table in muon's form; distances that are not finite are missing."""
    missing = ~np.isfinite(distance)
    whole = np.where(missing, 0, distance).astype(np.int64)
    distances: object = whole
    if np.any(missing):
        distances = pd.arrays.IntegerArray(whole, missing)
    columns = {"peak": peak, "distance": distances, "peak_type": peak_type}
    index = pd.Index(gene, name="gene", dtype=object)
    table = pd.DataFrame(columns, index=index)
    return table.astype({"peak": object, "peak_type": object})


def require_columns(table: pd.DataFrame, source: str) -> None:
    """Raise where columns are missing."""
    needed = [*LISTS, *(() if "peak" in table else PLACE)]
    missing = [column for column in needed if column not in table]
    if missing:
        got = f"{source} with columns {', '.join(map(str, table.columns))}"
        rule = f"it has no column {missing[0]!r}"
        fix = "it needs peak (or chrom, start and end), gene, distance and peak_type; check sep"
        raise ArgumentError(explain("annotation", got, rule, fix))


def peak_names(text: pd.DataFrame) -> Array:
    """Return names as in ``chr1:100-200``; those that are no intervals stay as they are."""
    if "peak" not in text:
        named = text["chrom"] + ":" + text["start"] + "-" + text["end"]
        return named.to_numpy(dtype=object)
    return text["peak"].str.replace(NAME, r"\1:\2-\3", regex=True).to_numpy(dtype=object)


def damaged(source: str, row: int, rule: str, values: pd.Series[str]) -> NoReturn:
    """Raise, naming the row: the first after the header is line 2 of a file."""
    got = f"{source} with line {row + 2} ({' '.join(values)[:80]!r})"
    raise DamagedFileError(explain("annotation", got, rule, "correct it, or fetch the file again"))
