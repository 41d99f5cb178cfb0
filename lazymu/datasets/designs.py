"""The modalities that can be simulated: their noise and their known markers."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from lazymu.datasets.assay import SimulatedAssay
from lazymu.datasets.cells import Cells
from lazymu.datasets.celltypes import CellType, cell_types
from lazymu.datasets.features import MITOCHONDRIAL, antibody_table, gene_table, peak_table
from lazymu.datasets.model import Design, Noise, Signal, simulate_assay
from lazymu.datasets.profiles import CITESEQ_PROTEIN, MULTIOME_ATAC, Profile

# Streams of random numbers for the tables of features; the assays themselves draw from 1 to 3.
_GENES, _PEAKS, _ANTIBODIES = 11, 12, 13

_RNA_NOISE = Noise(floor=0.05, slope=0.1)
_RNA_SIGNAL = Signal(share=0.012, fold=2.5)
_ATAC_NOISE = Noise(floor=0.12, slope=0.05, single_ends=0.085)
_ATAC_SIGNAL = Signal(share=0.02, fold=2.5)
_PROTEIN_NOISE = Noise(floor=2.0, slope=0.05)
_PROTEIN_SIGNAL = Signal(share=0.0, fold=1.0, off=0.12, batch_share=0.0)


def simulate_rna(
    cells: Cells, n_genes: int, profile: Profile, *, depth: float = 1.0, seed: int = 0
) -> SimulatedAssay:
    """Return gene expression counts: RNA programs, well-known genes and 13 mitochondrial ones."""
    types = cell_types(cells.n_clusters)
    var, means = gene_table(n_genes, profile, np.random.default_rng([seed, _GENES]))
    present = ((t.rna_program, t.genes) for t in types)
    design = Design(
        profile=profile,
        noise=_RNA_NOISE,
        signal=_RNA_SIGNAL,
        programs=[t.rna_program for t in types],
        known=_programs_by_name(present),
        depth_column=0,
        n_tail=len(MITOCHONDRIAL),
    )
    return simulate_assay(cells, var, means, design, depth, seed)


def simulate_atac(
    cells: Cells, n_peaks: int, *, depth: float = 1.0, seed: int = 0
) -> SimulatedAssay:
    """Return cut sites in peaks: most fragments bring two, so that 2 is commoner than 1."""
    var, means = peak_table(n_peaks, MULTIOME_ATAC, np.random.default_rng([seed, _PEAKS]))
    design = Design(
        profile=MULTIOME_ATAC,
        noise=_ATAC_NOISE,
        signal=_ATAC_SIGNAL,
        programs=[t.second_program for t in cell_types(cells.n_clusters)],
        known={},
        depth_column=1,
    )
    return simulate_assay(cells, var, means, design, depth, seed)


def simulate_protein(
    cells: Cells, n_antibodies: int, *, depth: float = 1.0, seed: int = 0
) -> SimulatedAssay:
    """Return antibody counts: background everywhere, signal where the cell type has the protein."""
    types = cell_types(cells.n_clusters)
    generator = np.random.default_rng([seed, _ANTIBODIES])
    var, means = antibody_table(n_antibodies, CITESEQ_PROTEIN, generator)
    present = ((t.second_program, _tagged(t)) for t in types)
    design = Design(
        profile=CITESEQ_PROTEIN,
        noise=_PROTEIN_NOISE,
        signal=_PROTEIN_SIGNAL,
        programs=[t.second_program for t in types],
        known=_programs_by_name(present),
        depth_column=2,
    )
    return simulate_assay(cells, var, means, design, depth, seed)


def _tagged(cell_type: CellType) -> tuple[str, ...]:
    return tuple(f"{symbol}_TotalSeqB" for symbol in cell_type.antibodies)


def _programs_by_name(
    present: Iterable[tuple[int, tuple[str, ...]]],
) -> dict[str, frozenset[int]]:
    """Return the programs in which each named feature is present."""
    programs: dict[str, frozenset[int]] = {}
    for program, names in present:
        for name in names:
            programs[name] = programs.get(name, frozenset()) | {program}
    return programs
