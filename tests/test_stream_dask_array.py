"""`to_dask`: Dask arrays of CSR blocks, and of dense ones, that compute nothing when made."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp

from lazymu.stream import LazyMatrix
from lazymu.stream.dask_array import to_dask_dense
from lazymu.stream.steps import Log1p
from tests.conftest import make_counts
from tests.counting import raise_if_dask_computes
from tests.rna_data import small_blocks


def lazy_and_dense() -> tuple[LazyMatrix, np.ndarray]:
    X = make_counts()
    rows = np.random.default_rng(0).permutation(60)[:50]
    return LazyMatrix(X).with_steps(Log1p())[rows, ::-1], np.log1p(X.toarray())[rows, ::-1]


def test_to_dask__blocks_are_csr_of_whole_rows() -> None:
    lazy, dense = lazy_and_dense()
    with small_blocks(2, 40), raise_if_dask_computes():
        array = lazy.to_dask()
    assert isinstance(array, da.Array)
    assert (array.shape, array.dtype) == (dense.shape, dense.dtype)
    assert array.numblocks[0] > 3
    assert array.numblocks[1] == 1
    blocks = [array.blocks[i].compute() for i in range(array.numblocks[0])]
    assert all(sp.issparse(block) and block.format == "csr" for block in blocks)
    np.testing.assert_allclose(sp.vstack(blocks).toarray(), dense, rtol=1e-6)


def test_to_dask__linear_algebra_on_blocks() -> None:
    lazy, dense = lazy_and_dense()
    Q = np.random.default_rng(1).random((40, 3))
    with small_blocks(2, 40):
        array = lazy.to_dask()
    product = array.map_blocks(lambda X: X @ Q, chunks=(array.chunks[0], (3,)), dtype=float)
    np.testing.assert_allclose(product.compute(), dense @ Q, rtol=1e-5)


def test_to_dask_dense__is_an_array_like_any() -> None:
    lazy, dense = lazy_and_dense()
    with raise_if_dask_computes():
        array = to_dask_dense(lazy)
    np.testing.assert_allclose(array.mean(axis=0).compute(), dense.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(array[3:9, 5].compute(), dense[3:9, 5], rtol=1e-6)


@pytest.mark.parametrize("shape", [(0, 4), (3, 0)])
def test_to_dask__of_nothing(shape: tuple[int, int]) -> None:
    lazy = LazyMatrix(sp.csr_matrix(shape))
    for array in (lazy.to_dask(), to_dask_dense(lazy)):
        assert array.shape == shape
        assert array.compute().shape == shape


def test_to_dask__arrays_of_different_matrices_are_different() -> None:
    X = make_counts()
    a, b = LazyMatrix(X).to_dask(), LazyMatrix(X * 2).to_dask()
    assert a.name != b.name
    np.testing.assert_array_equal(b.compute().toarray(), 2 * X.toarray())
