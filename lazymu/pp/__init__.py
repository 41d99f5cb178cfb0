"""Preprocessing of a modality: quality, filters, normalisation, variable features, PCA."""

from lazymu.pp.calculate_qc_metrics import calculate_qc_metrics
from lazymu.pp.filter_cells import filter_cells
from lazymu.pp.filter_genes import filter_genes
from lazymu.pp.filter_obs import filter_obs, filter_var
from lazymu.pp.highly_variable_genes import highly_variable_genes
from lazymu.pp.intersect_obs import intersect_obs
from lazymu.pp.l2norm import l2norm
from lazymu.pp.log1p import log1p
from lazymu.pp.neighbors import neighbors
from lazymu.pp.normalize_total import normalize_total
from lazymu.pp.pca import pca
from lazymu.pp.sample_obs import sample_obs
from lazymu.pp.scale import scale

__all__ = [
    "calculate_qc_metrics",
    "filter_cells",
    "filter_genes",
    "filter_obs",
    "filter_var",
    "highly_variable_genes",
    "intersect_obs",
    "l2norm",
    "log1p",
    "neighbors",
    "normalize_total",
    "pca",
    "sample_obs",
    "scale",
]
