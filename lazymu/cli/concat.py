"""`lazymu concat`: the cells of several files as one store."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

import lazymu
from lazymu.cli.common import command
from lazymu.cli.progress import ProgressDisplay


class Join(StrEnum):
    """Which features are kept."""

    INNER = "inner"
    OUTER = "outer"


@command
def concat(
    sources: Annotated[
        list[str], typer.Argument(metavar="SRC...", help="Files of any known formats, mixed.")
    ],
    target: Annotated[str, typer.Argument(metavar="DST", help=".zarr, .h5mu or .h5ad to write.")],
    join: Annotated[
        Join, typer.Option("--join", help="Keep the features that all files have, or any has.")
    ] = Join.INNER,
    label: Annotated[
        str, typer.Option("--label", help="Column of obs for the number of a cell's file, from 0.")
    ] = "sample",
    index_unique: Annotated[
        str | None,
        typer.Option("--index-unique", help="Append this and the file's number to cells' names."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace DST.")] = False,
) -> None:
    """Join the cells of several samples into one store, streaming."""
    with ProgressDisplay() as display:
        display("Concat", 1, 1)
        lazymu.concat(
            sources,
            join=join.value,
            label=label,
            index_unique=index_unique,
            out=target,
            overwrite=overwrite,
        )
    typer.echo(target)
