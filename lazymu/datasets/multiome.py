"""A simulated 10x Multiome data set: RNA and peaks of the same cells."""

from __future__ import annotations

from pathlib import Path

from lazymu.datasets.simulate import N_GENES, N_PEAKS, simulate


def multiome(
    path: str | Path,
    n_cells: int = 5000,
    n_genes: int = N_GENES,
    n_peaks: int = N_PEAKS,
    n_clusters: int = 12,
    n_batches: int = 2,
    depth: float = 1.0,
    seed: int = 0,
    *,
    overwrite: bool = False,
) -> Path:
    """Write a simulated Multiome data set (RNA and peaks of the same cells).

    Library sizes and feature means follow the quantiles of a real PBMC Multiome run, empty features
    included; peaks hold cut sites, so that 2 is commoner than 1. Cell types differ by marker genes
    and marker peaks; CD4 Naive and CD4 Memory differ only in peaks, B Naive and B Memory only in
    RNA. :func:`simulate` says how counts are drawn and written.

    Parameters
    ----------
    path
        Target, ``.h5mu`` or ``.zarr``.
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
    The path written: modalities ``rna`` (n_cells, n_genes) and ``atac`` (n_cells, n_peaks).

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
    return simulate(
        path,
        n_cells,
        n_genes,
        n_peaks,
        n_clusters=n_clusters,
        n_batches=n_batches,
        depth=depth,
        seed=seed,
        overwrite=overwrite,
    )
