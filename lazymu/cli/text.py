"""Numbers as people read them."""

from __future__ import annotations

from collections.abc import Sequence


def size(n_bytes: float) -> str:
    """Return bytes in decimal units.

    Examples
    --------
    >>> size(950), size(1_234_567), size(4e9)
    ('950 B', '1.2 MB', '4.0 GB')
    """
    units = ("B", "kB", "MB", "GB", "TB", "PB")
    power = 0
    while n_bytes >= 999.95 and power < len(units) - 1:
        n_bytes /= 1000
        power += 1
    return f"{n_bytes:.0f} B" if power == 0 else f"{n_bytes:.1f} {units[power]}"


def duration(seconds: float) -> str:
    """Return a time in the unit that suits it.

    Examples
    --------
    >>> duration(0.24), duration(75), duration(7_500)
    ('0.2 s', '1 min 15 s', '2 h 05 min')
    """
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


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
