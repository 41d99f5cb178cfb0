"""Pages of Markdown with what was measured, in `benchmarks/results`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from benchmarks import machine

RESULTS = Path(__file__).parent / "results"


def markdown(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table; the first column is left-aligned, the others right."""
    names = list(header)
    lines = [names, [":--", *["--:"] * (len(names) - 1)], *(list(row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def save(name: str, title: str, text: str, load: float) -> None:
    """Write a page, with the machine and how busy it was before; print it too."""
    parts = (f"# {title}", machine.description(), f"Load before: {load:.1f}.", text)
    page = "\n\n".join(parts) + "\n"
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(page)
    print(page)
