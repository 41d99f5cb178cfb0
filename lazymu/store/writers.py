"""Matrices written block by block, in AnnData's encodings: CSR (or CSC) and dense."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np

from lazymu.store.arrays import Appender, Layout, held_bytes, is_h5, rows_of
from lazymu.store.dtypes import INT32_VALUES, index_dtype, narrowest, wider
from lazymu.typing import CSR, Int64s


class MatrixWriter(Protocol):
    """Takes the rows of a matrix in order."""

    @property
    def held_bytes(self) -> int:
        """Bytes of what is in memory until it fills shards."""
        ...

    def append(self, X: CSR) -> None:
        """Write the next rows."""
        ...

    def close(self) -> None:
        """Write what is pending, and the attributes by which the matrix is found."""
        ...


class CSRWriter:
    """Rows of a sparse matrix, written as `data`, `indices` and `indptr`.

    Parameters
    ----------
    parent, name
        Where the group is created.
    n_cols
        Length of a row.
    dtype
        Type that values start with.
    layout
        Chunks and shards.
    capacity
        Stored values at most.
    expected
        Stored values by estimate: `indices` are 32-bit until 2^31 have come, or are expected.
    narrow
        Widen the type of the values where one comes that it does not hold; else cast to it.
    encoding
        ``"csr_matrix"``, or ``"csc_matrix"`` where what is appended are columns.
    """

    def __init__(
        self,
        parent: Any,
        name: str,
        n_cols: int,
        *,
        dtype: Any,
        layout: Layout,
        capacity: int,
        expected: int | None = None,
        narrow: bool = False,
        encoding: str = "csr_matrix",
    ) -> None:
        self.group = parent.create_group(name)
        self._n_cols, self._narrow, self._layout = n_cols, narrow, layout
        self._encoding = encoding
        n_values = capacity if expected is None or is_h5(parent) else expected
        indices = index_dtype(n_values, n_cols)
        self._data = Appender(self.group, "data", None, dtype, layout, capacity)
        self._indices = Appender(self.group, "indices", None, indices, layout, capacity)
        self._lengths: list[Any] = [np.zeros(1, dtype=np.int64)]
        self._n_values = 0

    @property
    def held_bytes(self) -> int:
        return held_bytes(self._data.shard_bytes, self._indices.shard_bytes)

    def append(self, X: CSR) -> None:
        if self._narrow:
            needed = wider(self._data.dtype, narrowest(X.data))
            if needed != self._data.dtype:
                self._data.widen(needed)
        self._n_values += X.nnz
        if self._n_values >= INT32_VALUES and self._indices.dtype == np.int32:
            self._indices.widen(np.int64)
        self._data.append(X.data)
        self._indices.append(X.indices)
        self._lengths.append(np.diff(X.indptr))

    def close(self) -> None:
        self._data.close()
        self._indices.close()
        lengths = np.concatenate(self._lengths)
        close_csr(
            self.group,
            np.cumsum(lengths, dtype=np.int64),
            self._n_cols,
            self._indices.dtype,
            self._layout,
            self._encoding,
        )


def close_csr(
    group: Any,
    indptr: Int64s,
    n_cols: int,
    dtype: np.dtype[Any],
    layout: Layout,
    encoding: str = "csr_matrix",
) -> None:
    """Write the offsets of a sparse matrix's rows, and the attributes by which it is found."""
    offsets = Appender(group, "indptr", None, dtype, layout, len(indptr))
    offsets.append(indptr)
    offsets.close()
    shape = (len(indptr) - 1, n_cols)
    if encoding == "csc_matrix":
        shape = shape[::-1]
    group.attrs.update(
        {
            "encoding-type": encoding,
            "encoding-version": "0.1.0",
            "shape": shape if is_h5(group) else list(shape),
        }
    )


def close_dense(array: Any) -> None:
    """Write the attributes by which a dense matrix is found."""
    array.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})


class DenseWriter:
    """Rows of a matrix, written as a dense array; parameters are those of :class:`CSRWriter`."""

    def __init__(
        self,
        parent: Any,
        name: str,
        n_cols: int,
        *,
        dtype: Any,
        layout: Layout,
        capacity: int,
        narrow: bool = False,
    ) -> None:
        self._narrow = narrow
        self._step = rows_of(layout.chunk_values, n_cols)
        self._rows = Appender(parent, name, n_cols, dtype, layout, capacity)

    @property
    def held_bytes(self) -> int:
        return held_bytes(self._rows.shard_bytes)

    def append(self, X: CSR) -> None:
        if self._narrow:
            needed = wider(self._rows.dtype, narrowest(X.data))
            if needed != self._rows.dtype:
                self._rows.widen(needed)
        for start in range(0, X.shape[0], self._step):  # a sparse block may be large as dense
            self._rows.append(X[start : start + self._step].toarray())

    def close(self) -> None:
        close_dense(self._rows.close())


def write_all(writer: MatrixWriter, blocks: Iterable[CSR]) -> None:
    """Write all rows of a matrix."""
    for X in blocks:
        writer.append(X)
        del X  # else the block would be kept while the next one is made
    writer.close()
