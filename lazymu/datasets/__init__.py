"""Simulated data sets with known cell types, calibrated to real ones."""

from lazymu.datasets.multiome import multiome
from lazymu.datasets.simulate import simulate
from lazymu.datasets.tenx import citeseq_10x

__all__ = ["citeseq_10x", "multiome", "simulate"]
