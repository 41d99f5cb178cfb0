"""`lazymu export`: a store as a file for other tools."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from lazymu import io
from lazymu.cli.common import command
from lazymu.cli.progress import ProgressDisplay
from lazymu.store.locations import redacted


class Values(StrEnum):
    """What `X` of the file holds."""

    COUNTS = "counts"
    NORMALIZED = "normalized"


@command
def export(
    store: Annotated[str, typer.Argument(help="Store to export, or its URL.")],
    target: Annotated[str, typer.Argument(metavar="DST", help=".h5mu, .h5ad or .zarr to write.")],
    modality: Annotated[
        str | None, typer.Option("--modality", "-m", help="Write this modality alone.")
    ] = None,
    values: Annotated[
        Values,
        typer.Option("--x", help="Whether X holds raw counts or values with all transforms."),
    ] = Values.NORMALIZED,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
) -> None:
    """Write a store as a file that muon, scanpy and Seurat read."""
    source = f"{store}/{modality}" if modality else store
    with ProgressDisplay() as display:
        display("Export", 1, 1)
        io.export(source, target, overwrite=overwrite, X=values.value)
    typer.echo(redacted(target))
