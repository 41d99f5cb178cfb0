"""Chromatin accessibility: muon's `atac` functions."""

from lazymu.atac import pp, tl

__all__ = ["pp", "tl"]
