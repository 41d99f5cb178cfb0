"""What a pass computes, as declarations: `init`, `chunk`, `combine`, `finalize`."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Generic, NamedTuple, Self, TypeVar

import numpy as np
import scipy.sparse as sp

from lazymu.typing import CSR, Array

S = TypeVar("S")
R = TypeVar("R")


class OwnRows(NamedTuple):
    """The rows of an array that one task on a cluster has."""

    values: Array


class Block(NamedTuple):
    """A run of cells with all steps of its matrix applied."""

    X: CSR
    rows: slice | Array
    """Positions of the block's rows in the matrix."""
    own: slice = slice(0)
    """Their positions among the rows of the task, in the order in which these are stored."""

    def of(self, values: Array | OwnRows) -> Array:
        """Return the block's rows of an array that has one for each row of the matrix."""
        return values.values[self.own] if isinstance(values, OwnRows) else values[self.rows]


class RowOperands:
    """What has arrays with an entry for each row of a matrix: a task on a cluster gets its own."""

    per_row: ClassVar[tuple[str, ...]] = ()
    """The attributes that are such arrays; blocks are asked for their rows (`Block.of`)."""

    def without_rows(self) -> Self:
        """Return what all tasks share."""
        return self._with(dict.fromkeys(self.per_row))

    def rows_of(self, rows: slice | Array) -> tuple[Array, ...]:
        """Return what one task has for itself."""
        return tuple(getattr(self, name)[rows] for name in self.per_row)

    def with_rows(self, own: Sequence[Array]) -> Self:
        """Return both together."""
        return self._with(dict(zip(self.per_row, map(OwnRows, own), strict=True)))

    def _with(self, attributes: dict[str, Any]) -> Self:
        if not attributes:
            return self
        other = copy.copy(self)
        other.__dict__.update(attributes)
        return other


class Reducer(RowOperands, ABC, Generic[S, R]):
    """A statistic of a matrix; `combine` must be associative, as states merge in any grouping."""

    @property
    def state_bytes(self) -> int:
        """Bytes of one state: what the block plan sets aside for each thread."""
        return 0

    @property
    def operand_bytes(self) -> int:
        """Bytes that all blocks share, such as a right-hand side."""
        return 0

    @property
    def row_bytes(self) -> int:
        """Bytes that go by rows, such as a left-hand side: a worker has those of its tasks."""
        return 0

    @abstractmethod
    def init(self) -> S:
        """Return the state of no rows."""

    @abstractmethod
    def chunk(self, state: S, block: Block) -> S:
        """Return the state with a block added; it may be changed in place."""

    @abstractmethod
    def combine(self, a: S, b: S) -> S:
        """Return the state of the rows of both; `a` may be changed in place."""

    @abstractmethod
    def finalize(self, state: S) -> R:
        """Return the result."""


class RowPieces(list[tuple["slice | Array", Any]]):
    """Results for each row, gathered block by block: a state for one value or vector per cell."""

    def assemble(self, n_rows: int, trailing: tuple[int, ...], dtype: Any) -> Array:
        """Return the pieces as one array (n_rows, *trailing); each is let go on the way."""
        out = np.zeros((n_rows, *trailing), dtype=dtype)
        while self:
            rows, values = self.pop()
            out[rows] = values
        return out

    def stack(self, shape: tuple[int, int], dtype: Any) -> CSR:
        """Return pieces that are CSR as one matrix."""
        if not self:
            return sp.csr_matrix(shape, dtype=dtype)
        X: CSR = sp.vstack([piece for _, piece in self], format="csr", dtype=dtype)
        everything = np.arange(shape[0])
        positions = np.concatenate([everything[rows] for rows, _ in self])
        if np.any(np.diff(positions) < 0):
            X = X[np.argsort(positions, kind="stable")]
        return X


class RowReducer(Reducer[RowPieces, R]):
    """Something for each row of a matrix: `of_block` makes it, `finalize` puts it together."""

    @abstractmethod
    def of_block(self, X: CSR) -> Any:
        """Return what a block's rows have."""

    def init(self) -> RowPieces:
        return RowPieces()

    def chunk(self, state: RowPieces, block: Block) -> RowPieces:
        state.append((block.rows, self.of_block(block.X)))
        return state

    def combine(self, a: RowPieces, b: RowPieces) -> RowPieces:
        a.extend(b)
        return a
