"""The shared-neighbour graph, against products of 0/1 matrices."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from lazymu.graph import shared
from lazymu.graph.shared import PRUNE, shared_neighbors


def lists_of(n: int, k: int, seed: int) -> np.ndarray:
    """Return k different other cells of each cell."""
    rng = np.random.default_rng(seed)
    others = np.array([rng.permutation(n - 1)[:k] for _ in range(n)])
    return (others + (others >= np.arange(n)[:, None])).astype(np.int32)


def jaccard(lists: np.ndarray, prune: float) -> np.ndarray:
    """By the product of the lists' 0/1 matrix with its transpose."""
    n = len(lists)
    A = np.zeros((n, n + 1))
    np.put_along_axis(A, lists, 1, axis=1)
    A = A[:, :n]  # -1 has gone into the last column
    overlap, sizes = A @ A.T, A.sum(axis=1)
    index = overlap / np.maximum(sizes[:, None] + sizes - overlap, 1)
    return np.where(index >= prune, index, 0)


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 40), st.integers(1, 12), st.integers(0, 99), st.sampled_from([0.0, PRUNE]))
def test_shared_neighbors__equals_the_product(n: int, k: int, seed: int, prune: float) -> None:
    lists = lists_of(n, min(k, n - 1), seed)
    found = shared_neighbors(lists, max(prune, 1e-9))
    np.testing.assert_allclose(found.toarray(), jaccard(lists, max(prune, 1e-9)), rtol=1e-6)
    assert found.dtype == np.float32
    assert found.has_canonical_format
    np.testing.assert_array_equal(found.diagonal(), 1)


@pytest.mark.parametrize("guess", [1, 1000])
def test_shared_neighbors__blocks_and_guesses_do_not_matter(
    guess: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists = lists_of(300, 15, 0)
    whole = shared_neighbors(lists)
    monkeypatch.setattr(shared, "BLOCK_ROWS", 7)
    monkeypatch.setattr(shared, "FIRST_GUESS", guess)
    assert (whole != shared_neighbors(lists)).nnz == 0
    assert (whole != whole.T).nnz == 0


def test_shared_neighbors__cells_with_fewer_neighbours() -> None:
    lists = lists_of(40, 6, 1)
    lists[3, 2:], lists[7, 5:], lists[9] = -1, -1, -1
    found = shared_neighbors(lists)
    np.testing.assert_allclose(found.toarray(), jaccard(lists, PRUNE), rtol=1e-6)
    assert found[9].nnz == 0


def test_shared_neighbors__no_cells() -> None:
    found = shared_neighbors(np.zeros((0, 3), np.int32))
    assert isinstance(found, sp.csr_matrix)
    assert found.shape == (0, 0)
