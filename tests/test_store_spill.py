"""Matrices cut into runs of columns, in a temporary file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from errno import EIO, ENOSPC
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import scipy.sparse as sp

from lazymu.errors import DiskSpaceError
from lazymu.settings import settings
from lazymu.store.spill import READINGS, Spill, SpilledColumns, pays
from lazymu.store.transpose import swap_axes
from tests.store_samples import random_counts


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files, which is empty."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


@contextmanager
def spilled(X: sp.csr_matrix, bounds: list[int], rows: int, threads: int = 1) -> Iterator[Spill]:
    """Yield a spill to which blocks of rows were added, the last ones first."""
    with closing(Spill(X.shape, X.dtype, np.array(bounds))) as spill:
        starts = list(range(0, X.shape[0], rows))[::-1]
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda start: spill.add(X[start : start + rows], start), starts))
        yield spill


@pytest.mark.parametrize("dtype", ["uint8", "float32", "int64", "float64"])
@pytest.mark.parametrize(("rows", "threads"), [(1, 3), (7, 3), (60, 1)])
@pytest.mark.parametrize("bounds", [[0, 25], [0, 1, 1, 9, 24, 25]])
def test_spill__gives_the_columns_back(
    dtype: str, rows: int, threads: int, bounds: list[int]
) -> None:
    X = random_counts(60, 25).astype(dtype)
    X.data[::3] = 200
    X = sp.csr_matrix(np.where(np.arange(60)[:, None] % 9 == 4, 0, X.toarray()))
    with spilled(X, bounds, rows, threads) as spill:
        for number, (first, stop) in enumerate(pairwise(bounds)):
            assert_are(spill.columns(number), X[:, first:stop])


def assert_are(source: SpilledColumns, expected: sp.csr_matrix) -> None:
    assert source.shape == expected.shape
    assert source.dtype == expected.dtype
    np.testing.assert_array_equal(source.indptr, expected.indptr)
    for start, end in ((0, 60), (0, 0), (60, 60), (5, 22), (6, 7), (7, 14), (13, 60)):
        found = source.read(start, end)
        np.testing.assert_array_equal(found.toarray(), expected[start:end].toarray())
        assert found.dtype == expected.dtype
        assert found.has_canonical_format
    whole = sp.vstack(list(source.blocks()))
    np.testing.assert_array_equal(whole.toarray(), expected.toarray())


def test_spill__runs_wider_than_narrow_columns() -> None:
    X = sp.random(50, 200_000, 1e-3, format="csr", random_state=0)
    with spilled(X, [0, 70_000, 200_000], 20) as spill:
        for number, columns in enumerate((slice(0, 70_000), slice(70_000, None))):
            assert (spill.columns(number).read(0, 50) != X[:, columns]).nnz == 0


@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (3, 4)])
def test_spill__empty(shape: tuple[int, int]) -> None:
    with spilled(sp.csr_matrix(shape, dtype="float32"), [0, shape[1]], 2) as spill:
        source = spill.columns(0)
        assert source.read(0, shape[0]).shape == shape
        np.testing.assert_array_equal(source.indptr, np.zeros(shape[0] + 1))


def test_spill__has_no_name_and_less_than_the_values(temporary: Path) -> None:
    X = random_counts(3000, 100).astype("uint8")
    with spilled(X, [0, 50, 100], 1000) as spill:
        spill._file.flush()
        assert not list(temporary.iterdir())
        assert 0 < os.fstat(spill._file.fileno()).st_size < 0.6 * X.nnz * 5
    with pytest.raises(ValueError, match="closed file"):
        spill.columns(0).read(0, 5)


@pytest.mark.parametrize(("number", "raised"), [(ENOSPC, DiskSpaceError), (EIO, OSError)])
def test_spill__full_disk(
    number: int, raised: type[OSError], temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    X = random_counts(60, 25)

    def refuse(*_: object) -> None:
        raise OSError(number, "refused")

    with closing(Spill(X.shape, X.dtype, np.array([0, 25]))) as spill:
        monkeypatch.setattr(spill._file, "write", refuse)
        with pytest.raises(raised) as caught:
            spill.add(X, 0)
    assert isinstance(caught.value, DiskSpaceError) == (number == ENOSPC)
    if number == ENOSPC:
        assert str(caught.value) == (
            f"`TMPDIR` is {temporary}, but its disk became full while a matrix was written there "
            "by feature; name a folder with more room."
        )


def test_pays__for_many_runs_and_where_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    of: Any = ((1000, 50), 20_000)
    needed = 20_000 * (2 + 4) + 4 * (READINGS + 1) * 1000
    for free, n_runs, expected in (
        (needed + 1, READINGS + 1, True),
        (needed, READINGS + 1, False),
        (10 * needed, READINGS, False),
    ):
        monkeypatch.setattr("shutil.disk_usage", lambda _, free=free: Usage(0, 0, free))
        assert pays(*of, n_runs, np.dtype("uint16")) == expected


@pytest.mark.parametrize("room", [True, False])
def test_swap_axes__reads_twice_or_once_for_each_run(
    room: bool, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    X = random_counts(60, 25)
    readings = []

    def blocks() -> Any:
        readings.append(1)
        return (X[start : start + 13] for start in range(0, 60, 13))

    if not room:
        monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(0, 0, 100))
    with settings.override(memory_limit=8 * X.nnz * 3 // 8):
        found = list(swap_axes(blocks, X.shape, X.dtype))
    assert len(found) > READINGS
    assert len(readings) == (2 if room else 1 + len(found))
    np.testing.assert_array_equal(sp.vstack(found).toarray(), X.toarray().T)
    assert not list(temporary.iterdir())


def test_swap_axes__closes_its_file_where_it_is_left(temporary: Path) -> None:
    X = random_counts(60, 25)
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    with settings.override(memory_limit=1):
        columns = swap_axes(lambda: iter([X]), X.shape, X.dtype)
        next(columns)
        columns.close()  # type: ignore[attr-defined] # it is a generator
    if before is not None:
        assert len(os.listdir("/proc/self/fd")) == before
    assert not list(temporary.iterdir())
