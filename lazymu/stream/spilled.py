"""A matrix brought apart by runs of columns, on disk, in one pass; each is then read alone."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing

import numpy as np

from lazymu.store import spill
from lazymu.store.sources import MemorySource
from lazymu.stream.compute import in_threads
from lazymu.stream.matrix import LazyMatrix
from lazymu.stream.passes import run_pass, storage_order
from lazymu.stream.reducers import Block, Reducer


class SpillReducer(Reducer[None, None]):
    """Adds every block to a spill."""

    def __init__(self, target: spill.Spill) -> None:
        self._target = target

    def init(self) -> None:
        return None

    def chunk(self, state: None, block: Block) -> None:
        assert isinstance(block.rows, slice)  # as the rows ascend
        self._target.add(block.X, block.rows.start)

    def combine(self, a: None, b: None) -> None:
        return None

    def finalize(self, state: None) -> None:
        return None


def pays(matrix: LazyMatrix, n_runs: int) -> bool:
    """Return whether to bring runs of columns apart on disk rather than to select them in passes.

    Tasks must run in threads of this process, which hold the file, and the matrix not be in memory.
    """
    if isinstance(matrix.source, MemorySource) or not in_threads():
        return False
    return spill.pays(matrix.shape, matrix.n_values_at_most, n_runs, matrix.source.dtype)


def column_runs(
    matrix: LazyMatrix, runs: Sequence[slice], *, label: str
) -> Generator[LazyMatrix, None, None]:
    """Yield adjoining runs of all columns of a matrix, out of a file that one pass writes.

    Each can be read until the next one is asked for.
    """
    counts, order = matrix.counts, storage_order(matrix)
    bounds = np.array([0, *(run.stop for run in runs)], np.int64)
    with closing(spill.Spill(matrix.shape, matrix.source.dtype, bounds)) as target:
        run_pass(counts if order is None else counts[order], SpillReducer(target), label=label)
        rows = None if order is None else np.argsort(order)
        for number, run in enumerate(runs):
            own = matrix[:, run]
            yield LazyMatrix(target.columns(number), rows, None, own.steps, _cache=own.cache)
