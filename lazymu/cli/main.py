"""The entry point, and the commands in the order in which help shows them."""

from __future__ import annotations

import sys
from typing import Annotated

import click
import typer

import lazymu
from lazymu.cli.convert import convert
from lazymu.cli.demo import demo
from lazymu.cli.export import export
from lazymu.cli.info import info
from lazymu.cli.plot import plot
from lazymu.cli.run import run
from lazymu.cli.simulate import simulate

app = typer.Typer(
    name="lazymu",
    help="Multimodal single-cell analysis of data that does not fit in memory.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (convert, info, run, plot, export, simulate, demo):
    app.command()(command)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"lazymu {lazymu.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Take the options that stand before a command."""


def main() -> None:
    """Run the command line and leave with its status."""
    try:
        status = app(standalone_mode=False)
    except click.ClickException as error:
        typer.echo(f"lazymu: {error.format_message()}", err=True)
        status = 1
    except click.Abort:
        status = 130
    sys.exit(status if isinstance(status, int) else 0)
