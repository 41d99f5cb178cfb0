"""Elementwise transforms of a matrix as data: what a lazy matrix applies to each block.

A step holds the vectors that it needs, aligned to the rows and columns of its matrix. A selection
of the matrix takes the same entries of the vectors, so filters and transforms may come in any
order. Steps are written into a store as plain dictionaries (:func:`to_record`) and come back as
they were (:func:`from_record`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, TypeVar

import numpy as np

from lazymu.errors import UnknownFormatError, explain
from lazymu.typing import CSR, Array

Rows = slice | Array
S = TypeVar("S", bound="Step")
_KINDS: dict[str, type[Step]] = {}


@dataclass(frozen=True)
class Step:
    """Base of all steps."""

    keeps_zeros: ClassVar[bool] = True
    """Whether 0 stays 0, so that a sparse block stays sparse."""
    by_row: ClassVar[tuple[str, ...]] = ()
    """Fields with one entry (or row) for each cell."""
    by_col: ClassVar[tuple[str, ...]] = ()
    """Fields with one entry for each feature."""

    def __init_subclass__(cls) -> None:
        _KINDS[cls.__name__] = cls

    def apply(self, X: CSR, rows: Rows) -> None:
        """Transform the values of a CSR block in place; ``rows`` are its rows in the matrix."""
        raise AssertionError(f"{type(self).__name__} does not work on sparse blocks")

    def apply_dense(self, X: Array, rows: Rows) -> Array:
        """Return a dense block transformed (only asked of steps that do not keep zeros)."""
        raise AssertionError(f"{type(self).__name__} works on sparse blocks")

    def output_dtype(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """Return the dtype of the values after this step."""
        return dtype if dtype == np.float64 else np.dtype(np.float32)

    def take_rows(self: S, index: Rows) -> S:
        """Return the step for the matrix of some rows."""
        return self._take(self.by_row, index)

    def take_cols(self: S, index: Rows) -> S:
        """Return the step for the matrix of some columns."""
        return self._take(self.by_col, index)

    def _take(self: S, names: tuple[str, ...], index: Rows) -> S:
        taken = {name: value[index] for name in names if (value := getattr(self, name)) is not None}
        return replace(self, **taken) if taken else self


@dataclass(frozen=True)
class ScaleRows(Step):
    """x_ij * factor_i."""

    by_row: ClassVar[tuple[str, ...]] = ("factor",)
    factor: Array

    def apply(self, X: CSR, rows: Rows) -> None:
        from lazymu.kernels.transform import scale_rows

        scale_rows(X.data, X.indptr, np.ascontiguousarray(self.factor[rows]))


@dataclass(frozen=True)
class ScaleCols(Step):
    """x_ij * factor_j."""

    by_col: ClassVar[tuple[str, ...]] = ("factor",)
    factor: Array

    def apply(self, X: CSR, rows: Rows) -> None:
        from lazymu.kernels.transform import scale_cols

        scale_cols(X.data, X.indices, self.factor)


@dataclass(frozen=True)
class Log1p(Step):
    """log(1 + x), to a base where one is given."""

    base: float | None = None

    def apply(self, X: CSR, rows: Rows) -> None:
        np.log1p(X.data, out=X.data)
        if self.base is not None:
            X.data /= np.log(self.base)


@dataclass(frozen=True)
class Expm1(Step):
    """exp(x) - 1, the inverse of :class:`Log1p`."""

    base: float | None = None

    def apply(self, X: CSR, rows: Rows) -> None:
        if self.base is not None:
            X.data *= np.log(self.base)
        with np.errstate(over="ignore"):  # values that are no logarithms become infinite
            np.expm1(X.data, out=X.data)


@dataclass(frozen=True)
class Binarize(Step):
    """1 where x is not 0."""

    def apply(self, X: CSR, rows: Rows) -> None:
        X.data[:] = 1

    def output_dtype(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        return dtype


@dataclass(frozen=True)
class Astype(Step):
    """Values in another dtype, for a matrix whose stored type is narrower than its type was."""

    name: str

    def apply(self, X: CSR, rows: Rows) -> None:
        return  # the block is in the matrix's output dtype already

    def output_dtype(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        return np.dtype(self.name)


@dataclass(frozen=True)
class Clip(Step):
    """min(x, high)."""

    high: float

    def apply(self, X: CSR, rows: Rows) -> None:
        np.minimum(X.data, self.high, out=X.data)


@dataclass(frozen=True)
class Standardize(Step):
    """z_ij = (x_ij - mean_j) / std_j, within [-max_value, max_value] where that is given."""

    keeps_zeros: ClassVar[bool] = False
    by_col: ClassVar[tuple[str, ...]] = ("mean", "std")
    mean: Array
    std: Array
    max_value: float | None = None

    def apply_dense(self, X: Array, rows: Rows) -> Array:
        return self.clipped((X - self.mean) / self.std)

    def clipped(self, z: Array) -> Array:
        """Return values within the bounds, where there are any."""
        return z if self.max_value is None else np.clip(z, -self.max_value, self.max_value)

    @property
    def of_zero(self) -> Array:
        """What a zero of each feature becomes."""
        return self.clipped(-self.mean / self.std)

    def without_offset(self) -> StandardizeStored:
        """Return the step that gives ``z_ij`` less what a zero of feature ``j`` becomes."""
        return StandardizeStored(self.mean, self.std, self.max_value)


@dataclass(frozen=True)
class StandardizeStored(Step):
    """z_ij - z(0)_j: what :class:`Standardize` gives, less the row that makes it dense."""

    by_col: ClassVar[tuple[str, ...]] = ("mean", "std")
    mean: Array
    std: Array
    max_value: float | None = None

    def apply(self, X: CSR, rows: Rows) -> None:
        whole = Standardize(self.mean, self.std, self.max_value)
        j = X.indices
        X.data[:] = whole.clipped((X.data - self.mean[j]) / self.std[j]) - whole.of_zero[j]


@dataclass(frozen=True)
class LogRatio(Step):
    """log(x_ij + pseudocount) - of_row_i - of_col_j; not finite where x_ij + pseudocount is 0."""

    keeps_zeros: ClassVar[bool] = False
    by_row: ClassVar[tuple[str, ...]] = ("of_row",)
    by_col: ClassVar[tuple[str, ...]] = ("of_col",)
    pseudocount: float
    of_row: Array | None = None
    of_col: Array | None = None

    def apply_dense(self, X: Array, rows: Rows) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            y: Array = np.log(X + X.dtype.type(self.pseudocount))
            if self.of_row is not None:
                y -= self.of_row[rows][:, None].astype(y.dtype)
            if self.of_col is not None:
                y -= self.of_col.astype(y.dtype)
        return y


@dataclass(frozen=True)
class Dsb(Step):
    """(log(x_ij + pseudocount) - mean_j) / std_j - noise_i slope_j, within [low, high]."""

    keeps_zeros: ClassVar[bool] = False
    by_row: ClassVar[tuple[str, ...]] = ("noise",)
    by_col: ClassVar[tuple[str, ...]] = ("mean", "std", "slope")
    pseudocount: float
    mean: Array
    std: Array | None = None
    noise: Array | None = None
    slope: Array | None = None
    low: float | None = None
    high: float | None = None

    def apply_dense(self, X: Array, rows: Rows) -> Array:
        y = np.log(X.astype(np.float64) + self.pseudocount) - self.mean
        if self.std is not None:
            y /= self.std
        if self.noise is not None and self.slope is not None:
            y -= np.outer(self.noise[rows], self.slope)
        if self.low is not None or self.high is not None:
            np.clip(y, self.low, self.high, out=y)
        return y


def to_record(step: Step) -> dict[str, Any]:
    """Return a step as a dictionary that can be written into ``uns``; unset fields are left out."""
    values = {field.name: getattr(step, field.name) for field in fields(step)}
    return {"kind": type(step).__name__, **{k: v for k, v in values.items() if v is not None}}


def from_record(record: Mapping[str, Any]) -> Step:
    """Return the step that :func:`to_record` described."""
    kind = str(record["kind"])
    if kind not in _KINDS:
        raise UnknownFormatError(
            explain("recipe", kind, f"known steps are {', '.join(_KINDS)}", "update lazymu")
        )
    known = {field.name for field in fields(_KINDS[kind])}
    values = {k: _plain(v) for k, v in record.items() if k in known}
    return _KINDS[kind](**values)


def _plain(value: Any) -> Any:
    """Return NumPy scalars, as element readers give them, as Python's."""
    return value.item() if isinstance(value, np.generic) else value
