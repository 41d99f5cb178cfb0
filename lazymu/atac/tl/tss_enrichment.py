"""Enrichment of fragments at transcription start sites."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from lazymu import keys
from lazymu.atac.tl.count_fragments_features import check_extension
from lazymu.atac.tl.rank_peaks_groups import grouping
from lazymu.atac.tl.regions import barcodes_of, fragments_path, given_features, regions_of
from lazymu.atac.tl.tss_pileup import CENTRE, pile_up_windows, profile_table, tss_scores
from lazymu.containers import Modality, MuData, as_modality
from lazymu.containers.history import recorded
from lazymu.errors import ArgumentError, explain
from lazymu.io.fragments import FragmentFile
from lazymu.tl.grouping import codes_and_categories, labels_of
from lazymu.typing import Int64s, RandomState

Grouping: TypeAlias = "str | pd.Series[Any]"
"""A column of `obs`, or the group of each cell by name."""


@recorded
def tss_enrichment(
    data: Modality | MuData,
    features: pd.DataFrame | None = None,
    extend_upstream: int = 1000,
    extend_downstream: int = 1000,
    n_tss: int = 2000,
    return_tss: bool = True,
    random_state: RandomState = 0,
    barcodes: str | None = None,
    *,
    groupby: Grouping | Sequence[Grouping] | None = None,
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
    groupby
        Column of the modality's `obs` or of the joint one, or a Series, aligned by its index; or
        several of them. One profile for each group of cells (each combination that occurs) instead
        of one for all. Cells without a group are in no profile.

    Returns
    -------
    pandas.DataFrame | None
        For each position of the window `TSS_position` (from ``-extend_upstream``), `coverage`, the
        sum over all cells and TSS, and `enrichment`, coverage over the mean of its flanks. With
        ``groupby`` the groups one below the other, named in columns before these. None without
        ``return_tss``. :func:`lazymu.atac.pl.tss_enrichment` draws it.

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
    350 MB, three counters for each cell, 128 bytes for each cell and TSS, and 40 for each group and
    position; muon makes a matrix of cells by positions.

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
    codes, groups = _groups(data, modality, groupby)
    fragments = FragmentFile(fragments_path(modality), names, regions.names)
    pileup = pile_up_windows(fragments, regions, codes, len(groups), int(extend_upstream), width)
    modality.obs[keys.TSS_SCORE] = tss_scores(pileup.counters, width)
    if not return_tss:
        return None
    return profile_table(pileup.profiles, int(extend_upstream), groups)


def _groups(
    data: Modality | MuData, modality: Modality, groupby: Grouping | Sequence[Grouping] | None
) -> tuple[Int64s, pd.DataFrame]:
    """Return the group of each cell, -1 for none, and a row of labels for each group."""
    if groupby is None:
        return np.zeros(modality.n_obs, np.int64), pd.DataFrame(index=[0])
    given = [groupby] if isinstance(groupby, str | pd.Series) else list(groupby)
    if not given:
        rule = "it names columns of obs"
        raise ArgumentError(explain("groupby", "empty", rule, "name one, or leave it out"))
    labels = [labels_of(modality, grouping(data, modality, one)) for one in given]
    found = [codes_and_categories(one) for one, _ in labels]
    sizes = tuple(max(len(categories), 1) for _, categories in found)
    known = np.all([codes >= 0 for codes, _ in found], axis=0)
    flat = np.ravel_multi_index([np.where(known, codes, 0) for codes, _ in found], sizes)
    occurring, within = np.unique(flat[known], return_inverse=True)
    group = np.full(modality.n_obs, -1, np.int64)
    group[known] = within
    places = np.unravel_index(occurring, sizes)
    rows = {
        name: pd.Categorical.from_codes(place, categories=categories.astype(str))
        for (_, name), place, (_, categories) in zip(labels, places, found, strict=True)
    }
    return group, pd.DataFrame(rows)
