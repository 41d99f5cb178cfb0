"""Numbers as people read them."""

from __future__ import annotations

import math


def whole(value: float) -> str:
    """Return a whole number with its thousands set apart.

    Examples
    --------
    >>> whole(1234567.0)
    '1,234,567'
    """
    return f"{round(value):,}"


def short(value: float) -> str:
    """Return a number with three significant digits, a dash where it is none.

    Examples
    --------
    >>> short(0.12345), short(12345.6), short(float("nan")), short(3.2e-12)
    ('0.123', '12,346', '—', '3.2e-12')
    """
    if not math.isfinite(value):
        return "—" if math.isnan(value) else str(value)
    if value and not 1e-3 <= abs(value) < 1e7:
        return f"{value:.2g}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def share(part: float, of: float) -> str:
    """Return a percentage.

    Examples
    --------
    >>> share(1, 8), share(0, 0)
    ('12.5 %', '—')
    """
    return f"{100 * part / of:.1f} %" if of else "—"


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
