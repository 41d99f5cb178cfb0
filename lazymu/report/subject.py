"""What a page is about: the data, what the run kept, and the columns that it looks at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from lazymu import keys
from lazymu.containers import Modality, MuData
from lazymu.report.columns import Column, cluster_column, compared_column
from lazymu.report.markup import Html
from lazymu.report.records import RunRecord, run_record
from lazymu.store.locations import redacted

_NO_RUN = "it was not made by `lazymu run`, or by a version that kept no record of it"


@dataclass(frozen=True)
class Subject:
    """The data of a page."""

    title: str
    mdata: MuData
    run: RunRecord
    """Empty where no run made the store."""
    is_run: bool
    clusters: Column | None
    compared: Column | None

    @classmethod
    def of(cls, data: MuData | Modality, title: str) -> Subject:
        """Return the subject of a MuData, or of one modality."""
        mdata = data if isinstance(data, MuData) else MuData({_kind_of(data): data})
        record = run_record(mdata)
        run = record or RunRecord()
        clusters = cluster_column(mdata, run)
        compared = compared_column(mdata, run, clusters)
        return cls(title, mdata, run, record is not None, clusters, compared)

    def not_kept(self, what: str) -> str:
        """Return the sentence that says that the run's record lacks something."""
        why = "the run kept none" if self.is_run else _NO_RUN
        return f"The store holds no {what}: {why}."


class Section(NamedTuple):
    """A part of the page: what there is to show, and what is missing."""

    key: str
    title: str
    content: list[Html]
    missing: list[str]


def title_of(path: str | Path) -> str:
    """Return what a page of a path is called: its last part."""
    shown = redacted(path)
    return Path(shown).name or shown


def _kind_of(modality: Modality) -> str:
    if keys.FEATURE_TYPES in modality.var:
        for feature_type in modality.var[keys.FEATURE_TYPES].unique():
            if feature_type in keys.MODALITY_OF_FEATURE_TYPE:
                return keys.MODALITY_OF_FEATURE_TYPE[feature_type]
    return "data"
