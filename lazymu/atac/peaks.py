"""The peaks of a modality as intervals, and the table that says which genes they belong to."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from lazymu import keys
from lazymu.containers import Modality
from lazymu.errors import MissingResultError, explain
from lazymu.genomics import Intervals, parse_intervals


def peaks_of(modality: Modality) -> Intervals:
    """Return the peaks: of ``var["interval"]`` where there is such a column, else of their names.

    Raises
    ------
    ArgumentError
        Naming the first that is no interval.
    """
    if keys.INTERVAL in modality.var:
        return parse_intervals(modality.var[keys.INTERVAL].to_numpy(), f"var[{keys.INTERVAL!r}]")
    return parse_intervals(modality.var_names, "var_names")


def peak_annotation_of(modality: Modality) -> pd.DataFrame:
    """Return the table that was stored.

    Raises
    ------
    MissingResultError
        If there is none.
    """
    stored = modality.uns.get(keys.ATAC, {})
    if keys.PEAK_ANNOTATION not in stored:
        argument = f"uns[{keys.ATAC!r}][{keys.PEAK_ANNOTATION!r}]"
        fix = "run atac.tl.add_peak_annotation or atac.tl.annotate_peaks first"
        raise MissingResultError(explain(argument, "missing", "peaks need their genes", fix))
    table: pd.DataFrame = stored[keys.PEAK_ANNOTATION]
    return table


def store_peak_annotation(modality: Modality, table: pd.DataFrame) -> None:
    """Put the table where muon puts it."""
    stored = modality.uns.get(keys.ATAC, {})
    others: Mapping[str, object] = stored if isinstance(stored, Mapping) else {}
    modality.uns[keys.ATAC] = {**others, keys.PEAK_ANNOTATION: table}
