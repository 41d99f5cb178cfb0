"""`lazymu concat`: the cells of several samples as one store."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

import lazymu
from lazymu.cli.common import command
from lazymu.cli.progress import ProgressDisplay
from lazymu.store.locations import redacted


class Join(StrEnum):
    """Which features are kept."""

    INNER = "inner"
    OUTER = "outer"


@command
def concat(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SRC...", help="A file for each sample, of any known formats, or URLs."
        ),
    ],
    target: Annotated[
        str, typer.Argument(metavar="DST", help=".zarr (or its URL), .h5mu or .h5ad to write.")
    ],
    join: Annotated[
        Join, typer.Option("--join", help="Keep the features that all samples have, or any has.")
    ] = Join.INNER,
    keys: Annotated[
        list[str] | None,
        typer.Option(
            "--key",
            metavar="NAME",
            help="Name of a sample, once for each SRC in their order; 0, 1, ... if not given.",
        ),
    ] = None,
    label: Annotated[
        str, typer.Option("--label", help="Column of obs that says which sample a cell is from.")
    ] = "sample",
    index_unique: Annotated[
        str | None,
        typer.Option(
            "--index-unique",
            metavar="TEXT",
            help="Append this and the sample's name to the names of its cells.",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace DST.")] = False,
) -> None:
    """Join the cells of several samples into one store, streaming."""
    with ProgressDisplay() as display:
        display("Concat", 1, 1)
        lazymu.concat(
            sources,
            join=join.value,
            keys=keys,
            label=label,
            index_unique=index_unique,
            out=target,
            overwrite=overwrite,
        )
    typer.echo(redacted(target))
