"""`lazymu simulate`: data sets with known cell types."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from lazymu import datasets
from lazymu.cli.common import command
from lazymu.cli.text import size


class Kind(StrEnum):
    """What can be simulated."""

    MULTIOME = "multiome"
    CITESEQ = "citeseq"


@command
def simulate(
    kind: Annotated[Kind, typer.Argument(help="RNA and peaks as .h5mu, or a 10x CITE-seq .h5.")],
    target: Annotated[str, typer.Argument(metavar="DST", help="File to write.")],
    n_cells: Annotated[int, typer.Option("--n-cells", help="Number of cells.")] = 5000,
    n_clusters: Annotated[int, typer.Option("--n-clusters", help="Number of cell types.")] = 12,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the random numbers.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
) -> None:
    """Write a simulated data set whose cell types are known."""
    write = datasets.multiome if kind is Kind.MULTIOME else datasets.citeseq_10x
    path = write(target, n_cells=n_cells, n_clusters=n_clusters, seed=seed, overwrite=overwrite)
    typer.echo(f"{path} ({size(path.stat().st_size)})")
