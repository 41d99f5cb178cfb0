"""Lines of a text file, perhaps compressed, one at a time."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NoReturn, cast

from lazymu.errors import DamagedFileError, MissingFileError, explain
from lazymu.genomics.intervals import LONGEST_DIGITS

LONGEST_LINE = 1 << 20
"""Bytes of a line: beyond it the file is no table of lines."""
GZIP = b"\x1f\x8b"
SHOWN = 80


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the number, from 1, and the text of each line; gzip and bgzip are told by content.

    Raises
    ------
    MissingFileError
        If there is no such file.
    DamagedFileError
        If a line is longer than `LONGEST_LINE` or is no text, or the compression is cut short.
    """
    number = 0
    try:
        with _opened(path) as file:
            while line := file.readline(LONGEST_LINE):
                number += 1
                if len(line) == LONGEST_LINE:
                    damaged(path, number, line[:SHOWN], "a line has fewer than 1,048,576 bytes")
                yield number, line.rstrip(b"\r\n").decode()
    except UnicodeDecodeError:
        damaged(path, number, "", "a line of text was expected")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        damaged(path, number + 1, "", f"its compression is cut short or broken ({error})")


def _opened(path: Path) -> BinaryIO:
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            rule = "it is no regular file"
            raise DamagedFileError(explain("path", repr(str(path)), rule, "name a file"))
        with open(path, "rb") as file:
            compressed = file.read(len(GZIP)) == GZIP
        return cast(BinaryIO, gzip.open(path, "rb")) if compressed else open(path, "rb")
    except FileNotFoundError as error:
        rule, fix = "there is no such file", "check the path"
        raise MissingFileError(explain("path", repr(str(path)), rule, fix)) from error
    except IsADirectoryError as error:
        rule, fix = "it is a folder", "name a file in it"
        raise MissingFileError(explain("path", repr(str(path)), rule, fix)) from error


def is_position(text: str) -> bool:
    """Return whether a text is a whole number that a chromosome may have as a position."""
    return text.isdecimal() and len(text) <= LONGEST_DIGITS


def damaged(path: Path, number: int, line: object, rule: str) -> NoReturn:
    """Raise, naming the file and the line."""
    text = str(line)
    shown = f" ({text[:SHOWN]!r}{'...' if len(text) > SHOWN else ''})" if text else ""
    got = f"{str(path)!r} with line {number}{shown}"
    raise DamagedFileError(explain("genes", got, rule, "correct the line, or fetch the file again"))
