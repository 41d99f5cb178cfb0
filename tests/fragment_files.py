"""Fragments files for tests, plain loops over them, and the part of pysam that muon calls."""

from __future__ import annotations

import gzip
import struct
import types
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from lazymu.io.fragments import BGZF_END


class Fragment(NamedTuple):
    chrom: str
    start: int
    end: int
    barcode: str
    count: int


def text_of(fragments: list[Fragment]) -> bytes:
    return "".join("\t".join(map(str, fragment)) + "\n" for fragment in fragments).encode()


def bgzf(text: bytes, block: int = 1000) -> bytes:
    """Return text as bgzip writes it, in small blocks."""
    members = []
    for at in range(0, len(text), block):
        piece = text[at : at + block]
        deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
        data = deflate.compress(piece) + deflate.flush()
        head = BGZF_END[:16] + struct.pack("<H", len(data) + 25)
        members.append(head + data + struct.pack("<II", zlib.crc32(piece), len(piece)))
    return b"".join(members) + BGZF_END


def written(path: Path, text: bytes, kind: str = "bgzf") -> Path:
    pack = {"bgzf": bgzf, "gzip": gzip.compress, "text": bytes}[kind]
    path.write_bytes(pack(text))
    return path


def random_fragments(
    rng: np.random.Generator, n: int = 400, *, length: int = 30_000, n_barcodes: int = 8
) -> list[Fragment]:
    """Return fragments by position, of chromosomes in an order that is not that of their names."""
    found = []
    for chrom in ("chr2", "chr10", "chr1"):
        starts = np.sort(rng.integers(0, length, n))
        for start in starts.tolist():
            barcode, size = f"bc{rng.integers(n_barcodes)}", int(rng.integers(1, 500))
            found.append(Fragment(chrom, start, start + size, barcode, int(rng.integers(1, 4))))
    return found


# --- plain loops ----------------------------------------------------------------------------------


def loop_counts(
    fragments: list[Fragment], cells: list[str], windows: list[tuple[str, int, int]], reads: bool
) -> np.ndarray:
    counts = np.zeros((len(cells), len(windows)), np.int64)
    for f in fragments:
        if f.barcode in cells:
            for j, (chrom, start, end) in enumerate(windows):
                if f.chrom == chrom and f.start < end and f.end > start:
                    counts[cells.index(f.barcode), j] += f.count if reads else 1
    return counts


def loop_pileup(
    fragments: list[Fragment], cells: list[str], tss: list[tuple[str, int, str]], up: int, down: int
) -> np.ndarray:
    """Return the coverage of each position of the windows, (cells, up + 1 + down)."""
    piled = np.zeros((len(cells), up + down + 1), np.int64)
    for f in fragments:
        if f.barcode in cells:
            for chrom, position, strand in tss:
                if chrom == f.chrom:
                    row = piled[cells.index(f.barcode)]
                    for base in range(f.start, f.end):
                        at = position - base if strand == "-" else base - position
                        if -up <= at <= down:
                            row[at + up] += f.count
    return piled


def scores_of(piled: np.ndarray) -> np.ndarray:
    flank = np.hstack([piled[:, :100], piled[:, -100:]]).mean(axis=1)
    flank = np.where(flank == 0, flank.mean(), flank)
    margin = (piled.shape[1] - 1001) // 2
    return piled[:, margin : piled.shape[1] - margin].mean(axis=1) / flank


# --- pysam ----------------------------------------------------------------------------------------


class TabixFile:
    """The part of pysam's class that muon calls, by a plain reading of the whole file."""

    def __init__(self, path: str, parser: Any) -> None:
        self._rows = pd.read_csv(
            path, sep="\t", header=None, names=["contig", "start", "end", "name", "score"]
        )
        self.contigs = list(dict.fromkeys(self._rows.contig))

    def fetch(
        self, chrom: str | None = None, start: int = 0, end: int = 2**31
    ) -> Iterator[types.SimpleNamespace]:
        if start < 0:
            raise ValueError("start out of range")
        for row in self._rows.itertuples(index=False):
            if chrom is None or (row.contig == chrom and row.start < end and row.end > start):
                yield types.SimpleNamespace(**row._asdict())

    def close(self) -> None:
        pass


def stand_in_for_pysam() -> types.ModuleType:
    """Return a module that muon takes for pysam, which some machines lack."""
    module = types.ModuleType("pysam")
    module.__dict__.update(TabixFile=TabixFile, asBed=lambda: None)
    return module
