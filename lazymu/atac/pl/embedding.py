"""Embeddings of cells coloured by the accessibility of genes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from lazymu import keys
from lazymu.atac.pl.gene_peaks import Average, GenePeaks
from lazymu.containers import Modality, MuData
from lazymu.containers.resolve import as_modality
from lazymu.pl import embedding as draw
from lazymu.pl.colorings import color_names
from lazymu.pl.coordinates import key_in
from lazymu.pl.draw.panels import Shown
from lazymu.pl.values import Data


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
        As in :func:`lazymu.pl.embedding`, in the modality's `obsm`; in the joint one of a MuData
        where that alone has it, as it has factors of MOFA.
    color
        Columns of `obs`, peaks, or genes that ``uns["atac"]["peak_annotation"]`` knows: a table by
        gene with the columns `peak` and `peak_type`. In a joint embedding also columns of the joint
        `obs`.
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
    drawn, key = _whose(data, mod, basis)
    genes = GenePeaks(mod, average, func, use_raw=use_raw, layer=layer, key=key)
    if color is not None:
        joint = pd.Index([]) if key is None else drawn.obs.columns
        names = [
            one
            for name in color_names(color)
            for one in ([name] if name in joint else genes.named([name], "color"))
        ]
        return draw(drawn, basis, names, use_raw, layer, **kwargs)
    return draw(drawn, basis, use_raw=use_raw, layer=layer, **kwargs)


def _whose(data: Modality | MuData, mod: Modality, basis: str) -> tuple[Data, str | None]:
    """Return what has the basis: the modality, else the MuData and the modality's name in it."""
    if isinstance(data, Modality) or key_in(mod.obsm, basis) or not key_in(data.obsm, basis):
        return mod, None
    return data, next(key for key, one in data.mod.items() if one is mod)


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


def pca(data: Modality | MuData, **kwargs: Any) -> Shown:
    """Draw principal components, ``obsm["X_pca"]``, coloured as :func:`embedding` does.

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
    D. Bredikhin et al., MUON, Genome Biology 2022, doi:10.1186/s13059-021-02577-8.

    Examples
    --------
    >>> import lazymu, numpy as np
    >>> atac = lazymu.Modality(np.eye(4), obsm={"X_pca": np.eye(4)})
    >>> lazymu.atac.pl.pca(atac, color="1", components="2,3", show=False).get_ylabel()
    'PC3'
    """
    return embedding(data, keys.X_PCA, **kwargs)


def mofa(mdata: Modality | MuData, **kwargs: Any) -> Shown:
    """Draw MOFA factors, ``obsm["X_mofa"]``, coloured as :func:`embedding` does.

    Parameters
    ----------
    mdata
        A MuData with a modality of peaks named atac, peaks or chromatin, or that modality. Factors
        are the modality's own where it has some, else the joint ones of :func:`lazymu.tl.mofa`.
    **kwargs
        The arguments of :func:`embedding`, but for ``basis``.

    Returns
    -------
        As :func:`embedding`, which also says what is written and read.

    References
    ----------
    R. Argelaguet et al., MOFA+: a statistical framework for comprehensive integration of
    multi-modal single-cell data, Genome Biology 2020, doi:10.1186/s13059-020-02015-1.

    Examples
    --------
    >>> import lazymu, numpy as np
    >>> mdata = lazymu.MuData({"atac": lazymu.Modality(np.eye(4))})
    >>> mdata.obsm["X_mofa"] = np.eye(4)
    >>> lazymu.atac.pl.mofa(mdata, color="1", show=False).get_xlabel()
    'Factor1'
    """
    return embedding(mdata, keys.X_MOFA, **kwargs)
