"""The ratio of fragments that span a nucleosome to those that span none."""

from __future__ import annotations

import numpy as np

from lazymu import keys
from lazymu.atac.tl.regions import barcodes_of, fragments_path
from lazymu.containers import Modality, MuData, as_modality
from lazymu.containers.history import recorded
from lazymu.errors import ArgumentError, explain
from lazymu.io.fragments import FragmentFile
from lazymu.typing import Float64s, Int64s


@recorded
def nucleosome_signal(
    data: Modality | MuData,
    n: int | float | None = None,
    nucleosome_free_upper_bound: int = 147,
    mononuleosomal_upper_bound: int = 294,
    barcodes: str | None = None,
) -> None:
    r"""Divide the fragments of a cell that span one nucleosome by those that span none.

    With the length ``end - start`` of a fragment, ``free`` is the number shorter than 147 bases
    and ``mono`` the number of the others shorter than 294; each fragment counts once, however
    many reads it has. The signal is ``mono / free``, or ``mono + 1`` where ``free`` is 0. Cells
    without any fragment therefore have 1.

    Parameters
    ----------
    data
        A modality of peak counts whose fragments file was located, or a MuData with one.
    n
        Use only the first ``n`` fragments of the file, of whatever cell; all by default. Files are
        sorted by position, so that the first ones are of the first chromosome alone; muon by
        default takes 10,000 times the number of cells.
    nucleosome_free_upper_bound
        Length from which on a fragment spans a nucleosome.
    mononuleosomal_upper_bound
        Length from which on it spans more than one (spelt as muon does).
    barcodes
        Column of `obs` with the barcodes that the file uses; the cells' names by default.

    Raises
    ------
    MissingResultError
        If no fragments file was located, or there is no such column.
    ArgumentError
        If bounds do not rise, ``n`` is not above 0, or no barcode of the file is known.
    DuplicateNamesError
        If two cells have the same barcode.
    DamagedFileError
        If a line of the file is wrong or the file is cut short; the message names the line.
    MemoryLimitError
        If the sweep does not fit the memory limit.

    Notes
    -----
    Writes ``obs["nucleosome_signal"]``. Passes over X: none. Reads the fragments file once. Memory:
    some 130 MB, and 144 bytes for each cell.

    References
    ----------
    T. Stuart et al., Signac, Nature Methods 2021, doi:10.1038/s41592-021-01282-5.

    Examples
    --------
    >>> import lazymu as mu, numpy as np, pandas as pd
    >>> from pathlib import Path
    >>> lines = ["chr1\t0\t100\tA\t1", "chr1\t50\t250\tA\t1", "chr2\t0\t200\tA\t3"]
    >>> _ = Path("fragments.tsv").write_text("\n".join(lines))
    >>> atac = mu.Modality(np.ones((1, 1)), obs=pd.DataFrame(index=["A"]))
    >>> mu.atac.tl.locate_fragments(atac, "fragments.tsv")
    >>> mu.atac.tl.nucleosome_signal(atac)
    >>> atac.obs["nucleosome_signal"].tolist()
    [2.0]
    """
    modality = as_modality(data, kinds=keys.ATAC_ALIASES)
    bounds = np.array([nucleosome_free_upper_bound, mononuleosomal_upper_bound], np.int64)
    if not 0 < bounds[0] < bounds[1]:
        rule = f"it must be above nucleosome_free_upper_bound, {bounds[0]}, and that above 0"
        got = mononuleosomal_upper_bound
        raise ArgumentError(
            explain("mononuleosomal_upper_bound", got, rule, "leave them out for 147 and 294")
        )
    if n is not None and n < 1:
        rule = "it is a number of fragments"
        raise ArgumentError(explain("n", n, rule, "leave it out to take all"))
    fragments = FragmentFile(fragments_path(modality), barcodes_of(modality, barcodes))
    counts = length_classes(fragments, modality.n_obs, bounds, None if n is None else int(n))
    modality.obs[keys.NUCLEOSOME_SIGNAL] = signal(counts)


def length_classes(fragments: FragmentFile, n_cells: int, bounds: Int64s, n: int | None) -> Int64s:
    """Return how many of the first ``n`` fragments are below the bounds, by cell: (cells, 2)."""
    from lazymu.kernels.fragments import add_length_classes

    counts = np.zeros((n_cells, 2), np.int64)
    for block in fragments.blocks(n, label="nucleosome signal"):
        add_length_classes(block.start, block.end, block.cell, bounds, counts)
    return counts


def signal(counts: Int64s) -> Float64s:
    """Return the second count over the first, both one more where the first is 0."""
    more = counts[:, 0] == 0
    ratio: Float64s = (counts[:, 1] + more) / (counts[:, 0] + more)
    return ratio
