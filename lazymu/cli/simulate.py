"""`lazymu simulate`: data sets with known cell types."""

from __future__ import annotations

from typing import Annotated

import typer

from lazymu import datasets
from lazymu.cli.common import command
from lazymu.cli.progress import ProgressDisplay
from lazymu.datasets.simulate import N_GENES


@command
def simulate(
    target: Annotated[
        str,
        typer.Argument(metavar="DST", help="Target: .zarr or .h5mu; .h5 for a 10x CITE-seq file."),
    ],
    n_cells: Annotated[int, typer.Option("--cells", help="Number of cells.")] = 5000,
    n_genes: Annotated[int, typer.Option("--genes", help="Number of genes, 0 for none.")] = N_GENES,
    n_peaks: Annotated[
        int | None,
        typer.Option(
            "--peaks", help="Number of peaks, 0 for none; 108377 by default, in .h5 none."
        ),
    ] = None,
    n_antibodies: Annotated[
        int | None,
        typer.Option("--proteins", help="Number of antibodies; none by default, 20 in .h5."),
    ] = None,
    n_clusters: Annotated[int, typer.Option("--clusters", help="Number of cell types.")] = 12,
    n_batches: Annotated[int, typer.Option("--batches", help="Number of batches.")] = 2,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the random numbers.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the target.")] = False,
) -> None:
    """Write a simulated data set whose cell types are known, as a stream."""
    with ProgressDisplay() as display:
        display("Simulate", 1, 1)
        path = datasets.simulate(
            target,
            n_cells,
            n_genes,
            n_peaks,
            n_antibodies,
            n_clusters,
            n_batches,
            seed=seed,
            overwrite=overwrite,
        )
    typer.echo(path)
