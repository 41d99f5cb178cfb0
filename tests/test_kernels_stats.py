"""Kernels that sum up a block, against NumPy on the dense matrix."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from lazymu.kernels import gram, moments, sums, top

KINDS = [("float32", "int32"), ("uint16", "int32"), ("float64", "int64")]


@st.composite
def counts(draw):
    """CSR counts with empty rows, empty columns, or no rows or columns at all."""
    n, p = draw(st.integers(0, 12)), draw(st.integers(0, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dense = rng.poisson(3, (n, p)) * (rng.random((n, p)) < draw(st.sampled_from([0.0, 0.3, 1.0])))
    data_dtype, index_dtype = draw(st.sampled_from(KINDS))
    matrix = sp.csr_matrix(dense.astype(data_dtype))
    matrix.indices = matrix.indices.astype(index_dtype)
    matrix.indptr = matrix.indptr.astype(index_dtype)
    for part in (matrix.data, matrix.indices, matrix.indptr):
        part.flags.writeable = False
    return matrix, dense.astype(np.float64)


@settings(deadline=None, max_examples=60)
@given(counts())
def test_sums__match_dense(case):
    matrix, dense = case
    p = dense.shape[1]
    col_sum, col_nnz = np.ones(p), np.ones(p, np.int64)
    sums.add_col_sums(col_sum, matrix.data, matrix.indices)
    sums.add_col_nnz(col_nnz, matrix.data, matrix.indices)
    assert_allclose(sums.row_sums(matrix.data, matrix.indptr), dense.sum(1))
    assert_array_equal(sums.row_nnz(matrix.data, matrix.indptr), (dense != 0).sum(1))
    assert_allclose(col_sum, dense.sum(0) + 1)
    assert_array_equal(col_nnz, (dense != 0).sum(0) + 1)


def test_row_nnz__explicit_zeros_do_not_count():
    assert_array_equal(sums.row_nnz(np.array([0.0, 2.0, 0.0]), np.array([0, 2, 3])), [1, 0])
    out = np.zeros(2, np.int64)
    sums.add_col_nnz(out, np.array([0.0, 2.0]), np.array([0, 1], np.int32))
    assert_array_equal(out, [0, 1])


@pytest.mark.parametrize("dtype", [np.uint64, np.int64])
def test_row_sums__large_whole_numbers(dtype):
    values = np.array([2**62, 2**61], dtype)
    assert_allclose(sums.row_sums(values, np.array([0, 1, 2])), [2.0**62, 2.0**61])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], (np.inf, -np.inf, True, True)),
        ([3.0, 1.0], (1.0, 3.0, True, True)),
        ([-1.5, 1.0], (-1.5, 1.0, True, False)),
        ([np.nan, 2.0], (2.0, 2.0, False, False)),
        ([2.0, np.nan, 1.0], (1.0, 2.0, False, False)),
        ([np.inf, 2.0], (2.0, np.inf, False, False)),
    ],
)
def test_extremes__nan_and_empty(values, expected):
    assert sums.extremes(np.array(values, np.float64)) == expected


def test_extremes__unsigned_counts():
    assert sums.extremes(np.array([7, 65535], np.uint16)) == (7, 65535, True, True)


@settings(deadline=None, max_examples=60)
@given(counts(), st.lists(st.integers(1, 11), min_size=1, max_size=4, unique=True))
def test_top_sums__match_sorted_rows(case, ks):
    matrix, dense = case
    ks = np.array(sorted(ks), np.int64)
    ranked = -np.sort(-dense, axis=1)
    expected = np.stack([ranked[:, :k].sum(1) for k in ks], axis=1)
    assert_allclose(top.top_sums(matrix.data, matrix.indptr, ks), expected)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32"])
@pytest.mark.parametrize("largest", [3, 200, 255, 256, 1000, 60_000])
def test_top_sums__small_and_large_counts(dtype, largest):
    rng = np.random.default_rng(largest)
    largest = min(largest, np.iinfo(dtype).max)
    dense = np.minimum(rng.integers(0, largest, (8, 300)), rng.integers(0, largest, (8, 300)))
    dense[:4] = np.where(rng.random((4, 300)) < 0.9, np.minimum(dense[:4], 2), dense[:4])
    matrix = sp.csr_matrix(dense.astype(dtype))
    ks = np.array([1, 2, 30, 31, 290, 400], np.int64)
    ranked = -np.sort(-dense.astype(float), axis=1)
    expected = np.stack([ranked[:, :k].sum(1) for k in ks], axis=1)
    assert_array_equal(top.top_sums(matrix.data, matrix.indptr, ks), expected)


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_top_sums__long_rows_with_ties(dtype):
    rng = np.random.default_rng(0)
    dense = rng.poisson(2, (5, 2000)).astype(np.float32)
    matrix = sp.csr_matrix(dense.astype(dtype))
    ks = np.array([50, 100, 200, 500], np.int64)
    ranked = -np.sort(-dense, axis=1)
    expected = np.stack([ranked[:, :k].sum(1) for k in ks], axis=1)
    assert_allclose(top.top_sums(matrix.data, matrix.indptr, ks), expected)


def grouped(dense, groups, n_groups):
    """Moments of each group, from the dense matrix."""
    parts = [dense[groups == g] for g in range(n_groups)]
    n = np.array([len(part) for part in parts], np.float64)
    mean = np.array([part.mean(0) if len(part) else np.zeros(dense.shape[1]) for part in parts])
    m2 = np.array([((part - mean[g]) ** 2).sum(0) for g, part in enumerate(parts)])
    return n, mean, m2


@settings(deadline=None, max_examples=60)
@given(counts(), st.integers(0, 99))
def test_group_moments__match_dense(case, seed):
    matrix, dense = case
    groups = np.random.default_rng(seed).integers(-1, 3, len(dense))
    got = moments.group_moments(
        matrix.data, matrix.indices, matrix.indptr, groups, 3, dense.shape[1]
    )
    for a, b in zip(got, grouped(dense, groups, 3), strict=True):
        assert_allclose(a, b, atol=1e-12)


@settings(deadline=None, max_examples=40)
@given(counts(), st.integers(0, 99), st.integers(0, 12))
def test_merge_moments__any_split_gives_the_whole(case, seed, cut):
    matrix, dense = case
    groups = np.random.default_rng(seed).integers(0, 2, len(dense))
    halves = [
        moments.group_moments(part.data, part.indices, part.indptr, g, 2, dense.shape[1])
        for part, g in ((matrix[:cut], groups[:cut]), (matrix[cut:], groups[cut:]))
    ]
    got = moments.merge_moments(*halves[0], *halves[1])
    for a, b in zip(got, grouped(dense, groups, 2), strict=True):
        assert_allclose(a, b, atol=1e-12)


def test_merge_moments__no_cancellation_far_from_zero():
    dense = 1e8 + np.random.default_rng(0).normal(size=(1000, 1))
    parts = [sp.csr_matrix(part) for part in np.split(dense, 10)]
    states = [
        moments.group_moments(
            part.data, part.indices, part.indptr, np.zeros(part.shape[0], np.int64), 1, 1
        )
        for part in parts
    ]
    whole = states[0]
    for state in states[1:]:
        whole = moments.merge_moments(*whole, *state)
    assert_allclose(whole[2][0] / 999, dense.var(0, ddof=1), rtol=1e-6)


@settings(deadline=None, max_examples=60)
@given(counts(), st.integers(0, 99))
def test_clipped_sums__match_dense(case, seed):
    matrix, dense = case
    rng = np.random.default_rng(seed)
    groups = rng.integers(-1, 2, len(dense))
    clip = rng.uniform(0, 4, (2, dense.shape[1]))
    total, squares = moments.clipped_sums(matrix.data, matrix.indices, matrix.indptr, groups, clip)
    for g in range(2):
        clipped = np.minimum(dense[groups == g], clip[g])
        assert_allclose(total[g], clipped.sum(0), atol=1e-12)
        assert_allclose(squares[g], (clipped**2).sum(0), atol=1e-12)


@settings(deadline=None, max_examples=40)
@given(counts())
def test_add_gram__upper_triangle_matches_dense(case):
    matrix, dense = case
    G = np.ones((dense.shape[1],) * 2)
    gram.add_gram(matrix.data, matrix.indices, matrix.indptr, G)
    expected = np.triu(dense.T @ dense)
    assert_allclose(np.triu(G) - np.triu(np.ones_like(G)), expected)
    assert_array_equal(np.tril(G, -1), np.tril(np.ones_like(G), -1))
