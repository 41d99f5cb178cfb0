"""Text files of tables, perhaps compressed: bytes that are read on, up to bounds."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import IO, Any, cast

from lazymu.errors import DamagedFileError, MemoryLimitError, explain
from lazymu.settings import settings

GZIP = b"\x1f\x8b"
LONGEST_LINE = 1 << 20
PIECE = 1 << 16
HELD_SHARE = 8
"""What a table of text takes in memory for each of its bytes."""


class BoundedText(io.RawIOBase):
    """The bytes of a file, unpacked, in lines of bounded length.

    Parameters
    ----------
    path
        The file; gzip is told by its content.
    most
        Bytes at most; None for a file that is not held in memory.
    """

    def __init__(self, path: Path, most: int | None = None) -> None:
        self._path, self._most = path, most
        self._file: IO[bytes] = open(path, "rb")  # noqa: SIM115 - `close` closes it
        packed = self._file.read(len(GZIP)) == GZIP
        self._file.seek(0)
        self._text = gzip.GzipFile(fileobj=self._file) if packed else self._file
        self._n_bytes = self._n_line = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        found = cast("Any", self._text).read1(min(len(buffer), PIECE))
        self._check(found)
        buffer[: len(found)] = found
        return len(found)

    def _check(self, found: bytes) -> None:
        self._n_bytes += len(found)
        end = found.rfind(b"\n")
        self._n_line = self._n_line + len(found) if end < 0 else len(found) - end - 1
        if self._n_line > LONGEST_LINE:
            rule = f"a line of it is longer than {LONGEST_LINE:,} bytes"
            raise DamagedFileError(
                explain("path", repr(str(self._path)), rule, "copy the file again")
            )
        if self._most is not None and self._n_bytes > self._most:
            rule = f"its text is longer than {self._most:,} bytes"
            fix = "check the file, or set a larger lazymu.settings.memory_limit"
            raise MemoryLimitError(explain("path", repr(str(self._path)), rule, fix))

    def close(self) -> None:
        self._text.close()
        self._file.close()
        super().close()


def text_of(path: Path, *, held: bool) -> io.TextIOWrapper:
    """Return a file's text; ``held`` bounds its length by a fraction of the memory limit."""
    most = settings.memory_limit // HELD_SHARE if held else None
    return io.TextIOWrapper(io.BufferedReader(BoundedText(path, most), PIECE), encoding="utf-8")
