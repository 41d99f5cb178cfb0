"""The steps of matrices of different cells as the steps of one matrix, where there are such."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lazymu.stream.steps import Astype, Step
from lazymu.typing import Int64s

if TYPE_CHECKING:
    from lazymu.stream.matrix import LazyMatrix

Chain = tuple[Step, ...]


def split_type(matrix: LazyMatrix) -> tuple[np.dtype[Any], Chain]:
    """Return the type of a matrix' raw values and its steps, but for one that sets this type."""
    steps = matrix.steps
    if steps and isinstance(steps[0], Astype):
        return np.dtype(steps[0].name), steps[1:]
    return matrix.source.dtype, steps


def join_steps(
    lengths: Sequence[int], chains: Sequence[Chain], columns: Sequence[Int64s | None]
) -> Chain | None:
    """Return one chain of steps for parts one below the other, None where there is none.

    The parts have the same steps with the same settings; vectors over features agree, those over
    cells are joined. A part without cells has no say.

    Parameters
    ----------
    lengths
        Cells of each part.
    chains
        Steps of each part.
    columns
        Of each part, the column of each feature of the whole, -1 where it has none; None for all.
    """
    asked = [n for n, length in enumerate(lengths) if length] or [0]
    chains, columns = [chains[n] for n in asked], [columns[n] for n in asked]
    if len({tuple(map(type, chain)) for chain in chains}) > 1:
        return None
    joined = [_join(steps, columns) for steps in zip(*chains, strict=True)]
    return None if None in joined else tuple(step for step in joined if step is not None)


def _join(steps: tuple[Step, ...], columns: Sequence[Int64s | None]) -> Step | None:
    """Return the steps of all parts at one place of their chains as one, None where they differ."""
    first, vectors = steps[0], {}
    for field in fields(first):
        values = [getattr(step, field.name) for step in steps]
        if len({value is None for value in values}) > 1:
            return None
        if values[0] is None:
            continue
        if field.name in first.by_row:
            vectors[field.name] = np.concatenate(values)
            continue
        if field.name in first.by_col:
            if any(cols is not None and np.any(cols < 0) for cols in columns):
                return None
            values = [v if c is None else v[c] for v, c in zip(values, columns, strict=True)]
            vectors[field.name] = values[0]
        if not all(np.array_equal(values[0], value) for value in values[1:]):
            return None
    return replace(first, **vectors)
