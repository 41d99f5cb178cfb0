"""`lazymu plot`: a picture of cells in an embedding."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lazymu import pl
from lazymu.cli.common import command
from lazymu.containers import read
from lazymu.pipeline.pl import check_picture, write_figure


@command
def plot(
    store: Annotated[str, typer.Argument(help="Store with results, or its URL.")],
    more_colors: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
    color: Annotated[
        list[str] | None,
        typer.Option(
            "--color",
            metavar="NAME ...",
            help="Columns or features, a panel each: leiden_wnn rna:CD3E.",
        ),
    ] = None,
    out: Annotated[str, typer.Option("--out", "-o", help="PNG, PDF or SVG to write.")] = "umap.png",
    basis: Annotated[str, typer.Option("--basis", help="Embedding, such as rna:X_pca.")] = "umap",
    layer: Annotated[str | None, typer.Option("--layer", help="Layer of feature values.")] = None,
    groups: Annotated[
        list[str] | None,
        typer.Option("--groups", metavar="NAME", help="Categories to colour; others are grey."),
    ] = None,
    cmap: Annotated[str | None, typer.Option("--cmap", help="Colour map of numbers.")] = None,
    columns: Annotated[int, typer.Option("--columns", help="Panels in a row.")] = 4,
) -> None:
    """Draw an embedding, coloured by annotation or by features of any modality."""
    # A flag takes one value: further names after it come as arguments.
    colors = [*(color or []), *(more_colors or [])]
    picture = Path(out)
    check_picture(picture)
    figure = pl.embedding(
        read(store),
        basis,
        color=colors or None,
        layer=layer,
        groups=groups or None,
        cmap=cmap,
        ncols=columns,
        show=False,
        return_fig=True,
    )
    write_figure(figure, picture)
    typer.echo(out)
