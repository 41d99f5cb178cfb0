"""Accessibility of genes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from lazymu import keys
from lazymu.atac.overlap_sums import incidence, overlap_sums
from lazymu.atac.peaks import peaks_of
from lazymu.containers import Modality, MuData, as_modality
from lazymu.containers.history import recorded
from lazymu.containers.names import make_unique
from lazymu.errors import ArgumentError, explain
from lazymu.genomics import Genes, as_genes
from lazymu.genomics.intervals import Intervals, interval_names, require_common
from lazymu.pp.raw_counts import raw_counts
from lazymu.typing import CSR


@recorded
def gene_activity(
    data: Modality | MuData,
    genes: str | Path | pd.DataFrame,
    upstream: int = 2000,
    downstream: int = 0,
    max_width: int | None = 500_000,
    layer: str | None = None,
) -> Modality:
    """Sum the counts of the peaks in each gene's body and promoter, for each cell.

    ``a_ig = sum_j x_ij`` over the peaks ``j`` that overlap gene ``g``'s body, extended by
    ``upstream`` bases before its start in the direction of its strand. A peak that overlaps
    several genes counts for each of them. Sums of raw counts are exact.

    Parameters
    ----------
    data
        A modality of peak counts, or a MuData with one (``"atac"``); peaks as in
        :func:`lazymu.atac.tl.annotate_peaks`.
    genes
        A GTF or BED file or a data frame, as in :func:`lazymu.atac.tl.annotate_peaks`.
    upstream
        Bases before a gene's start that belong to it.
    downstream
        Bases after its end that belong to it.
    max_width
        Genes with a body of more bases are left out; None for all.
    layer
        Layer with the raw counts. By default ``"counts"`` where there is such a layer, else the
        stored counts that `X` is made of, whatever has been done to `X` since.

    Returns
    -------
    Modality
        Cells by genes, int32 CSR in memory: genes in the order of the annotation, with
        `gene_ids`, `interval` (of the body), `strand` and `n_peaks` in `var`; repeated gene names
        get ``-1``, ``-2``, ... To put it beside the others: ``mdata.mod["gene_activity"] = ...``.

    Raises
    ------
    ArgumentError
        If an argument is out of range, a peak's name is no interval, or peaks and genes have no
        chromosome in common; or ``genes`` cannot be taken.
    NotCountsError
        If the values are not whole numbers from 0.
    MissingResultError
        If the layer does not exist.
    MemoryLimitError
        If the result may not fit the memory limit.
    MissingFileError, UnknownFormatError, DamagedFileError
        If the file of genes cannot be read.

    Notes
    -----
    Passes over X: one; one more where its sums are not known, as they are in a fresh store. Memory:
    the result twice, 16 bytes a nonzero, beside a block.

    References
    ----------
    T. Stuart et al., Signac, Nature Methods 2021, doi:10.1038/s41592-021-01282-5 (`GeneActivity`,
    there of fragments, here of the peaks' counts).

    Examples
    --------
    >>> import lazymu as mu, numpy as np, pandas as pd
    >>> peaks = pd.DataFrame(index=["1:5-9", "1:2500-2600"])
    >>> atac = mu.Modality(np.array([[1, 2], [0, 3]]), var=peaks)
    >>> genes = pd.DataFrame({"chrom": "1", "start": [50, 2550], "end": [90, 2700], "strand": "+",
    ...                       "gene_name": ["A", "B"]})
    >>> mu.atac.tl.gene_activity(atac, genes).X.toarray().tolist()
    [[1, 2], [0, 3]]
    """
    check_extent("upstream", upstream)
    check_extent("downstream", downstream)
    modality = as_modality(data, kinds=keys.ATAC_ALIASES)
    peaks, known = peaks_of(modality), as_genes(genes)
    require_common(peaks, known.body.chrom)
    if max_width is not None:
        known = known.take(known.body.width <= max_width)
    overlaps = incidence(peaks, extended(known, upstream, downstream))
    sums = overlap_sums(raw_counts(modality, layer, "gene_activity"), overlaps)
    return Modality(sums, modality.obs, table_of(known, overlaps))


def check_extent(argument: str, bases: int) -> None:
    """Raise where a number of bases is none."""
    if bases < 0 or bases != int(bases):
        rule = "it is a number of bases"
        raise ArgumentError(explain(argument, bases, rule, "pass 0 or more"))


def extended(genes: Genes, upstream: int, downstream: int) -> Intervals:
    """Return bodies with bases before and after them, in the direction of their strand."""
    plus = genes.strand > 0
    start = genes.body.start - np.where(plus, upstream, downstream)
    end = genes.body.end + np.where(plus, downstream, upstream)
    return Intervals(genes.body.chrom, np.maximum(start, 0), end)


def table_of(genes: Genes, overlaps: CSR) -> pd.DataFrame:
    """Return what is known of the genes, by unique names."""
    columns = {
        keys.GENE_IDS: genes.gene_id.astype(str),
        keys.INTERVAL: interval_names(genes.body).astype(str),
        "strand": np.where(genes.strand > 0, "+", "-"),
        "n_peaks": np.bincount(overlaps.indices, minlength=len(genes)),
    }
    return pd.DataFrame(columns, index=make_unique(pd.Index(genes.name.astype(str))))
