"""The block plan: arithmetic on the values of rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lazymu.errors import MemoryLimitError
from lazymu.stream.plan import (
    BYTES_PER_ROW,
    BYTES_PER_VALUE,
    RUNTIME_BYTES,
    plan_blocks,
    working_bytes,
)

ROW_VALUES = st.lists(st.integers(0, 400), max_size=60).map(lambda x: np.array(x, dtype=np.int64))


@given(
    row_values=ROW_VALUES,
    memory_limit=st.integers(300_000, 2_000_000),
    n_threads=st.integers(1, 4),
    state_bytes=st.integers(0, 4_000),
    max_values=st.integers(1, 3_000),
)
@settings(max_examples=200, deadline=None)
def test_plan_blocks__covers_all_rows_within_the_limit(
    row_values: np.ndarray, memory_limit: int, n_threads: int, state_bytes: int, max_values: int
) -> None:
    plan = plan_blocks(
        row_values,
        memory_limit=memory_limit,
        n_threads=n_threads,
        state_bytes=state_bytes,
        operand_bytes=500,
        max_values=max_values,
    )
    assert plan.bounds[0] == 0
    assert plan.bounds[-1] == len(row_values)
    assert np.all(np.diff(plan.bounds) > 0)
    assert plan.n_values == row_values.sum()
    costs = [
        int(row_values[a:b].sum()) * BYTES_PER_VALUE + (b - a) * BYTES_PER_ROW
        for a, b in zip(plan.bounds[:-1], plan.bounds[1:], strict=True)
    ]
    assert plan.block_bytes == max(costs, default=0)
    assert plan.fixed_bytes == (n_threads + 1) * state_bytes + 500
    assert plan.projected_bytes <= working_bytes(memory_limit)
    largest = int(row_values.max(initial=0)) * BYTES_PER_VALUE + BYTES_PER_ROW
    assert plan.block_bytes <= max(largest, max_values * BYTES_PER_VALUE)


@given(row_values=ROW_VALUES.filter(len), max_values=st.integers(1, 3_000))
@settings(max_examples=100, deadline=None)
def test_plan_blocks__blocks_are_as_long_as_they_may_be(
    row_values: np.ndarray, max_values: int
) -> None:
    plan = plan_blocks(row_values, memory_limit=10**9, n_threads=1, max_values=max_values)
    cost = row_values * BYTES_PER_VALUE + BYTES_PER_ROW
    budget = max(max_values * BYTES_PER_VALUE, int(cost.max()))
    for a, b in zip(plan.bounds[:-1], plan.bounds[1:], strict=True):
        assert b == len(cost) or cost[a : b + 1].sum() > budget


def test_plan_blocks__no_rows() -> None:
    plan = plan_blocks(np.zeros(0, dtype=np.int64), memory_limit=10**6, n_threads=2)
    assert (plan.n_blocks, plan.n_values, plan.block_bytes) == (0, 0, 0)


def test_plan_blocks__more_values_than_an_int32_counts() -> None:
    plan = plan_blocks(np.full(3_000, 10**6), memory_limit=10**9, n_threads=1)
    assert plan.n_values == 3 * 10**9
    assert plan.bounds[-1] == 3_000


def test_plan_blocks__row_that_does_not_fit() -> None:
    message = (
        r"`memory_limit` is 100,000 bytes, but this pass needs [\d,]+ \(3,000 of them for oper"
    )
    with pytest.raises(MemoryLimitError, match=message):
        plan_blocks(np.array([10, 2_000]), memory_limit=100_000, n_threads=2, state_bytes=1_000)


def test_plan_blocks__limit_that_the_error_names_is_enough() -> None:
    row_values = np.array([10, 2_000_000])
    with pytest.raises(MemoryLimitError, match=r"memory_limit to at least ([\d,]+) or") as caught:
        plan_blocks(row_values, memory_limit=10**6, n_threads=2)
    named = int(str(caught.value).split("at least ")[1].split(" or")[0].replace(",", ""))
    assert plan_blocks(row_values, memory_limit=named, n_threads=2).n_blocks <= 2


@pytest.mark.parametrize("limit", [10**5, RUNTIME_BYTES, 2 * RUNTIME_BYTES, 10**10])
def test_working_bytes__leaves_room_for_the_process(limit: int) -> None:
    assert limit // 2 <= working_bytes(limit) <= limit
    assert working_bytes(limit) in (limit // 2, limit - RUNTIME_BYTES)


@pytest.mark.parametrize(("n_values", "n_blocks"), [(10**5, 1), (4 * 10**6, 4), (24 * 10**6, 8)])
def test_plan_blocks__threads_share_few_values(n_values: int, n_blocks: int) -> None:
    plan = plan_blocks(np.full(1000, n_values // 1000), memory_limit=10**9, n_threads=2)
    assert n_blocks <= plan.n_blocks <= n_blocks + 1
