"""lazymu: muon for single-cell data that does not fit in memory."""

from lazymu import atac, cluster, datasets, get, pl, pp, prot, report, tl
from lazymu.containers import (
    Modality,
    MuData,
    batches,
    concat,
    read,
    read_10x_h5,
    read_10x_mtx,
    read_h5ad,
    read_h5mu,
    read_zarr,
    to_anndata,
)
from lazymu.io import convert, export, validate
from lazymu.settings import settings
from lazymu.stream import LazyMatrix

__version__ = "0.1.0"

__all__ = [
    "LazyMatrix",
    "Modality",
    "MuData",
    "atac",
    "batches",
    "cluster",
    "concat",
    "convert",
    "datasets",
    "export",
    "get",
    "pl",
    "pp",
    "prot",
    "read",
    "read_10x_h5",
    "read_10x_mtx",
    "read_h5ad",
    "read_h5mu",
    "read_zarr",
    "report",
    "settings",
    "tl",
    "to_anndata",
    "validate",
]
