"""The simulated cell types: the programs that each has and the markers that it shows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lazymu.errors import ArgumentError, explain
from lazymu.typing import Float64s

COMMON = ("B2M", "ACTB", "PTPRC", "MALAT1")
"""Genes named in the simulation that every cell type expresses."""


class CellType(NamedTuple):
    """A cell type: equal programs in one modality make two types separable only by the other."""

    name: str
    rna_program: int
    second_program: int
    """Program of the other modality, peaks or proteins."""
    genes: tuple[str, ...]
    antibodies: tuple[str, ...]


_NAMED = (
    CellType("CD14 Mono", 0, 0, ("CD14", "LYZ", "S100A8", "S100A9", "FCN1"), ("CD14", "CD11c")),
    # Naive and memory share their RNA program, as CD45RA and CD45RO are one gene.
    CellType("CD4 Naive", 1, 1, ("CD3E", "CD3D", "CD4", "IL7R", "CCR7"), ("CD3", "CD4", "CD45RA")),
    CellType("CD4 Memory", 1, 2, (), ("CD3", "CD4", "CD45RO")),
    # The two B types share peaks and proteins: only RNA tells them apart.
    CellType("B Naive", 3, 3, ("CD19", "MS4A1", "CD79A", "TCL1A"), ("CD19", "CD20")),
    CellType("B Memory", 4, 3, ("CD19", "MS4A1", "CD79A", "CD27", "AIM2"), ()),
    CellType("NK", 5, 5, ("NKG7", "GNLY", "KLRD1", "NCAM1", "PRF1"), ("CD56", "CD16")),
    CellType("CD8 TEM", 6, 6, ("CD3E", "CD3D", "CD8A", "CCL5", "GZMK"), ("CD3", "CD8", "TIGIT")),
    CellType("CD8 Naive", 7, 7, ("CD3E", "CD8A", "CD8B", "CCR7"), ("CD3", "CD8", "CD45RA")),
    CellType("CD16 Mono", 8, 8, ("FCGR3A", "MS4A7", "LST1"), ("CD16", "CD11c")),
    CellType("cDC", 9, 9, ("FCER1A", "CST3", "CLEC10A"), ("CD11c", "HLA-DR")),
    CellType("Treg", 10, 10, ("CD3E", "CD4", "FOXP3", "IL2RA"), ("CD3", "CD4", "CD25")),
    CellType("pDC", 11, 11, ("LILRA4", "IRF8", "CLEC4C"), ("CD123", "HLA-DR")),
)


def cell_types(n_clusters: int) -> tuple[CellType, ...]:
    """Return the first ``n_clusters`` types; beyond the named ones each has its own programs."""
    if n_clusters < 1:
        rule = "there must be at least one cell type"
        raise ArgumentError(explain("n_clusters", n_clusters, rule, "pass n_clusters=12"))
    more = (CellType(f"Type {c + 1}", c, c, (), ()) for c in range(len(_NAMED), n_clusters))
    return (*_NAMED[:n_clusters], *more)


def proportions(n_clusters: int) -> Float64s:
    """Return the share of the cells that each type has, falling as ``1 / (1 + c / 5)``."""
    weights: Float64s = 1 / (1 + np.arange(len(cell_types(n_clusters))) / 5)
    return np.asarray(weights / weights.sum())


def known_genes() -> tuple[str, ...]:
    """Return every well-known marker gene, each once."""
    return tuple(dict.fromkeys(gene for cell_type in _NAMED for gene in cell_type.genes))
