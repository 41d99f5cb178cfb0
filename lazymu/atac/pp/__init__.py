"""Preprocessing of peak counts."""

from lazymu.atac.pp.binarize import binarize
from lazymu.atac.pp.tfidf import tfidf

__all__ = ["binarize", "tfidf"]
