"""A lazy matrix as a Dask array: CSR blocks for linear algebra, dense ones for xarray."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import scipy.sparse as sp

from lazymu.settings import settings
from lazymu.stream.plan import MAX_VALUES, plan_blocks
from lazymu.typing import CSR, Array, Int64s

if TYPE_CHECKING:
    from lazymu.stream.matrix import LazyMatrix


def to_dask(matrix: LazyMatrix) -> da.Array:
    """Return a Dask array of CSR blocks, one for each block of the plan."""
    plan = plan_blocks(
        matrix.row_values,
        value_bytes=matrix.value_bytes,
        memory_limit=settings.memory_limit,
        n_threads=settings.n_threads,
    )
    meta = sp.csr_matrix((0, 0), dtype=matrix.dtype)
    return _from_blocks(matrix, plan.bounds, _sparse_block, meta)


def to_dask_dense(matrix: LazyMatrix) -> da.Array:
    """Return a Dask array of dense blocks, as xarray and NumPy functions need them."""
    rows = max(1, MAX_VALUES // max(matrix.shape[1], 1))
    bounds = np.append(np.arange(0, matrix.shape[0], rows, dtype=np.int64), matrix.shape[0])
    meta = np.empty((0, 0), dtype=matrix.dtype)
    return _from_blocks(matrix, bounds, _dense_block, meta)


def _from_blocks(matrix: LazyMatrix, bounds: Int64s, load: Any, meta: Any) -> da.Array:
    chunks = (tuple(np.diff(bounds).tolist()) or (0,), (matrix.shape[1],))
    array: da.Array = da.map_blocks(
        load, chunks=chunks, dtype=matrix.dtype, meta=meta, matrix=matrix, name=None
    )
    return array


def _sparse_block(*, matrix: LazyMatrix, block_info: Any = None) -> CSR:
    start, stop = block_info[None]["array-location"][0]
    return matrix.load(start, stop)


def _dense_block(*, matrix: LazyMatrix, block_info: Any = None) -> Array:
    return _sparse_block(matrix=matrix, block_info=block_info).toarray()
