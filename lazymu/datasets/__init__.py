"""Simulated data sets with known cell types, calibrated to real ones."""

from lazymu.datasets.h5mu import multiome
from lazymu.datasets.tenx import citeseq_10x

__all__ = ["citeseq_10x", "multiome"]
