"""Genes of peaks, computed from a gene annotation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from lazymu import keys
from lazymu.atac.peak_tables import frame_of
from lazymu.atac.peaks import peaks_of, store_peak_annotation
from lazymu.containers import Modality, MuData, as_modality
from lazymu.containers.history import recorded
from lazymu.genomics import as_genes
from lazymu.genomics.annotation import annotate
from lazymu.genomics.intervals import require_common


@recorded
def annotate_peaks(data: Modality | MuData, genes: str | Path | pd.DataFrame) -> None:
    """Find the genes of each peak, by the rules of Cell Ranger ARC.

    =============== ===============================================================================
    ``peak_type``   of a peak and a gene
    =============== ===============================================================================
    ``promoter``    the peak reaches into 1,000 bases before to 100 after a TSS of the gene
    ``distal``      the gene has the TSS nearest to the peak, at most 200,000 bases away; or the
                    peak overlaps the gene's body (then ``distance`` is 0)
    ``exonic``      distal, and the peak overlaps an exon of the gene
    ``intergenic``  no gene
    =============== ===============================================================================

    A peak may have several genes: all of whose promoters it reaches into, all whose TSS are
    nearest, all that it overlaps. ``distance`` is that of the peak's nearest base to the TSS: 0
    where the peak overlaps it, negative where the peak is upstream in the direction of the strand.

    Parameters
    ----------
    data
        A modality of peak counts, or a MuData with one (``"atac"``). Peaks are intervals in
        ``var["interval"]``, else in their names: ``chr1:100-200``, ``chr1_100_200`` or
        ``chr1-100-200``, from 0 and without the end, as Cell Ranger gives them.
    genes
        A GTF file (plain, gzip or bgzip); a BED file with the columns chrom, start, end, name,
        score, strand, or names of columns in its first line; or a data frame with chrom, start,
        end, strand and gene_name. BED files and data frames count from 0 without the end, a GTF
        from 1 with the end. Only a GTF has exons and more than one TSS for a gene: those of its
        transcripts with the tag ``basic``, or of all its transcripts where none has the tag.

    Raises
    ------
    ArgumentError
        If a name is no interval, a data frame lacks a column or has a row that is no gene, or peaks
        and genes have no chromosome in common.
    MissingFileError
        If there is no such file.
    UnknownFormatError
        If the suffix of the file is not known.
    DamagedFileError
        Naming the file and the line that is no gene.

    Notes
    -----
    Writes ``uns["atac"]["peak_annotation"]`` in the form of
    :func:`lazymu.atac.tl.add_peak_annotation`: `peak` (as in `var_names`), `distance` and
    `peak_type`, indexed by gene name. Passes over X: none. The file is read line by line. Memory:
    tables of genes and exons, some 100 MB of a human GTF.

    References
    ----------
    10x Genomics, Cell Ranger ARC, Peak annotations. D. Bredikhin et al., MUON, Genome Biology 2022,
    doi:10.1186/s13059-021-02577-8.

    Examples
    --------
    >>> import lazymu as mu, numpy as np, pandas as pd
    >>> atac = mu.Modality(np.array([[1, 2]]), var=pd.DataFrame(index=["1:5-9", "1:2000-2100"]))
    >>> genes = pd.DataFrame({"chrom": ["1"], "start": [50], "end": [900], "strand": ["+"],
    ...                       "gene_name": ["A"]})
    >>> mu.atac.tl.annotate_peaks(atac, genes)
    >>> atac.uns["atac"]["peak_annotation"].to_numpy().tolist()
    [['1:5-9', -42, 'promoter'], ['1:2000-2100', 1950, 'distal']]
    """
    modality = as_modality(data, kinds=keys.ATAC_ALIASES)
    peaks, known = peaks_of(modality), as_genes(genes, exons=True)
    require_common(peaks, known.body.chrom)
    found = annotate(peaks, known)
    names = np.append(known.name, "")  # -1, no gene, is the last
    distance = np.where(found.gene < 0, np.nan, found.distance)
    peak = modality.var_names.to_numpy(dtype=object)[found.peak]
    table = frame_of(peak, names[found.gene], distance, found.peak_type)
    store_peak_annotation(modality, table)
