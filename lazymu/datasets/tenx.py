"""A simulated CITE-seq data set as a 10x ``.h5`` file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp

from lazymu import keys
from lazymu.datasets.assay import SimulatedAssay
from lazymu.datasets.cells import simulate_cells
from lazymu.datasets.designs import simulate_protein, simulate_rna
from lazymu.datasets.hdf5 import append_csr, counts_in_order, new_hdf5, write_strings
from lazymu.datasets.profiles import CITESEQ_RNA
from lazymu.typing import CSR

TRUTH_SUFFIX = ".truth.csv"
# Cell Ranger's names of the feature attributes, and ours.
_FEATURE_COLUMNS = {
    "id": keys.GENE_IDS,
    "feature_type": keys.FEATURE_TYPES,
    "genome": keys.GENOME,
    "pattern": "pattern",
    "read": "read",
    "sequence": "sequence",
}
_TAG_KEYS = ("genome", "pattern", "read", "sequence")


def citeseq_10x(
    path: str | Path,
    n_cells: int = 5000,
    n_genes: int = 36_601,
    n_antibodies: int = 20,
    n_clusters: int = 12,
    n_batches: int = 2,
    depth: float = 1.0,
    seed: int = 0,
    *,
    overwrite: bool = False,
) -> Path:
    """Write a simulated CITE-seq data set as Cell Ranger 3 and later write it: one 10x ``.h5``.

    The model is that of :func:`lazymu.datasets.multiome`, calibrated to a real 10x data set of PBMC
    with TotalSeq-B antibodies. CD4 Naive and CD4 Memory differ only in proteins (CD45RA, CD45RO), B
    Naive and B Memory only in RNA. As a 10x file has no room for labels, the true cell types are
    written beside it as ``<name>.truth.csv`` with the columns barcode, ``cell_type`` and ``batch``.

    Parameters
    ----------
    path
        File to write, usually ``*.h5``.
    n_cells
        Number of cells.
    n_genes
        Number of genes; the last 13 are mitochondrial (``MT-``).
    n_antibodies
        Number of antibodies, named ``CD3_TotalSeqB``; the last is an isotype control.
    n_clusters
        Number of cell types.
    n_batches
        Number of batches; barcodes end in ``-1``, ``-2``.
    depth
        Factor on the library sizes. At 1 a file with half of the default genes has half of their
        counts a cell.
    seed
        Seed of the random numbers.
    overwrite
        Replace files that exist.

    Returns
    -------
    The path written, with features (n_genes + n_antibodies) x n_cells in one CSC matrix, raw counts
    as int32.

    Raises
    ------
    ArgumentError
        If a number of cells, types or features is too small.
    StoreExistsError
        If the file exists and ``overwrite`` is false.

    Examples
    --------
    >>> import lazymu
    >>> path = lazymu.datasets.citeseq_10x("small.h5", n_cells=60, n_genes=300)
    >>> lazymu.read_10x_h5(path)["prot"].shape
    (60, 20)
    """
    cells = simulate_cells(n_cells, n_clusters, n_batches, seed)
    assays = (
        simulate_rna(cells, n_genes, CITESEQ_RNA, depth=depth, seed=seed),
        simulate_protein(cells, n_antibodies, depth=depth, seed=seed),
    )
    obs = cells.obs()
    with new_hdf5(path, overwrite=overwrite) as file:
        _write_10x(file, obs, assays)
    obs.to_csv(truth_path(path), index_label="barcode")
    return Path(path)


def truth_path(path: str | Path) -> Path:
    """Return where the true types of a simulated 10x file stand: ``x.h5`` -> ``x.truth.csv``."""
    return Path(path).with_suffix(TRUTH_SUFFIX)


def _write_10x(
    file: h5py.File, obs: pd.DataFrame, assays: tuple[SimulatedAssay, SimulatedAssay]
) -> None:
    attributes = {"filetype": "matrix", "version": 2, "software_version": "lazymu-simulation"}
    file.attrs.update({**attributes, "chemistry_description": "simulated"})
    file.attrs["library_ids"] = np.array([b"simulated"])
    file.attrs["original_gem_groups"] = np.arange(1, obs["batch"].cat.categories.size + 1)
    matrix = file.create_group("matrix")
    write_strings(matrix, "barcodes", list(obs.index))
    # Cell Ranger writes the indices as int64 whatever the size.
    append_csr(matrix, _side_by_side(*assays), np.int64)
    n_features = sum(assay.shape[1] for assay in assays)
    matrix.create_dataset("shape", data=np.array([n_features, len(obs)], dtype=np.int32))
    features = matrix.create_group("features")
    write_strings(features, "_all_tag_keys", _TAG_KEYS)
    var = pd.concat([assay.var.astype(str) for assay in assays]).fillna("")
    write_strings(features, "name", list(var.index))
    for name, column in _FEATURE_COLUMNS.items():
        write_strings(features, name, list(var[column]))


def _side_by_side(rna: SimulatedAssay, prot: SimulatedAssay) -> Iterator[CSR]:
    """Yield blocks of cells with all features, genes first; CSR of cells is CSC of features."""
    for genes, antibodies in zip(counts_in_order(rna), counts_in_order(prot), strict=True):
        yield sp.csr_matrix(sp.hstack([genes, antibodies], format="csr"))
