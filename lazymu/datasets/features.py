"""Names, identifiers and base means of simulated genes, peaks and antibodies, as ``var`` tables."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lazymu import keys
from lazymu.datasets.celltypes import COMMON, known_genes
from lazymu.datasets.profiles import Profile
from lazymu.errors import ArgumentError, explain
from lazymu.typing import Float64s, Int64s

GENOME = "GRCh38"
MITOCHONDRIAL = tuple(
    f"MT-{gene}"
    for gene in (
        *("ND1", "ND2", "CO1", "CO2", "ATP8", "ATP6", "CO3"),
        *("ND3", "ND4L", "ND4", "ND5", "ND6", "CYB"),
    )
)
_MITOCHONDRIAL_SHARE = 0.1
ISOTYPE_CONTROL = "IgG1_control_TotalSeqB"
MIN_GENES = 200
MIN_PEAKS = 100
MIN_ANTIBODIES = 4

_PANEL = (
    *("CD3", "CD4", "CD8", "CD14", "CD19", "CD16", "CD56", "CD11c", "CD45RA", "CD45RO"),
    *("CD20", "CD25", "CD123", "HLA-DR", "TIGIT", "CD45", "CD127", "PD-1", "CD15", "CD27"),
)
# Lengths of the human chromosomes in Mb, rounded: peaks are spread in proportion.
_CHROMOSOMES = {
    f"chr{name}": length
    for name, length in zip(
        [*range(1, 23), "X"],
        (
            *(249, 242, 198, 190, 182, 171, 159, 145, 138, 134, 135, 133),
            *(114, 107, 102, 90, 83, 80, 59, 64, 47, 51, 156),
        ),
        strict=True,
    )
}


def _require_at_least(argument: str, got: int, least: int) -> None:
    if got < least:
        rule = f"the simulation needs at least {least}"
        raise ArgumentError(explain(argument, got, rule, f"pass {argument}={least} or more"))


def gene_table(
    n_genes: int, profile: Profile, generator: np.random.Generator
) -> tuple[pd.DataFrame, Float64s]:
    """Return ``var`` and base means of genes; the last 13 are mitochondrial, as in 10x files."""
    _require_at_least("n_genes", n_genes, MIN_GENES)
    means = profile.feature_means(n_genes)
    ranks = np.arange(n_genes)
    mitochondrial = _mitochondrial_ranks(means)
    nuclear = generator.permutation(np.setdiff1d(ranks, mitochondrial))
    order = np.concatenate([nuclear, mitochondrial])
    position = np.argsort(order)
    names = np.array([f"GENE{j + 1}" for j in range(n_genes)], dtype=object)
    names[-len(MITOCHONDRIAL) :] = MITOCHONDRIAL
    known = [*known_genes(), *COMMON]
    names[position[_well_expressed(np.setdiff1d(ranks, mitochondrial), len(known))]] = known
    var = pd.DataFrame(
        {
            keys.GENE_IDS: [f"ENSG9{j + 1:010d}" for j in range(n_genes)],
            keys.FEATURE_TYPES: pd.Categorical(["Gene Expression"] * n_genes),
            keys.GENOME: pd.Categorical([GENOME] * n_genes),
        },
        index=pd.Index(names),
    )
    return var, means[order]


def _mitochondrial_ranks(means: Float64s) -> Int64s:
    """Return every third rank from the highest on from which all have a tenth of the counts."""
    n_ranks = 3 * len(MITOCHONDRIAL)
    falling = means[::-1]
    sums = np.correlate(falling, np.tile([1.0, 0, 0], len(MITOCHONDRIAL)), mode="valid")
    first = int(np.argmax(sums <= _MITOCHONDRIAL_SHARE * means.sum()))
    return means.size - 1 - np.arange(first, first + n_ranks, 3)


def _well_expressed(ranks: Int64s, n: int) -> Int64s:
    """Return ``n`` of the rising ``ranks``, in the top tenth but for the top 2 % of all."""
    pool = ranks[int(0.90 * ranks.size) : int(0.98 * ranks.size)]
    if pool.size < n:
        pool = ranks[-n:]
    return pool[np.linspace(0, pool.size - 1, n).astype(np.int64)]


def peak_table(
    n_peaks: int, profile: Profile, generator: np.random.Generator
) -> tuple[pd.DataFrame, Float64s]:
    """Return ``var`` and base means of peaks named ``chr1:1000-1500``, in genome order."""
    _require_at_least("n_peaks", n_peaks, MIN_PEAKS)
    lengths = np.array(list(_CHROMOSOMES.values()), dtype=np.float64)
    ends = np.round(np.cumsum(lengths) / lengths.sum() * n_peaks).astype(np.int64)
    chromosome = np.searchsorted(ends, np.arange(n_peaks), side="right")
    within = np.arange(n_peaks) - np.concatenate([[0], ends[:-1]])[chromosome]
    spacing = int(lengths.sum() * 1e6) // n_peaks
    start = 10_000 + within * spacing + generator.integers(0, spacing // 2, n_peaks)
    stop = start + generator.integers(400, 1_000, n_peaks)
    labels = np.array(list(_CHROMOSOMES))[chromosome]
    names = [f"{c}:{a}-{b}" for c, a, b in zip(labels, start, stop, strict=True)]
    var = pd.DataFrame(
        {
            keys.GENE_IDS: names,
            keys.FEATURE_TYPES: pd.Categorical(["Peaks"] * n_peaks),
            keys.GENOME: pd.Categorical([GENOME] * n_peaks),
            keys.INTERVAL: names,
        },
        index=pd.Index(names),
    )
    return var, profile.feature_means(n_peaks)[generator.permutation(n_peaks)]


def antibody_table(
    n_antibodies: int, profile: Profile, generator: np.random.Generator
) -> tuple[pd.DataFrame, Float64s]:
    """Return ``var`` and base means of antibodies; the last is the isotype control."""
    _require_at_least("n_antibodies", n_antibodies, MIN_ANTIBODIES)
    more = (f"AB{j + 1}" for j in range(len(_PANEL), n_antibodies - 1))
    symbols = [*_PANEL[: n_antibodies - 1], *more]
    names = [*(f"{symbol}_TotalSeqB" for symbol in symbols), ISOTYPE_CONTROL]
    # The control binds nothing: its mean is the lowest that the profile shows.
    means = generator.permutation(profile.feature_means(n_antibodies - 1))
    means = np.append(means, profile.feature_mean[0])
    tags = generator.choice(list("ACGT"), size=(n_antibodies, 15))
    var = pd.DataFrame(
        {
            keys.GENE_IDS: [*symbols, "IgG1"],
            keys.FEATURE_TYPES: pd.Categorical(["Antibody Capture"] * n_antibodies),
            keys.GENOME: pd.Categorical([""] * n_antibodies),
            "pattern": "5PNNNNNNNNNN(BC)NNNNNNNNN",
            "read": "R2",
            "sequence": ["".join(tag) for tag in tags],
        },
        index=pd.Index(names),
    )
    return var, means
