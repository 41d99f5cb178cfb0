"""Sums of raw counts: what they are, what a selection keeps of them, and when they cost a pass."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from lazymu.errors import NotCountsError
from lazymu.stream import LazyMatrix, matrix_sums, rare, require_counts
from lazymu.stream.steps import Log1p
from lazymu.stream.sums import Extremes, MatrixSums, cell_sums, feature_sums
from tests.conftest import make_counts
from tests.counting import counting_scheduler, raise_if_dask_computes
from tests.rna_data import small_blocks


def assert_sums_of(sums: MatrixSums, dense: np.ndarray) -> None:
    np.testing.assert_allclose(sums.cells.total, dense.sum(axis=1), rtol=1e-12)
    np.testing.assert_allclose(sums.features.total, dense.sum(axis=0), rtol=1e-12)
    np.testing.assert_array_equal(sums.cells.nnz, (dense != 0).sum(axis=1))
    np.testing.assert_array_equal(sums.features.nnz, (dense != 0).sum(axis=0))
    assert sums.cells.nnz.dtype == sums.features.nnz.dtype == np.int64


@given(
    n_obs=st.integers(0, 40),
    dtype=st.sampled_from([np.uint8, np.int64, np.float32, np.float64]),
    n_rows=st.sampled_from([1, 6, 100]),
    dense=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_matrix_sums__equal_numpy_in_any_blocks(
    n_obs: int, dtype: Any, n_rows: int, dense: bool
) -> None:
    X = make_counts(n_obs, 9).toarray().astype(dtype)
    if X.dtype.kind == "f":
        X /= 4
    with small_blocks(n_rows, 9, state_bytes=16 * 9):
        sums = matrix_sums(LazyMatrix(X if dense else sp.csr_matrix(X)))
    assert_sums_of(sums, X.astype(np.float64))
    assert sums.extremes.maximum == X.max(initial=0)
    assert sums.extremes.minimum == 0
    assert sums.extremes.all_finite
    assert sums.extremes.all_integer == np.array_equal(X, np.floor(X))


def test_matrix_sums__are_of_raw_counts_and_known_after_one_pass() -> None:
    X = make_counts()
    lazy = LazyMatrix(X).with_steps(Log1p())
    with counting_scheduler() as scheduler:
        assert_sums_of(matrix_sums(lazy), X.toarray())
        for known in (lazy, lazy.counts, lazy.with_steps(Log1p())):
            assert matrix_sums(known) == matrix_sums(lazy)
    assert scheduler.n_computes == 1


SELECTIONS = {
    "cells": (np.arange(60) % 3 == 0, slice(None)),
    "features": (slice(None), np.arange(40)[::-2]),
    "both": (np.arange(60)[::-3], np.arange(40) < 11),
}


@pytest.mark.parametrize("keys", [["cells"], ["features"], ["both"], ["cells", "features"]])
def test_sums__of_a_selection_are_taken_where_they_hold(keys: list[str]) -> None:
    X = make_counts().toarray()
    lazy = LazyMatrix(X)
    matrix_sums(lazy)
    for name in keys:
        rows, cols = SELECTIONS[name]
        lazy, X = lazy[rows, cols], X[rows][:, cols]
    keeps_cells, keeps_features = keys == ["cells"], keys == ["features"]
    with counting_scheduler() as scheduler:
        cells, features = cell_sums(lazy), feature_sums(lazy)
    np.testing.assert_array_equal(cells.total, X.sum(axis=1))
    np.testing.assert_array_equal(cells.nnz, (X > 0).sum(axis=1))
    np.testing.assert_array_equal(features.total, X.sum(axis=0))
    assert scheduler.n_computes == 1
    assert_sums_of(matrix_sums(lazy), X)
    again = LazyMatrix(make_counts().toarray())
    matrix_sums(again)
    for name in keys:
        rows, cols = SELECTIONS[name]
        again = again[rows, cols]
    with raise_if_dask_computes(0 if keeps_cells else 1):
        cell_sums(again)
    again = LazyMatrix(make_counts().toarray())
    matrix_sums(again)
    for name in keys:
        again = again[SELECTIONS[name]]
    with raise_if_dask_computes(0 if keeps_features else 1):
        feature_sums(again)


def test_sums__of_the_source_are_asked_for_once_and_only_when_needed() -> None:
    X = make_counts()
    asked = []

    def loader() -> MatrixSums:
        asked.append(1)
        return matrix_sums(LazyMatrix(X))

    lazy = LazyMatrix(X, sums=loader)
    selected = lazy[::2].with_steps(Log1p())[::3]
    assert not asked
    np.testing.assert_array_equal(cell_sums(selected).total, X.toarray()[::6].sum(axis=1))
    matrix_sums(lazy)
    assert len(asked) == 1


def test_sums__that_a_source_does_not_know_cost_a_pass() -> None:
    lazy = LazyMatrix(make_counts(), sums=lambda: None)
    with counting_scheduler() as scheduler:
        assert_sums_of(matrix_sums(lazy), make_counts().toarray())
    assert scheduler.n_computes == 1


@pytest.mark.parametrize("rows", [slice(None), slice(0, 7)])
def test_require_counts__of_counts_is_known_for_every_selection(rows: slice) -> None:
    lazy = LazyMatrix(make_counts())
    require_counts(lazy, "f")
    with raise_if_dask_computes():
        require_counts(lazy[rows, ::2], "f")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-2.5, r"`X` is with values down to -2.5, but f needs a counts matrix: finite values"),
        (np.nan, r"`X` is with NaN or inf, but f needs"),
        (-np.inf, r"`X` is with NaN or inf, but f needs"),
        (np.inf, r"`X` is with NaN or inf, but f needs"),
    ],
)
def test_require_counts__values_that_are_none(value: float, message: str) -> None:
    X = make_counts().toarray()
    X[50, 3] = value
    with small_blocks(4, 40), pytest.raises(NotCountsError, match=message):
        require_counts(LazyMatrix(X), "f")


def test_require_counts__selection_without_the_bad_values_is_counts() -> None:
    X = make_counts().toarray()
    X[50, 3] = -1
    lazy = LazyMatrix(X)
    matrix_sums(lazy)
    with counting_scheduler() as scheduler:
        require_counts(lazy[:50], "f")
    assert scheduler.n_computes == 1


def test_extremes__merge_bounds_both() -> None:
    a = Extremes(-1.0, 3.0, all_finite=True, all_integer=True)
    b = Extremes(0.0, 9.0, all_finite=False, all_integer=False)
    merged = a.merge(b)
    assert merged == b.merge(a)
    assert merged == Extremes(-1.0, 9.0, all_finite=False, all_integer=False)
    assert not merged.are_counts
    assert Extremes(0.0, 2.5, all_finite=True, all_integer=False).are_counts


def known_after_a_cell_filter(X: sp.csr_matrix) -> LazyMatrix:
    """Return every second cell of a matrix whose sums are known, its own sums made in a pass."""
    whole = LazyMatrix(X)
    matrix_sums(whole)
    half = whole[::2]
    matrix_sums(half)
    return half


def test_cell_sums__stay_known_when_rare_features_are_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    X = make_counts(40, 30, density=0.2)
    monkeypatch.setattr(rare, "MAX_ENTRIES", int(np.sort(X.getnnz(axis=0))[:12].sum()))
    half = known_after_a_cell_filter(X)
    common = np.flatnonzero(X.getnnz(axis=0) >= np.sort(X.getnnz(axis=0))[9])
    assert len(common) < 30
    with raise_if_dask_computes():
        sums = cell_sums(half[:, common])
        np.testing.assert_array_equal(cell_sums(half[:, common][::3]).total, sums.total[::3])
    kept = X[::2][:, common]
    np.testing.assert_array_equal(sums.total, kept.sum(axis=1).A1)
    np.testing.assert_array_equal(sums.nnz, kept.getnnz(axis=1))


def test_cell_sums__cost_a_pass_when_a_common_feature_is_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    X = make_counts(40, 30, density=0.2)
    monkeypatch.setattr(rare, "MAX_ENTRIES", int(np.sort(X.getnnz(axis=0))[:12].sum()))
    half = known_after_a_cell_filter(X)
    kept = np.delete(np.arange(30), int(np.argmax(X.getnnz(axis=0))))
    with counting_scheduler() as scheduler:
        sums = cell_sums(half[:, kept])
    assert scheduler.n_computes == 1
    np.testing.assert_array_equal(sums.total, X[::2][:, kept].sum(axis=1).A1)


def test_cell_sums__fractions_are_summed_anew() -> None:
    X = make_counts(40, 30, density=0.2) * np.float32(0.1)
    half = known_after_a_cell_filter(X)
    with counting_scheduler() as scheduler:
        sums = cell_sums(half[:, 1:])
    assert scheduler.n_computes == 1
    np.testing.assert_allclose(sums.total, X[::2][:, 1:].sum(axis=1, dtype=np.float64).A1)
