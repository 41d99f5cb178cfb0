"""`lazymu run`: the whole workflow."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lazymu.cli.common import command
from lazymu.cli.parameters import run_parameters, with_run_parameters
from lazymu.cli.progress import ProgressDisplay
from lazymu.cli.summary import result_lines, run_lines
from lazymu.pipeline import run_workflow


@command
@with_run_parameters
def run(
    source: Annotated[str, typer.Argument(help="Store, or file of any known format.")],
    out: Annotated[str, typer.Option("--out", "-o", help="Zarr store to write.")],
    params: Annotated[
        str | None,
        typer.Option("--params", help="TOML file of parameters; flags go before it."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the store.")] = False,
    **flags: Any,
) -> None:
    """Run the whole workflow: quality control to clusters, UMAP and figures.

    It works on the modalities that it finds: RNA, ATAC, proteins, or any two of them jointly.
    """
    chosen = run_parameters(params, flags)
    with ProgressDisplay() as display:
        summary = run_workflow(source, out, chosen, overwrite=overwrite, watch=display)
    for line in (*run_lines(summary), "", *result_lines(summary)):
        typer.echo(line)
