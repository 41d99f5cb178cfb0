"""Embeddings of cells coloured by the accessibility of genes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from lazymu import keys
from lazymu.atac.pl.peak_averages import Average, averages, peaks_of, source
from lazymu.containers import Modality, MuData
from lazymu.containers.resolve import as_modality
from lazymu.errors import ArgumentError, explain
from lazymu.pl import embedding as draw
from lazymu.pl.colorings import color_names
from lazymu.pl.draw.panels import Shown
from lazymu.pl.groups import colors_key
from lazymu.typing import Float64s, Int64s


def embedding(
    data: Modality | MuData,
    basis: str,
    color: str | Sequence[str] | None = None,
    average: Average = "total",
    func: str = "mean",
    use_raw: bool | None = None,
    layer: str | None = None,
    **kwargs: Any,
) -> Shown:
    """Draw an embedding of the peaks' modality; a gene's name stands for an average of its peaks.

    Parameters
    ----------
    data
        The modality with peaks, or a MuData with one named atac, peaks or chromatin.
    basis
        As in :func:`lazymu.pl.embedding`, in the modality's `obsm`.
    color
        Columns of `obs`, peaks, or genes that ``uns["atac"]["peak_annotation"]`` knows: a table by
        gene with the columns `peak` and `peak_type`.
    average
        ``"total"``: one panel for all peaks of a gene; ``"peak_type"``: one for each type of peak;
        None: one for each peak.
    func
        How peaks are put together: ``"mean"``, ``"sum"``, ``"max"``, ``"min"`` or ``"median"``.
    use_raw, layer
        Where values come from, as in :func:`lazymu.pl.embedding`.
    **kwargs
        Further arguments of :func:`lazymu.pl.embedding`.

    Returns
    -------
        As :func:`lazymu.pl.embedding`.

    Raises
    ------
    MissingResultError
        If a name is none of a column, a peak and an annotated gene.
    ArgumentError
        If an argument does not fit.

    Notes
    -----
    Writes ``uns[f"{color}_colors"]`` as :func:`lazymu.pl.embedding` does. One pass over the matrix
    for all genes together; in memory ``n_obs`` values for each panel.

    Examples
    --------
    >>> import lazymu, numpy as np, pandas as pd
    >>> atac = lazymu.Modality(np.eye(4), obsm={"X_lsi": np.eye(4)})
    >>> table = pd.DataFrame({"peak": ["0", "2"], "peak_type": "promoter"}, index=["CD4", "CD4"])
    >>> atac.uns["atac"] = {"peak_annotation": table}
    >>> lazymu.atac.pl.embedding(atac, "X_lsi", color="CD4", show=False).get_title()
    'CD4 (all peaks)'
    """
    mod = as_modality(data, kinds=keys.ATAC_ALIASES)
    if average not in ("total", "peak_type", None):
        rule = 'it is "total", "peak_type" or None'
        raise ArgumentError(explain("average", repr(average), rule, "pass one of them"))
    if color is None:
        return draw(mod, basis, use_raw=use_raw, layer=layer, **kwargs)
    matrix, peaks = source(mod, use_raw=use_raw, layer=layer)
    names: list[str] = []
    sets: dict[str, Int64s] = {}
    for name in color_names(color):
        is_gene = name not in mod.obs and name not in peaks and name not in mod.var_names
        found = peaks_of(mod, peaks, name, average) if is_gene else {}
        sets.update(found)
        names.extend(found if is_gene else [name])
    shown = (
        mod if not sets else _with_columns(mod, sets, averages(matrix, list(sets.values()), func))
    )
    result = draw(shown, basis, color=names, use_raw=use_raw, layer=layer, **kwargs)
    for name in names:
        if colors_key(name) in shown.uns:
            mod.uns[colors_key(name)] = shown.uns[colors_key(name)]
    return result


def _with_columns(mod: Modality, sets: Mapping[str, Int64s], values: Float64s) -> Modality:
    """Return a modality that shares all of ``mod``, with the values as columns of `obs`."""
    columns = pd.DataFrame(values, index=mod.obs_names, columns=list(sets))
    kept = mod.obs.drop(columns=[name for name in sets if name in mod.obs])
    return Modality.from_elements(replace(mod.to_elements(), obs=kept.join(columns)))


def umap(data: Modality | MuData, **kwargs: Any) -> Shown:
    """Draw the modality's UMAP, ``obsm["X_umap"]``, coloured as :func:`embedding` does.

    Parameters
    ----------
    data
        The modality with peaks, or a MuData with one named atac, peaks or chromatin.
    **kwargs
        The arguments of :func:`embedding`, but for ``basis``.

    Returns
    -------
        As :func:`embedding`, which also says what is written and read.

    References
    ----------
    McInnes, Healy and Melville, UMAP: uniform manifold approximation and projection (2018),
    doi:10.48550/arXiv.1802.03426.

    Examples
    --------
    >>> import lazymu, numpy as np
    >>> atac = lazymu.Modality(np.eye(4), obsm={"X_umap": np.eye(4)[:, :2]})
    >>> lazymu.atac.pl.umap(atac, color="1", show=False).get_xlabel()
    'UMAP1'
    """
    return embedding(data, keys.X_UMAP, **kwargs)


def lsi(data: Modality | MuData, **kwargs: Any) -> Shown:
    """Draw LSI components, ``obsm["X_lsi"]``, coloured as :func:`embedding` does.

    Parameters
    ----------
    data
        The modality with peaks, or a MuData with one named atac, peaks or chromatin.
    **kwargs
        The arguments of :func:`embedding`, but for ``basis``.

    Returns
    -------
        As :func:`embedding`, which also says what is written and read.

    References
    ----------
    D. A. Cusanovich et al., Cell 2018, doi:10.1016/j.cell.2018.06.052.

    Examples
    --------
    >>> import lazymu, numpy as np
    >>> atac = lazymu.Modality(np.eye(4), obsm={"X_lsi": np.eye(4)})
    >>> lazymu.atac.pl.lsi(atac, components="2,3", show=False).get_ylabel()
    'LSI3'
    """
    return embedding(data, keys.X_LSI, **kwargs)
