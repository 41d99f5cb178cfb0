"""Files to elements and back: one reader a format, one writer a format."""

from lazymu.io.convert import convert, export
from lazymu.io.elements import (
    Deferred,
    ModalityElements,
    RawElements,
    StoreElements,
    Values,
)
from lazymu.io.integrity import validate
from lazymu.io.open import open_elements
from lazymu.io.write import write_elements

__all__ = [
    "Deferred",
    "ModalityElements",
    "RawElements",
    "StoreElements",
    "Values",
    "convert",
    "export",
    "open_elements",
    "validate",
    "write_elements",
]
