"""Mark the features whose variance is more than noise."""

from __future__ import annotations

import logging
import warnings
from typing import Any, Literal, cast

import numpy as np
import pandas as pd

from lazymu import keys
from lazymu.containers import Modality, as_modality
from lazymu.containers.history import recorded
from lazymu.errors import ArgumentError, MissingResultError, explain
from lazymu.pp.dispersion import Cutoffs, Flavor
from lazymu.pp.representation import matrix_of
from lazymu.pp.value_sums import is_raw
from lazymu.pp.variable_features import batches_of, by_dispersion, by_variance
from lazymu.stream import LazyMatrix, matrix_sums

logger = logging.getLogger("lazymu")
AnyFlavor = Literal["seurat", "cell_ranger", "seurat_v3", "seurat_v3_paper"]
DEFAULT_TOP_V3 = 2000
RETURNED_ONLY = [keys.MEAN_BIN, keys.GENE_NAME]
"""Columns that are returned, as scanpy returns them, but not written."""


@recorded
def highly_variable_genes(
    adata: Modality,
    *,
    layer: str | None = None,
    n_top_genes: int | None = None,
    min_disp: float = 0.5,
    max_disp: float = np.inf,
    min_mean: float = 0.0125,
    max_mean: float = 3,
    span: float = 0.3,
    n_bins: int = 20,
    flavor: AnyFlavor = "seurat",
    subset: bool = False,
    inplace: bool = True,
    batch_key: str | None = None,
    filter_unexpressed_genes: bool | None = None,
    check_values: bool = True,
) -> pd.DataFrame | None:
    """Mark features that vary more than features of the same mean do.

    ``seurat`` and ``cell_ranger`` take logarithms and normalise the dispersion
    ``d_j = variance_j / mean_j`` within bins of like means; ``seurat`` computes it of ``expm1`` of
    the values, and takes its logarithm. ``seurat_v3`` takes counts: of ``z_ij = (x_ij - m_j) /
    s_j``, clipped from above at ``sqrt(n)``, the variance, where ``log10 s_j^2`` is a loess curve
    of the log variances on the log means.

    Parameters
    ----------
    adata
        A modality.
    layer
        Take this layer instead of `X`.
    n_top_genes
        Number of features to mark. For the ``v3`` flavours 2000 by default; else it stands in
        place of the cutoffs.
    min_disp, max_disp, min_mean, max_mean
        Cutoffs of normalised dispersion and mean, where ``n_top_genes`` is None.
    span
        Share of the features that each point of the loess curve is fitted to.
    n_bins
        Bins of ``seurat``.
    flavor
        ``"seurat"``, ``"cell_ranger"``, ``"seurat_v3"`` or ``"seurat_v3_paper"``.
    subset
        Keep only the features marked.
    inplace
        Write; otherwise return the table.
    batch_key
        Column of `obs`: rank features in each batch, then merge. ``seurat_v3`` merges by the
        median rank, ties by the number of batches that mark a feature; the others by that number,
        ties by mean dispersion or median rank. Cells without a label are in no batch.
    filter_unexpressed_genes
        Leave features without counts out of the bins; always done within batches.
    check_values
        Refuse values that are not whole numbers (``v3`` flavours).

    Returns
    -------
    pandas.DataFrame | None
        None, or the table of features.

    Raises
    ------
    NotCountsError
        If a ``v3`` flavour gets logarithms with no counts behind them, or values are negative,
        NaN or infinite.
    ArgumentError
        If an argument is out of its range, a batch has fewer than two cells, or ``seurat`` gets
        values that cannot be logarithms.
    MissingResultError
        If there is no such layer or column.

    Notes
    -----
    Writes into `var`: ``highly_variable`` and ``means``; ``dispersions``, ``dispersions_norm``; or
    ``variances``, ``variances_norm``, ``highly_variable_rank``; with a batch_key also
    ``highly_variable_nbatches`` and, but for the ``v3`` flavours,
    ``highly_variable_intersection``. Sets ``uns["hvg"] = {"flavor": flavor}``. A table that is
    returned also has ``mean_bin`` (intervals; scanpy 1.12 turns them into text), or ``gene_name``
    (``v3``).

    A ``v3`` flavour asked of a normalised matrix takes the counts that it was made of; where `X`
    was stored normalised, it takes ``layers["counts"]`` if there is one.

    Passes over X: one; two for the ``v3`` flavours; whatever the number of batches. Memory:
    40 bytes for each feature, batch and thread.

    References
    ----------
    R. Satija et al., Spatial reconstruction of single-cell gene expression data, Nat. Biotechnol.
    2015, doi:10.1038/nbt.3192 (``seurat``). G. Zheng et al., Massively parallel digital
    transcriptional profiling of single cells, Nat. Commun. 2017, doi:10.1038/ncomms14049
    (``cell_ranger``). T. Stuart et al., Comprehensive integration of single-cell data, Cell 2019,
    doi:10.1016/j.cell.2019.05.031 (``seurat_v3``). Results are those of scanpy's function of this
    name.

    Examples
    --------
    >>> import lazymu as sc, numpy as np
    >>> rna = sc.Modality(np.random.default_rng(0).poisson(np.arange(1, 30), (60, 29)))
    >>> sc.pp.highly_variable_genes(rna, n_top_genes=5, flavor="seurat_v3")
    >>> int(rna.var["highly_variable"].sum())
    5
    """
    modality = as_modality(adata)
    _check(flavor, n_top_genes)
    batches = batches_of(_labels(modality, batch_key), modality.n_obs)
    if flavor in ("seurat_v3", "seurat_v3_paper"):
        table = by_variance(
            _counts(modality, layer, flavor, check_values=check_values),
            batches,
            flavor=flavor,
            span=span,
            n_top_genes=n_top_genes or DEFAULT_TOP_V3,
            check_values=check_values,
        )
        table.insert(2, keys.GENE_NAME, modality.var_names.to_numpy(dtype=object))
        if batch_key is None:
            table = table.drop(columns=keys.HIGHLY_VARIABLE_NBATCHES)
    else:
        if batch_key is not None and filter_unexpressed_genes is False:
            message = "filter_unexpressed_genes=False has no effect within batches"
            warnings.warn(message, UserWarning, stacklevel=3)
        table = by_dispersion(
            matrix_of(modality, layer=layer),
            batches,
            modality.var_names,
            flavor=cast("Flavor", flavor),
            base=modality.uns.get(keys.LOG1P, {}).get("base"),
            n_bins=n_bins,
            chosen=_chosen(n_top_genes, Cutoffs(min_disp, max_disp, min_mean, max_mean)),
            by_batch=batch_key is not None,
            expressed_only=bool(filter_unexpressed_genes),
        )
    return _result(modality, table, flavor, subset=subset, inplace=inplace)


def _check(flavor: str, n_top_genes: int | None) -> None:
    known = ("seurat", "cell_ranger", "seurat_v3", "seurat_v3_paper")
    if flavor not in known:
        rule = f"known are {', '.join(known)}"
        raise ArgumentError(explain("flavor", repr(flavor), rule, "pass one of them"))
    if n_top_genes is not None and n_top_genes < 1:
        rule = "at least one feature must be marked"
        raise ArgumentError(explain("n_top_genes", n_top_genes, rule, "pass e.g. 2000"))


def _labels(modality: Modality, batch_key: str | None) -> pd.Series[Any] | None:
    if batch_key is None:
        return None
    if batch_key not in modality.obs:
        known = ", ".join(map(str, modality.obs.columns)) or "none"
        rule = f"columns of obs are: {known}"
        raise MissingResultError(explain("batch_key", repr(batch_key), rule, "name one of them"))
    return modality.obs[batch_key]


def _chosen(n_top_genes: int | None, cutoffs: Cutoffs) -> int | Cutoffs:
    if n_top_genes is None:
        return cutoffs
    if cutoffs != Cutoffs():
        message = "If you pass `n_top_genes`, all cutoffs are ignored."
        warnings.warn(message, UserWarning, stacklevel=4)
    return int(n_top_genes)


def _counts(
    modality: Modality, layer: str | None, flavor: str, *, check_values: bool
) -> LazyMatrix:
    """Return the counts behind a matrix: before its steps, or the layer of counts."""
    matrix = matrix_of(modality, layer=layer)
    if not is_raw(matrix):
        logger.info("flavor=%r takes the counts that the transformed values were made of", flavor)
        matrix = matrix.counts
    if not check_values or layer is not None or keys.COUNTS not in modality.layers:
        return matrix
    if matrix_sums(matrix).extremes.all_integer:
        return matrix
    logger.info("flavor=%r takes layers[%r], as X holds no counts", flavor, keys.COUNTS)
    return modality.layers[keys.COUNTS].counts


def _result(
    modality: Modality, table: pd.DataFrame, flavor: str, *, subset: bool, inplace: bool
) -> pd.DataFrame | None:
    """Write the table, or return it."""
    chosen = table[keys.HIGHLY_VARIABLE].to_numpy()
    table = table.set_axis(modality.var_names, axis=0)
    if not inplace:
        return table[chosen] if subset else table
    for column in table.columns.difference(RETURNED_ONLY, sort=False):
        values = table[column].to_numpy()
        single = column == keys.DISPERSIONS_NORM
        modality.var[column] = values.astype(np.float32) if single else values
    modality.uns[keys.HVG] = {"flavor": flavor}
    if subset:
        modality.subset_var(chosen)
    return None
