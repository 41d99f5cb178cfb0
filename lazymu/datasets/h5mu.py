"""A simulated 10x Multiome data set as an ``.h5mu`` file."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from lazymu import keys
from lazymu.datasets.assay import SimulatedAssay
from lazymu.datasets.cells import Cells, simulate_cells
from lazymu.datasets.designs import simulate_atac, simulate_rna
from lazymu.datasets.hdf5 import append_csr, counts_in_order, new_hdf5
from lazymu.datasets.profiles import MULTIOME_RNA
from lazymu.store.element_writer import write_element

_INT32_LIMIT = np.iinfo(np.int32).max
# mudata looks for these words in the 512 bytes before the HDF5 signature.
_USERBLOCK = b"MuData (format-version=0.1.0;creator=lazymu)"
_EMPTY_GROUPS = ("obsm", "varm", "obsp", "varp", "uns")


def multiome(
    path: str | Path,
    n_cells: int = 5000,
    n_genes: int = 36_601,
    n_peaks: int = 108_377,
    n_clusters: int = 12,
    n_batches: int = 2,
    depth: float = 1.0,
    seed: int = 0,
    *,
    overwrite: bool = False,
) -> Path:
    """Write a simulated Multiome data set (RNA and peaks of the same cells) as ``.h5mu``.

    Counts are negative binomial around ``L_i p_sj``. Library sizes ``L_i`` and feature means follow
    the quantiles of a real PBMC Multiome run, empty features included; peaks hold cut sites, so
    that 2 is commoner than 1. Cell types differ by marker genes and marker peaks; CD4 Naive and CD4
    Memory differ only in peaks, B Naive and B Memory only in RNA. The file is written block by
    block; the same arguments give the same counts for any number of threads.

    Parameters
    ----------
    path
        File to write, usually ``*.h5mu``.
    n_cells
        Number of cells, present in both modalities.
    n_genes
        Number of genes; the last 13 are mitochondrial (``MT-``).
    n_peaks
        Number of peaks, named ``chr1:1000-1500``.
    n_clusters
        Number of cell types, in ``mdata.obs["cell_type"]``.
    n_batches
        Number of batches, in ``mdata.obs["batch"]``.
    depth
        Factor on the library sizes. At 1 a file with half of the default features has half of the
        counts a cell.
    seed
        Seed of the random numbers.
    overwrite
        Replace a file that exists.

    Returns
    -------
    The path written: modalities ``rna`` (n_cells, n_genes) and ``atac`` (n_cells, n_peaks), raw
    counts as int32 CSR.

    Raises
    ------
    ArgumentError
        If a number of cells, types or features is too small.
    StoreExistsError
        If the file exists and ``overwrite`` is false.

    Examples
    --------
    >>> import lazymu
    >>> path = lazymu.datasets.multiome("small.h5mu", n_cells=60, n_genes=300, n_peaks=500)
    >>> list(lazymu.read(path).mod)
    ['rna', 'atac']
    """
    cells = simulate_cells(n_cells, n_clusters, n_batches, seed)
    assays = {
        keys.RNA: simulate_rna(cells, n_genes, MULTIOME_RNA, depth=depth, seed=seed),
        keys.ATAC: simulate_atac(cells, n_peaks, depth=depth, seed=seed),
    }
    with new_hdf5(path, overwrite=overwrite, userblock=_USERBLOCK) as file:
        _write_mudata(file, cells, assays)
    return Path(path)


def _write_mudata(file: h5py.File, cells: Cells, assays: dict[str, SimulatedAssay]) -> None:
    file.attrs.update({"encoding-type": "MuData", "encoding-version": "0.1.0", "axis": 0})
    obs = cells.obs()
    names = [name for assay in assays.values() for name in assay.var.index]
    write_element(file, "obs", obs)
    write_element(file, "var", pd.DataFrame(index=pd.Index(names)))
    for name in (*_EMPTY_GROUPS, "obsmap", "varmap"):
        write_element(file, name, {})
    mod = file.create_group("mod")
    mod.attrs["mod-order"] = list(assays)
    rows = np.arange(1, cells.n_cells + 1, dtype=np.uint32)
    first = 0
    for name, assay in assays.items():
        _write_anndata(mod.create_group(name), obs[[]], assay)
        write_element(file["obsmap"], name, rows)
        positions = np.arange(1, len(names) + 1) - first
        outside = (positions < 1) | (positions > assay.shape[1])
        positions[outside] = 0
        write_element(file["varmap"], name, positions.astype(np.uint32))
        first += assay.shape[1]


def _write_anndata(group: h5py.Group, obs: pd.DataFrame, assay: SimulatedAssay) -> None:
    group.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
    X = group.create_group("X")
    X.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0"})
    X.attrs["shape"] = np.array(assay.shape, dtype=np.int64)
    # One signed type for both index arrays; which one must be known before the first block.
    expected = assay.library_sizes.sum()
    append_csr(X, counts_in_order(assay), np.int32 if expected < _INT32_LIMIT else np.int64)
    write_element(group, "obs", obs)
    write_element(group, "var", assay.var)
    for name in ("layers", *_EMPTY_GROUPS):
        write_element(group, name, {})
