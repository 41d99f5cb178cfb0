"""A simulated data set of any modalities, written as a stream."""

from __future__ import annotations

from pathlib import Path

from lazymu import keys
from lazymu.datasets.assay import SimulatedAssay
from lazymu.datasets.cells import Cells, simulate_cells
from lazymu.datasets.designs import simulate_atac, simulate_protein, simulate_rna
from lazymu.datasets.profiles import CITESEQ_RNA, MULTIOME_ATAC, MULTIOME_RNA
from lazymu.datasets.tenx import citeseq_10x
from lazymu.errors import ArgumentError, UnknownFormatError, explain
from lazymu.io.elements import ModalityElements, StoreElements
from lazymu.io.write import write_elements
from lazymu.store.locations import is_url, redacted
from lazymu.stream.matrix import LazyMatrix

N_GENES = MULTIOME_RNA.n_features
N_PEAKS = MULTIOME_ATAC.n_features
WRITTEN = (".zarr", ".h5mu", ".h5")
N_ANTIBODIES = 20
"""Antibodies of a CITE-seq file."""


def simulate(
    path: str | Path,
    n_cells: int = 5000,
    n_genes: int = N_GENES,
    n_peaks: int | None = None,
    n_antibodies: int | None = None,
    n_clusters: int = 12,
    n_batches: int = 2,
    depth: float = 1.0,
    seed: int = 0,
    *,
    overwrite: bool = False,
) -> Path:
    """Write a simulated data set of up to a million cells and more, whose cell types are known.

    The count of feature ``j`` in cell ``i`` of state ``s`` (its type and batch) is negative
    binomial with mean ``mu = L_i p_sj`` and variance ``mu (1 + theta_j)``. Library sizes ``L_i``
    and feature means follow the quantiles of real 10x data of PBMC: at the default widths a cell
    has some 2,300 genes and 8,300 peaks with counts, with half of the features half of that.

    Parameters
    ----------
    path
        Target; its suffix is the format: ``.zarr`` or ``.h5mu``, or ``.h5`` for a 10x CITE-seq file
        (:func:`citeseq_10x`).
    n_cells
        Number of cells, present in all modalities.
    n_genes
        Number of genes, in modality ``rna``; 0 leaves it out.
    n_peaks
        Number of peaks, in modality ``atac``; 0 leaves it out. By default 108,377, in ``.h5`` none.
    n_antibodies
        Number of antibodies, in modality ``prot``; 0 leaves it out. By default none, in ``.h5`` 20.
    n_clusters
        Number of cell types, in ``mdata.obs["cell_type"]``.
    n_batches
        Number of batches, in ``mdata.obs["batch"]``.
    depth
        Factor on the library sizes. At 1 a file with half of the profile's features has half of the
        counts a cell.
    seed
        Seed of the random numbers.
    overwrite
        Replace a file or store that exists.

    Returns
    -------
    The path written. ``X`` holds raw counts: in ``.zarr`` in the smallest type, with the sums that
    lazymu keeps; in ``.h5mu`` as int32 CSR.

    Raises
    ------
    ArgumentError
        If a number of cells, types or features is too small, if no modality is left, or if peaks
        are to go into a 10x file.
    UnknownFormatError
        If the suffix is none of the three.
    StoreExistsError
        If the target exists and ``overwrite`` is false.

    Notes
    -----
    Counts are drawn on all threads while the blocks before are written; the same arguments give
    the same counts for any number of threads and any memory limit, and the first cells of a larger
    data set are those of a smaller one. Peak memory keeps to `settings.memory_limit`, tables of
    some 450 bytes a cell and of 12 bytes a feature, type and batch apart.

    Examples
    --------
    >>> import lazymu
    >>> path = lazymu.datasets.simulate("small.zarr", n_cells=60, n_genes=300, n_peaks=500)
    >>> lazymu.read(path)["atac"].shape
    (60, 500)
    """
    if is_url(str(path)):
        rule = "simulated data are written to local paths"
        fix = "write it locally, and put it there by lazymu.convert"
        raise ArgumentError(explain("path", repr(redacted(path)), rule, fix))
    suffix = Path(path).suffix.lower()
    if suffix not in WRITTEN:
        rule = f"what can be simulated is {', '.join(WRITTEN)}"
        raise UnknownFormatError(explain("path", repr(str(path)), rule, "change its suffix"))
    if suffix == ".h5":
        _require_no_peaks(n_peaks)
        antibodies = N_ANTIBODIES if n_antibodies is None else n_antibodies
        shape = (n_cells, n_genes, antibodies, n_clusters, n_batches)
        return citeseq_10x(path, *shape, depth, seed, overwrite=overwrite)
    cells = simulate_cells(n_cells, n_clusters, n_batches, seed)
    peaks = N_PEAKS if n_peaks is None else n_peaks
    assays = _assays(cells, n_genes, peaks, n_antibodies or 0, depth, seed)
    obs = cells.obs()
    mod = {
        name: ModalityElements(LazyMatrix(assay), obs[[]], assay.var)
        for name, assay in assays.items()
    }
    write_elements(StoreElements(mod, obs=obs), path, overwrite=overwrite)
    return Path(path)


def _assays(
    cells: Cells, n_genes: int, n_peaks: int, n_antibodies: int, depth: float, seed: int
) -> dict[str, SimulatedAssay]:
    """Return the modalities that have features; genes are as deep as in runs of the same kind."""
    assays = {}
    if n_genes:
        profile = MULTIOME_RNA if n_peaks else CITESEQ_RNA
        assays[keys.RNA] = simulate_rna(cells, n_genes, profile, depth=depth, seed=seed)
    if n_peaks:
        assays[keys.ATAC] = simulate_atac(cells, n_peaks, depth=depth, seed=seed)
    if n_antibodies:
        assays[keys.PROT] = simulate_protein(cells, n_antibodies, depth=depth, seed=seed)
    if not assays:
        rule = "there are no peaks and no antibodies either"
        raise ArgumentError(explain("n_genes", n_genes, rule, f"pass n_genes={N_GENES}"))
    return assays


def _require_no_peaks(n_peaks: int | None) -> None:
    if n_peaks:
        rule = "a 10x .h5 file is written with genes and antibodies"
        raise ArgumentError(explain("n_peaks", n_peaks, rule, "write to .zarr or .h5mu"))
