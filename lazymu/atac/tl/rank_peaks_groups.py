"""Peaks that distinguish groups of cells, with their genes."""

from __future__ import annotations

from typing import Any, TypeVar

import pandas as pd

from lazymu import keys
from lazymu.atac.tl.add_genes_peaks_groups import (
    add_genes,
    annotation_of,
    has_annotation,
    wanted_columns,
)
from lazymu.containers import Modality, MuData, as_modality
from lazymu.containers.history import recorded
from lazymu.errors import MissingResultError, explain
from lazymu.tl.rank_genes_groups import rank_genes_groups
from lazymu.typing import Array

G = TypeVar("G")


@recorded
def rank_peaks_groups(
    data: Modality | MuData,
    groupby: str | pd.Series[Any] | Array,
    add_peak_type: bool = False,
    add_distance: bool = False,
    **kwargs: Any,
) -> Modality | None:
    """Rank the peaks of each group of cells, and say which genes they belong to.

    :func:`lazymu.tl.rank_genes_groups` on the peaks, then :func:`add_genes_peaks_groups` where
    there is an annotation of peaks.

    Parameters
    ----------
    data
        A modality of peaks, or a MuData with one (``"atac"``).
    groupby
        A column of its `obs`, or else, in a MuData, of the joint `obs`; a Series, which is aligned
        by cell names; or one label for each cell.
    add_peak_type
        Also add what the peak is to each gene (promoter, distal, intergenic).
    add_distance
        Also add how far it is from each gene.
    **kwargs
        Arguments of :func:`lazymu.tl.rank_genes_groups`.

    Returns
    -------
    Modality | None
        None, or the copy with ``copy=True``.

    Raises
    ------
    MissingResultError
        If no `obs` has the column, or there is no annotation of peaks, or no such column in it,
        where one is asked for.
    ArgumentError
        If the annotation knows none of the peaks, or an argument of the test is wrong.

    Notes
    -----
    Writes ``uns["rank_genes_groups"]`` (or ``uns[key_added]``) as
    :func:`lazymu.tl.rank_genes_groups`, with the passes and the memory that it takes, and into it
    what :func:`add_genes_peaks_groups` adds. Without ``uns["atac"]["peak_annotation"]``, peaks are
    ranked alone.

    References
    ----------
    D. Bredikhin et al., MUON, Genome Biology 2022, doi:10.1186/s13059-021-02577-8.

    Examples
    --------
    >>> import lazymu as mu, numpy as np
    >>> X = np.array([[4.0, 0.0], [5.0, 1.0], [0.0, 6.0], [1.0, 6.0]])
    >>> mdata = mu.MuData({"atac": mu.Modality(X, var={"n": [0, 1]})})
    >>> mdata.obs["leiden_wnn"] = ["a", "a", "b", "b"]
    >>> mu.atac.tl.rank_peaks_groups(mdata, "leiden_wnn", method="wilcoxon")
    >>> mdata["atac"].uns["rank_genes_groups"]["names"]["b"].tolist()
    ['1', '0']
    """
    modality = as_modality(data, kinds=keys.ATAC_ALIASES)
    columns = wanted_columns(add_peak_type=add_peak_type, add_distance=add_distance)
    wanted = bool(columns) or has_annotation(modality)
    annotation = annotation_of(modality, columns) if wanted else None
    copied = rank_genes_groups(modality, grouping(data, modality, groupby), **kwargs)
    if annotation is not None:
        key = kwargs.get("key_added") or keys.RANK_GENES_GROUPS
        add_genes(modality if copied is None else copied, key, annotation)
    return copied


def grouping(data: Modality | MuData, modality: Modality, groupby: G) -> G | pd.Series[Any]:
    """Return what names the groups: a column of the modality, else of the joint `obs`.

    Raises
    ------
    MissingResultError
        If neither has it.
    """
    if not isinstance(groupby, str) or groupby in modality.obs or isinstance(data, Modality):
        return groupby
    if groupby not in data.obs:
        columns = [
            ", ".join(map(str, table.columns)) or "none" for table in (modality.obs, data.obs)
        ]
        rule = f"columns of obs are: {columns[0]}; of the joint obs: {columns[1]}"
        fix = "name one, or pass a Series of labels"
        raise MissingResultError(explain("groupby", repr(groupby), rule, fix))
    labels: pd.Series[Any] = data.obs[groupby]
    return labels
