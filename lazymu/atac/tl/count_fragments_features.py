"""Count fragments in features, such as genes: gene activity."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lazymu import keys
from lazymu.atac.tl.regions import (
    Regions,
    barcodes_of,
    fragments_path,
    given_features,
    regions_of,
)
from lazymu.containers import Modality, MuData, as_modality
from lazymu.containers.history import recorded
from lazymu.errors import ArgumentError, explain
from lazymu.io.fragment_counts import FragmentCounts
from lazymu.io.fragments import FragmentFile
from lazymu.stream import LazyMatrix
from lazymu.typing import Int64s


@recorded
def count_fragments_features(
    data: Modality | MuData,
    features: pd.DataFrame | None = None,
    stranded: bool | None = None,
    extend_upstream: int = 2000,
    extend_downstream: int = 0,
    count_reads: bool = False,
    *,
    barcodes: str | None = None,
) -> Modality:
    r"""Count the fragments of each cell that overlap each feature.

    A feature from ``Start`` to ``End`` (from 0, exclusive) takes the fragments with
    ``start < End + extend_downstream`` and ``end > Start - extend_upstream``; on the minus strand,
    where upstream is behind the end, those with ``start < End + extend_upstream`` and
    ``end > Start - extend_downstream``. One base of overlap is enough, a fragment counts once for
    each feature that it overlaps, and its two ends (insertions) are not counted apart.

    Parameters
    ----------
    data
        A modality of peak counts whose fragments file was located, or a MuData with one.
    features
        Table with the columns Chromosome (or chrom, chr), Start, End and perhaps Strand, in
        whatever case. By default the genes of the MuData's ``"rna"`` whose ``var["interval"]`` says
        where they are (without a strand).
    stranded
        Whether to heed the strand: True needs the column; by default where it is there. All that
        is not ``"-"`` is taken as plus.
    extend_upstream, extend_downstream
        Bases that are added to the feature.
    count_reads
        Sum the reads that support a fragment (the file's last column) instead of counting it once.
    barcodes
        Column of `obs` with the barcodes that the file uses; the cells' names by default.

    Returns
    -------
    Modality
        Cells by features, of the cells' `obs` and the features' table as `var`; `X` is lazy.

    Raises
    ------
    MissingResultError
        If no fragments file was located, or there is no such column.
    ArgumentError
        If features are not as above, an extension is negative, or no barcode or chromosome of the
        file is known.
    DuplicateNamesError
        If two cells have the same barcode.
    DamagedFileError
        If a line of the file is wrong or the file is cut short; the message names the line.
    MemoryLimitError
        If the sweep does not fit the memory limit.

    Notes
    -----
    Writes nothing to ``data``. Passes over X: none. Reads the file once from front to end, without
    an index; it may be in any order, and is fastest where it is sorted. Counts go to a temporary
    folder (16 bytes for each cell and feature with any; set `TMPDIR`), which is removed with the
    result. Memory: some 350 MB, and 128 bytes for each cell and feature.

    muon uses the strand wrongly up to 0.1.9: it looks for it in the column of the chromosome.

    References
    ----------
    D. Bredikhin et al., MUON, Genome Biology 2022, doi:10.1186/s13059-021-02577-8.

    Examples
    --------
    >>> import lazymu as mu, numpy as np, pandas as pd
    >>> from pathlib import Path
    >>> lines = ["chr1\t3100\t3250\tA\t2", "chr1\t4100\t4200\tB\t1"]
    >>> _ = Path("fragments.tsv").write_text("\n".join(lines))
    >>> atac = mu.Modality(np.ones((2, 1)), obs=pd.DataFrame(index=["A", "B"]))
    >>> mu.atac.tl.locate_fragments(atac, "fragments.tsv")
    >>> genes = pd.DataFrame({"Chromosome": "chr1", "Start": 5000, "End": 6000}, index=["gene"])
    >>> mu.atac.tl.count_fragments_features(atac, genes).X.to_memory().toarray()
    array([[1],
           [1]], dtype=int32)
    """
    from lazymu.kernels.intervals import layered_intervals

    modality = as_modality(data, kinds=keys.ATAC_ALIASES)
    features = given_features(data, features)
    regions = regions_of(features)
    start, end = extended(regions, stranded, extend_upstream, extend_downstream)
    intervals = layered_intervals(regions.chrom, start, end, len(regions.names))
    names = barcodes_of(modality, barcodes)
    fragments = FragmentFile(fragments_path(modality), names, regions.names)
    shape = (modality.n_obs, len(features))
    source = FragmentCounts(fragments, intervals, shape, count_reads=count_reads)
    source.prepare()
    return Modality(LazyMatrix(source), obs=modality.obs, var=features)


def extended(
    regions: Regions, stranded: bool | None, upstream: int, downstream: int
) -> tuple[Int64s, Int64s]:
    """Return where features start and end with the bases up and down of them."""
    for name, n_bases in (("extend_upstream", upstream), ("extend_downstream", downstream)):
        check_extension(name, n_bases)
    if stranded and regions.minus is None:
        rule = "the features have no column Strand"
        raise ArgumentError(explain("stranded", stranded, rule, "add one, or leave it out"))
    minus = np.zeros(len(regions.start), dtype=bool)
    if stranded is not False and regions.minus is not None:
        minus = regions.minus
    before = np.where(minus, int(downstream), int(upstream))
    after = np.where(minus, int(upstream), int(downstream))
    return regions.start - before, regions.end + after


def check_extension(name: str, n_bases: int) -> None:
    """Raise where a number of bases is not a whole number from 0 on."""
    if n_bases != int(n_bases) or n_bases < 0:
        rule = "it is a number of bases"
        raise ArgumentError(explain(name, n_bases, rule, "pass a whole number from 0 on"))
