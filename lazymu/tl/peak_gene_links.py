"""Which peaks go along with which genes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from lazymu import keys
from lazymu.atac.peaks import peaks_of
from lazymu.containers import Modality, MuData, as_modality
from lazymu.containers.history import recorded
from lazymu.errors import ArgumentError, explain
from lazymu.genomics import Genes, as_genes
from lazymu.genomics.intervals import require_common
from lazymu.genomics.links import (
    Candidates,
    Scores,
    background_peaks,
    candidates,
    link_scores,
    unit_rows,
)
from lazymu.pp.raw_counts import raw_counts
from lazymu.stream import LazyMatrix, matrix_sums, run_pass
from lazymu.stream.group_moments import GroupMomentsReducer
from lazymu.stream.steps import Log1p, ScaleRows
from lazymu.stream.sums import cell_sums
from lazymu.tl.metacells import metacell_codes
from lazymu.typing import Bools, Float64s, Int64s

TARGET_SUM = 1e4


@recorded
def peak_gene_links(
    mdata: MuData,
    genes: str | Path | pd.DataFrame,
    *,
    groupby: str | None = None,
    use_rep: str | None = None,
    n_metacells: int | None = None,
    window: int = 500_000,
    n_background: int = 200,
    min_cells: int = 10,
    random_state: int | None = 0,
) -> None:
    """Correlate genes with the peaks near them, over groups of cells.

    Counts ``x_ij`` of both modalities become ``log1p(1e4 x_ij / n_i)``, with the cell's total
    ``n_i``, and their means over the cells of each group. ``score`` is the Pearson correlation
    ``r`` of a gene's and a peak's means over groups. Each peak has ``n_background`` peaks of other
    chromosomes that look like it: drawn among twice as many whose mean count (its logarithm) and
    width (likewise) are nearest. With their correlations ``r_b`` with the same gene,
    ``zscore = (r - mean(r_b)) / sd(r_b)`` and ``pvalue = 2 (1 - Phi(|zscore|))``.

    Parameters
    ----------
    mdata
        With an RNA modality and a modality of peaks; cells that both have are used.
    genes
        A GTF or BED file or a data frame, as in :func:`lazymu.atac.tl.annotate_peaks`. Genes are
        found by `gene_ids` in the RNA's `var` (without version), else by name.
    groupby
        Column of `mdata.obs` with groups of cells, such as samples within cell types. By default
        groups are metacells: clusters by k-means of an embedding.
    use_rep
        That embedding, in `mdata.obsm`, such as ``"X_mofa"``. By default the RNA's ``X_pca`` and
        the peaks' ``X_lsi`` side by side, each divided by the root of its total variance.
    n_metacells
        Number of metacells; by default the square root of the number of cells, at most 250.
    window
        Bases between a peak and the gene's TSS (where its body begins) at most.
    n_background
        Background peaks of each peak.
    min_cells
        Genes and peaks that are not 0 in fewer cells are left out.
    random_state
        Seed of k-means and of the draws.

    Raises
    ------
    ArgumentError
        If arguments are out of range or exclude each other, there are fewer than three groups or
        too few background peaks, a peak's name is no interval, or no gene or chromosome is in
        common; or ``genes`` cannot be taken.
    ModalityNotFoundError
        If a modality is missing.
    MissingResultError
        If the column or an embedding does not exist.
    NotCountsError
        If there are no raw counts, in `X` or in ``layers["counts"]``.
    MemoryLimitError
        If sums of all features by group do not fit the memory limit.
    MissingFileError, UnknownFormatError, DamagedFileError
        If the file of genes cannot be read.

    Notes
    -----
    Writes ``mdata.uns["peak_gene_links"]``, a table with `gene`, `peak`, `distance` (of the peak's
    nearest base to the TSS, negative upstream), `score`, `zscore` and `pvalue`: all pairs within
    the window, by gene, whatever their p-values. Signac's p-values are one-sided, half of these; it
    correlates single cells and matches GC content too. Metacells of one cell type vary together in
    all features; see that there are groups of many kinds.

    Passes over X: one of each modality; one more where its sums are not known. Memory: sums of
    ``m`` groups, ``8 m`` bytes a feature for each thread, then four such tables.

    References
    ----------
    T. Stuart et al., Signac, Nature Methods 2021, doi:10.1038/s41592-021-01282-5 (`LinkPeaks`).
    S. Ma et al., Chromatin potential, Cell 2020, doi:10.1016/j.cell.2020.09.056.

    Examples
    --------
    >>> import lazymu as mu, numpy as np, pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> activity = np.repeat(rng.gamma(2.0, 3.0, 8), 20)[:, None]
    >>> other = rng.poisson(3.0, (160, 40))
    >>> names = [f"{i % 2}:{100 * i}-{100 * i + 50}" for i in range(41)]
    >>> atac = mu.Modality(np.hstack([rng.poisson(activity), other]), var=pd.DataFrame(index=names))
    >>> rna = mu.Modality(np.hstack([rng.poisson(activity), other[:, :5]]),
    ...                   var=pd.DataFrame(index=list("ABCDEF")))
    >>> mdata = mu.MuData({"rna": rna, "atac": atac})
    >>> mdata.obs["group"] = np.repeat(np.arange(8), 20)
    >>> genes = pd.DataFrame({"chrom": ["0"], "start": [60], "end": [90], "strand": ["+"],
    ...                       "gene_name": ["A"]})
    >>> mu.tl.peak_gene_links(mdata, genes, groupby="group", window=100, n_background=15)
    >>> links = mdata.uns["peak_gene_links"]
    >>> links[["gene", "peak", "distance"]].to_numpy().tolist(), bool(links["score"][0] > 0.9)
    ([['A', '0:0-50', -11]], True)
    """
    check_arguments(mdata, window, n_background, min_cells)
    rna = as_modality(mdata, kinds=keys.RNA_ALIASES)
    atac = as_modality(mdata, kinds=keys.ATAC_ALIASES)
    peaks = peaks_of(atac)
    annotated = as_genes(genes)
    require_common(peaks, annotated.body.chrom)
    known, columns = matched(annotated, rna)

    rows = {id(mod): positions_in(mdata, mod) for mod in (rna, atac)}
    joint = np.flatnonzero((rows[id(rna)] >= 0) & (rows[id(atac)] >= 0))
    codes = metacell_codes(mdata, joint, groupby, use_rep, n_metacells, random_state)
    joint, codes = joint[codes >= 0], codes[codes >= 0]

    expression, tested_genes, _ = means_of(rna, rows[id(rna)][joint], codes, min_cells)
    access, tested_peaks, mean_counts = means_of(atac, rows[id(atac)][joint], codes, min_cells)
    expression, varies = unit_rows(expression[columns])
    tested_genes = tested_genes[columns] & varies
    access, varies = unit_rows(access)
    tested_peaks &= varies

    pairs = candidates(peaks, known, window)
    kept = tested_genes[pairs.gene] & tested_peaks[pairs.peak]
    pairs = Candidates(*(part[kept] for part in pairs))
    usable = np.flatnonzero(tested_peaks)
    place = np.cumsum(tested_peaks) - 1
    near = pairs._replace(peak=place[pairs.peak])
    looks = np.log(np.stack([mean_counts[usable], peaks.width[usable]], axis=1))
    rng = np.random.default_rng(random_state)
    background = background_peaks(
        np.unique(near.peak), peaks.chrom[usable], looks, n_background, rng
    )
    scores = link_scores(access[usable], expression, near, background)
    names = rna.var_names[columns].to_numpy(dtype=object)[pairs.gene]
    mdata.uns[keys.PEAK_GENE_LINKS] = table_of(names, atac, pairs, scores)


def check_arguments(mdata: MuData, window: int, n_background: int, min_cells: int) -> None:
    """Raise where an argument is out of range."""
    if not isinstance(mdata, MuData):
        rule = "genes and peaks are in two modalities"
        raise ArgumentError(explain("mdata", f"a {type(mdata).__name__}", rule, "pass a MuData"))
    for argument, value, least in (
        ("window", window, 0),
        ("n_background", n_background, 2),
        ("min_cells", min_cells, 1),
    ):
        if value < least:
            rule = f"it must be {least} or more"
            raise ArgumentError(explain(argument, value, rule, f"pass {least} or more"))


def matched(genes: Genes, rna: Modality) -> tuple[Genes, Int64s]:
    """Return the annotated genes that the modality has, in its order, and their columns."""
    by_name = pd.Index(genes.name.astype(str)), rna.var_names
    ways = [by_name]
    if keys.GENE_IDS in rna.var:
        theirs = without_version(pd.Index(genes.gene_id.astype(str)))
        ways.insert(0, (theirs, without_version(pd.Index(rna.var[keys.GENE_IDS].astype(str)))))
    for annotated, own in ways:
        first = annotated[~annotated.duplicated()]
        at = first.get_indexer(own)
        columns = np.flatnonzero(at >= 0)
        if len(columns):
            positions = np.flatnonzero(~annotated.duplicated())[at[columns]]
            return genes.take(positions), columns
    rule = f"none of them is among the modality's ({', '.join(map(str, rna.var_names[:3]))}, ...)"
    got = f"{len(genes)} genes ({', '.join(map(str, genes.name[:3]))}, ...)"
    raise ArgumentError(explain("genes", got, rule, "name genes alike, or set var['gene_ids']"))


def without_version(ids: pd.Index) -> pd.Index:
    """Return identifiers without what follows a point, of Ensembl's alone.

    Examples
    --------
    >>> without_version(pd.Index(["ENSG00000000003.15", "RP11-34P13.7"])).tolist()
    ['ENSG00000000003', 'RP11-34P13.7']
    """
    bare: pd.Index = ids.str.replace(r"^(ENS[A-Z]*\d+)\.\d+$", r"\1", regex=True)
    return bare


def positions_in(mdata: MuData, modality: Modality) -> Int64s:
    """Return the row in a modality of each joint cell, -1 for none."""
    name = next(name for name, item in mdata.mod.items() if item is modality)
    return mdata.obs_positions(name)


def means_of(
    modality: Modality, rows: Int64s, codes: Int64s, min_cells: int
) -> tuple[Float64s, Bools, Float64s]:
    """Return means of normalised counts (features, groups), features in enough cells, mean counts.

    One pass; one more where sums of the counts are not known.
    """
    counts = raw_counts(modality, None, "peak_gene_links")
    features = matrix_sums(counts).features
    chosen = counts if np.array_equal(rows, np.arange(counts.shape[0])) else counts[rows]
    sizes = np.bincount(codes)
    reducer = GroupMomentsReducer(codes, len(sizes), counts.shape[1], squares=False)
    (moments,) = run_pass(normalised(chosen), reducer, label=f"means of {len(sizes)} groups")
    mean_counts = features.total / max(counts.shape[0], 1)
    return (moments.total / sizes[:, None]).T, features.nnz >= min_cells, mean_counts


def normalised(counts: LazyMatrix) -> LazyMatrix:
    """Return ``log1p(1e4 x_ij / n_i)``."""
    totals = cell_sums(counts).total
    factor = np.divide(TARGET_SUM, totals, out=np.zeros_like(totals), where=totals > 0)
    return counts.with_steps(ScaleRows(factor), Log1p())


def table_of(names: np.ndarray, atac: Modality, pairs: Candidates, scores: Scores) -> pd.DataFrame:
    """Return the links as a table."""
    peak = atac.var_names.to_numpy(dtype=object)[pairs.peak]
    columns = {"gene": names, "peak": peak, "distance": pairs.distance}
    return pd.DataFrame(columns | scores._asdict())
