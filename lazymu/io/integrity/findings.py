"""What a check of a store finds, and what it has looked at."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

DAMAGE = "damage"
NOTE = "note"
"""What is legal, read correctly, and perhaps not meant."""

AGAIN = "copy it from where it is whole, or convert its source again"
CONSOLIDATE = "run zarr.consolidate_metadata on it, or write it again with lazymu"
REWRITE = "write it again with lazymu, which makes them anew"


class Finding(NamedTuple):
    """One thing that is wrong."""

    kind: str
    """``"damage"``, or ``"note"`` of what is legal and perhaps not meant."""
    store: str
    array: str
    """Path of the group or array in the store."""
    rows: str
    """Which rows of it (cells, or features of what is stored by feature), ``""`` for all."""
    file: str
    """File of the chunk, shard or metadata, ``""`` where it is none alone."""
    found: str
    fix: str

    def __str__(self) -> str:
        where = ", ".join(part for part in (self.array or "the store", self.rows) if part)
        file = f" ({self.file})" if self.file else ""
        mark = "note: " if self.kind == NOTE else ""
        return f"{mark}{self.store}: {where}{file}: {self.found}; {self.fix}."


class Findings:
    """Findings in the order in which they are made, each once, and counts of what was checked."""

    def __init__(self) -> None:
        self.all: list[Finding] = []
        self.checked: Counter[str] = Counter()
        self._seen: set[tuple[str, ...]] = set()
        self._unread: list[tuple[str, str]] = []

    def add(
        self,
        store: object,
        array: str,
        found: str,
        fix: str = AGAIN,
        *,
        rows: str = "",
        file: str = "",
        kind: str = DAMAGE,
        is_read: bool = False,
    ) -> None:
        """Take a finding, but for a second one about the same file.

        ``is_read`` says that the array can be read even so, and is looked at further.
        """
        mark = (str(store), array, file) if file else (str(store), array, rows, found)
        if mark not in self._seen:
            self._seen.add(mark)
            self.all.append(Finding(kind, str(store), array, rows, file, found, fix))
            if kind == DAMAGE and not is_read:
                self._unread.append((str(store), array))

    def about(self, store: object, array: str) -> bool:
        """Return whether there is damage in an array or group, or below it, that hides more."""
        start = f"{array}/" if array else ""
        return any(
            of == str(store) and (name == array or name.startswith(start))
            for of, name in self._unread
        )
