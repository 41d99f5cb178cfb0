"""Dot plots of the accessibility of genes by group of cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from lazymu import keys
from lazymu.atac.pl.gene_peaks import Average, GenePeaks
from lazymu.atac.tl.rank_peaks_groups import grouping
from lazymu.containers import Modality, MuData
from lazymu.containers.resolve import as_modality
from lazymu.pl import dotplot as draw
from lazymu.pl.feature_groups import VarNames
from lazymu.pl.groups import GroupBy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NAMES = "var_names"
_COLORBAR_TITLE = "Mean accessibility\nin group"


def dotplot(
    data: Modality | MuData,
    var_names: VarNames,
    groupby: GroupBy | None = None,
    average: Average = "total",
    func: str = "mean",
    use_raw: bool = False,
    layer: str | None = None,
    **kwargs: Any,
) -> dict[str, Axes] | Figure | None:
    """Draw a dot for each group of cells and gene: how many cells have its peaks, and how much.

    What is drawn of a gene is ``func`` of its peaks in each cell: the area of a dot is the fraction
    of cells in which that is above ``expression_cutoff`` (0), its colour the mean over the group.

    Parameters
    ----------
    data
        The modality with peaks, or a MuData with one named atac, peaks or chromatin.
    var_names
        Genes that ``uns["atac"]["peak_annotation"]`` knows, peaks, or columns of `obs` with
        numbers; a mapping makes labelled groups of them.
    groupby
        A column of the modality's `obs` or of the joint one, or the group of each cell: a Series,
        aligned by its index, or a list. By default all cells are one group.
    average
        ``"total"``: one column for all peaks of a gene; ``"peak_type"``: one for each type of peak;
        None: one for each peak.
    func
        How peaks are put together: ``"mean"``, ``"sum"``, ``"max"``, ``"min"`` or ``"median"``.
    use_raw, layer
        Whether values come from `raw`, or from which layer; by default from `X` with its
        transforms, as in muon.
    **kwargs
        Further arguments of :func:`lazymu.pl.dotplot`.

    Returns
    -------
        As :func:`lazymu.pl.dotplot`.

    Raises
    ------
    MissingResultError
        If a name is none of a column, a peak and an annotated gene.
    ArgumentError
        If an argument does not fit.

    Notes
    -----
    Writes nothing. One pass over the matrix for all genes together, and one for peaks that are
    named; in memory three numbers for each group and column. A peak that a gene has twice counts
    once.

    References
    ----------
    D. Bredikhin et al., MUON, Genome Biology 2022, doi:10.1186/s13059-021-02577-8.

    Examples
    --------
    >>> import lazymu, numpy as np, pandas as pd
    >>> atac = lazymu.Modality(np.eye(4), obs={"group": list("aabb")})
    >>> table = pd.DataFrame({"peak": ["0", "2"], "peak_type": "promoter"}, index=["CD4", "CD4"])
    >>> atac.uns["atac"] = {"peak_annotation": table}
    >>> axes = lazymu.atac.pl.dotplot(atac, ["CD4", "1"], "group", show=False)
    >>> [label.get_text() for label in axes["mainplot_ax"].get_xticklabels()]
    ['CD4 (all peaks)', '1']
    """
    mod = as_modality(data, kinds=keys.ATAC_ALIASES)
    genes = GenePeaks(mod, average, func, use_raw=use_raw, layer=layer)
    names: VarNames
    if isinstance(var_names, Mapping):
        names = {label: genes.named(_listed(one), _NAMES) for label, one in var_names.items()}
    else:
        names = genes.named(_listed(var_names), _NAMES)
    if groupby is None:
        groups: GroupBy = pd.Series("all cells", index=mod.obs_names, dtype="category")
    else:
        groups = grouping(data, mod, groupby)
    words = {"colorbar_title": _COLORBAR_TITLE, **kwargs}
    return draw(mod, names, groups, use_raw=use_raw, layer=layer, **words)


def _listed(names: Any) -> list[str]:
    return [names] if isinstance(names, str) else list(names)
