"""The whole workflow: its parameters, its stages, and what it reports."""

from lazymu.pipeline.describe import describe
from lazymu.pipeline.history import script_of
from lazymu.pipeline.params import RunParams
from lazymu.pipeline.records import RunSummary, StageRecord, measured
from lazymu.pipeline.workflow import forecast_workflow, run_workflow

__all__ = [
    "RunParams",
    "RunSummary",
    "StageRecord",
    "describe",
    "forecast_workflow",
    "measured",
    "run_workflow",
    "script_of",
]
