"""Fragments files, read once from front to end: ``chromosome start end barcode count`` lines.

They may be compressed with bgzip or gzip, or not at all; no index is needed. Text comes in blocks
of bounded size, the next one unpacked by a thread while a compiled kernel parses the last.
"""

from __future__ import annotations

import gzip
import uuid
import zlib
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeAlias, cast

import numpy as np

from lazymu.errors import (
    ArgumentError,
    DamagedFileError,
    DuplicateNamesError,
    MemoryLimitError,
    MissingFileError,
    explain,
)
from lazymu.settings import settings
from lazymu.stream.plan import RUNTIME_BYTES, working_bytes
from lazymu.stream.progress import advance, reporting
from lazymu.typing import Array

if TYPE_CHECKING:
    from lazymu.kernels.fragments import NameTable

BLOCK_BYTES = 16 << 20
"""Text that is read at once."""
FIRST_BYTES = 1 << 16
"""Text whose lines are checked when a file is named."""
LONGEST_LINE = 1 << 20
BYTES_PER_TEXT = 8
"""Peak bytes for each byte of a block: as read, with the rest before it, the next one, parsed."""
BYTES_PER_NAME = 128
"""Peak bytes for each barcode or chromosome that is looked up."""

GZIP_MAGIC = b"\x1f\x8b"
BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
"""The empty member that ends a file of bgzip."""
Piece: TypeAlias = "tuple[bytes | Exception, int]"
COLUMNS = "'chromosome start end barcode count' between tabs"


@dataclass(frozen=True)
class FragmentBlock:
    """Fragments of some lines, one after the other in the file.

    ``values`` is int32, (5, n): chromosome, start, end, cell, count. Chromosome and cell are
    positions in the names that were asked for, -1 where a line has another.
    """

    values: Array

    @property
    def start(self) -> Array:
        return self._row(1)

    @property
    def end(self) -> Array:
        return self._row(2)

    @property
    def cell(self) -> Array:
        return self._row(3)

    @property
    def count(self) -> Array:
        return self._row(4)

    def _row(self, i: int) -> Array:
        row: Array = self.values[i]
        return row


class FragmentFile:
    """A fragments file and the names that are looked for in it.

    Parameters
    ----------
    path
        The file: bgzip, gzip or text.
    barcodes
        The barcode of each cell, empty where a cell has none; all others are unknown.
    chromosomes
        Names of chromosomes, None where they do not matter.

    Raises
    ------
    MissingFileError
        If there is no such file.
    DamagedFileError
        If it was written by bgzip and its end is missing.
    DuplicateNamesError
        If two cells have the same barcode.
    MemoryLimitError
        If blocks and names do not fit the memory limit.
    """

    def __init__(
        self, path: str | Path, barcodes: Sequence[str], chromosomes: Sequence[str] | None = None
    ) -> None:
        from lazymu.kernels.fragments import name_table

        self.path = checked_path(path)
        self._with_chromosomes = chromosomes is not None
        require_memory(BYTES_PER_NAME * (len(barcodes) + len(chromosomes or ())))
        self._cells, repeated = name_table(barcodes)
        if repeated >= 0:
            got, rule = f"{barcodes[repeated]!r} twice", "a fragment must belong to one cell"
            fix = "name a column of obs with one barcode for each cell, or select cells"
            raise DuplicateNamesError(explain("barcodes", got, rule, fix))
        self._chromosomes, _ = name_table(chromosomes or ())

    def blocks(self, n: int | None = None, *, label: str) -> Iterator[FragmentBlock]:
        """Yield all fragments, or the first ``n``, in the order of the file.

        Progress is told under ``label``, by the bytes of the file that were read.

        Raises
        ------
        DamagedFileError
            If a line is not a fragment, or the compressed data are damaged or cut short.
        ArgumentError
            If no line has a known barcode, or none has a known chromosome.
        """
        n_lines = n_fragments = 0
        cell_found = chromosome_found = False
        for text in _watched(self.path, label):
            if isinstance(text, Exception):
                _raise_unreadable(self.path, n_lines, text)
            values, n_new = _parsed(self.path, text, n_lines, self._chromosomes, self._cells)
            values = values[:, : None if n is None else n - n_fragments]
            n_lines, n_fragments = n_lines + n_new, n_fragments + values.shape[1]
            cell_found = cell_found or bool(np.any(values[3] >= 0))
            chromosome_found = chromosome_found or bool(np.any(values[0] >= 0))
            yield FragmentBlock(values)
            if n_fragments == n:
                break
        if n_fragments and not cell_found:
            fix = "name a column of obs that holds its barcodes"
            self._raise_unmatched("barcodes", 3, self._cells, n_fragments, fix)
        if n_fragments and self._with_chromosomes and not chromosome_found:
            fix = "name chromosomes as it does"
            self._raise_unmatched("features", 0, self._chromosomes, n_fragments, fix)

    def _raise_unmatched(
        self, what: str, field: int, table: NameTable, n_fragments: int, fix: str
    ) -> NoReturn:
        theirs = _first_fields(self.path)[field]
        first = table.text[: table.offsets[1]] if len(table.offsets) > 1 else table.text[:0]
        got = f"of {first.tobytes().decode()!r}"
        where = f"in the first {n_fragments:,} fragments of {str(self.path)!r}"
        rule = f"none of its names is {where}, which begins with {theirs!r}"
        raise ArgumentError(explain(what, got, rule, fix))


def check_fragments(path: str | Path) -> None:
    """Raise where a file is absent, cut short, or its first lines are not fragments."""
    from lazymu.kernels.fragments import name_table

    path, none = checked_path(path), name_table(())[0]
    n_lines = 0
    with closing(_text_blocks(path, FIRST_BYTES)) as blocks:
        for text, _ in blocks:
            if isinstance(text, Exception):
                _raise_unreadable(path, n_lines, text)
            values, n_new = _parsed(path, text, n_lines, none, none)
            n_lines += n_new
            if values.shape[1]:
                return
    rule = "it holds no fragments"
    raise DamagedFileError(explain("fragments", repr(str(path)), rule, "copy the file again"))


def checked_path(path: str | Path) -> Path:
    """Return the path of a file that is there, and has its end if bgzip wrote it."""
    path = Path(path)
    if not path.is_file():
        rule = "there is no such file"
        fix = "give its path to atac.tl.locate_fragments"
        raise MissingFileError(explain("fragments", repr(str(path)), rule, fix))
    with open(path, "rb") as file:
        head = file.read(len(BGZF_END))
        if head[:4] == BGZF_END[:4] and head[12:14] == b"BC":
            file.seek(-min(len(BGZF_END), path.stat().st_size), 2)
            if file.read() != BGZF_END:
                rule = "bgzip ends a file with an empty block, which is missing: it is cut short"
                fix = "copy the file again"
                raise DamagedFileError(explain("fragments", repr(str(path)), rule, fix))
    return path


def require_memory(n_bytes: int) -> None:
    """Raise where blocks of text and ``n_bytes`` beside them do not fit the memory limit."""
    needed = BYTES_PER_TEXT * BLOCK_BYTES + n_bytes
    if needed > working_bytes(settings.memory_limit):
        got = f"{settings.memory_limit:,} bytes"
        rule = f"reading fragments for these cells and features takes {needed:,}"
        fix = f"set lazymu.settings.memory_limit to at least {needed + RUNTIME_BYTES:,}"
        raise MemoryLimitError(explain("memory_limit", got, rule, fix))


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BufferedReader, BufferedReader]]:
    """Yield a file's text, and the file itself, whose place says how much of it was read."""
    with open(path, "rb") as file:
        compressed = file.read(2) == GZIP_MAGIC
        file.seek(0)
        yield cast("BufferedReader", gzip.GzipFile(fileobj=file)) if compressed else file, file


def _watched(path: Path, label: str) -> Iterator[bytes | Exception]:
    """Yield whole lines, and last what made the file unreadable; tell of the bytes read."""
    token, n_told, n_bytes = uuid.uuid4().hex, 0, path.stat().st_size
    with reporting(token, label, None, n_bytes):
        for text, n_read in _one_ahead(_text_blocks(path, BLOCK_BYTES)):
            yield text
            advance(token, n_read - n_told)
            n_told = n_read
        if n_told < n_bytes:
            advance(token, n_bytes - n_told)


def _text_blocks(path: Path, n_bytes: int) -> Generator[Piece, None, None]:
    """Yield whole lines, about ``n_bytes`` at once; last, what made the file unreadable.

    Beside them is how much of the file was read, packed as it is.
    """
    rest, error, at_end = b"", None, False
    with _opened(path) as (unpacked, file):
        while error is None and not at_end:
            piece, error = _read(unpacked, n_bytes)
            at_end = error is None and len(piece) < n_bytes
            text = rest + piece
            if at_end and text and not text.endswith(b"\n"):
                text += b"\n"
            end = text.rfind(b"\n") + 1
            if end:
                yield text[:end], file.tell()
            rest = text[end:]
            if len(rest) > LONGEST_LINE:
                error = OSError("a line is longer than any fragment's")
        if error is not None:
            yield error, file.tell()


def _read(file: BufferedReader, n_bytes: int) -> tuple[bytes, Exception | None]:
    """Return the next bytes of a file up to a fault in it, and the fault."""
    parts, size = [], 0
    try:
        while size < n_bytes and (part := file.read1(n_bytes - size)):
            parts.append(part)
            size += len(part)
    except (OSError, EOFError, zlib.error) as error:
        return b"".join(parts), error
    return b"".join(parts), None


def _one_ahead(items: Generator[Piece, None, None]) -> Iterator[Piece]:
    """Yield items, of which a thread makes the next one meanwhile."""
    with closing(items), ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item


def _parsed(
    path: Path, text: bytes, n_before: int, chromosomes: NameTable, cells: NameTable
) -> tuple[Array, int]:
    """Return the fragments (5, n) of some text and its number of lines; raise at a bad line."""
    from lazymu.kernels.fragments import FINE, parse_lines

    out = np.empty((5, text.count(b"\n")), np.int32)
    line = np.frombuffer(text, np.uint8)
    n, n_lines, wrong, at = parse_lines(line, *chromosomes, *cells, out)
    if wrong != FINE:
        _raise_bad_line(path, n_before + n_lines + 1, wrong, text[at : text.index(b"\n", at)])
    return out[:, :n], n_lines


def _raise_bad_line(path: Path, number: int, wrong: int, line: bytes) -> NoReturn:
    from lazymu.kernels.fragments import FIELDS, NEGATIVE, NUMBER, ORDER

    n_fields = len(line.split(b"\t"))
    found = f"it has {n_fields} fields" if n_fields != 5 else "one of its fields is empty"
    rules = {
        FIELDS: f"a line is {COLUMNS}; {found}",
        NUMBER: "start, end and count must be whole numbers below 2^31",
        NEGATIVE: "positions count from 0, and one is negative",
        ORDER: "its end lies before its start",
    }
    shown = line[:80].decode(errors="backslashreplace")
    got = f"{str(path)!r}, line {number}: {shown!r}"
    rule = rules[FIELDS if n_fields != 5 else wrong]
    raise DamagedFileError(explain("fragments", got, rule, "mend that line, or write it again"))


def _raise_unreadable(path: Path, n_lines: int, error: Exception) -> NoReturn:
    rule = f"it cannot be read after line {n_lines} ({error})"
    raise DamagedFileError(
        explain("fragments", repr(str(path)), rule, "copy the file again")
    ) from error


def _first_fields(path: Path) -> list[str]:
    """Return the fields of the first fragment of a file that has one."""
    with _opened(path) as (unpacked, _):
        line = next(line for line in unpacked if not line.startswith(b"#"))
    return line.decode(errors="backslashreplace").rstrip("\r\n").split("\t")
