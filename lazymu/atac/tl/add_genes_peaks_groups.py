"""The genes of ranked peaks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from lazymu import keys
from lazymu.atac.peaks import peak_annotation_of
from lazymu.containers import Modality, MuData, as_modality
from lazymu.containers.history import recorded
from lazymu.errors import ArgumentError, MissingResultError, explain
from lazymu.typing import Array


@recorded
def add_genes_peaks_groups(
    data: Modality | MuData, add_peak_type: bool = False, add_distance: bool = False
) -> None:
    """Add the genes of each ranked peak to a ranking of peaks.

    Parameters
    ----------
    data
        A modality of peaks, or a MuData with one (``"atac"``), that
        :func:`lazymu.tl.rank_genes_groups` was run on and whose ``uns["atac"]["peak_annotation"]``
        says which genes a peak has: a table indexed by gene, with columns `peak`, `peak_type` and
        `distance`, a row for each peak and gene.
    add_peak_type
        Also add what the peak is to each gene (promoter, distal, intergenic).
    add_distance
        Also add how far it is from each gene.

    Raises
    ------
    MissingResultError
        If peaks are not ranked, or there is no annotation, or no such column in it.
    ArgumentError
        If the annotation knows none of the peaks.

    Notes
    -----
    Writes ``uns["rank_genes_groups"]["genes"]``, a record array as ``"names"``, and dictionaries
    ``"peak_type"`` and ``"distance"`` of an array for each group. Where a peak has several genes,
    they are joined by ``", "``, in the order of the table; where it has none, there is ``""``, so
    that entries stand in the order of ``"names"``. Reads nothing of `X`: no pass.

    References
    ----------
    D. Bredikhin et al., MUON, Genome Biology 2022, doi:10.1186/s13059-021-02577-8.

    Examples
    --------
    >>> import lazymu as mu, numpy as np, pandas as pd
    >>> X = np.array([[4.0, 0.0], [5.0, 1.0], [0.0, 6.0], [1.0, 6.0]])
    >>> peaks = pd.DataFrame(index=["chr1:1-99", "chr1:200-299"])
    >>> atac = mu.Modality(X, obs={"cluster": ["a", "a", "b", "b"]}, var=peaks)
    >>> table = {"peak": ["chr1:1-99", "chr1:1-99"], "distance": [0, 80]}
    >>> table = pd.DataFrame(table, index=pd.Index(["CD4", "LAG3"], name="gene"))
    >>> atac.uns["atac"] = {"peak_annotation": table}
    >>> mu.tl.rank_genes_groups(atac, "cluster")
    >>> mu.atac.tl.add_genes_peaks_groups(atac, add_distance=True)
    >>> atac.uns["rank_genes_groups"]["genes"]["a"].tolist()
    ['CD4, LAG3', '']
    >>> atac.uns["rank_genes_groups"]["distance"]["a"].tolist()
    ['0, 80', '']
    """
    modality = as_modality(data, kinds=keys.ATAC_ALIASES)
    wanted = wanted_columns(add_peak_type=add_peak_type, add_distance=add_distance)
    add_genes(modality, keys.RANK_GENES_GROUPS, annotation_of(modality, wanted))


def wanted_columns(*, add_peak_type: bool, add_distance: bool) -> list[str]:
    """Return the columns of an annotation that are asked for."""
    asked = {keys.PEAK_TYPE: add_peak_type, keys.DISTANCE: add_distance}
    return [column for column, is_asked in asked.items() if is_asked]


def has_annotation(modality: Modality) -> bool:
    """Return whether there is a table of peaks and genes."""
    return keys.PEAK_ANNOTATION in modality.uns.get(keys.ATAC, {})


def annotation_of(modality: Modality, columns: list[str]) -> pd.DataFrame:
    """Return genes, and further columns, of each annotated peak: its entries joined by ``", "``.

    Raises
    ------
    MissingResultError
        If there is no annotation, or no such column in it.
    ArgumentError
        If it knows none of the peaks.
    """
    argument = f"uns[{keys.ATAC!r}][{keys.PEAK_ANNOTATION!r}]"
    table = peak_annotation_of(modality)
    for column in (keys.PEAK, *columns):
        if column not in table:
            got = f"with columns {', '.join(map(str, table.columns))}"
            fix = "add it, or do not ask for it"
            raise MissingResultError(explain(argument, got, f"{column!r} is needed", fix))
    entries = {keys.GENES: texts(table.index.to_series())}
    entries |= {column: texts(table[column]) for column in columns}
    peaks = pd.Index(table[keys.PEAK].astype(str), name=keys.PEAK)
    joined = pd.DataFrame({name: list(own) for name, own in entries.items()}, index=peaks)
    joined = joined.groupby(level=0, sort=False).agg(", ".join)
    if modality.n_vars and not modality.var_names.isin(joined.index).any():
        got = f"of peaks such as {next(iter(joined.index), '(none)')!r}"
        rule = f"features are called {modality.var_names[0]!r}"
        raise ArgumentError(explain(argument, got, rule, "call them as the table does"))
    return joined


def texts(column: pd.Series[Any]) -> Array:
    """Return entries as text, whole numbers without a fraction, missing ones empty."""
    return column.convert_dtypes().astype("string").fillna("").to_numpy(dtype=object)


def add_genes(modality: Modality, key: str, annotation: pd.DataFrame) -> None:
    """Add the annotation of ranked peaks to the ranking under a key of `uns`.

    Raises
    ------
    MissingResultError
        If there is no ranking.
    """
    if key not in modality.uns:
        rule, fix = f"uns has: {', '.join(modality.uns) or 'nothing'}", "rank the peaks first"
        raise MissingResultError(explain("uns", f"without {key!r}", rule, fix))
    result = modality.uns[key]
    names = result["names"]
    fields = list(names.dtype.names)
    tables = {group: annotation.reindex(names[group], fill_value="") for group in fields}
    for column in annotation.columns:
        arrays = [tables[group][column].to_numpy(dtype=object) for group in fields]
        if column == keys.GENES:
            result[column] = np.rec.fromarrays(arrays, dtype=[(group, "O") for group in fields])
        else:
            result[column] = dict(zip(fields, arrays, strict=True))
