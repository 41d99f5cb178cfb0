"""Genes of peaks, from Cell Ranger's table."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from lazymu import keys
from lazymu.atac.peak_tables import long_table, read_table
from lazymu.atac.peaks import store_peak_annotation
from lazymu.containers import Modality, MuData, as_modality
from lazymu.containers.history import recorded


@recorded
def add_peak_annotation(
    data: Modality | MuData,
    annotation: str | Path | pd.DataFrame,
    sep: str = "\t",
    return_annotation: bool = False,
) -> pd.DataFrame | None:
    """Add Cell Ranger's table of the genes of each peak.

    Tables of all versions of Cell Ranger ATAC and ARC are known: with a column `peak`
    (``chr1:100-200`` or ``chr1_100_200``) or columns `chrom`, `start` and `end`; with one row for
    a peak and a gene, or lists of genes separated by ``;``.

    Parameters
    ----------
    data
        A modality of peak counts, or a MuData with one (``"atac"``).
    annotation
        Path of ``atac_peak_annotation.tsv`` (perhaps compressed), or the table itself, with
        columns `gene`, `distance` and `peak_type` beside those above.
    sep
        What separates the columns of a file.
    return_annotation
        Return the table too.

    Returns
    -------
    pandas.DataFrame | None
        The table, with ``return_annotation``.

    Raises
    ------
    ArgumentError
        If a column is missing.
    MissingFileError
        If there is no such file.
    DamagedFileError
        Naming the file and the line that is no record.

    Notes
    -----
    Writes ``uns["atac"]["peak_annotation"]``: `peak`, `distance` (from the TSS; missing where there
    is no gene) and `peak_type`, a row for each peak and gene, indexed by gene ('' for none). Passes
    over X: none.

    References
    ----------
    D. Bredikhin et al., MUON, Genome Biology 2022, doi:10.1186/s13059-021-02577-8.

    Examples
    --------
    >>> import lazymu as mu, numpy as np, pandas as pd
    >>> atac = mu.Modality(np.array([[1]]), var=pd.DataFrame(index=["chr1:100-200"]))
    >>> table = pd.DataFrame({"peak": ["chr1_100_200"], "gene": ["A;B"], "distance": ["0;-50"],
    ...                       "peak_type": ["promoter;distal"]})
    >>> mu.atac.tl.add_peak_annotation(atac, table)
    >>> atac.uns["atac"]["peak_annotation"].loc[["B"]].to_numpy().tolist()
    [['chr1:100-200', -50, 'distal']]
    """
    modality = as_modality(data, kinds=keys.ATAC_ALIASES)
    if isinstance(annotation, pd.DataFrame):
        table = long_table(annotation, "a table")
    else:
        path = Path(annotation).expanduser()
        table = long_table(read_table(path, sep), repr(str(path)))
    store_peak_annotation(modality, table)
    return table if return_annotation else None
