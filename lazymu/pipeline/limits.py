"""Fewer components and neighbours where the data are too small for those asked for."""

from __future__ import annotations

from lazymu.errors import EmptyResultError, explain
from lazymu.pipeline.run import Run

LEAST_CELLS, LEAST_FEATURES = 3, 2
CELLS_PER_COMPONENT = 10
CELLS_PER_NEIGHBOR = 3


def check_size(name: str, n_cells: int, n_features: int) -> None:
    """Raise where the filters left too little for components and a graph."""
    if n_cells < LEAST_CELLS or n_features < LEAST_FEATURES:
        got = f"down to {n_cells:,} cells and {n_features:,} usable features"
        rule = f"an embedding needs at least {LEAST_CELLS} cells and {LEAST_FEATURES} features"
        fix = "lower the limits of the filters, or run on more data"
        raise EmptyResultError(explain(name, got, rule, fix))


def fewer_components(run: Run, name: str, asked: int, n_cells: int, n_features: int) -> int:
    """Return how many components to compute, with a note where they are fewer than asked for.

    With fewer than ten cells for each, components mostly follow the noise.

    Raises
    ------
    EmptyResultError
        If there are fewer than 3 cells or 2 features.
    """
    check_size(name, n_cells, n_features)
    most = max(1, min(n_cells // CELLS_PER_COMPONENT, n_cells - 1, n_features - 1))
    if most >= asked:
        return asked
    size = f"{n_cells:,} cells and {n_features:,} features"
    components = "component" if most == 1 else "components"
    run.note(f"{name}: {most} {components} instead of {asked}, as there are only {size}")
    return most


def fewer_neighbors(run: Run, asked: int, n_cells: int) -> int:
    """Return how many neighbours to take, with a note where they are fewer than asked for."""
    most = max(2, n_cells // CELLS_PER_NEIGHBOR)
    if most >= asked:
        return asked
    run.note(f"{most} neighbours instead of {asked}, as there are only {n_cells:,} cells")
    return most
