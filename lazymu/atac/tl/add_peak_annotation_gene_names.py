"""Names of the genes of peaks that are known by their identifiers."""

from __future__ import annotations

import pandas as pd

from lazymu import keys
from lazymu.atac.peaks import peak_annotation_of, store_peak_annotation
from lazymu.containers import Modality, MuData, as_modality
from lazymu.containers.history import recorded
from lazymu.errors import ArgumentError, MissingResultError, explain


@recorded
def add_peak_annotation_gene_names(
    data: Modality | MuData,
    gene_names: pd.DataFrame | None = None,
    join_on: str | None = None,
    return_annotation: bool = False,
) -> pd.DataFrame | None:
    """Give the genes of a peak annotation their names, where it has their identifiers.

    Parameters
    ----------
    data
        A modality of peak counts, or a MuData with one (``"atac"``).
    gene_names
        A table indexed by gene name, with identifiers in a column; by default the `var` of the
        RNA modality.
    join_on
        That column; ``"gene_ids"`` by default.
    return_annotation
        Return the table too.

    Returns
    -------
    pandas.DataFrame | None
        The table, with ``return_annotation``.

    Raises
    ------
    MissingResultError
        If there is no peak annotation, or ``gene_names`` lacks the column.
    ArgumentError
        If no gene names are given and ``data`` is a modality.
    ModalityNotFoundError
        If a MuData has no RNA modality to take them from.

    Notes
    -----
    Writes ``uns["atac"]["peak_annotation"]`` anew. Where its index holds identifiers, names become
    the index, `gene_name`, and identifiers the first column, called as ``join_on``; '' stands where
    there is no name. Where its index holds names already, it is called `gene_name`. Else the table
    stays as it is. Passes over X: none.

    References
    ----------
    D. Bredikhin et al., MUON, Genome Biology 2022, doi:10.1186/s13059-021-02577-8.

    Examples
    --------
    >>> import lazymu as mu, numpy as np, pandas as pd
    >>> atac = mu.Modality(np.array([[1]]), var=pd.DataFrame(index=["chr1:100-200"]))
    >>> table = pd.DataFrame({"peak": ["chr1:100-200"], "gene": ["ENSG1"], "distance": [0],
    ...                       "peak_type": ["promoter"]})
    >>> mu.atac.tl.add_peak_annotation(atac, table)
    >>> names = pd.DataFrame({"gene_ids": ["ENSG1"]}, index=["CD4"])
    >>> mu.atac.tl.add_peak_annotation_gene_names(atac, names)
    >>> atac.uns["atac"]["peak_annotation"].index.tolist()
    ['CD4']
    """
    modality = as_modality(data, kinds=keys.ATAC_ALIASES)
    table = peak_annotation_of(modality)
    if gene_names is None:
        gene_names = _var_of_rna(data)
    named = with_names(table, gene_names, keys.GENE_IDS if join_on is None else join_on)
    store_peak_annotation(modality, named)
    return named if return_annotation else None


def _var_of_rna(data: Modality | MuData) -> pd.DataFrame:
    if isinstance(data, MuData):
        return as_modality(data, kinds=keys.RNA_ALIASES).var
    rule = "a modality of peaks does not know the names of genes"
    fix = "pass a table of them, or the MuData"
    raise ArgumentError(explain("gene_names", None, rule, fix))


def with_names(table: pd.DataFrame, gene_names: pd.DataFrame, join_on: str) -> pd.DataFrame:
    """Return the annotation indexed by names, found by the identifiers that its index holds."""
    if join_on not in gene_names:
        known = ", ".join(map(str, gene_names.columns)) or "none"
        rule = f"columns of gene_names are: {known}"
        raise MissingResultError(explain("join_on", repr(join_on), rule, "name one of them"))
    names = pd.Series(gene_names.index.astype(str), index=pd.Index(gene_names[join_on]))
    if not table.index.isin(names.index).any():
        named = bool(table.index.isin(gene_names.index).any())
        return table.rename_axis(keys.GENE_NAME) if named else table
    joined = table.join(names.rename(keys.GENE_NAME)).rename_axis(join_on).reset_index()
    joined[keys.GENE_NAME] = joined[keys.GENE_NAME].fillna("")
    return joined.set_index(keys.GENE_NAME)
