"""Matrices into a Zarr store by tasks that write ranges of it: what is known of them beforehand."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from lazymu.errors import MemoryLimitError
from lazymu.settings import settings
from lazymu.store.dtypes import narrowest_for, wider
from lazymu.store.parts import Part, Target, bring_back, set_beside
from lazymu.stream.compute import n_parallel
from lazymu.stream.matrix import LazyMatrix
from lazymu.stream.range_writes import for_parts, range_plan, write_ranges
from lazymu.stream.sums import cell_sums
from lazymu.typing import Int64s

if TYPE_CHECKING:
    from lazymu.io.matrices import Job

COUNTED_FROM = 4
"""Tasks at the same time from which on a counting pass, and then writing, takes less time than
one task that writes what another one reads ahead of it."""


def write_in_ranges(job: Job) -> bool:
    """Write a matrix by tasks where that can be done; return whether it was.

    It cannot be done in HDF5 files, nor under a memory limit that has no room for a chunk or shard
    of each array in every thread; and it is not where lengths of rows are not known and counting
    them takes longer than one task that writes.
    """
    if job.location is None:
        return False
    offsets = None
    if not job.is_dense:
        lengths = row_lengths(job)
        if lengths is None:
            return False
        offsets = _offsets(lengths)
    seen, folder = job.seen, job.parent.path
    target = Target(
        job.location,
        folder,
        job.name,
        job.matrix.shape,
        offsets,
        seen.dtype,
        _widest(job),
        job.layout,
    )
    try:
        range_plan(job.matrix, target)
    except MemoryLimitError:
        return False
    return _write(job, target)


def counting_pays() -> bool:
    """Return whether reading once more, to count, is worth it for writing in tasks.

    That is so on a cluster. In one process HDF5 reads for one thread at a time.
    """
    return n_parallel() >= max(COUNTED_FROM, settings.n_threads + 1)


def row_lengths(job: Job) -> Int64s | None:
    """Return the numbers of values of the rows: known, supposed, or counted where that pays.

    They are supposed to be the source's own where that is so in the sample. A file may hold zeros,
    which are not stored again: writing finds out.
    """
    matrix = job.matrix
    if not all(step.keeps_zeros for step in matrix.steps):
        return None
    known = matrix.cache.cells()
    if known is not None:
        return known.nnz
    if _takes_all_columns(matrix) and job.seen.whole_rows:
        return matrix.row_values
    return cell_sums(matrix).nnz if counting_pays() else None


def _takes_all_columns(matrix: LazyMatrix) -> bool:
    return matrix.cols is None or len(matrix.cols) == matrix.source.shape[1]


def _widest(job: Job) -> np.dtype:
    """Return a type that holds all values: that of the sample where bounds of all are known."""
    matrix, bounds = job.matrix, job.matrix.cache.extremes()
    if bounds is None or matrix.steps:
        return matrix.dtype
    low, high, _, whole = bounds
    known = narrowest_for(low, high, all_integer=whole, dtype=matrix.dtype)
    return known if known == job.seen.dtype else matrix.dtype


def _offsets(lengths: Int64s) -> Int64s:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def _write(job: Job, target: Target) -> bool:
    """Write a matrix; return whether its rows have the lengths that were supposed, or known."""
    target.create(job.parent)
    sums, parts = write_ranges(job.matrix, target, label=job.label)
    dtype = reduce(wider, (part.dtype for part in parts))
    if not all(part.fits for part in parts):
        target.remove(job.parent)
        if job.matrix.steps:  # which may have made zeros that are stored, and not counted
            return False
        counted = _offsets(sums.cells.nnz)
        return _write(job, replace(target, offsets=counted, dtype=dtype, widest=dtype).renewed())
    if dtype != target.dtype:
        target = _widened(job, target, parts, dtype)
    target.close(job.parent)
    job.sums = sums
    return True


def _widened(job: Job, target: Target, parts: tuple[Part, ...], dtype: np.dtype) -> Target:
    """Return the target with all values in a type that holds them."""
    for_parts(set_beside, target, parts, label=job.label)
    wide = target.recreate(job.parent, dtype)
    for_parts(bring_back, wide, parts, label=job.label)
    return wide
