"""`lazymu report`: one page of what a store holds."""

from __future__ import annotations

from typing import Annotated

import typer

from lazymu.cli.common import command
from lazymu.cli.progress import ProgressDisplay
from lazymu.report import write_report


@command
def report(
    store: Annotated[str, typer.Argument(help="Store, its URL, or file of any known format.")],
    out: Annotated[
        str, typer.Option("--out", "-o", help="HTML page to write; it is replaced.")
    ] = "report.html",
) -> None:
    """Write one self-contained HTML page: quality, UMAP, markers, weights, stages."""
    with ProgressDisplay() as display:
        display("Report", 1, 1)
        write_report(store, out)
    typer.echo(out)
