"""The entry point, and the commands in the order in which help shows them."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import lazymu
from lazymu.cli.common import INTERRUPTED
from lazymu.cli.concat import concat
from lazymu.cli.convert import convert
from lazymu.cli.demo import demo
from lazymu.cli.export import export
from lazymu.cli.history import history
from lazymu.cli.info import info
from lazymu.cli.plot import plot
from lazymu.cli.report import report
from lazymu.cli.run import run
from lazymu.cli.simulate import simulate
from lazymu.cli.validate import validate

app = typer.Typer(
    name="lazymu",
    help="Multimodal single-cell analysis of data that does not fit in memory.",
    epilog="Stores may be URLs: s3://, gs://, az://, https:// (read-only). Credentials and "
    "endpoints come from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_PROFILE, "
    "AWS_ENDPOINT_URL; AWS_SKIP_SIGNATURE=true for public data) or from ~/.aws.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    *(convert, concat, info, validate, run, history),
    *(report, plot, export, simulate, demo),
):
    app.command()(command)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"lazymu {lazymu.__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def options(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Take the options that stand before a command; show help where there is none."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main() -> None:
    """Run the command line and leave with its status: 1 after an error, 130 after Ctrl-C."""
    try:
        status = app(standalone_mode=False)
    except typer.Abort:
        status = INTERRUPTED
    except Exception as error:
        # Errors of usage, whose classes typer does not export; all others `--debug` let through.
        if not hasattr(error, "format_message"):
            raise
        typer.echo(f"lazymu: {error.format_message()}", err=True)
        status = 1
    sys.exit(status if isinstance(status, int) else 0)
