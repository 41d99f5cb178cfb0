"""What a user may set: the memory limit, the number of threads, progress bars and verbosity."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lazymu.errors import ArgumentError, explain

GiB = 1 << 30
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY_UNITS = {"ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30, "ti": 1 << 40}


def parse_bytes(size: int | float | str) -> int:
    """Return a number of bytes from ``4e9``, ``"4GB"``, ``"4GiB"`` or ``"500M"``.

    Examples
    --------
    >>> parse_bytes("4GB"), parse_bytes("4GiB")
    (4000000000, 4294967296)
    """
    if isinstance(size, int | float):
        value = float(size)
    else:
        match = re.fullmatch(r"\s*([0-9.]+(?:e[0-9]+)?)\s*([kmgt]i?)?b?\s*", size.lower())
        units = {**_UNITS, **_BINARY_UNITS}
        value = float(match[1]) * units[match[2] or ""] if match else -1.0
    if not value > 0:
        raise ArgumentError(
            explain("memory_limit", repr(size), "it must be a size in bytes", 'write e.g. "4GB"')
        )
    return int(value)


def machine_memory() -> int:
    """Return the memory in bytes that this process may use: the machine's, or its cgroup's."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit_file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        path = Path(limit_file)
        if path.is_file() and (text := path.read_text().strip()).isdigit():
            total = min(total, int(text))
    return total


def available_cpus() -> int:
    """Return the number of processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass
class Settings:
    """The settings of a session, ``lazymu.settings``.

    Examples
    --------
    >>> import lazymu
    >>> with lazymu.settings.override(memory_limit="2GB"):
    ...     lazymu.settings.memory_limit
    2000000000
    """

    memory_limit: int = field(default_factory=lambda: max(GiB, machine_memory() // 4))
    """Peak resident memory in bytes that passes plan for, results apart. Takes ``"4GB"`` too."""
    n_threads: int = field(default_factory=available_cpus)
    """Threads that work on blocks at the same time."""
    progress: bool | None = None
    """Progress bars: on, off, or (None) where standard error is a terminal."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "memory_limit":
            value = parse_bytes(value)
        if name == "n_threads" and (not isinstance(value, int) or value < 1):
            raise ArgumentError(
                explain("n_threads", value, "it must be a whole number above 0", "pass e.g. 2")
            )
        if name not in type(self).__dataclass_fields__:
            known = ", ".join(type(self).__dataclass_fields__)
            raise ArgumentError(explain("settings", name, f"known are {known}", "set one of them"))
        super().__setattr__(name, value)

    @contextmanager
    def override(self, **values: Any) -> Iterator[None]:
        """Set values for the length of a ``with`` block."""
        before = {name: getattr(self, name, None) for name in values}
        for name, value in values.items():
            setattr(self, name, value)
        try:
            yield
        finally:
            for name, value in before.items():
                setattr(self, name, value)


settings = Settings()
