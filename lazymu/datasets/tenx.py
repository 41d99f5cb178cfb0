"""A simulated CITE-seq data set as a 10x ``.h5`` file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from lazymu import keys
from lazymu.datasets.assay import SimulatedAssay
from lazymu.datasets.cells import simulate_cells
from lazymu.datasets.designs import simulate_protein, simulate_rna
from lazymu.datasets.profiles import CITESEQ_RNA
from lazymu.store.arrays import Appender, Layout
from lazymu.store.replace import replacing
from lazymu.store.side_by_side import SideBySide
from lazymu.stream.matrix import LazyMatrix
from lazymu.stream.passes import iterate_blocks

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
    with (
        replacing(Path(path), overwrite=overwrite) as temporary,
        h5py.File(temporary, "w") as file,
    ):
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
    group = file.create_group("matrix")
    _write_strings(group, "barcodes", list(obs.index))
    # CSR of cells with all features, genes first, is CSC of features.
    rows = np.arange(len(obs))
    matrix = LazyMatrix(SideBySide(assays, [rows, rows]))
    _write_counts(group, matrix)
    group.create_dataset("shape", data=np.array(matrix.shape[::-1], dtype=np.int32))
    features = group.create_group("features")
    _write_strings(features, "_all_tag_keys", _TAG_KEYS)
    var = pd.concat([assay.var.astype(str) for assay in assays]).fillna("")
    _write_strings(features, "name", list(var.index))
    for name, column in _FEATURE_COLUMNS.items():
        _write_strings(features, name, list(var[column]))


def _write_counts(group: h5py.Group, matrix: LazyMatrix) -> None:
    """Write rows, one block after another; Cell Ranger's indices are int64 whatever the size."""
    capacity = int(matrix.row_values.sum())
    arrays = {
        name: Appender(group, name, None, dtype, Layout(), length)
        for name, dtype, length in (
            ("data", np.int32, capacity),
            ("indices", np.int64, capacity),
            ("indptr", np.int64, matrix.shape[0] + 1),
        )
    }
    arrays["indptr"].append(np.zeros(1, dtype=np.int64))
    n_values = 0
    for block in iterate_blocks(matrix, label="write rna and prot"):
        arrays["data"].append(block.X.data)
        arrays["indices"].append(block.X.indices)
        arrays["indptr"].append(n_values + block.X.indptr[1:].astype(np.int64))
        n_values += block.X.nnz
    for array in arrays.values():
        array.close()


def _write_strings(group: h5py.Group, name: str, values: Sequence[str]) -> None:
    """Write text as fixed-width bytes, as Cell Ranger does."""
    text = np.array(values, dtype=np.bytes_)
    options = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
    group.create_dataset(name, data=text, **options)
