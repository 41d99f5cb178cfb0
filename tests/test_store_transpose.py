from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

from lazymu.io import open_elements
from lazymu.settings import settings
from lazymu.store.sources import CSRSource, MemorySource
from lazymu.store.transpose import TransposedSource, runs, swap_axes
from tests.store_samples import random_counts


@pytest.mark.parametrize("memory_limit", [1, 2_000, 20_000, 10**9])
@pytest.mark.parametrize("dtype", ["float32", "uint8", "int64"])
def test_swap_axes__is_the_transpose(memory_limit: int, dtype: str) -> None:
    X = random_counts(60, 25).astype(dtype)
    pieces = [X[start : start + 13] for start in range(0, 60, 13)]
    with settings.override(memory_limit=memory_limit):
        blocks = list(swap_axes(lambda: iter(pieces), X.shape, X.dtype))
    assert len(blocks) > 1 or memory_limit > 10_000
    found = sp.vstack(blocks)
    np.testing.assert_array_equal(found.toarray(), X.toarray().T)
    assert found.dtype == X.dtype
    for block in blocks:
        assert all(
            np.all(np.diff(block.indices[a:b]) > 0)
            for a, b in zip(block.indptr[:-1], block.indptr[1:], strict=True)
        )


def test_swap_axes__reads_once_for_each_run_and_once_to_count() -> None:
    X = random_counts(60, 25)
    readings = []

    def blocks() -> Any:
        readings.append(1)
        return iter([X])

    with settings.override(memory_limit=3 * 8 * X.nnz // 3):
        n_runs = len(list(swap_axes(blocks, X.shape, X.dtype)))
    assert n_runs in (3, 4)
    assert len(readings) == 1 + n_runs


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (0, 0), (3, 4)])
def test_swap_axes__empty(shape: tuple[int, int]) -> None:
    X = sp.csr_matrix(shape, dtype=np.float32)
    blocks = list(swap_axes(lambda: iter([X] if shape[0] else []), shape, X.dtype))
    assert sum(block.shape[0] for block in blocks) == shape[1]
    assert all(block.shape[1] == shape[0] for block in blocks)


def test_runs__empty_rows_go_with_what_precedes_them() -> None:
    assert list(runs(np.array([0, 0, 3, 3, 3, 9, 9]), 3)) == [(0, 4), (4, 5), (5, 6)]
    assert list(runs(np.array([0]), 3)) == []


def test_transposed_source__reads_nothing_until_asked_and_converts_once(tmp_path: Path) -> None:
    X = random_counts(30, 20)
    source = TransposedSource(MemorySource(sp.csr_matrix(X.T)))
    assert source.shape == X.shape
    rows = source.prepare()
    assert isinstance(rows, CSRSource)
    assert source.prepare() is rows
    np.testing.assert_array_equal(source.read(5, 9).toarray(), X[5:9].toarray())
    np.testing.assert_array_equal(source.indptr, X.indptr)


def test_transposed_source__folder_goes_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ad.AnnData(sp.csc_matrix(random_counts(30, 20))).write_h5ad(tmp_path / "a.h5ad")
    elements = open_elements(tmp_path / "a.h5ad")
    assert not list(tmp_path.glob("lazymu-*"))
    assert elements.X.sum() > 0
    assert len(list(tmp_path.glob("lazymu-*"))) == 1
    del elements
    gc.collect()
    assert not list(tmp_path.glob("lazymu-*"))
