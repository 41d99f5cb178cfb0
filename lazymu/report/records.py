"""What `lazymu run` kept of itself in ``uns["lazymu"]["run"]``, where it did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from lazymu import keys
from lazymu.containers import MuData
from lazymu.report.distributions import Distribution

STAGE_COLUMNS = ("label", "seconds", "peak_bytes", "n_passes", "n_values")
FILTER_COLUMNS = ("modality", "axis", "rule", "before", "after")
SIZE_COLUMNS = ("modality", "cells_before", "cells_after", "features_before", "features_after")
CLUSTERING_COLUMNS = ("key", "resolution", "n_clusters", "ari")


@dataclass(frozen=True)
class RunRecord:
    """Parts of the record; each is empty or None where it was not kept."""

    source: str = ""
    truth: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    sizes: pd.DataFrame | None = None
    filters: pd.DataFrame | None = None
    quality: Mapping[str, Mapping[str, Distribution]] = field(default_factory=dict)
    clusterings: pd.DataFrame | None = None
    notes: tuple[str, ...] = ()
    stages: pd.DataFrame | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)


def run_record(mdata: MuData) -> RunRecord | None:
    """Return what the run kept, None where no run made the store.

    `uns` is anybody's to write: what has not the form that a run gives it is passed over.
    """
    kept = _mapping(_mapping(mdata.uns.get(keys.LAZYMU)).get(keys.RUN))
    if not kept:
        return None
    return RunRecord(
        source=_text(kept.get(keys.SOURCE)),
        truth=_text(kept.get(keys.TRUTH)),
        params=_mapping(kept.get(keys.PARAMS)),
        sizes=_table(kept.get(keys.SIZES), SIZE_COLUMNS),
        filters=_table(kept.get(keys.FILTERS), FILTER_COLUMNS),
        quality=_quality(_mapping(kept.get(keys.QUALITY))),
        clusterings=_table(kept.get(keys.CLUSTERINGS), CLUSTERING_COLUMNS),
        notes=tuple(str(note) for note in np.atleast_1d(kept.get(keys.NOTES, ()))),
        stages=_table(kept.get(keys.STAGES), STAGE_COLUMNS),
        versions={str(k): str(v) for k, v in _mapping(kept.get(keys.VERSIONS)).items()},
        machine=_mapping(kept.get(keys.MACHINE)),
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


_WORDS = ("modality", "axis", "rule", "label", "key")


def _table(value: Any, columns: tuple[str, ...]) -> pd.DataFrame | None:
    if not isinstance(value, pd.DataFrame) or not set(columns) <= set(value.columns):
        return None
    table = value[list(columns)].reset_index(drop=True)
    for column in columns:
        words = column in _WORDS
        table[column] = table[column].map(str) if words else pd.to_numeric(table[column], "coerce")
    return table


def _quality(value: Mapping[str, Any]) -> dict[str, dict[str, Distribution]]:
    found = {
        name: {
            column: Distribution.from_uns(_mapping(kept)) for column, kept in _mapping(each).items()
        }
        for name, each in value.items()
    }
    return {
        name: {column: one for column, one in columns.items() if one is not None}
        for name, columns in found.items()
    }
