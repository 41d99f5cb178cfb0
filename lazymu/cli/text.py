"""Numbers as people read them."""

from __future__ import annotations

from collections.abc import Sequence

from lazymu.report.numbers import duration, size

__all__ = ["duration", "size", "table"]


def table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return rows as lines with columns aligned: the first to the left, the others to the right.

    Examples
    --------
    >>> table([("rna", "5,000"), ("protein", "20")])
    ['rna      5,000', 'protein     20']
    """
    widths = [max(len(row[j]) for row in rows) for j in range(len(rows[0]))]
    lines = []
    for row in rows:
        first = row[0].ljust(widths[0])
        rest = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        lines.append("  ".join([first, *rest]).rstrip())
    return lines
