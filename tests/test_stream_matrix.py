"""`LazyMatrix`: selections, steps, reductions and copies equal NumPy's, whatever the storage."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import lazymu
from lazymu.errors import ArgumentError, MemoryLimitError
from lazymu.store.sources import MemorySource
from lazymu.stream import LazyMatrix
from lazymu.stream import matrix as matrix_module
from lazymu.stream.matrix import compose, read_scattered, spans
from lazymu.stream.steps import Astype, Binarize, Log1p, ScaleCols, ScaleRows, Standardize
from tests.conftest import make_counts, read_only
from tests.counting import counting_scheduler, raise_if_dask_computes
from tests.rna_data import small_blocks

DTYPES = [np.uint8, np.uint16, np.int32, np.int64, np.float32, np.float64]
FORMS: dict[str, Callable[[np.ndarray], Any]] = {
    "csr": sp.csr_matrix,
    "csc": sp.csc_matrix,
    "coo": sp.coo_array,
    "dense": np.asarray,
}


class Case(NamedTuple):
    """A lazy matrix and what it must equal."""

    lazy: LazyMatrix
    dense: np.ndarray


def as_mask(values: list[bool]) -> np.ndarray:
    return np.array(values, dtype=bool)


def selections(length: int) -> st.SearchStrategy[Any]:
    """Return keys of an axis: slices, masks, positions without repeats, also negative."""
    bound = st.none() | st.integers(-length - 1, length + 1)
    step = st.sampled_from([None, 1, 2, -1, -3])
    positions = st.permutations(range(length)).flatmap(
        lambda order: st.integers(0, length).map(lambda n: np.array(order[:n], dtype=np.int64))
    )
    return st.one_of(
        st.builds(slice, bound, bound, step),
        st.lists(st.booleans(), min_size=length, max_size=length).map(as_mask),
        positions,
        positions.map(lambda x: x - length),
    )


@st.composite
def matrices(draw: st.DrawFn) -> Case:
    """Draw a stored matrix, then selections and zero-keeping steps in any order."""
    n_obs, n_vars = draw(st.integers(0, 12)), draw(st.integers(1, 8))
    seed = draw(st.integers(0, 10**6))
    rng = np.random.default_rng(seed)
    kept = rng.random((n_obs, n_vars)) < draw(st.sampled_from([0.0, 0.3, 1.0]))
    dense = np.where(kept, rng.integers(1, 50, (n_obs, n_vars)), 0)
    dense = dense.astype(draw(st.sampled_from(DTYPES)))
    lazy = LazyMatrix(FORMS[draw(st.sampled_from(sorted(FORMS)))](dense))
    for action in draw(st.lists(st.sampled_from(["rows", "cols", "scale", "log"]), max_size=5)):
        if action == "rows":
            key = draw(selections(lazy.shape[0]))
            lazy, dense = lazy[key], dense[key]
        elif action == "cols":
            key = draw(selections(lazy.shape[1]))
            lazy, dense = lazy[:, key], dense[:, key]
        else:
            dense = dense if dense.dtype == np.float64 else dense.astype(np.float32)
            if action == "scale":
                factor = rng.random(lazy.shape[0]) + 0.5
                lazy, dense = lazy.with_steps(ScaleRows(factor)), dense * factor[:, None]
                dense = dense.astype(lazy.dtype)
            else:
                lazy, dense = lazy.with_steps(Log1p()), np.log1p(dense)
    return Case(lazy, dense)


def assert_equal(lazy: LazyMatrix, dense: np.ndarray) -> None:
    assert lazy.shape == dense.shape
    assert lazy.dtype == dense.dtype
    X = lazy.to_memory()
    assert X.dtype == dense.dtype
    if sp.issparse(X):
        assert X.has_sorted_indices
        assert np.all(X.data != 0)
    np.testing.assert_allclose(lazy.toarray(), dense, rtol=2e-6)
    np.testing.assert_array_equal(lazy.toarray(), X.toarray() if sp.issparse(X) else X)


# --- values --------------------------------------------------------------------------------------


@given(case=matrices(), n_rows=st.sampled_from([1, 2, 5, 100]))
@settings(max_examples=70, deadline=None)
def test_lazy_matrix__equals_numpy_under_selections_steps_and_blocks(
    case: Case, n_rows: int
) -> None:
    with small_blocks(n_rows, 8):
        assert_equal(*case)


@given(case=matrices())
@settings(max_examples=30, deadline=None)
def test_lazy_matrix__reductions_equal_numpy(case: Case) -> None:
    lazy, dense = case
    with small_blocks(3, 8):
        for axis in (None, 0, 1):
            expected = dense.sum(axis=axis, dtype=np.float64)
            np.testing.assert_allclose(lazy.sum(axis=axis), expected, rtol=1e-5)
        if dense.size:
            for axis in (None, 0, 1):
                expected = dense.mean(axis=axis, dtype=np.float64)
                np.testing.assert_allclose(lazy.mean(axis=axis), expected, rtol=1e-5)
                np.testing.assert_allclose(lazy.min(axis=axis), dense.min(axis=axis), rtol=1e-5)
                np.testing.assert_allclose(lazy.max(axis=axis), dense.max(axis=axis), rtol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_lazy_matrix__does_not_write_into_what_it_is_given(form: str) -> None:
    dense = make_counts(9, 7).toarray()
    stored = FORMS[form](dense)
    if form == "csr":
        read_only(stored)
    lazy = LazyMatrix(stored).with_steps(ScaleRows(np.full(9, 2.0)), Log1p())
    np.testing.assert_allclose(lazy.toarray(), np.log1p(2 * dense), rtol=1e-6)
    again = stored if form == "dense" else stored.toarray()
    np.testing.assert_array_equal(again, dense)


def test_lazy_matrix__takes_csr_that_is_not_canonical() -> None:
    """Unsorted indices, a repeated entry and an explicit zero."""
    stored = sp.csr_matrix(
        (np.array([2.0, 1.0, 5.0, 0.0, 3.0]), np.array([2, 0, 2, 1, 0]), np.array([0, 3, 5])),
        shape=(2, 3),
    )
    lazy = LazyMatrix(stored)
    np.testing.assert_array_equal(lazy.toarray(), [[1, 0, 7], [3, 0, 0]])
    assert lazy.to_memory().nnz == 3
    assert stored.nnz == 5


def test_lazy_matrix__dense_step_makes_dense_blocks() -> None:
    dense = make_counts(20, 6).toarray()
    mean, std = dense.mean(axis=0), dense.std(axis=0)
    lazy = LazyMatrix(sp.csr_matrix(dense)).with_steps(Standardize(mean, std))
    assert lazy.is_dense
    rows, cols = np.array([7, 3, 19]), np.array([5, 0])
    with small_blocks(4, 6):
        found = lazy[rows, cols].to_memory()
    assert isinstance(found, np.ndarray)
    np.testing.assert_allclose(found, ((dense - mean) / std)[np.ix_(rows, cols)], rtol=1e-5)


def test_lazy_matrix__repeated_rows() -> None:
    dense = make_counts(6, 5).toarray()
    rows = np.array([4, 0, 4, 4, 2, 0])
    lazy = LazyMatrix(dense).with_steps(ScaleRows(np.arange(1.0, 7)))[rows]
    with small_blocks(2, 5):
        found = lazy.toarray()
    np.testing.assert_allclose(found, (dense * np.arange(1.0, 7)[:, None])[rows], rtol=1e-6)


def test_lazy_matrix__booleans_are_counts() -> None:
    dense = np.array([[True, False], [True, True]])
    assert LazyMatrix(dense).dtype == np.uint8
    np.testing.assert_array_equal(LazyMatrix(dense).toarray(), dense.astype(np.uint8))


def test_lazy_matrix__counts_are_before_steps_and_after_selections() -> None:
    dense = make_counts(9, 7).toarray()
    lazy = LazyMatrix(dense).with_steps(Log1p())[::2].with_steps(Binarize())[:, 1:]
    np.testing.assert_array_equal(lazy.counts.toarray(), dense[::2, 1:])


def test_lazy_matrix__wider_type_than_stored() -> None:
    stored = make_counts(9, 7).astype(np.uint8)
    lazy = LazyMatrix(stored).with_steps(Astype("int64"))
    assert lazy.to_memory().dtype == np.int64
    np.testing.assert_array_equal(lazy.toarray(), stored.toarray())


# --- laziness ------------------------------------------------------------------------------------


def test_lazy_matrix__building_computes_nothing() -> None:
    X = make_counts()
    with raise_if_dask_computes():
        lazy = LazyMatrix(X).with_steps(ScaleRows(np.ones(60)), ScaleCols(np.ones(40)), Log1p())
        lazy = lazy[np.arange(60) % 2 == 0][:, ::-1]
        assert (lazy.shape, lazy.dtype, lazy.is_dense) == ((30, 40), np.float32, False)
        assert repr(lazy) == "LazyMatrix 30 × 40, CSR float32, ScaleRows -> ScaleCols -> Log1p"
        assert lazy.copy() is lazy
        assert len(list(lazy)) == len(lazy) == 30
        lazy.to_dask()


@pytest.mark.parametrize("method", ["sum", "mean", "min", "max"])
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_lazy_matrix__reduction_is_one_pass(method: str, axis: int | None) -> None:
    lazy = LazyMatrix(make_counts())
    with counting_scheduler() as scheduler:
        getattr(lazy, method)(axis=axis)
    assert scheduler.n_computes == 1


def test_lazy_matrix__numpy_takes_it_as_an_array() -> None:
    X = make_counts(8, 5)
    lazy = LazyMatrix(X)
    np.testing.assert_array_equal(np.asarray(lazy), X.toarray())
    assert np.asarray(lazy, dtype=np.float64).dtype == np.float64
    assert lazy.sum(axis=1).A1.tolist() == X.sum(axis=1).A1.tolist()


def test_lazy_matrix__survives_pickling_without_what_it_knows() -> None:
    lazy = LazyMatrix(make_counts()).with_steps(Log1p())[::3, ::2]
    again = pickle.loads(pickle.dumps(lazy))
    np.testing.assert_array_equal(again.toarray(), lazy.toarray())


# --- selections ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (np.ones(59, dtype=bool), r"`index` is 59 long, but a mask of axis 0 must have 60 entries"),
        (60, r"`index` is 60 to 60, but axis 0 has 60 entries"),
        (-61, r"`index` is -61 to -61"),
        (["a"], r"`index` is \['a'\], but it must be a slice, a mask or whole numbers"),
        (np.array([0.5]), r"whole numbers; use names on the modality itself"),
        ((slice(None), [1, 1]), r"`index` is with repeated features"),
    ],
)
def test_lazy_matrix__index_that_is_none(key: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        LazyMatrix(make_counts())[key]


@pytest.mark.parametrize("axis", [2, -3])
def test_lazy_matrix__axis_that_is_none(axis: int) -> None:
    with pytest.raises(ArgumentError, match=rf"`axis` is {axis}, but a matrix has axes 0 and 1"):
        LazyMatrix(make_counts()).sum(axis=axis)


def test_lazy_matrix__three_dimensions() -> None:
    with pytest.raises(ArgumentError, match=r"`X` is 3-dimensional, but it must be \(obs, var\)"):
        LazyMatrix(np.zeros((2, 2, 2)))


def test_lazy_matrix__of_text() -> None:
    with pytest.raises(ArgumentError, match=r"it must hold real numbers"):
        LazyMatrix(np.array([["a"]]))


@pytest.mark.parametrize("call", ["toarray", "to_memory", "__array__"])
def test_lazy_matrix__that_exceeds_the_limit_is_not_copied(call: str) -> None:
    lazy = LazyMatrix(np.ones((100, 100)))
    message = r"`X` is 100 × 100, but as a dense array it takes 80,000 bytes"
    with (
        lazymu.settings.override(memory_limit=79_999),
        raise_if_dask_computes(),
        pytest.raises(MemoryLimitError, match=message),
    ):
        getattr(lazy, call)()


def test_lazy_matrix__sparse_copy_needs_room_for_its_values_alone() -> None:
    lazy = LazyMatrix(sp.eye(1000, format="csr", dtype=np.float32))
    with lazymu.settings.override(memory_limit=100_000):
        assert lazy.to_memory().nnz == 1000
        with pytest.raises(MemoryLimitError, match=r"as a dense array it takes 4,000,000 bytes"):
            lazy.toarray()
    with (
        lazymu.settings.override(memory_limit=7_999),
        pytest.raises(MemoryLimitError, match=r"as CSR it takes 8,000 bytes"),
    ):
        lazy.to_memory()


def test_compose__is_a_selection_of_a_selection() -> None:
    outer, inner = np.array([5, 3, 8]), np.array([2, 0])
    assert compose(outer, inner).tolist() == [8, 5]
    assert compose(None, inner) is inner
    assert compose(outer, None) is outer


# --- scattered rows ------------------------------------------------------------------------------


class WatchedSource(MemorySource):
    """Notes the runs of rows that are read."""

    def __init__(self, X: Any) -> None:
        super().__init__(X)
        self.reads: list[tuple[int, int]] = []

    def read(self, start: int, stop: int) -> Any:
        self.reads.append((start, stop))
        return super().read(start, stop)


@given(
    rows=st.lists(st.integers(0, 39), max_size=50).map(lambda x: np.array(x, dtype=np.int64)),
    span_values=st.sampled_from([1, 20, 100, 10_000]),
)
@settings(max_examples=100, deadline=None)
def test_read_scattered__equals_numpy(rows: np.ndarray, span_values: int) -> None:
    X = make_counts(40, 12)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matrix_module, "SPAN_VALUES", span_values)
        found = read_scattered(MemorySource(X), rows)
    np.testing.assert_array_equal(found.toarray(), X.toarray()[rows])
    assert found.has_sorted_indices


@given(rows=st.sets(st.integers(0, 39)), span_values=st.sampled_from([1, 20, 100, 10_000]))
@settings(max_examples=100, deadline=None)
def test_read_scattered__bounds_what_is_read(rows: set[int], span_values: int) -> None:
    X = make_counts(40, 12)
    source, asked = WatchedSource(X), np.array(sorted(rows), dtype=np.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matrix_module, "SPAN_VALUES", span_values)
        read_scattered(source, asked)
    row_values = np.diff(X.indptr)
    for start, stop in source.reads:
        of_asked = int(row_values[asked[(asked >= start) & (asked < stop)]].sum())
        read = int(X.indptr[stop] - X.indptr[start])
        assert read <= max(2 * of_asked, span_values)


def test_spans__of_few_rows_are_short() -> None:
    starts = np.arange(0, 100_000, 1000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matrix_module, "SPAN_VALUES", 5_000)
        found = list(spans(starts, starts + 10))
    assert found[0] == (0, 5)
    assert [last - first for first, last in found] == [5] * 20


def test_spans__of_most_rows_are_one() -> None:
    starts = np.arange(0, 100_000, 15)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matrix_module, "SPAN_VALUES", 100)
        assert list(spans(starts, starts + 10)) == [(0, len(starts))]


def test_spans__never_bridge_a_wide_gap() -> None:
    starts = np.array([0, 10, 500, 510])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matrix_module, "SPAN_VALUES", 100)
        assert list(spans(starts, starts + 10)) == [(0, 2), (2, 4)]


def test_row_values__count_what_a_dense_step_makes() -> None:
    sparse = LazyMatrix(sp.csr_matrix(np.eye(4, 6, dtype=np.float32)))
    dense = sparse.with_steps(Standardize(np.ones(6), np.ones(6)))
    assert sparse.row_values.tolist() == [1, 1, 1, 1]
    assert dense.row_values.tolist() == [6, 6, 6, 6]
    np.testing.assert_allclose(dense.to_memory(), np.eye(4, 6) - 1)
