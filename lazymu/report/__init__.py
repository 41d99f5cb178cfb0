"""One self-contained HTML page of what a store holds."""

from lazymu.report.write import write_report

__all__ = ["write_report"]
