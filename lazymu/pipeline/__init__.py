"""The whole workflow: its parameters, its stages, and what it reports."""

from lazymu.pipeline.describe import describe
from lazymu.pipeline.history import script_of
from lazymu.pipeline.params import RunParams
from lazymu.pipeline.records import RunSummary, StageRecord, measured
from lazymu.pipeline.resume import Resumption
from lazymu.pipeline.state import KeptState
from lazymu.pipeline.workflow import forecast_workflow, kept_state, resumable, run_workflow

__all__ = [
    "KeptState",
    "Resumption",
    "RunParams",
    "RunSummary",
    "StageRecord",
    "describe",
    "forecast_workflow",
    "kept_state",
    "measured",
    "resumable",
    "run_workflow",
    "script_of",
]
