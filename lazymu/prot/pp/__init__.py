"""Preprocessing of antibody counts."""

from lazymu.prot.pp.clr import clr
from lazymu.prot.pp.dsb import dsb

__all__ = ["clr", "dsb"]
