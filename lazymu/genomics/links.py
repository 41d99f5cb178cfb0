"""Correlations of peaks with genes near them, judged against peaks elsewhere that look alike."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lazymu.errors import ArgumentError, explain
from lazymu.genomics.genes import Genes
from lazymu.genomics.intervals import Intervals, offsets_of
from lazymu.genomics.pairs import points_within, signed_distance
from lazymu.typing import Array, Bools, Float64s, Int64s

POOL = 2
"""Background peaks are drawn among so many times their number of the most alike peaks."""
PEAKS_AT_ONCE = 4096
GENES_AT_ONCE = 64


class Candidates(NamedTuple):
    """A gene and a peak near it, and how far the peak lies from the gene's TSS."""

    gene: Int64s
    peak: Int64s
    distance: Int64s


class Scores(NamedTuple):
    """Correlation of each candidate, and what it is worth."""

    score: Float64s
    zscore: Float64s
    pvalue: Float64s


def candidates(peaks: Intervals, genes: Genes, window: int) -> Candidates:
    """Return all pairs of a gene and a peak within ``window`` bases of its TSS, by gene."""
    of_peaks, of_genes = offsets_of(peaks.chrom, genes.body.chrom)
    starts, ends, tss = peaks.start + of_peaks, peaks.end + of_peaks, genes.tss + of_genes
    order = np.argsort(tss, kind="stable")
    peak, place = points_within(starts, ends, tss[order], window)
    gene = order[place]
    distance = signed_distance(starts[peak], ends[peak], tss[gene], genes.strand[gene])
    by_gene = np.lexsort((ends[peak], starts[peak], gene))
    return Candidates(gene[by_gene], peak[by_gene], distance[by_gene])


def unit_rows(values: Float64s) -> tuple[Float64s, Bools]:
    """Return rows less their mean, of length 1, and which of them are not constant.

    The product of two such rows is their Pearson correlation.
    """
    centred = values - values.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(centred, axis=1)
    varies = lengths > 1e-12 * np.maximum(np.abs(values).max(axis=1, initial=0), 1e-300)
    centred /= np.where(varies, lengths, 1)[:, None]
    return centred, varies


def background_peaks(
    wanted: Int64s, chrom: Array, features: Float64s, n: int, rng: np.random.Generator
) -> Int64s:
    """Return ``n`` peaks of other chromosomes for each wanted one, (wanted, n).

    They are drawn without replacement among the ``POOL * n`` that are nearest in ``features``
    (peaks, d), each feature in units of its standard deviation.

    Raises
    ------
    ArgumentError
        If there are fewer than ``n`` peaks on other chromosomes.
    """
    from scipy.spatial import KDTree

    spread = features.std(axis=0)
    scaled = features / np.where(spread > 0, spread, 1)
    found = np.empty((len(wanted), n), dtype=np.int64)
    names = chrom[wanted]
    for name in np.unique(names.astype(str)).tolist():
        others = np.flatnonzero(chrom != name)
        if len(others) < n:
            got, rule = n, f"there are {len(others)} usable peaks beside those of {name!r}"
            raise ArgumentError(explain("n_background", got, rule, "pass a smaller number"))
        tree, rows = KDTree(scaled[others]), np.flatnonzero(names == name)
        size = min(POOL * n, len(others))
        for start in range(0, len(rows), PEAKS_AT_ONCE // 4):
            some = rows[start : start + PEAKS_AT_ONCE // 4]
            _, pool = tree.query(scaled[wanted[some]], k=size)
            pool = pool.reshape(len(some), size)
            drawn = np.argsort(rng.random(pool.shape), axis=1)[:, :n]
            found[some] = others[np.take_along_axis(pool, drawn, axis=1)]
    return found


def link_scores(
    peak_values: Float64s, gene_values: Float64s, pairs: Candidates, background: Int64s
) -> Scores:
    """Return each pair's correlation and its place among those of the peak's background.

    ``zscore = (r - mean(r_b)) / sd(r_b)`` over the background's correlations ``r_b`` with the same
    gene, ``sd`` with ddof 1, and ``pvalue = 2 (1 - Phi(|zscore|))``.

    Parameters
    ----------
    peak_values, gene_values
        Unit rows, (peaks, m) and (genes, m).
    pairs
        Sorted by gene.
    background
        (pairs' distinct peaks, n), in their order.
    """
    from scipy.stats import norm

    n_pairs = len(pairs.gene)
    score, mean, sd = np.empty(n_pairs), np.empty(n_pairs), np.empty(n_pairs)
    place = np.unique(pairs.peak, return_inverse=True)[1]
    genes, first = np.unique(pairs.gene, return_index=True)
    bounds = np.append(first, n_pairs)
    for start in range(0, len(genes), GENES_AT_ONCE):
        some = genes[start : start + GENES_AT_ONCE]
        correlations = gene_values[some] @ peak_values.T
        for at, of_gene in enumerate(correlations, start):
            own = slice(bounds[at], bounds[at + 1])
            score[own] = of_gene[pairs.peak[own]]
            others = of_gene[background[place[own]]]
            mean[own], sd[own] = others.mean(axis=1), others.std(axis=1, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        zscore = np.where(sd > 0, (score - mean) / sd, np.nan)
    return Scores(score, zscore, np.asarray(2 * norm.sf(np.abs(zscore))))
