"""What the store keeps of a run, from which a report can be made later."""

from __future__ import annotations

import math
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pandas as pd

from lazymu import keys
from lazymu.pipeline.params import RunParams
from lazymu.pipeline.records import ModalityRecord, RunSummary, StageRecord
from lazymu.pipeline.run import Run
from lazymu.report.records import (
    CLUSTERING_COLUMNS,
    FILTER_COLUMNS,
    SIZE_COLUMNS,
    STAGE_COLUMNS,
)
from lazymu.settings import settings

STAGES_PATH = f"uns/{keys.LAZYMU}/{keys.RUN}/{keys.STAGES}"
_PACKAGES = (
    *("lazymu", "numpy", "scipy", "pandas", "anndata", "mudata", "zarr", "dask", "numba"),
    *("scikit-learn", "igraph", "leidenalg", "umap-learn"),
)


def provenance(run: Run) -> dict[str, Any]:
    """Return what the store keeps about the run in ``uns["lazymu"]``.

    Tables of small size: sizes, filters, clusterings and stages; quality before the filters as
    bins and quartiles; parameters, notes, versions. The stage that is not finished, which writes
    this, has no time yet; :func:`last_stage` gives it.
    """
    summary = run.summary
    kept: dict[str, Any] = {
        keys.SOURCE: summary.source,
        keys.PARAMS: run.params.to_dict(),
        keys.SIZES: _table(SIZE_COLUMNS, [_sizes(one) for one in summary.modalities]),
        keys.FILTERS: _table(FILTER_COLUMNS, [_fields(one) for one in summary.filters]),
        keys.QUALITY: {
            name: {column: one.to_uns() for column, one in columns.items()}
            for name, columns in summary.quality.items()
        },
        keys.CLUSTERINGS: _clusterings(summary),
        keys.STAGES: _stages(summary.stages),
        keys.VERSIONS: _versions(),
        keys.MACHINE: {
            "memory_limit": settings.memory_limit,
            "n_threads": settings.n_threads,
            "system": f"{platform.system()} {platform.machine()}",
        },
    }
    if summary.notes:
        kept[keys.NOTES] = list(summary.notes)
    if summary.truth is not None:
        kept[keys.TRUTH] = summary.truth
    return {keys.RUN: kept}


def arguments_of(run: Run) -> dict[str, Any]:
    """Return what repeats the run: the source, the result, and parameters that are not default."""
    usual = RunParams().to_dict()
    params = {
        section: {name: one for name, one in values.items() if one != usual[section][name]}
        for section, values in run.params.to_dict().items()
    }
    chosen = {section: values for section, values in params.items() if values}
    summary = run.summary
    return {"source": summary.source, "out": str(summary.store), keys.PARAMS: chosen}


def last_stage(stage: StageRecord) -> dict[str, float]:
    """Return the last entry of each column of numbers of the stored stages, by its path."""
    values = {name: getattr(stage, name) for name in STAGE_COLUMNS if name != "label"}
    return {f"{STAGES_PATH}/{name}": value for name, value in values.items()}


def _table(columns: Sequence[str], rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    names = pd.Index([str(n) for n in range(len(rows))], dtype=object)
    return pd.DataFrame(rows, columns=list(columns), index=names)


def _fields(record: Any) -> tuple[Any, ...]:
    return tuple(vars(record).values())


def _sizes(part: ModalityRecord) -> tuple[Any, ...]:
    return (part.name, part.before[0], part.after[0], part.before[1], part.after[1])


def _clusterings(summary: RunSummary) -> pd.DataFrame:
    rows = [
        (one.key, one.resolution, one.n_clusters, math.nan if one.ari is None else one.ari)
        for one in summary.clusterings
    ]
    return _table(CLUSTERING_COLUMNS, rows)


def _stages(stages: list[StageRecord]) -> pd.DataFrame:
    """Return all stages; of the last one, under way, the time is missing."""
    rows = [(*(getattr(one, name) for name in STAGE_COLUMNS),) for one in stages]
    table = _table(STAGE_COLUMNS, rows)
    table.loc[table.index[-1], "seconds"] = math.nan
    return table


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # run from sources that are not installed
            continue
    return found
