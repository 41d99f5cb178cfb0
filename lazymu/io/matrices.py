"""The matrices of a container into a file: what is stored of each, and the pass that stores it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from lazymu.io.matrix_ranges import write_by_tasks
from lazymu.io.sampling import Sample, sample
from lazymu.store.arrays import Layout
from lazymu.store.reuse import can_reuse, reuse
from lazymu.store.roots import Place
from lazymu.store.sources import Origin
from lazymu.store.transpose import swap_axes
from lazymu.store.writers import CSRWriter, DenseWriter, MatrixWriter, write_all
from lazymu.stream.conversions import convert_by_tasks
from lazymu.stream.matrix import LazyMatrix
from lazymu.stream.passes import iterate_blocks
from lazymu.stream.reducers import Block
from lazymu.stream.steps import Astype, Step
from lazymu.stream.sums import MatrixSums, SumsReducer
from lazymu.typing import CSR, Array

DENSE_FROM = 0.5
"""Share of nonzeros above which a matrix is stored dense."""


@dataclass(eq=False)
class Job:
    """A matrix to be written, and the sums that its pass makes."""

    matrix: LazyMatrix
    """What is stored: counts, or values with their transforms."""
    parent: Any
    name: str
    label: str
    origin: Origin
    layout: Layout
    restore: bool
    """Store in the origin's type and encoding, instead of the smallest."""
    replaced: str | None = None
    """The local store that is being written over."""
    sums: MatrixSums | None = field(default=None, init=False)

    @property
    def node(self) -> Any:
        """What was written."""
        return self.parent[self.name]

    @cached_property
    def seen(self) -> Sample:
        """What some rows of it are like."""
        return sample(self.matrix)

    @property
    def is_dense(self) -> bool:
        """Whether it is stored dense where no other encoding is to be restored."""
        return self.seen.density > DENSE_FROM


def origin_of(matrix: LazyMatrix) -> tuple[Origin, tuple[Step, ...]]:
    """Return how a matrix was stored first, and its steps but for the one that keeps its type."""
    origin, steps = matrix.source.origin, matrix.steps
    if steps and isinstance(steps[0], Astype):
        return origin._replace(dtype=steps[0].name), steps[1:]
    return origin, steps


def same_values(a: LazyMatrix, b: LazyMatrix) -> bool:
    """Return whether two matrices select the same of the same source."""
    return (
        a.source is b.source
        and a.shape == b.shape
        and _same_index(a.rows, b.rows)
        and _same_index(a.cols, b.cols)
    )


def _same_index(a: Array | None, b: Array | None) -> bool:
    if a is None or b is None:
        return a is b
    return a is b or np.array_equal(a, b)


# --- passes ---------------------------------------------------------------------------------------


def run_jobs(jobs: Sequence[Job]) -> None:
    """Write matrices; those of the same rows of one source are written in the same pass.

    A matrix that stands in a lazymu store already, whole and in the same layout, is not read: its
    files are copied.
    """
    convert_by_tasks(job.matrix for job in jobs)
    pending = [job for job in jobs if not _reuse(job)]
    while pending:
        first = pending[0]
        together = [job for job in pending if _share_rows(first, job)]
        pending = [job for job in pending if job not in together]
        together = write_by_tasks(together)
        if len(together) > 1:
            _run_together(together)
        elif together:
            _run_one(together[0])


def _reuse(job: Job) -> bool:
    """Take a matrix over as it is stored, where lazymu stored it so; return whether that was so."""
    matrix = job.matrix
    place: Place | None = getattr(matrix.source, "place", None)
    whole = matrix.rows is None and matrix.cols is None and not matrix.steps
    if place is None or job.restore or not whole:
        return False
    if not can_reuse(place, job.parent, job.layout):
        return False
    reuse(place, job.parent, job.name, link=place.root.location == job.replaced)
    cells, features = matrix.cache.cells(), matrix.cache.features()
    extremes = matrix.cache.extremes()
    if cells is not None and features is not None and extremes is not None:
        job.sums = MatrixSums(cells, features, extremes)
    return True


def _share_rows(a: Job, b: Job) -> bool:
    if a is b:
        return True
    plain = not a.matrix.steps and not b.matrix.steps and not _by_columns(a) and not _by_columns(b)
    return (
        plain and a.matrix.source is b.matrix.source and _same_index(a.matrix.rows, b.matrix.rows)
    )


def _by_columns(job: Job) -> bool:
    return job.restore and job.origin.encoding == "csc_matrix" and not _turns_dense(job)


def _turns_dense(job: Job) -> bool:
    return not all(step.keeps_zeros for step in job.matrix.steps)


def _run_one(job: Job) -> None:
    if _by_columns(job):
        write_all(_open_writer(job), _columns(job))
        return
    writer = _open_writer(job)
    reducer = SumsReducer(job.matrix.shape)
    state = reducer.init()
    held = writer.held_bytes
    for block in iterate_blocks(job.matrix, label=job.label, held_bytes=held):
        state = reducer.chunk(state, block)
        writer.append(block.X)
    writer.close()
    job.sums = reducer.finalize(state)


def _columns(job: Job) -> Iterator[CSR]:
    def blocks() -> Iterator[CSR]:
        return (block.X for block in iterate_blocks(job.matrix, label=job.label))

    return swap_axes(blocks, job.matrix.shape, job.matrix.dtype)


def _run_together(jobs: Sequence[Job]) -> None:
    """Write selections of columns of the same rows in one pass over all columns."""
    writers = [_open_writer(job) for job in jobs]
    reducers = [SumsReducer(job.matrix.shape) for job in jobs]
    states = [reducer.init() for reducer in reducers]
    pickers = [job.matrix.column_picker for job in jobs]
    first = jobs[0].matrix
    label = " and ".join(job.label for job in jobs)
    held = sum(writer.held_bytes for writer in writers)
    whole = LazyMatrix(first.source, first.rows)
    for block in iterate_blocks(whole, label=label, held_bytes=held):
        for n, (writer, reducer, pick) in enumerate(zip(writers, reducers, pickers, strict=True)):
            X = block.X if pick is None else pick(block.X)
            states[n] = reducer.chunk(states[n], Block(X, block.rows))
            writer.append(X)
    for job, writer, reducer, state in zip(jobs, writers, reducers, states, strict=True):
        writer.close()
        job.sums = reducer.finalize(state)


# --- how a matrix is stored -----------------------------------------------------------------------


def _open_writer(job: Job) -> MatrixWriter:
    return _restoring_writer(job) if job.restore else _smallest_writer(job)


def _restoring_writer(job: Job) -> MatrixWriter:
    """Return a writer in the type and encoding that the matrix first had."""
    matrix, layout = job.matrix, job.layout
    _, steps = origin_of(matrix)
    dtype = matrix.dtype if steps else np.dtype(job.origin.dtype).newbyteorder("=")
    if _turns_dense(job) or job.origin.encoding == "array":
        n_obs, n_vars = matrix.shape
        return DenseWriter(job.parent, job.name, n_vars, dtype=dtype, layout=layout, capacity=n_obs)
    n_minor = matrix.shape[0] if _by_columns(job) else matrix.shape[1]
    return CSRWriter(
        job.parent,
        job.name,
        n_minor,
        dtype=dtype,
        layout=layout,
        capacity=capacity_of(matrix),
        encoding=job.origin.encoding,
    )


def _smallest_writer(job: Job) -> MatrixWriter:
    """Return a writer in the smallest type, dense where most values are not 0."""
    matrix, layout = job.matrix, job.layout
    n_obs, n_vars = matrix.shape
    seen = job.seen
    if job.is_dense:
        return DenseWriter(
            job.parent,
            job.name,
            n_vars,
            dtype=seen.dtype,
            layout=layout,
            capacity=n_obs,
            narrow=True,
        )
    return CSRWriter(
        job.parent,
        job.name,
        n_vars,
        dtype=seen.dtype,
        layout=layout,
        capacity=capacity_of(matrix),
        expected=int(seen.density * matrix.size),
        narrow=True,
    )


def capacity_of(matrix: LazyMatrix) -> int:
    """Return the largest number of values that a matrix may hold other than 0."""
    if not all(step.keeps_zeros for step in matrix.steps):
        return matrix.size
    return int(matrix.row_values.sum())
