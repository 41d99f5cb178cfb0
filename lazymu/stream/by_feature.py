"""Columns of a matrix from its copy by feature, where there is one."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np

from lazymu.errors import ArgumentError, explain
from lazymu.settings import settings
from lazymu.store.by_feature import copy_bytes, open_copy, write_copy
from lazymu.store.roots import Place
from lazymu.store.sources import CSRSource, MatrixSource, MemorySource
from lazymu.store.transpose import swap_axes
from lazymu.stream.matrix import LazyMatrix, read_scattered
from lazymu.stream.passes import iterate_blocks
from lazymu.stream.plan import working_bytes
from lazymu.typing import CSR

COPIES = 3
"""How often the values of columns are in memory at once while they are brought into rows."""

_known: weakref.WeakKeyDictionary[Any, CSRSource] = weakref.WeakKeyDictionary()


def store_by_feature(matrix: LazyMatrix) -> None:
    """Keep the stored values behind a matrix once more, feature by feature, beside their store.

    All rows and columns that are stored, without steps. One pass to count, and one for each third
    of the memory limit that the values take, or one that writes them into a temporary file.

    Raises
    ------
    ArgumentError
        If they stand in no local store that lazymu wrote.
    """
    source = matrix.source
    place: Place | None = getattr(source, "place", None)
    if place is None or not place.root.is_local:
        rule = "a copy stands beside the local store that lazymu wrote the counts to"
        fix = "write it to a .zarr store and open that: lazymu.convert, lazymu.read"
        raise ArgumentError(explain("X", "not in such a store", rule, fix))
    whole = LazyMatrix(source)

    def blocks() -> Iterator[CSR]:
        return (block.X for block in iterate_blocks(whole, label="store by feature"))

    features = swap_axes(blocks, source.shape, source.dtype)
    n_values = int(source.indptr[-1])
    _known.pop(source, None)
    write_copy(place, features, n_obs=source.shape[0], dtype=source.dtype, n_values=n_values)


def copy_of(source: MatrixSource) -> CSRSource | None:
    """Return a source's features, each a row, None where no copy of it is kept."""
    place: Place | None = getattr(source, "place", None)
    if place is None:
        return None
    if source not in _known and (copy := open_copy(place)) is not None:
        _known[source] = copy
    return _known.get(source)


def stored_bytes(source: MatrixSource) -> int | None:
    """Return the space on disk of a source's copy by feature, None where none is kept."""
    place: Place | None = getattr(source, "place", None)
    return None if place is None or copy_of(source) is None else copy_bytes(place)


def bytes_per_value(source: MatrixSource) -> int:
    """Return what a value takes that `picked` brings into memory; 0 where no copy is kept."""
    return 0 if copy_of(source) is None else COPIES * (source.dtype.itemsize + 4)


def picked(matrix: LazyMatrix) -> LazyMatrix:
    """Return selected columns with their stored values in memory, read from the copy by feature.

    The matrix itself where no columns are selected, no copy is kept, or they take more than half of
    the memory limit.
    """
    if matrix.cols is None or (copy := copy_of(matrix.source)) is None:
        return matrix
    n_values = int((copy.indptr[matrix.cols + 1] - copy.indptr[matrix.cols]).sum())
    if n_values * bytes_per_value(matrix.source) > working_bytes(settings.memory_limit) // 2:
        return matrix
    return picked_from(copy, matrix)


def picked_from(copy: CSRSource, matrix: LazyMatrix) -> LazyMatrix:
    """Return the matrix with its stored values in memory, read from its copy by feature."""
    cols = np.arange(copy.shape[0]) if matrix.cols is None else matrix.cols
    columns: CSR = read_scattered(copy, cols).T.tocsr()
    source = MemorySource(columns)
    return LazyMatrix(source, matrix.rows, None, matrix.steps, _cache=matrix.cache)
