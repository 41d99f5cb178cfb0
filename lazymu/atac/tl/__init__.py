"""Analysis of peak counts."""

from lazymu.atac.tl.lsi import lsi

__all__ = ["lsi"]
