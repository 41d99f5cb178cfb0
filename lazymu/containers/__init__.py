"""MuData and its modalities: axes, alignment by name, selections, writing; no numerics."""

from lazymu.containers.batching import batches
from lazymu.containers.concatenation import concat
from lazymu.containers.modality import Modality
from lazymu.containers.mudata import MuData
from lazymu.containers.reading import (
    read,
    read_10x_h5,
    read_10x_mtx,
    read_h5ad,
    read_h5mu,
    read_zarr,
)
from lazymu.containers.resolve import as_modality
from lazymu.containers.wide import to_anndata

__all__ = [
    "Modality",
    "MuData",
    "as_modality",
    "batches",
    "concat",
    "read",
    "read_10x_h5",
    "read_10x_mtx",
    "read_h5ad",
    "read_h5mu",
    "read_zarr",
    "to_anndata",
]
