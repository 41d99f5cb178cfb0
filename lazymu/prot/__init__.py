"""Antibody counts: muon's `prot` functions."""

from lazymu.prot import pp

__all__ = ["pp"]
