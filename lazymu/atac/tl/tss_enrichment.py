"""Enrichment of fragments at transcription start sites."""

from __future__ import annotations

import pandas as pd

from lazymu import keys
from lazymu.atac.tl.count_fragments_features import check_extension
from lazymu.atac.tl.regions import barcodes_of, fragments_path, given_features, regions_of
from lazymu.atac.tl.tss_pileup import CENTRE, pile_up_windows, profile_table, tss_scores
from lazymu.containers import Modality, MuData, as_modality
from lazymu.errors import ArgumentError, explain
from lazymu.io.fragments import FragmentFile
from lazymu.typing import RandomState


def tss_enrichment(
    data: Modality | MuData,
    features: pd.DataFrame | None = None,
    extend_upstream: int = 1000,
    extend_downstream: int = 1000,
    n_tss: int = 2000,
    return_tss: bool = True,
    random_state: RandomState = 0,
    barcodes: str | None = None,
) -> pd.DataFrame | None:
    r"""Score how much more fragments cover transcription start sites (TSS) than around them.

    The window of a TSS has the ``extend_upstream + 1 + extend_downstream`` bases from
    ``TSS - extend_upstream`` to ``TSS + extend_downstream``. What is counted is coverage, not
    insertions: every base of a fragment in the window counts, as often as the fragment was read
    (the file's last column). Windows are piled up by cell, and with ``c_p`` the coverage of a
    cell at position ``p``::

        score = mean(c_p of the 1001 bases in the middle) / mean(c_p of the first and last 100)

    Cells that have none in these flanks take the mean of all cells' flanks instead. Where no cell
    has any, scores are NaN.

    Parameters
    ----------
    data
        A modality of peak counts whose fragments file was located, or a MuData with one.
    features
        Table with the columns Chromosome (or chrom, chr), Start, End and perhaps Strand, in
        whatever case. The TSS is ``Start``; on the minus strand it is the last base, ``End - 1``,
        and the window is read backwards. By default the genes of the MuData's ``"rna"`` whose
        ``var["interval"]`` says where they are (Cell Ranger's interval is that of the TSS).
    extend_upstream, extend_downstream
        Bases of the window before and after the TSS, 1000 in all at least.
    n_tss
        Draw so many TSS where there are more.
    return_tss
        Return the profile.
    random_state
        Seed of the draw, as of ``pandas.DataFrame.sample``: an int draws the TSS that muon draws.
    barcodes
        Column of `obs` with the barcodes that the file uses; the cells' names by default.

    Returns
    -------
    pandas.DataFrame | None
        For each position of the window `TSS_position` (from ``-extend_upstream``), `coverage`, the
        sum over all cells and TSS, and `enrichment`, coverage over the mean of its flanks. None
        without ``return_tss``.

    Raises
    ------
    MissingResultError
        If no fragments file was located, or there is no such column.
    ArgumentError
        If features are not as above, the window is too small, or no barcode or chromosome of the
        file is known.
    DuplicateNamesError
        If two cells have the same barcode.
    DamagedFileError
        If a line of the file is wrong or the file is cut short; the message names the line.
    MemoryLimitError
        If the sweep does not fit the memory limit.

    Notes
    -----
    Writes ``obs["tss_score"]``. Passes over X: none. Reads the fragments file once. Memory: some
    350 MB, three counters for each cell and 128 bytes for each cell and TSS; muon makes a matrix of
    cells by positions.

    Scores are muon's where features have no strand, which muon does not heed, but for fragments
    that begin at the last base of a window: muon does not fetch these.

    References
    ----------
    ENCODE, https://www.encodeproject.org/data-standards/terms/#enrichment. D. Bredikhin et al.,
    MUON, Genome Biology 2022, doi:10.1186/s13059-021-02577-8.

    Examples
    --------
    >>> import lazymu as mu, numpy as np, pandas as pd
    >>> from pathlib import Path
    >>> fragments = [(900, 1), (1900, 30), (2850, 1)]  # where they begin, and reads
    >>> lines = [f"chr1\t{start}\t{start + 200}\tA\t{reads}" for start, reads in fragments]
    >>> _ = Path("fragments.tsv").write_text("\n".join(lines))
    >>> atac = mu.Modality(np.ones((1, 1)), obs=pd.DataFrame(index=["A"]))
    >>> mu.atac.tl.locate_fragments(atac, "fragments.tsv")
    >>> genes = pd.DataFrame({"Chromosome": ["chr1"], "Start": [2000], "End": [5000]})
    >>> profile = mu.atac.tl.tss_enrichment(atac, genes)
    >>> atac.obs["tss_score"].round(2).tolist(), profile.shape
    ([5.99], (2001, 3))
    """
    modality = as_modality(data, kinds=keys.ATAC_ALIASES)
    features = given_features(data, features)
    for name, n_bases in (
        ("extend_upstream", extend_upstream),
        ("extend_downstream", extend_downstream),
    ):
        check_extension(name, n_bases)
    width = int(extend_upstream) + 1 + int(extend_downstream)
    if width < CENTRE:
        got, rule = f"for {width} bases", f"scores compare {CENTRE} in the middle"
        raise ArgumentError(explain("extend_upstream", got, rule, "extend by 500 or more each way"))
    if n_tss < 1:
        raise ArgumentError(explain("n_tss", n_tss, "one is needed at least", "pass e.g. 2000"))
    if len(features) > n_tss:
        features = features.sample(n=n_tss, random_state=random_state)
    regions = regions_of(features)
    names = barcodes_of(modality, barcodes)
    fragments = FragmentFile(fragments_path(modality), names, regions.names)
    pileup = pile_up_windows(fragments, regions, modality.n_obs, int(extend_upstream), width)
    modality.obs[keys.TSS_SCORE] = tss_scores(pileup.counters, width)
    return profile_table(pileup.profile, int(extend_upstream)) if return_tss else None
