"""`lazymu run`: the whole workflow."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lazymu.cli.common import command
from lazymu.cli.parameters import run_parameters, with_run_parameters
from lazymu.cli.progress import ProgressDisplay
from lazymu.cli.summary import forecast_lines, result_lines, run_lines
from lazymu.errors import ArgumentError, explain
from lazymu.pipeline import forecast_workflow, run_workflow


@command
@with_run_parameters
def run(
    source: Annotated[str, typer.Argument(help="Store, its URL, or file of any known format.")],
    out: Annotated[str | None, typer.Option("--out", "-o", help="Zarr store to write.")] = None,
    params: Annotated[
        str | None,
        typer.Option("--params", help="TOML file of parameters; flags go before it."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the store.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print what it would read, hold and take.")
    ] = False,
    **flags: Any,
) -> None:
    """Run the whole workflow: quality control to clusters, UMAP and figures.

    It works on the modalities that it finds: RNA, ATAC, proteins, or any two of them jointly.
    """
    chosen = run_parameters(params, flags)
    if dry_run:
        for line in forecast_lines(forecast_workflow(source, chosen)):
            typer.echo(line)
        return
    if out is None:
        rule = "a run writes a store"
        raise ArgumentError(explain("out", None, rule, "name it with --out, or pass --dry-run"))
    with ProgressDisplay() as display:
        summary = run_workflow(source, out, chosen, overwrite=overwrite, watch=display)
    for line in (*run_lines(summary), "", *result_lines(summary)):
        typer.echo(line)
