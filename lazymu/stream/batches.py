"""Mini-batches for training: cells in random order, each once an epoch, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from lazymu.settings import settings
from lazymu.store.sources import assemble_csr
from lazymu.stream.ledger import enter_pass
from lazymu.stream.matrix import LazyMatrix
from lazymu.stream.passes import storage_order
from lazymu.stream.plan import BlockPlan, plan_blocks
from lazymu.typing import CSR, Array, Int64s, RandomState

RUNS = 16
"""Runs of consecutive cells whose cells are shuffled together."""
RUN_VALUES = 1 << 20
"""Values of a run at most: about a chunk of a store, so that few chunks are read in vain."""
COPIES = 3
"""A buffer is held while the runs of the next one are read and put together."""


class Buffer(NamedTuple):
    """Cells that are shuffled together."""

    matrices: dict[str, CSR]
    cells: Int64s
    """Positions of the rows in the data."""

    def take(self, rows: Int64s) -> Buffer:
        """Return some of the cells."""
        return Buffer({name: X[rows] for name, X in self.matrices.items()}, self.cells[rows])


class Batches:
    """An iterable over mini-batches; each iteration is the next epoch.

    Parameters
    ----------
    matrices
        Matrices of the same rows.
    cells
        Position of each row in the data.
    batch_size, shuffle, random_state, dense, dtype, drop_last
        Those of :func:`lazymu.batches`.
    single
        Yield the values of the one matrix instead of a dictionary.

    Notes
    -----
    An epoch draws the order of runs of consecutive cells. `RUNS` of them make a buffer, whose
    cells are shuffled and cut into batches; those left over begin the next buffer's first batch.
    """

    def __init__(
        self,
        matrices: Mapping[str, LazyMatrix],
        cells: Int64s,
        *,
        batch_size: int,
        shuffle: bool,
        random_state: RandomState,
        dense: bool,
        dtype: np.dtype[Any],
        drop_last: bool,
        single: bool,
    ) -> None:
        order = storage_order(next(iter(matrices.values()))) if shuffle else None
        if order is not None:
            matrices = {name: matrix[order] for name, matrix in matrices.items()}
            cells = cells[order]
        self._matrices, self._cells = dict(matrices), cells
        self._shuffle, self._dense, self._dtype = shuffle, dense, dtype
        self._drop_last, self._single = drop_last, single
        self._seed = int(np.random.default_rng(random_state).integers(1 << 62))
        self.batch_size = batch_size
        self.epoch = 0
        """The epoch that the next iteration gives; it may be set."""
        self.plan: BlockPlan = self._planned()
        """Runs of cells, and what buffers of them take."""

    def _planned(self) -> BlockPlan:
        matrices = self._matrices.values()
        width = sum(matrix.shape[1] for matrix in matrices)
        batch = self.batch_size * width * self._dtype.itemsize if self._dense else 0
        held = COPIES * (self._dtype.itemsize + 4)  # a value and its column
        read = max(matrix.value_bytes for matrix in matrices)
        return plan_blocks(
            np.sum([matrix.row_values for matrix in matrices], axis=0, dtype=np.int64),
            memory_limit=settings.memory_limit,
            n_threads=RUNS,
            operand_bytes=COPIES * batch,
            value_bytes=held + -(-read // RUNS),
            max_values=RUN_VALUES,
        )

    def __len__(self) -> int:
        n = len(self._cells)
        return n // self.batch_size if self._drop_last else -(-n // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Any, Int64s]]:
        epoch, self.epoch = self.epoch, self.epoch + 1
        return self._batches(np.random.default_rng([self._seed, epoch]))

    def _batches(self, rng: np.random.Generator) -> Iterator[tuple[Any, Int64s]]:
        enter_pass("batches", self.plan)
        left: Buffer | None = None
        for buffer in self._buffers(rng):
            n = len(buffer.cells)
            order = rng.permutation(n) if self._shuffle else np.arange(n)
            start = 0
            while start < n:
                held = 0 if left is None else len(left.cells)
                stop = start + self.batch_size - held
                batch = buffer.take(order[start:stop])
                batch, left, start = batch if left is None else _stack([left, batch]), None, stop
                if len(batch.cells) < self.batch_size:
                    left = batch
                else:
                    yield self._values(batch)
            del buffer  # else it would be kept while the next one is waited for
        if left is not None and not self._drop_last:
            yield self._values(left)

    def _buffers(self, rng: np.random.Generator) -> Iterator[Buffer]:
        """Yield buffers of `RUNS` runs, or somewhat fewer in each; one is read ahead."""
        n_runs = self.plan.n_blocks
        runs = rng.permutation(n_runs) if self._shuffle else np.arange(n_runs)
        groups = np.array_split(runs, -(-n_runs // RUNS)) if n_runs else []
        with ThreadPoolExecutor(max_workers=1) as reader:
            pending = [reader.submit(self._load, group) for group in groups[:1]]
            for n in range(len(groups)):
                buffer = pending.pop().result()
                pending = [reader.submit(self._load, group) for group in groups[n + 1 : n + 2]]
                yield buffer
                del buffer  # else it would be kept while the next one is waited for

    def _load(self, group: Int64s) -> Buffer:
        return _stack([self._run(int(run)) for run in np.sort(group)])

    def _run(self, run: int) -> Buffer:
        start, stop = self.plan.bounds[run : run + 2].tolist()
        loaded = ((name, matrix.load(start, stop)) for name, matrix in self._matrices.items())
        return Buffer({name: self._cast(X) for name, X in loaded}, self._cells[start:stop])

    def _cast(self, X: CSR) -> CSR:
        return assemble_csr(X.data.astype(self._dtype, copy=False), X.indices, X.indptr, X.shape)

    def _values(self, batch: Buffer) -> tuple[Any, Int64s]:
        values: dict[str, CSR | Array] = {
            name: X.toarray() if self._dense else X for name, X in batch.matrices.items()
        }
        return (next(iter(values.values())) if self._single else values), batch.cells


def _stack(buffers: Sequence[Buffer]) -> Buffer:
    if len(buffers) == 1:
        return buffers[0]
    names = buffers[0].matrices
    matrices = {
        name: sp.vstack([buffer.matrices[name] for buffer in buffers], format="csr")
        for name in names
    }
    return Buffer(matrices, np.concatenate([buffer.cells for buffer in buffers]))
