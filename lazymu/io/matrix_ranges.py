"""Matrices written into a Zarr store by a cluster's tasks: what is known of them beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lazymu.errors import MemoryLimitError
from lazymu.store.dtypes import narrowest_for, wider
from lazymu.store.parts import close_arrays, create_arrays, is_shared
from lazymu.store.sources import MemorySource
from lazymu.stream.cluster import active_client
from lazymu.stream.matrix import LazyMatrix
from lazymu.stream.passes import run_pass
from lazymu.stream.range_writes import RowLengths, range_plan, write_ranges
from lazymu.stream.sums import MatrixSums
from lazymu.typing import Int64s

if TYPE_CHECKING:
    from lazymu.io.matrices import Job


def write_by_tasks(jobs: Sequence[Job]) -> list[Job]:
    """Write matrices of the same rows of one source on the active cluster; return those left.

    Left are all where no cluster is active, and those that are in this process's memory, go into an
    HDF5 file, or have too little memory for a chunk or shard in each thread of a worker.
    """
    if active_client() is None:
        return list(jobs)
    able = [job for job in jobs if _can_be_shared(job)]
    lengths = _row_lengths([job for job in able if not job.is_dense])
    return [job for job in jobs if job not in able or not _write(job, lengths.get(job))]


def _can_be_shared(job: Job) -> bool:
    matrix = job.matrix
    sparse = job.is_dense or all(step.keeps_zeros for step in matrix.steps)
    reachable = is_shared(job.parent) and not isinstance(matrix.source, MemorySource)
    return reachable and sparse and not job.restore


def _row_lengths(jobs: Sequence[Job]) -> dict[Job, Int64s]:
    """Return the numbers of values of the rows: known, supposed, or counted in one pass.

    They are supposed to be the source's own where that is so in the sample. A file may hold zeros,
    which are not stored again: writing finds out.
    """
    found = {job: _known_lengths(job) for job in jobs}
    unknown = [job for job, lengths in found.items() if lengths is None]
    if unknown:
        first = unknown[0].matrix
        whole = LazyMatrix(first.source, first.rows)
        counts = [RowLengths(len(job.matrix), job.matrix.column_picker) for job in unknown]
        found.update(zip(unknown, run_pass(whole, *counts, label="count"), strict=True))
    return {job: lengths for job, lengths in found.items() if lengths is not None}


def _known_lengths(job: Job) -> Int64s | None:
    matrix, known = job.matrix, job.matrix.cache.cells()
    if known is not None:
        return known.nnz
    takes_all = matrix.cols is None or len(matrix.cols) == matrix.source.shape[1]
    return matrix.row_values if takes_all and job.seen.whole_rows else None


def _write(job: Job, lengths: Int64s | None) -> bool:
    """Write a matrix, dense where there are no lengths of rows; return whether there was room."""
    dtype, offsets = job.seen.dtype, _offsets(lengths)
    while True:
        arrays = create_arrays(job.parent, job.name, job.matrix.shape, offsets, dtype, job.layout)
        try:
            plan = range_plan(job.matrix, arrays)
        except MemoryLimitError:
            del job.parent[job.name]
            return False
        rows = np.arange(len(job.matrix) + 1) if offsets is None else offsets
        sums, found = write_ranges(job.matrix, arrays, rows, plan, label=job.label)
        needed = wider(dtype, _narrowest(sums, job.matrix.dtype))
        fits = offsets is None or np.array_equal(found, np.diff(offsets))
        if fits and needed == dtype:
            break
        # What the sample did not show is known now: once more.
        dtype, offsets = needed, None if offsets is None else _offsets(found)
        del job.parent[job.name]
    close_arrays(job.parent, job.name, arrays, offsets, job.matrix.shape[1], job.layout)
    job.sums = sums
    return True


def _narrowest(sums: MatrixSums, dtype: np.dtype[Any]) -> np.dtype[Any]:
    low, high, _, all_integer = sums.extremes
    return narrowest_for(low, high, all_integer=all_integer, dtype=dtype)


def _offsets(lengths: Int64s | None) -> Int64s | None:
    return None if lengths is None else np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
