"""Whether a store is whole: every document, every chunk, and what they say of each other."""

from lazymu.io.integrity.findings import DAMAGE, NOTE, Finding, Findings
from lazymu.io.integrity.validate import check_store, validate

__all__ = ["DAMAGE", "NOTE", "Finding", "Findings", "check_store", "validate"]
