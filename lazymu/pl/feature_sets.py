"""Values that several features of a cell make together, such as the mean over a gene's peaks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
import scipy.sparse as sp

from lazymu.errors import ArgumentError, explain
from lazymu.stream import LazyMatrix, RowPieces, RowReducer, run_pass
from lazymu.typing import CSR, Float64s, Int64s


class FeatureSet(str):
    """The name of a value that several features make; it stands wherever a feature's name may.

    Parameters
    ----------
    name
        What the value is called.
    matrix
        Where the features are; its rows are the cells of ``modality``.
    positions
        The features' columns.
    function
        Of each cell's values in them: ``"mean"``, ``"sum"``, ``"max"``, ``"min"`` or ``"median"``.
    modality
        The modality's name within the MuData, if any.

    Raises
    ------
    ArgumentError
        If there is no such function.
    """

    matrix: LazyMatrix
    positions: Int64s
    function: str
    modality: str | None

    def __new__(
        cls,
        name: str,
        matrix: LazyMatrix,
        positions: Int64s,
        function: str = "mean",
        modality: str | None = None,
    ) -> Self:
        if function not in FUNCTIONS:
            rule = f"known are {', '.join(FUNCTIONS)}"
            raise ArgumentError(explain("func", repr(function), rule, "pass one of them"))
        made = super().__new__(cls, name)
        made.matrix, made.positions, made.function = matrix, positions, function
        made.modality = modality
        return made

    @property
    def name(self) -> str:
        """What the value is called."""
        return str(self)


def _sums(X: CSR, sets: Sequence[Int64s]) -> CSR:
    lengths = [len(one) for one in sets]
    places = np.concatenate(list(sets)), np.repeat(np.arange(len(sets)), lengths)
    members: Any = sp.csr_matrix((np.ones(sum(lengths)), places), (X.shape[1], len(sets)))
    sums: CSR = X @ members
    return sums


def _means(X: CSR, sets: Sequence[Int64s]) -> CSR:
    sums = _sums(X, sets)
    sums.data /= np.array([len(one) for one in sets], dtype=np.float64)[sums.indices]
    return sums


def _each(of_values: Callable[[CSR], Any]) -> Callable[[CSR, Sequence[Int64s]], CSR]:
    """Return a function that makes a column of each set's values."""

    def of_sets(X: CSR, sets: Sequence[Int64s]) -> CSR:
        columns: CSR = sp.hstack([of_values(X[:, one]) for one in sets], format="csr")
        return columns.astype(np.float64)

    return of_sets


FUNCTIONS: dict[str, Callable[[CSR, Sequence[Int64s]], CSR]] = {
    "mean": _means,
    "sum": _sums,
    "max": _each(lambda X: X.max(axis=1)),
    "min": _each(lambda X: X.min(axis=1)),
    "median": _each(lambda X: sp.csr_matrix(np.median(X.toarray(), axis=1)[:, None])),
}
"""From a block of cells and columns of sets to (cells, sets)."""


class SetsOfMatrix:
    """Sets of features of one matrix, and what they make of a block of its cells.

    ``matrix`` has those features alone that some set has.
    """

    def __init__(self, sets: Sequence[FeatureSet]) -> None:
        every = np.unique(np.concatenate([one.positions for one in sets]))
        self.matrix = sets[0].matrix[:, every]
        self._within = [np.searchsorted(every, one.positions) for one in sets]
        self._functions = [one.function for one in sets]

    def of_block(self, X: CSR) -> CSR:
        """Return (cells, sets): the values of a block's cells."""
        made = {}
        for function in dict.fromkeys(self._functions):
            own = [rank for rank, name in enumerate(self._functions) if name == function]
            columns = FUNCTIONS[function](X, [self._within[rank] for rank in own])
            made.update({rank: columns[:, [at]] for at, rank in enumerate(own)})
        values: CSR = sp.hstack([made[rank] for rank in range(len(made))], format="csr")
        return values


class _Values(RowReducer[Float64s]):
    """(cells, sets): what sets make of all cells."""

    def __init__(self, sets: SetsOfMatrix, shape: tuple[int, int]) -> None:
        self.sets, self.shape = sets, shape

    @property
    def state_bytes(self) -> int:
        """Bytes of the values."""
        return 8 * self.shape[0] * self.shape[1]

    def of_block(self, X: CSR) -> Float64s:
        """Return the values of a block of cells."""
        return self.sets.of_block(X).toarray()

    def finalize(self, state: RowPieces) -> Float64s:
        """Return the values of all cells."""
        return np.asarray(state.assemble(self.shape[0], self.shape[1:], np.float64))


def set_values(sets: Sequence[FeatureSet], cells: Int64s | None = None) -> Float64s:
    """Return (cells, sets): the values of sets of one matrix, in all or some cells. One pass."""
    found = SetsOfMatrix(sets)
    matrix = found.matrix if cells is None else found.matrix[cells]
    reducer = _Values(found, (matrix.shape[0], len(sets)))
    (values,) = run_pass(matrix, reducer, label="sets of features")
    return np.asarray(values)
