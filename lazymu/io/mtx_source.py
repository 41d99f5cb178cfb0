"""A matrix in Matrix Market text, features by barcodes: parsed out of core at first use."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp

from lazymu.errors import DamagedFileError, UnknownFormatError, explain
from lazymu.io.text_files import text_of
from lazymu.settings import settings
from lazymu.store.arrays import Appender, Layout
from lazymu.store.converted import ConvertedSource
from lazymu.store.refusal import refusing
from lazymu.store.roots import StoredArray, ZarrRoot
from lazymu.store.sources import CSRSource, MatrixSource, Origin
from lazymu.store.transpose import runs
from lazymu.typing import CSR, Array, Int64s

PIECE_LINES = 1 << 20
LEAST_BYTES = 4
"""Of a line with an entry: ``1 1``."""
MOST_PACKED = 1032
"""Bytes that gzip packs into one at most."""
SIZE = re.compile(r"[0-9]{1,18}")
DTYPES = {"integer": np.int32, "pattern": np.int32, "real": np.float32}
"""Types of values by the file's word for them; scanpy's reader gives float32."""


class Header(NamedTuple):
    """What the first lines of a Matrix Market file say."""

    n_lines: int
    kind: str
    n_features: int
    n_barcodes: int
    n_values: int


def read_header(path: Path) -> Header:
    """Return the header of a Matrix Market file."""
    with refusing("path", repr(str(path))), text_of(path, held=False) as file:
        banner = file.readline().lower().split()
        if banner[:3] != ["%%matrixmarket", "matrix", "coordinate"] or banner[4:] != ["general"]:
            rule = "it does not begin with '%%MatrixMarket matrix coordinate ... general'"
            raise UnknownFormatError(explain("path", repr(str(path)), rule, "write it as that"))
        if banner[3] not in DTYPES:
            rule = f"its values are {banner[3]}; known are {', '.join(DTYPES)}"
            raise UnknownFormatError(explain("path", repr(str(path)), rule, "write it as one"))
        n_lines, line = 2, file.readline()
        while line.startswith("%"):
            n_lines, line = n_lines + 1, file.readline()
        sizes = line.split()
    if len(sizes) != 3 or not all(SIZE.fullmatch(size) for size in sizes):
        rule = "its line of sizes holds three whole numbers"
        raise DamagedFileError(explain("path", repr(str(path)), rule, "copy the file again"))
    header = Header(n_lines, banner[3], *(int(size) for size in sizes))
    most = MOST_PACKED * path.stat().st_size
    if header.n_values * LEAST_BYTES > most:
        got, rule = f"{header.n_values:,} in {path}", "the file is too short for so many"
        raise DamagedFileError(explain("entries", got, rule, "copy the file again"))
    return header


class MtxSource(ConvertedSource):
    """The barcodes of a Matrix Market file as rows.

    Parameters
    ----------
    path
        The file, perhaps compressed with gzip.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.header = path, read_header(path)
        dtype = np.dtype(DTYPES[self.header.kind])
        shape = (self.header.n_barcodes, self.header.n_features)
        super().__init__(shape, dtype, Origin(str(dtype), "csr_matrix"))

    def convert(self, folder: str) -> MatrixSource:
        """Parse the text; entries by barcode, as Cell Ranger writes them, are CSR already."""
        import zarr

        location = f"{folder}/entries.zarr"
        group = zarr.open_group(location, mode="w", zarr_format=3)
        n_values = self.header.n_values
        data = Appender(group, "data", None, self.dtype, Layout(), n_values)
        features = Appender(group, "indices", None, np.int64, Layout(), n_values)
        cells = Appender(group, "cells", None, np.int64, Layout(), n_values)
        counts, last, ascending = np.zeros(self.shape[0], dtype=np.int64), 0, True
        for cell, feature, value in self._pieces():
            ascending &= bool(cell[0] >= last and np.all(np.diff(cell) >= 0))
            last = int(cell[-1])
            counts += np.bincount(cell, minlength=len(counts))
            for array, values in ((data, value), (features, feature), (cells, cell)):
                array.append(values)
        for array in (data, features, cells):
            array.close()
        indptr = np.concatenate([[0], np.cumsum(counts)])
        root = ZarrRoot(location)
        entries = [StoredArray(root, name) for name in ("data", "indices", "cells")]
        if ascending:
            return CSRSource(entries[0], entries[1], indptr, self.shape)
        return self.written(folder, _sorted_rows(entries, indptr, self.shape), n_values)

    def _pieces(self) -> Iterator[tuple[Int64s, Int64s, Array]]:
        """Yield barcodes, features and values of some lines, counted from 0."""
        n_seen = 0
        for piece in self._lines():
            feature, cell = piece[0].to_numpy() - 1, piece[1].to_numpy() - 1
            for name, index, size in (
                ("features", feature, self.shape[1]),
                ("barcodes", cell, self.shape[0]),
            ):
                if index.min() < 0 or index.max() >= size:
                    got = f"{index.min() + 1} to {index.max() + 1} in {self.path}"
                    rule = f"its header says 1 to {size}"
                    raise DamagedFileError(explain(name, got, rule, "copy the file again"))
            value = piece[2].to_numpy() if 2 in piece else np.ones(len(piece))
            n_seen += len(piece)
            yield cell, feature, value.astype(self.dtype)
        if n_seen != self.header.n_values:
            got = f"{n_seen} in {self.path}"
            rule = f"its header says {self.header.n_values}"
            raise DamagedFileError(explain("entries", got, rule, "copy the file again"))

    def _lines(self) -> Iterator[pd.DataFrame]:
        dtypes: dict[int, Any] = {0: np.int64, 1: np.int64}
        if self.header.kind != "pattern":
            dtypes[2] = self.dtype
        rule = "a line of it is not two positions and a value"
        with (
            refusing("path", repr(str(self.path)), rule),
            text_of(self.path, held=False) as text,
            suppress(pd.errors.EmptyDataError),
            pd.read_csv(
                text,
                sep=r"\s+",
                header=None,
                names=list(dtypes),
                dtype=dtypes,
                skiprows=self.header.n_lines,
                chunksize=PIECE_LINES,
            ) as pieces,
        ):
            for piece in pieces:
                # Longer lines would make pandas take their first fields for an index.
                if not isinstance(piece.index, pd.RangeIndex) or piece.isna().any(axis=None):
                    raise ValueError("it has more fields, or fewer")
                if len(piece):
                    yield piece


def _sorted_rows(
    entries: list[StoredArray], indptr: Int64s, shape: tuple[int, int]
) -> Iterator[CSR]:
    """Yield rows of entries in any order: one reading for each run that fits the memory limit."""
    data, features, cells = entries
    for start, stop in runs(indptr, settings.memory_limit // 100):
        pieces = []
        for at in range(0, int(indptr[-1]), PIECE_LINES):
            piece = slice(at, at + PIECE_LINES)
            cell = cells[piece]
            own = (cell >= start) & (cell < stop)
            pieces.append((data[piece][own], features[piece][own], cell[own] - start))
        values, cols, rows = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
        X = sp.coo_matrix((values, (rows, cols)), shape=(stop - start, shape[1])).tocsr()
        X.sum_duplicates()
        X.eliminate_zeros()
        yield X
