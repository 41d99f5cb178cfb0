"""Files to elements and back."""

from typing import Any


def open_elements(*args: Any, **options: Any) -> Any: ...


def write_elements(*args: Any, **options: Any) -> Any: ...
