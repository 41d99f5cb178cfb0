"""Stores written by tasks, byte for byte as one writer writes them: in threads and on a cluster."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import zarr
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import lazymu
from lazymu.errors import MissingFileError
from lazymu.io import StoreElements, open_elements, write_elements
from lazymu.settings import settings
from lazymu.store.arrays import Layout
from lazymu.store.parts import PartWriter, Target
from lazymu.stream import LazyMatrix
from lazymu.stream.ledger import recorded_passes
from lazymu.stream.range_writes import RangeRun, range_plan, write_range
from tests.conftest import REPOSITORY
from tests.store_samples import assert_matrix, elements_of, peers, random_counts
from tests.test_io_tenx import write_feature_matrix, write_mtx


def files_of(store: Path) -> dict[str, bytes]:
    """Return what each file of a store holds."""
    return {
        str(path.relative_to(store)): path.read_bytes()
        for path in store.rglob("*")
        if path.is_file()
    }


def assert_same_files(found: Path, expected: Path) -> None:
    ours, theirs = files_of(found), files_of(expected)
    assert sorted(ours) == sorted(theirs)
    assert [name for name in theirs if ours[name] != theirs[name]] == []


@contextmanager
def small_blocks(n_values: int = 16) -> Iterator[None]:
    """Have passes cut matrices into many blocks, however small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lazymu.stream.plan.FEW_VALUES", n_values)
        patch.setattr("lazymu.stream.range_writes.BLOCKS_PER_TASK", 2)
        yield


@contextmanager
def one_writer() -> Iterator[None]:
    """Have stores written by one writer, which appends."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lazymu.io.matrices.write_in_ranges", lambda job: False)
        yield


@contextmanager
def tasks_only() -> Iterator[None]:
    """Fail where a matrix is not written by tasks."""

    def refuse(job: Any) -> None:
        raise AssertionError(f"{job.name} is written by one writer")

    with pytest.MonkeyPatch.context() as patch:
        for name in ("_run_one", "_run_together"):
            patch.setattr(f"lazymu.io.matrices.{name}", refuse)
        yield


def matrix_of(lengths: list[int], n_vars: int, values: list[float], dtype: str) -> sp.csr_matrix:
    """Return a matrix whose rows have so many values, which are taken from a list in turn."""
    rng = np.random.default_rng(len(lengths))
    lengths = [min(length, n_vars) for length in lengths]
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    cols = [np.sort(rng.choice(n_vars, length, replace=False)) for length in lengths]
    indices = np.concatenate([np.zeros(0), *cols]).astype(np.int32)
    data = np.resize(np.array(values), int(indptr[-1])).astype(dtype)
    return sp.csr_matrix((data, indices, indptr), shape=(len(lengths), n_vars))


# --- as one writer writes ------------------------------------------------------------------------


@hypothesis_settings(deadline=None, max_examples=30)
@given(
    lengths=st.lists(st.one_of(st.just(0), st.integers(0, 9), st.integers(0, 60)), max_size=40),
    n_vars=st.sampled_from([1, 7, 60, 300]),
    values=st.sampled_from([[1], [1, 2, 3], [5, 255, 256, 1], [1] * 50 + [70_000], [0.5, 1, -2]]),
    dtype=st.sampled_from(["uint8", "int32", "int64", "float32", "float64"]),
    chunk=st.integers(3, 40),
    per_shard=st.sampled_from([None, 1, 3]),
    zarr_format=st.sampled_from([2, 3]),
    n_threads=st.integers(1, 3),
)
def test_write_in_ranges__any_matrix_in_any_layout(
    lengths: list[int],
    n_vars: int,
    values: list[float],
    dtype: str,
    chunk: int,
    per_shard: int | None,
    zarr_format: Any,
    n_threads: int,
) -> None:
    X = matrix_of(lengths, n_vars, values, dtype)
    X.eliminate_zeros()  # 256 as uint8
    options: dict[str, Any] = {"chunk_values": chunk, "zarr_format": zarr_format}
    if per_shard is not None and zarr_format == 3:
        options["shards"] = chunk * per_shard
    with (
        tempfile.TemporaryDirectory() as folder,
        settings.override(n_threads=n_threads),
        small_blocks(),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr("lazymu.io.sampling.RUN_VALUES", 3)
        with tasks_only():
            write_elements(elements_of(X), f"{folder}/a.zarr", **options)
        with one_writer():
            write_elements(elements_of(X), f"{folder}/b.zarr", **options)
        assert_same_files(Path(folder, "a.zarr"), Path(folder, "b.zarr"))
        assert_matrix(open_elements(f"{folder}/a.zarr").X, X)


@pytest.mark.parametrize("density", [0.1, 0.9])
def test_write_in_ranges__stores_files_and_selections(density: float, tmp_path: Path) -> None:
    """From HDF5 and Zarr; after a selection with known sums, in any order of the rows."""
    X = random_counts(300, 40, density=density)
    ad.AnnData(X).write_h5ad(tmp_path / "in.h5ad")
    write_elements(open_elements(tmp_path / "in.h5ad"), tmp_path / "in.zarr")
    rows = np.random.default_rng(0).permutation(300)[:200]
    cases: dict[str, Callable[[], LazyMatrix]] = {
        "h5": lambda: open_elements(tmp_path / "in.h5ad").X,
        "zarr": lambda: open_elements(tmp_path / "in.zarr").X,
        "rows": lambda: open_elements(tmp_path / "in.zarr").X[rows],
        "order": lambda: open_elements(tmp_path / "in.zarr").X[:, np.arange(40)[::-1]],
    }
    for name, case in cases.items():
        with small_blocks(300), tasks_only(), recorded_passes() as passes:
            write_elements(elements_of(case()), tmp_path / f"{name}-a.zarr", chunk_values=64)
        assert [entry.label for entry in passes] == ["write"]
        with one_writer():
            write_elements(elements_of(case()), tmp_path / f"{name}-b.zarr", chunk_values=64)
        assert_same_files(tmp_path / f"{name}-a.zarr", tmp_path / f"{name}-b.zarr")


def test_write_in_ranges__features_were_dropped_and_sums_are_known(tmp_path: Path) -> None:
    X = random_counts(300, 40)
    matrix = LazyMatrix(X)[:, np.arange(5, 30)]
    lazymu.stream.matrix_sums(matrix)
    with small_blocks(), tasks_only(), recorded_passes() as passes:
        write_elements(elements_of(matrix), tmp_path / "a.zarr", chunk_values=64)
    assert len(passes) == 1
    with one_writer():
        write_elements(elements_of(matrix), tmp_path / "b.zarr", chunk_values=64)
    assert_same_files(tmp_path / "a.zarr", tmp_path / "b.zarr")


def test_write_in_ranges__features_were_dropped_and_sums_are_not_known(tmp_path: Path) -> None:
    """One task appends, in one pass: counting first would read twice."""
    X = random_counts(300, 40)
    with recorded_passes() as passes:
        write_elements(elements_of(LazyMatrix(X)[:, np.arange(5, 30)]), tmp_path / "a.zarr")
    assert len(passes) == 1
    assert_matrix(open_elements(tmp_path / "a.zarr").X, X[:, 5:30])


def test_write_in_ranges__many_tasks_count_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    X = random_counts(300, 40)
    whole = LazyMatrix(X)
    mod = {
        "rna": elements_of(whole[:, np.arange(30)]),
        "prot": elements_of(whole[:, np.arange(30, 40)]),
    }
    with one_writer():
        write_elements(StoreElements(mod), tmp_path / "b.zarr", chunk_values=64)
    monkeypatch.setattr("lazymu.io.matrix_ranges.n_parallel", lambda: 64)
    with small_blocks(), tasks_only(), recorded_passes() as passes:
        write_elements(StoreElements(mod), tmp_path / "a.zarr", chunk_values=64)
    assert [entry.label for entry in passes] == ["sums", "write rna", "sums", "write prot"]
    assert_same_files(tmp_path / "a.zarr", tmp_path / "b.zarr")


def test_write_in_ranges__zeros_in_a_file_are_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are shorter than the file says, beyond the sample: what was read says by how much."""
    monkeypatch.setattr("lazymu.io.sampling.RUN_VALUES", 5)
    X = random_counts(600, 10)
    expected = X.copy()
    X.data[X.indptr[133]] = 0
    expected.data[X.indptr[133]] = 0
    expected.eliminate_zeros()
    with peers():
        ad.AnnData(X).write_h5ad(tmp_path / "in.h5ad")
    with small_blocks(), tasks_only(), recorded_passes() as passes:
        write_elements(open_elements(tmp_path / "in.h5ad"), tmp_path / "a.zarr", chunk_values=64)
    assert len(passes) == 2
    with one_writer():
        write_elements(open_elements(tmp_path / "in.h5ad"), tmp_path / "b.zarr", chunk_values=64)
    assert_same_files(tmp_path / "a.zarr", tmp_path / "b.zarr")
    assert_matrix(open_elements(tmp_path / "a.zarr").X, expected)


def test_write_in_ranges__memory_counts_a_shard_of_each_array() -> None:
    X = random_counts(3000, 20)

    def planned(layout: Layout) -> int:
        offsets = X.indptr.astype(np.int64)
        types = np.dtype("u1"), np.dtype("f4")
        target = Target("", "", "X", X.shape, offsets, *types, layout)
        return range_plan(LazyMatrix(X), target).fixed_bytes

    with settings.override(n_threads=2):
        small, large = planned(Layout(100)), planned(Layout(100, 10_000))
    assert large - small == 3 * 3 * (10_000 - 100) * (4 + 4)


def test_write_in_ranges__no_room_for_a_shard_in_each_thread(tmp_path: Path) -> None:
    """Then one task writes, in the same bytes."""
    X = random_counts(3000, 20)
    options: dict[str, Any] = {"chunk_values": 100, "shards": 100_000}
    with settings.override(memory_limit=600_000, n_threads=2):
        write_elements(elements_of(X), tmp_path / "a.zarr", **options)
    with tasks_only():
        write_elements(elements_of(X), tmp_path / "b.zarr", **options)
    assert_same_files(tmp_path / "a.zarr", tmp_path / "b.zarr")


def test_write_in_ranges__url() -> None:
    X, url = random_counts(200, 30), "memory://ranges.zarr"
    with small_blocks(), tasks_only():
        write_elements(StoreElements({"rna": elements_of(X)}), url, chunk_values=64)
        assert_matrix(open_elements(url).mod["rna"].X, X)
        write_elements(elements_of(X * 200), url, chunk_values=32, overwrite=True)
    assert_matrix(open_elements(url).X, X * 200)


# --- a task that runs again, or fails ------------------------------------------------------------


def prepared(folder: Path, X: sp.csr_matrix, *, is_dense: bool = False) -> tuple[Any, RangeRun]:
    """Return the group of a store, and a run whose tasks are called one by one."""
    group = zarr.open_group(str(folder / "a.zarr"), mode="w")
    offsets = None if is_dense else X.indptr.astype(np.int64)
    layout = Layout(16, 32)
    types = np.dtype("uint8"), np.dtype("float32")
    target = Target(str(folder / "a.zarr"), "", "X", X.shape, offsets, *types, layout)
    target.create(group)
    units = np.unique(np.linspace(0, target.n_units, 5).astype(np.int64))
    return group, RangeRun(LazyMatrix(X), target, np.arange(0, X.shape[0] + 1, 3), units, "")


@pytest.mark.parametrize("is_dense", [False, True])
def test_write_range__run_again_writes_and_returns_the_same(is_dense: bool, tmp_path: Path) -> None:
    X = random_counts(60, 30)
    X.data[200:] *= 300
    _, run = prepared(tmp_path, X, is_dense=is_dense)
    before = None
    for number in range(len(run.units) - 1):
        first = write_range(run, number, before)
        files = files_of(tmp_path / "a.zarr")
        again = write_range(run, number, before)
        assert files_of(tmp_path / "a.zarr") == files
        assert again.parts == first.parts
        np.testing.assert_array_equal(again.sums.feature_total, first.sums.feature_total)
        before = again
    assert before is not None
    np.testing.assert_array_equal(before.sums.feature_total, X.sum(axis=0).A1)
    assert sum(len(values) for _, values in before.sums.cell_nnz) == X.shape[0]
    assert any(part.widened < part.stop for part in before.parts)


def test_write_range__each_writes_files_of_its_own(tmp_path: Path) -> None:
    _, run = prepared(tmp_path, random_counts(60, 30))
    seen: set[str] = set()
    for number in range(len(run.units) - 1):
        before = set(files_of(tmp_path / "a.zarr"))
        write_range(run, number, None)
        new = set(files_of(tmp_path / "a.zarr")) - before
        assert new
        assert not new & seen
        seen |= new


class Broken:
    """A source that fails at a row, of a matrix that is else read."""

    def __init__(self, X: sp.csr_matrix, row: int) -> None:
        whole = LazyMatrix(X).source
        self._whole, self._row = whole, row
        self.shape, self.dtype, self.origin = whole.shape, whole.dtype, whole.origin
        self.is_dense, self.indptr = False, whole.indptr

    def read(self, start: int, stop: int) -> sp.csr_matrix:
        if start <= self._row < stop:
            raise OSError("the disk is gone")
        return self._whole.read(start, stop)


@pytest.mark.parametrize("n_threads", [1, 3])
def test_write_in_ranges__task_that_fails_leaves_nothing(tmp_path: Path, n_threads: int) -> None:
    X = random_counts(2000, 30)
    elements = elements_of(X)
    write_elements(elements, tmp_path / "a.zarr")
    before = files_of(tmp_path / "a.zarr")
    with (
        small_blocks(),
        pytest.MonkeyPatch.context() as patch,
        settings.override(n_threads=n_threads),
    ):
        patch.setattr("lazymu.io.sampling.RUN_VALUES", 5)
        with pytest.raises(OSError, match="the disk is gone"):
            write_elements(
                elements_of(LazyMatrix(Broken(X, 1130))),
                tmp_path / "a.zarr",
                overwrite=True,
                chunk_values=32,
            )
    assert files_of(tmp_path / "a.zarr") == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


KILLED = """
import os, signal, sys
import numpy as np
import lazymu
from lazymu.io import write_elements
from lazymu.store.parts import PartWriter
from tests.test_io_tenx import write_feature_matrix, write_mtx
from tests.store_samples import elements_of, random_counts
from tests.test_range_writes import small_blocks

close, closed = PartWriter.close, []

def close_and_die(self):
    closed.append(close(self))
    if len(closed) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return closed[-1]

PartWriter.close = close_and_die
with small_blocks():
    write_elements(elements_of(random_counts(2000, 30)), sys.argv[1], chunk_values=32)
"""


def test_write_in_ranges__killed_process_leaves_no_store(tmp_path: Path) -> None:
    target = tmp_path / "a.zarr"
    command = [sys.executable, "-c", KILLED, str(target)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert not target.exists()
    (left,) = (tmp_path / "a.zarr.lazymu").iterdir()
    assert any("/data/c/" in name for name in files_of(left))
    X = random_counts(50, 8)
    write_elements(elements_of(X), target)
    assert os.listdir(tmp_path) == ["a.zarr"]
    assert_matrix(open_elements(target).X, X)


def test_part_writer__store_that_a_worker_does_not_see(tmp_path: Path) -> None:
    offsets, types = np.array([0, 3]), (np.dtype("u1"), np.dtype("u1"))
    target = Target(str(tmp_path / "b.zarr"), "", "X", (1, 5), offsets, *types, Layout())
    with pytest.raises(MissingFileError, match="a folder that all workers of the cluster share"):
        PartWriter(target, 0, 1)


# --- import of several files ----------------------------------------------------------------------


N_GENES, N_PROTEINS = 60, 9


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return four samples of two modalities in four formats, one of them with fewer genes."""
    folder = tmp_path_factory.mktemp("samples")
    paths = [folder / name for name in ("a.h5mu", "b.zarr", "c.h5", "d")]
    for number, path in enumerate(paths):
        n_obs, n_genes = 150 + 30 * number, N_GENES - 10 * (number == 2)
        genes = random_counts(n_obs, n_genes, density=0.2, seed=number)
        proteins = random_counts(n_obs, N_PROTEINS, density=0.9, seed=number)
        names = [f"gene{j}" for j in range(n_genes)] + [f"protein{j}" for j in range(N_PROTEINS)]
        kinds = ["Gene Expression"] * n_genes + ["Antibody Capture"] * N_PROTEINS
        if path.suffix in (".h5mu", ".zarr"):
            write_mudata(path, {"rna": genes, "prot": proteins}, names)
            continue
        X = sp.hstack([genes, proteins], format="csr")
        if path.suffix == ".h5":
            features = {"id": names, "name": names, "feature_type": kinds}
            write_feature_matrix(path, X, genome=["x"] * len(names), **features)
        else:
            write_mtx(path, X)
            lines = [f"{name}\t{name}\t{kind}\n" for name, kind in zip(names, kinds, strict=True)]
            (path / "features.tsv").write_text("".join(lines))
    return paths


def write_mudata(path: Path, mod: dict[str, sp.csr_matrix], names: list[str]) -> None:
    """Write a MuData as mudata does; the modalities share the names one after the other."""
    parts, at = {}, 0
    for key, X in mod.items():
        var = pd.DataFrame(index=names[at : at + X.shape[1]])
        obs = pd.DataFrame(index=[f"cell{i}" for i in range(X.shape[0])])
        parts[key], at = ad.AnnData(X if key == "rna" else X.toarray(), obs, var), at + X.shape[1]
    with peers():
        mdata = md.MuData(parts)
        (mdata.write if path.suffix == ".h5mu" else mdata.write_zarr)(path)


def joined(samples: list[Path], out: Path, join: Any) -> None:
    """Join samples into a store of many chunks."""
    lazymu.concat(samples, join=join, index_unique="-", out=out, chunk_values=128)


@pytest.mark.parametrize("join", ["inner", "outer"])
def test_concat__of_files_by_tasks_is_as_by_one_writer(
    samples: list[Path], tmp_path: Path, join: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Cell Ranger's files hold both modalities in one matrix: lengths of rows have to be counted.
    monkeypatch.setattr("lazymu.io.matrix_ranges.counting_pays", lambda: True)
    with small_blocks(100), tasks_only():
        joined(samples, tmp_path / "a.zarr", join)
    with one_writer():
        joined(samples, tmp_path / "b.zarr", join)
    assert_same_files(tmp_path / "a.zarr", tmp_path / "b.zarr")


@pytest.mark.slow
@pytest.mark.parametrize("join", ["inner", "outer"])
def test_concat__of_files_on_a_cluster_is_as_by_one_writer(
    samples: list[Path], tmp_path: Path, join: Any
) -> None:
    from distributed import Client, LocalCluster

    with one_writer():
        joined(samples, tmp_path / "b.zarr", join)
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, processes=True
        ) as cluster,
        Client(cluster),
        small_blocks(100),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr("lazymu.io.matrix_ranges.COUNTED_FROM", 2)
        with settings.override(n_threads=1), tasks_only():
            joined(samples, tmp_path / "a.zarr", join)
    assert_same_files(tmp_path / "a.zarr", tmp_path / "b.zarr")
