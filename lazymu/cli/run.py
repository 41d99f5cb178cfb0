"""`lazymu run`: the whole workflow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Annotated, Any

import typer

from lazymu.cli.common import MACHINE_PANEL, command
from lazymu.cli.parameters import run_parameters, with_run_parameters
from lazymu.cli.progress import ProgressDisplay
from lazymu.cli.summary import forecast_lines, kept_line, result_lines, resumption_lines, run_lines
from lazymu.errors import ArgumentError, ClusterLostError, RunningError, explain
from lazymu.pipeline import RunParams, forecast_workflow, kept_state, resumable, run_workflow
from lazymu.stream.connection import connected


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
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on from the last stage that an earlier run finished."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print what it would read, hold and take.")
    ] = False,
    scheduler: Annotated[
        str | None,
        typer.Option(
            "--scheduler",
            metavar="tcp://HOST:PORT",
            help="Scheduler of a Dask cluster whose workers do the work; they need the same files.",
            rich_help_panel=MACHINE_PANEL,
        ),
    ] = None,
    **flags: Any,
) -> None:
    """Run the whole workflow: quality control to clusters, UMAP and figures.

    It works on the modalities that it finds: RNA, ATAC, proteins, or any two of them jointly.

    Each stage's results are kept in <name>.zarr.lazymu until the run ends well. A run that was
    stopped, by whatever it was, goes on with the same command and --resume, and its result is the
    same. A stage is done again where one of its parameters, or of a stage before, has changed; all
    are where the source or the version of lazymu has. Without --resume a run starts anew.
    """
    chosen = run_parameters(params, flags)
    if dry_run:
        with _cluster(scheduler):
            _show_plan(source, out, chosen, resume=resume)
        return
    if out is None:
        rule = "a run writes a store"
        raise ArgumentError(explain("out", None, rule, "name it with --out, or pass --dry-run"))
    with _kept_after_failure(out), _cluster(scheduler), ProgressDisplay() as display:
        summary = run_workflow(
            source, out, chosen, overwrite=overwrite, resume=resume, watch=display
        )
    for line in (*run_lines(summary), "", *result_lines(summary)):
        typer.echo(line)


def _show_plan(source: str, out: str | None, params: RunParams, *, resume: bool) -> None:
    """Print what a run would read, hold and take, without the stages that it would skip."""
    stages = forecast_workflow(source, params)
    if resume:
        if out is None:
            rule = "what may be resumed stands beside the store"
            raise ArgumentError(explain("out", None, rule, "name it with --out"))
        found = resumable(source, out, params)
        for line in resumption_lines(found):
            typer.echo(line)
        stages = [stage for stage in stages if stage.label not in found.skipped]
    for line in forecast_lines(stages):
        typer.echo(line)


def _cluster(scheduler: str | None) -> AbstractContextManager[Any]:
    return nullcontext() if scheduler is None else connected(scheduler)


@contextmanager
def _kept_after_failure(out: str) -> Iterator[None]:
    """Say what is kept of a run that fails, and how it goes on."""
    try:
        yield
    except RunningError:
        raise
    except (Exception, KeyboardInterrupt) as error:
        if (kept := kept_state(out)) is None:
            raise
        typer.echo(kept_line(kept), err=True)
        if isinstance(error, ClusterLostError):
            how = "`lazymu run --resume` goes on from the last finished stage"
            raise ClusterLostError(f"{str(error).rstrip('.')}; {how}.") from error
        raise
