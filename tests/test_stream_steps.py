"""Every step equals its formula, follows selections, and comes back from a record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from lazymu.errors import UnknownFormatError
from lazymu.stream import LazyMatrix
from lazymu.stream import steps as steps_module
from lazymu.stream.steps import (
    Astype,
    Binarize,
    Clip,
    Dsb,
    Expm1,
    Log1p,
    LogRatio,
    ScaleCols,
    ScaleRows,
    Standardize,
    Step,
    from_record,
    to_record,
)
from tests.conftest import make_counts

N_OBS, N_VARS = 20, 8
OF_ROW = np.linspace(0.5, 2.0, N_OBS)
OF_COL = np.linspace(-1.0, 1.5, N_VARS)
MEAN, STD = np.linspace(0.1, 2.0, N_VARS), np.linspace(0.5, 3.0, N_VARS)


class Formula(NamedTuple):
    step: Step
    of: Callable[[np.ndarray], np.ndarray]


def standardized(x: np.ndarray) -> np.ndarray:
    return (x - MEAN) / STD


FORMULAS = {
    "scale_rows": Formula(ScaleRows(OF_ROW), lambda x: x * OF_ROW[:, None]),
    "scale_cols": Formula(ScaleCols(STD), lambda x: x * STD),
    "log1p": Formula(Log1p(), np.log1p),
    "log1p_base": Formula(Log1p(2.0), lambda x: np.log2(1 + x)),
    "expm1": Formula(Expm1(), np.expm1),
    "expm1_base": Formula(Expm1(2.0), lambda x: 2.0**x - 1),
    "binarize": Formula(Binarize(), lambda x: (x != 0) * 1.0),
    "clip": Formula(Clip(2.0), lambda x: np.minimum(x, 2)),
    "astype": Formula(Astype("float64"), lambda x: x),
    "standardize": Formula(Standardize(MEAN, STD), standardized),
    "standardize_clipped": Formula(
        Standardize(MEAN, STD, 0.7), lambda x: np.clip(standardized(x), -0.7, 0.7)
    ),
    "standardize_stored": Formula(
        Standardize(MEAN, STD, 0.7).without_offset(),
        lambda x: np.clip(standardized(x), -0.7, 0.7) - np.clip(standardized(0 * x), -0.7, 0.7),
    ),
    "log_ratio": Formula(
        LogRatio(1.0, OF_ROW, OF_COL), lambda x: np.log(x + 1) - OF_ROW[:, None] - OF_COL
    ),
    "dsb": Formula(
        Dsb(10.0, MEAN, STD, OF_ROW, OF_COL, -1.0, 1.2),
        lambda x: np.clip((np.log(x + 10) - MEAN) / STD - np.outer(OF_ROW, OF_COL), -1.0, 1.2),
    ),
}


def counts(dtype: Any) -> np.ndarray:
    return np.minimum(make_counts(N_OBS, N_VARS).toarray(), 5).astype(dtype)


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("form", [sp.csr_matrix, np.asarray])
def test_step__equals_its_formula(name: str, dtype: Any, form: Any) -> None:
    step, of = FORMULAS[name]
    lazy = LazyMatrix(form(counts(dtype))).with_steps(step)
    found = lazy.toarray()
    assert found.dtype == lazy.dtype == step.output_dtype(np.dtype(dtype))
    tolerance = 1e-10 if dtype == np.float64 else 3e-6
    np.testing.assert_allclose(found, of(counts(np.float64)), rtol=tolerance, atol=tolerance)


def test_formulas__are_of_all_steps() -> None:
    assert {type(formula.step).__name__ for formula in FORMULAS.values()} == set(
        steps_module._KINDS
    )


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
@given(
    names=st.lists(st.sampled_from(sorted(FORMULAS)), max_size=4),
    rows=st.permutations(range(N_OBS)).flatmap(
        lambda p: st.integers(0, N_OBS).map(lambda n: p[:n])
    ),
    cols=st.permutations(range(N_VARS)).flatmap(
        lambda p: st.integers(1, N_VARS).map(lambda n: p[:n])
    ),
    where=st.integers(0, 4),
)
@settings(max_examples=100, deadline=None)
def test_steps__commute_with_selections(
    names: list[str], rows: list[int], cols: list[int], where: int
) -> None:
    chain = [FORMULAS[name].step for name in names]
    whole = LazyMatrix(counts(np.float64))
    expected = whole.with_steps(*chain).toarray()[np.ix_(rows, cols)]
    selected = whole.with_steps(*chain[:where])[rows, cols]
    rest = [step.take_rows(np.array(rows, dtype=int)) for step in chain[where:]]
    rest = [step.take_cols(np.array(cols, dtype=int)) for step in rest]
    np.testing.assert_array_equal(selected.with_steps(*rest).toarray(), expected)
    np.testing.assert_array_equal(whole.with_steps(*chain)[rows, cols].toarray(), expected)


@pytest.mark.parametrize("name", FORMULAS)
def test_record__brings_the_step_back(name: str) -> None:
    step = FORMULAS[name].step
    record = to_record(step)
    assert record["kind"] == type(step).__name__
    assert all(value is not None for value in record.values())
    stored = {k: np.float64(v) if isinstance(v, float) else v for k, v in record.items()}
    again = from_record(stored)
    assert type(again) is type(step)
    for field, value in vars(step).items():
        np.testing.assert_array_equal(getattr(again, field), value)
        if isinstance(value, float):
            assert type(getattr(again, field)) is float


def test_record__of_an_unknown_step() -> None:
    with pytest.raises(
        UnknownFormatError, match=r"`recipe` is Whiten, but known steps are ScaleRow"
    ):
        from_record({"kind": "Whiten"})


def test_record__fields_of_later_versions_are_ignored() -> None:
    assert from_record({"kind": "Log1p", "base": 2.0, "rounding": "up"}) == Log1p(2.0)


@pytest.mark.filterwarnings("error")
def test_expm1__of_what_is_no_logarithm_is_infinite() -> None:
    lazy = LazyMatrix(np.array([[1000.0, 1.0]], dtype=np.float32)).with_steps(Expm1())
    assert np.isinf(lazy.toarray()[0, 0])


def test_step__of_the_wrong_kind_of_block() -> None:
    with pytest.raises(AssertionError, match="Standardize does not work on sparse blocks"):
        Standardize(MEAN, STD).apply(sp.csr_matrix((1, N_VARS)), slice(0, 1))
    with pytest.raises(AssertionError, match="Log1p works on sparse blocks"):
        Log1p().apply_dense(np.zeros((1, 1)), slice(0, 1))
