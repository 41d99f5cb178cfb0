"""Elements into files."""

from __future__ import annotations

from typing import Any


def write_elements(elements: Any, path: Any, **options: Any) -> None:
    """Write elements."""
    raise NotImplementedError
