"""Fewer components and neighbours where the data are too small for those asked for."""

from __future__ import annotations

from lazymu.pipeline.run import Run

CELLS_PER_COMPONENT = 10
CELLS_PER_NEIGHBOR = 3


def fewer_components(run: Run, name: str, asked: int, n_cells: int, n_features: int) -> int:
    """Return how many components to compute, with a note where they are fewer than asked for.

    With fewer than ten cells for each, components mostly follow the noise.
    """
    most = max(1, min(n_cells // CELLS_PER_COMPONENT, n_cells - 1, n_features - 1))
    if most >= asked:
        return asked
    size = f"{n_cells:,} cells and {n_features:,} features"
    run.note(f"{name}: {most} components instead of {asked}, as there are only {size}")
    return most


def fewer_neighbors(run: Run, asked: int, n_cells: int) -> int:
    """Return how many neighbours to take, with a note where they are fewer than asked for."""
    most = max(2, n_cells // CELLS_PER_NEIGHBOR)
    if most >= asked:
        return asked
    run.note(f"{most} neighbours instead of {asked}, as there are only {n_cells:,} cells")
    return most
