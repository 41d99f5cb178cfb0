"""Chromatin accessibility: muon's `atac` functions."""

from lazymu.atac import pl, pp, tl

__all__ = ["pl", "pp", "tl"]
