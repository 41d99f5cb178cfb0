"""`lazymu demo`: what `make demo` calls."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from lazymu.cli.common import command
from lazymu.cli.progress import ProgressDisplay
from lazymu.cli.summary import result_lines, run_lines
from lazymu.pipeline import RunSummary
from lazymu.pipeline.demo import N_CELLS, DemoInput, demo_inputs, run_demo
from lazymu.store.locations import redacted


@command
def demo(
    data: Annotated[
        str | None,
        typer.Argument(
            help="A file or store of your own, or its URL; simulated data if not given."
        ),
    ] = None,
    out: Annotated[
        str, typer.Option("--out", "-o", help="Folder for everything written.")
    ] = "demo",
    n_cells: Annotated[int, typer.Option("--cells", help="Cells of simulated data.")] = N_CELLS,
) -> None:
    """Run the whole workflow on data that it simulates, or on a file."""
    folder = Path(out)
    done: list[tuple[str, RunSummary]] = []
    for each in _inputs(data, folder, n_cells):
        typer.echo(f"\n{each.title}: {redacted(each.path)}")
        with ProgressDisplay() as display:
            summary = run_demo(each, folder, display)
        done.append((each.title, summary))
        for line in run_lines(summary):
            typer.echo(line)
    for title, summary in done:
        typer.echo(f"\n{title}")
        for line in result_lines(summary):
            typer.echo(line)


def _inputs(data: str | None, folder: Path, n_cells: int) -> Iterator[DemoInput]:
    if data is None:
        typer.echo(f"Writing simulated data to {folder}/", err=True)
        return demo_inputs(folder, n_cells)
    return iter([DemoInput("Your data", data, "")])
