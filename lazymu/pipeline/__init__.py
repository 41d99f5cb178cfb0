"""The whole workflow: its parameters, its stages, and what it reports."""

from lazymu.pipeline.params import RunParams
from lazymu.pipeline.records import RunSummary
from lazymu.pipeline.workflow import forecast_workflow, run_workflow

__all__ = ["RunParams", "RunSummary", "forecast_workflow", "run_workflow"]
