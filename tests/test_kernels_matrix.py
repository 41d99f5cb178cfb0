"""Kernels that change a block or multiply with it, against scipy and the dense matrix."""

import numpy as np
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from lazymu.kernels import products, select, transform, transpose

KINDS = [("float32", "int32"), ("float64", "int64")]


@st.composite
def blocks(draw, kinds=KINDS):
    """CSR floats with empty rows, empty columns, or no rows or columns at all."""
    n, p = draw(st.integers(0, 12)), draw(st.integers(0, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dense = rng.normal(size=(n, p)) * (rng.random((n, p)) < draw(st.sampled_from([0, 0.4, 1])))
    data_dtype, index_dtype = draw(st.sampled_from(kinds))
    matrix = sp.csr_matrix(dense.astype(data_dtype))
    matrix.indices = matrix.indices.astype(index_dtype)
    matrix.indptr = matrix.indptr.astype(index_dtype)
    return matrix


def pieces(matrix):
    return matrix.data, matrix.indices, matrix.indptr


@settings(deadline=None, max_examples=40)
@given(blocks(), st.integers(0, 99))
def test_scale__rows_and_columns(matrix, seed):
    rng = np.random.default_rng(seed)
    rows, cols = rng.uniform(0.5, 2, matrix.shape[0]), rng.uniform(0.5, 2, matrix.shape[1])
    expected = rows[:, None] * matrix.toarray() * cols
    transform.scale_rows(matrix.data, matrix.indptr, rows)
    transform.scale_cols(matrix.data, matrix.indices, cols)
    assert_allclose(matrix.toarray(), expected, rtol=1e-6)


@settings(deadline=None, max_examples=40)
@given(blocks(), st.sampled_from([0, 1, 5, 16, 60, 64, 81, 130]), st.integers(0, 99))
def test_products__match_dense(matrix, n_cols, seed):
    n, p = matrix.shape
    Q = np.random.default_rng(seed).normal(size=(p, n_cols)).astype(matrix.dtype)
    dense = matrix.toarray().astype(np.float64)
    out = np.full((n, n_cols), np.nan, matrix.dtype)
    products.dot(*pieces(matrix), Q, out)
    assert_allclose(out, dense @ Q, atol=1e-5)
    fused, two_steps = np.ones((p, n_cols)), np.ones((p, n_cols))
    products.gram_dot_add(*pieces(matrix), Q, fused)
    products.t_dot_add(*pieces(matrix), (dense @ Q).astype(matrix.dtype), two_steps)
    assert_allclose(fused, 1 + dense.T @ (dense @ Q), atol=1e-5)
    assert_allclose(two_steps, 1 + dense.T @ (dense @ Q), atol=1e-4)


@settings(deadline=None, max_examples=60)
@given(blocks(), st.booleans(), st.integers(0, 99))
def test_select_cols__any_subset_in_any_order(matrix, keep_order, seed):
    rng = np.random.default_rng(seed)
    p = matrix.shape[1]
    chosen = rng.permutation(p)[: rng.integers(0, p + 1)]
    chosen = np.sort(chosen) if keep_order else chosen
    remap = np.full(p, -1, np.int64)
    remap[chosen] = np.arange(len(chosen))
    got = select.select_cols(*pieces(matrix), remap)
    dense = sp.csr_matrix(got, shape=(matrix.shape[0], len(chosen))).toarray()
    assert_array_equal(dense, matrix.toarray()[:, chosen])
    assert select.is_canonical(*got)
    assert [part.dtype for part in got] == [part.dtype for part in pieces(matrix)]


@settings(deadline=None, max_examples=60)
@given(blocks(), st.integers(0, 99))
def test_canonical__duplicates_zeros_and_disorder(matrix, seed):
    rng = np.random.default_rng(seed)
    n, p = matrix.shape
    dense = np.zeros((n, p))
    rows = [rng.integers(0, p, rng.integers(0, 8)) if p else [] for _ in range(n)]
    indptr = np.cumsum([0, *(len(row) for row in rows)]).astype(matrix.indptr.dtype)
    indices = np.concatenate([[], *rows]).astype(matrix.indices.dtype)
    data = rng.integers(-1, 2, len(indices)).astype(matrix.dtype)
    np.add.at(dense, (np.repeat(np.arange(n), np.diff(indptr)), indices), data)
    before = data.copy(), indices.copy(), indptr.copy()
    got = select.canonical(data, indices, indptr)
    assert_array_equal(sp.csr_matrix(got, shape=(n, p)).toarray(), dense)
    assert select.is_canonical(*got)
    assert [part.dtype for part in got] == [data.dtype, indices.dtype, indptr.dtype]
    for part, kept in zip((data, indices, indptr), before, strict=True):
        assert_array_equal(part, kept)


def test_canonical__clean_pieces_are_not_copied():
    matrix = sp.random(20, 30, 0.3, format="csr", random_state=0)
    matrix.sort_indices()
    assert all(
        a is b for a, b in zip(select.canonical(*pieces(matrix)), pieces(matrix), strict=True)
    )


def test_canonical__long_rows():
    rng = np.random.default_rng(1)
    indices = rng.permutation(5000).astype(np.int32)
    data, out, _ = select.canonical(indices + 1.0, indices, np.array([0, 5000], np.int32))
    assert_array_equal(out, np.arange(5000))
    assert_array_equal(data, np.arange(5000) + 1.0)


@settings(deadline=None, max_examples=60)
@given(blocks(), st.integers(1, 5), st.integers(1, 4))
def test_transpose__pieces_of_columns_into_runs_of_rows(matrix, cols_a_piece, rows_a_run):
    n, p = matrix.shape
    by_col = matrix.tocsc()
    indices = by_col.indices.astype(matrix.indices.dtype)
    starts = range(0, p, cols_a_piece)
    counts = np.zeros(n, np.int64)
    for c in starts:
        part = slice(by_col.indptr[c], by_col.indptr[min(p, c + cols_a_piece)])
        transpose.transpose_counts(indices[part], counts)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    data = np.empty(indptr[-1], matrix.dtype)
    out = np.empty(indptr[-1], np.int64)
    for first in range(0, n, rows_a_run):
        cursor = indptr[first : min(n, first + rows_a_run)].copy()
        for c in starts:
            ends = by_col.indptr[c : min(p, c + cols_a_piece) + 1]
            part = slice(ends[0], ends[-1])
            transpose.transpose_fill(
                by_col.data[part], indices[part], ends - ends[0], c, first, cursor, data, out
            )
        assert_array_equal(cursor, indptr[first + 1 : first + 1 + len(cursor)])
    assert_array_equal(indptr, matrix.indptr)
    assert_array_equal(out, matrix.indices)
    assert_array_equal(data, matrix.data)


def test_products__operands_of_any_layout():
    rng = np.random.default_rng(0)
    matrix = sp.random(30, 50, 0.3, format="csr", random_state=0, dtype=np.float32)
    dense = matrix.toarray()
    Q = rng.normal(size=(50, 128)).astype(np.float32)
    for operand in (np.asfortranarray(Q[:, :64]), Q[:, ::2], Q[:, 3:19]):
        for out in (
            np.empty((30, operand.shape[1]), np.float32),
            np.empty((operand.shape[1], 30), np.float32).T,
        ):
            products.dot(*pieces(matrix), operand, out)
            assert_allclose(out, dense @ operand, atol=1e-4)
        sums = np.zeros((operand.shape[1], 50)).T
        products.t_dot_add(*pieces(matrix), (dense @ operand).T.copy().T, sums)
        assert_allclose(sums, dense.T @ (dense @ operand), rtol=1e-3, atol=1e-3)
