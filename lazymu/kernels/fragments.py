"""Lines of a fragments file as numbers, and names looked up by their bytes.

A line is ``chromosome start end barcode count`` between tabs. Names (barcodes, chromosomes) are
found in a hash table of their bytes, so that no string is made of any line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from lazymu.kernels.jit import kernel
from lazymu.typing import Int64s, Ints

Bytes: TypeAlias = npt.NDArray[np.uint8]
UInt64s: TypeAlias = npt.NDArray[np.uint64]

FINE, FIELDS, NUMBER, NEGATIVE, ORDER = 0, 1, 2, 3, 4
"""What may be wrong with a line: nothing, its fields, a number, a position, start after end."""

TAB, NEWLINE, RETURN, HASH, MINUS = 9, 10, 13, 35, 45
ZERO = 48
LARGEST = 2**31 - 1
BASIS, PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
"""Of the FNV-1a hash (Fowler, Noll, Vo)."""
UPPER, LOWER = np.uint64(0xFFFFFFFF00000000), np.uint64(0xFFFFFFFF)


class NameTable(NamedTuple):
    """Names by their bytes; a position of -1 stands for a name that is not there."""

    text: Bytes
    """All names, one after the other."""
    offsets: Int64s
    """Where each begins, and the end of the last."""
    slots: UInt64s
    """Hash table: half of a name's hash above its position + 1; 0 where free."""


def name_table(names: Sequence[str]) -> tuple[NameTable, int]:
    """Return the table of some names, and the position of a name that stood before, or -1.

    An empty name is not entered: nothing finds it.

    Examples
    --------
    >>> table, repeated = name_table(["chr1", "chr2", "chr1"])
    >>> repeated
    2
    """
    encoded = [name.encode() for name in names]
    offsets = np.concatenate([[0], np.cumsum([len(name) for name in encoded], dtype=np.int64)])
    n_slots = 1 << max(4, (2 * len(encoded)).bit_length())
    text = np.frombuffer(b"".join(encoded), np.uint8)
    table = NameTable(text, offsets.astype(np.int64), np.zeros(n_slots, np.uint64))
    return table, int(_enter(*table))


@kernel
def _enter(text: Bytes, offsets: Int64s, slots: UInt64s) -> int:
    """Enter all names; return the first that is there already, or -1."""
    mask = np.uint64(len(slots) - 1)
    for i in range(len(offsets) - 1):
        if offsets[i] == offsets[i + 1]:
            continue
        code = BASIS
        for k in range(offsets[i], offsets[i + 1]):
            code = (code ^ np.uint64(text[k])) * PRIME
        if _find(text, offsets[i], offsets[i + 1], code, text, offsets, slots) >= 0:
            return i
        slot = _mixed(code) & mask
        while slots[slot] != 0:
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = (code & UPPER) | np.uint64(i + 1)
    return -1


@kernel
def _mixed(code: Any) -> Any:
    """Bring the upper bits of a hash, which are the better ones, down to where a slot is taken."""
    return code ^ (code >> np.uint64(29))


@kernel
def _find(
    line: Bytes, lo: Any, hi: Any, code: Any, text: Bytes, offsets: Int64s, slots: UInt64s
) -> Any:
    """Return the position of the name ``line[lo:hi]``, whose hash is ``code``, or -1."""
    mask = np.uint64(len(slots) - 1)
    slot = _mixed(code) & mask
    while slots[slot] != 0:
        if (slots[slot] & UPPER) == (code & UPPER):
            i = np.int64(slots[slot] & LOWER) - 1
            first, length = offsets[i], np.int64(hi) - np.int64(lo)
            if offsets[i + 1] - first == length:
                k = 0
                while k < length and line[np.int64(lo) + k] == text[first + k]:
                    k += 1
                if k == length:
                    return i
        slot = (slot + np.uint64(1)) & mask
    return -1


@kernel
def _number(line: Bytes, at: Any) -> tuple[Any, Any]:
    """Return the whole number at a place (-1: none, or too large) and where it ends."""
    value, first = np.int64(0), at
    while ZERO <= line[at] <= ZERO + 9:
        if value <= LARGEST:
            value = 10 * value + line[at] - ZERO
        at += np.uint64(1)
    return (value if first < at and value <= LARGEST else np.int64(-1)), at


@kernel
def _name(line: Bytes, at: Any) -> tuple[Any, Any]:
    """Return the hash of what stands up to the next tab or newline, and where that is."""
    code = BASIS
    while line[at] != TAB and line[at] != NEWLINE:
        code = (code ^ np.uint64(line[at])) * PRIME
        at += np.uint64(1)
    return code, at


@kernel
def _same(line: Bytes, at: Any, previous: Any, length: Any) -> Any:
    """Whether the field at a place is the one of some length that stands at ``previous``."""
    for k in range(length):
        if line[at + np.uint64(k)] != line[previous + np.uint64(k)]:
            return False
    return line[at + np.uint64(length)] == TAB


@kernel
def parse_lines(
    line: Bytes,
    chrom_text: Bytes,
    chrom_offsets: Int64s,
    chrom_slots: UInt64s,
    cell_text: Bytes,
    cell_offsets: Int64s,
    cell_slots: UInt64s,
    out: Ints,
) -> tuple[int, int, int, Any]:
    """Parse whole lines (the last byte is a newline) into rows of ``out`` (5, lines), int32.

    Rows are chromosome, start, end, cell and count; chromosomes and cells are positions in their
    tables, -1 where unknown. Lines that begin with ``#`` are left out. Returns the number of
    fragments, of lines read, what is wrong with the line after these, and where it begins.
    """
    n, n_lines, at = 0, 0, np.uint64(0)
    chrom, chrom_at, chrom_length = np.int64(-1), np.uint64(0), np.int64(0)
    while at < len(line):
        begin = at
        if line[at] == HASH:
            while line[at] != NEWLINE:
                at += np.uint64(1)
            at += np.uint64(1)
            n_lines += 1
            continue
        if chrom_length > 0 and _same(line, at, chrom_at, chrom_length):
            chrom_at, at = at, at + np.uint64(chrom_length)
        else:
            code, at = _name(line, at)
            chrom = _find(line, begin, at, code, chrom_text, chrom_offsets, chrom_slots)
            chrom_at, chrom_length = begin, np.int64(at - begin)
        wrong, start, end, cell, count, at = _fields(
            line, at, chrom_length, cell_text, cell_offsets, cell_slots
        )
        if wrong != FINE:
            return n, n_lines, wrong, np.int64(begin)
        out[0, n], out[1, n], out[2, n], out[3, n], out[4, n] = chrom, start, end, cell, count
        n += 1
        n_lines += 1
    return n, n_lines, FINE, 0


@kernel
def _fields(
    line: Bytes,
    at: Any,
    chrom_length: Any,
    cell_text: Bytes,
    cell_offsets: Int64s,
    cell_slots: UInt64s,
) -> tuple[int, Any, Any, Any, Any, Any]:
    """Parse what follows the chromosome; return what is wrong, the values, and the next line."""
    if chrom_length == 0 or line[at] != TAB:
        return FIELDS, 0, 0, 0, 0, at
    negative = line[at + np.uint64(1)] == MINUS
    start, at = _number(line, at + np.uint64(1 + negative))
    if start < 0 or line[at] != TAB:
        return (FIELDS if line[at] == NEWLINE and start >= 0 else NUMBER), 0, 0, 0, 0, at
    negative |= line[at + np.uint64(1)] == MINUS
    end, at = _number(line, at + np.uint64(1 + (line[at + np.uint64(1)] == MINUS)))
    if end < 0 or line[at] != TAB:
        return (FIELDS if line[at] == NEWLINE and end >= 0 else NUMBER), 0, 0, 0, 0, at
    if negative:
        return NEGATIVE, 0, 0, 0, 0, at
    first = at + np.uint64(1)
    code, at = _name(line, first)
    if line[at] != TAB or at == first:
        return FIELDS, 0, 0, 0, 0, at
    cell = _find(line, first, at, code, cell_text, cell_offsets, cell_slots)
    count, at = _number(line, at + np.uint64(1))
    if line[at] == RETURN:
        at += np.uint64(1)
    if line[at] != NEWLINE or count < 0:
        return (FIELDS if line[at] == TAB else NUMBER), 0, 0, 0, 0, at
    if end < start:
        return ORDER, 0, 0, 0, 0, at
    return FINE, start, end, cell, count, at + np.uint64(1)


@kernel
def add_length_classes(start: Ints, end: Ints, cell: Ints, bounds: Int64s, out: Int64s) -> None:
    """Count each cell's fragments shorter than ``bounds[0]``, else than ``bounds[1]``: (n, 2)."""
    for i in range(len(cell)):
        if cell[i] >= 0:
            length = np.int64(end[i]) - np.int64(start[i])
            if length < bounds[0]:
                out[cell[i], 0] += 1
            elif length < bounds[1]:
                out[cell[i], 1] += 1
