"""Stores written by tasks, byte for byte as one writer writes them; each task is run twice."""

from __future__ import annotations

import pickle
import tempfile
import time
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
from lazymu.store.parts import RangeWriter, create_arrays, is_shared
from lazymu.stream import LazyMatrix, range_writes
from lazymu.stream.ledger import recorded_passes
from lazymu.stream.range_writes import range_plan, ranges
from tests.store_samples import assert_matrix, elements_of, files_of, peers, random_counts
from tests.test_io_tenx import write_feature_matrix, write_mtx


def assert_same_files(found: Path, expected: Path) -> None:
    ours, theirs = files_of(found), files_of(expected)
    assert sorted(ours) == sorted(theirs)
    others = [name for name in theirs if ours[name] != theirs[name]]
    assert [name for name in others if "/lazymu/history/" not in name] == []  # times differ


@contextmanager
def small_blocks(n_values: int = 16) -> Iterator[None]:
    """Have passes cut matrices into many blocks, however small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lazymu.stream.plan.FEW_VALUES", n_values)
        yield


once = range_writes.write_range


def twice(run: Any, arrays: Any, piece: Any) -> Any:
    """Write a range again, as when what a task returned is lost: nothing may differ."""
    first = pickle.dumps(once(run, arrays, piece))
    files = own_files(arrays, piece)
    again = once(run, arrays, piece)
    assert pickle.dumps(again) == first
    assert own_files(arrays, piece) == files
    return again


def own_files(arrays: Any, piece: Any) -> list[bytes | None]:
    """Return what the chunks or shards of a range hold, None of those that are not written."""
    found: list[bytes | None] = []
    for array in arrays:
        if array is not None:
            rest = (0,) * (array.ndim - 1)
            for n in range(piece.start // arrays.unit, -(-piece.stop // arrays.unit)):
                key = array.metadata.encode_chunk_key((n, *rest))
                path = array.store.root / array.path / key
                found.append(path.read_bytes() if path.exists() else None)
    return found


@contextmanager
def by_tasks() -> Iterator[None]:
    """Have matrices written as on a cluster, in threads; fail where one writer would write one."""

    def refuse(job: Any) -> None:
        raise AssertionError(f"{job} is written by one writer")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lazymu.io.matrix_ranges.active_client", object)
        patch.setattr("lazymu.io.matrix_ranges.MemorySource", ())
        patch.setattr("lazymu.stream.range_writes.write_range", twice)
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


@hypothesis_settings(deadline=None, max_examples=20)
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
def test_write_by_tasks__any_matrix_in_any_layout(
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
        with by_tasks():
            write_elements(elements_of(X), f"{folder}/a.zarr", **options)
        write_elements(elements_of(X), f"{folder}/b.zarr", **options)
        assert_same_files(Path(folder, "a.zarr"), Path(folder, "b.zarr"))
        assert_matrix(open_elements(f"{folder}/a.zarr").X, X)


@pytest.mark.parametrize("density", [0.1, 0.9])
def test_write_by_tasks__stores_files_and_selections(density: float, tmp_path: Path) -> None:
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
        with small_blocks(300), by_tasks(), recorded_passes() as passes:
            write_elements(elements_of(case()), tmp_path / f"{name}-a.zarr", chunk_values=64)
        assert [entry.label for entry in passes] == ["write"]
        write_elements(elements_of(case()), tmp_path / f"{name}-b.zarr", chunk_values=64)
        assert_same_files(tmp_path / f"{name}-a.zarr", tmp_path / f"{name}-b.zarr")


def test_write_by_tasks__features_were_dropped_and_sums_are_known(tmp_path: Path) -> None:
    X = random_counts(300, 40)
    matrix = LazyMatrix(X)[:, np.arange(5, 30)]
    lazymu.stream.matrix_sums(matrix)
    with small_blocks(), by_tasks(), recorded_passes() as passes:
        write_elements(elements_of(matrix), tmp_path / "a.zarr", chunk_values=64)
    assert len(passes) == 1
    write_elements(elements_of(matrix), tmp_path / "b.zarr", chunk_values=64)
    assert_same_files(tmp_path / "a.zarr", tmp_path / "b.zarr")


def test_write_by_tasks__modalities_of_one_file_are_counted_in_one_pass(tmp_path: Path) -> None:
    whole = LazyMatrix(random_counts(300, 40))
    parts = {"rna": np.arange(30), "prot": np.arange(30, 40)}
    mod = {name: elements_of(whole[:, cols]) for name, cols in parts.items()}
    write_elements(StoreElements(mod), tmp_path / "b.zarr", chunk_values=64)
    with small_blocks(), by_tasks(), recorded_passes() as passes:
        write_elements(StoreElements(mod), tmp_path / "a.zarr", chunk_values=64)
    assert [entry.label for entry in passes] == ["count", "write rna", "write prot"]
    assert_same_files(tmp_path / "a.zarr", tmp_path / "b.zarr")


def test_write_by_tasks__zeros_in_a_file_are_found_out(
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
    with small_blocks(), by_tasks(), recorded_passes() as passes:
        write_elements(open_elements(tmp_path / "in.h5ad"), tmp_path / "a.zarr", chunk_values=64)
    assert len(passes) == 2
    write_elements(open_elements(tmp_path / "in.h5ad"), tmp_path / "b.zarr", chunk_values=64)
    assert_same_files(tmp_path / "a.zarr", tmp_path / "b.zarr")
    assert_matrix(open_elements(tmp_path / "a.zarr").X, expected)


def test_write_by_tasks__matrices_in_memory_and_hdf5_files_have_one_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lazymu.io.matrix_ranges.active_client", object)
    monkeypatch.setattr("lazymu.io.matrix_ranges.write_ranges", None)
    X = random_counts(50, 10)
    write_elements(elements_of(X), tmp_path / "a.zarr")
    write_elements(open_elements(tmp_path / "a.zarr"), tmp_path / "a.h5ad")
    assert_matrix(open_elements(tmp_path / "a.h5ad").X, X)
    pytest.importorskip("obstore", reason="obstore (extra s3) is not installed")
    write_elements(open_elements(tmp_path / "a.h5ad"), "memory://ranges.zarr")
    assert_matrix(open_elements("memory://ranges.zarr").X, X)


@pytest.mark.parametrize("is_dense", [False, True])
def test_range_plan__counts_a_shard_of_each_array(is_dense: bool, tmp_path: Path) -> None:
    X = random_counts(3000, 20)
    offsets = None if is_dense else X.indptr.astype(np.int64)

    def planned(name: str, layout: Layout) -> int:
        group = zarr.open_group(str(tmp_path / name), mode="w")
        arrays = create_arrays(group, "X", X.shape, offsets, np.dtype("u2"), layout)
        return range_plan(LazyMatrix(X), arrays).fixed_bytes

    with settings.override(n_threads=2):
        small, large = planned("a", Layout(100)), planned("b", Layout(100, 10_000))
    held = 5 * 2 if is_dense else 2 + 4 + 4 * 4
    assert large - small == 3 * held * (10_000 - 100)


def test_write_by_tasks__no_room_for_a_shard_in_each_thread(tmp_path: Path) -> None:
    """Then one task writes, in the same bytes."""
    X = random_counts(3000, 20)
    options: dict[str, Any] = {"chunk_values": 100, "shards": 100_000}
    with by_tasks():
        write_elements(elements_of(X), tmp_path / "b.zarr", **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lazymu.io.matrix_ranges.active_client", object)
        patch.setattr("lazymu.io.matrix_ranges.MemorySource", ())
        patch.setattr("lazymu.io.matrix_ranges.write_ranges", None)
        with settings.override(memory_limit=6_600_000, n_threads=2):
            write_elements(elements_of(X), tmp_path / "a.zarr", **options)
    assert_same_files(tmp_path / "a.zarr", tmp_path / "b.zarr")


# --- ranges --------------------------------------------------------------------------------------


@hypothesis_settings(deadline=None, max_examples=60)
@given(
    lengths=st.lists(st.one_of(st.just(0), st.integers(0, 5), st.integers(0, 90)), max_size=40),
    chunk=st.integers(1, 50),
)
def test_ranges__whole_chunks_once_and_each_row_in_one(lengths: list[int], chunk: int) -> None:
    X = matrix_of(lengths, 100, [1], "uint8")
    with tempfile.TemporaryDirectory() as folder, small_blocks(7):
        group, offsets = zarr.open_group(folder, mode="w"), X.indptr.astype(np.int64)
        arrays = create_arrays(group, "X", X.shape, offsets, X.dtype, Layout(chunk))
        found = ranges(LazyMatrix(X), offsets, chunk, range_plan(LazyMatrix(X), arrays))
    assert [found[0].start, *(piece.stop for piece in found[:-1])] == [p.start for p in found]
    assert found[0].start == 0
    assert found[-1].stop == X.nnz
    assert all(piece.start % chunk == 0 for piece in found)
    rows = [np.arange(p.first + p.skip, p.first + len(p.matrix)) for p in found]
    assert np.concatenate(rows).tolist() == list(range(X.shape[0]))
    for piece in found:
        assert piece.positions[0] <= piece.start <= piece.stop <= piece.positions[-1]


def assert_written_over(path: Path) -> None:
    """Show that a write leaves nothing beside its target, once tasks of a failed one have ended."""
    for _ in range(50):
        write_elements(elements_of(random_counts(20, 5)), path, overwrite=True)
        if list(path.parent.glob(f"{path.name}*")) == [path]:
            return
        time.sleep(0.1)
    raise AssertionError(f"left: {list(path.parent.glob('*'))}")


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
def test_write_by_tasks__task_that_fails_leaves_the_old_store(
    tmp_path: Path, n_threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    X = random_counts(2000, 30)
    write_elements(elements_of(X), tmp_path / "a.zarr")
    before = files_of(tmp_path / "a.zarr")
    monkeypatch.setattr("lazymu.io.sampling.RUN_VALUES", 5)
    with small_blocks(), by_tasks(), settings.override(n_threads=n_threads):
        broken = elements_of(LazyMatrix(Broken(X, 1130)))
        with pytest.raises(OSError, match="the disk is gone"):
            write_elements(broken, tmp_path / "a.zarr", overwrite=True, chunk_values=32)
    assert files_of(tmp_path / "a.zarr") == before
    assert_written_over(tmp_path / "a.zarr")


def test_range_writer__store_that_a_worker_does_not_see(tmp_path: Path) -> None:
    group, offsets = zarr.open_group(str(tmp_path / "a"), mode="w"), np.array([0, 3])
    arrays = create_arrays(group, "X", (1, 5), offsets, np.dtype("u1"), Layout())
    assert is_shared(group)
    (tmp_path / "a").rename(tmp_path / "elsewhere")
    with pytest.raises(MissingFileError, match="write to a folder that all of them share"):
        RangeWriter(arrays, 0, 3).append(random_counts(1, 5), offsets)


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
    samples: list[Path], tmp_path: Path, join: Any
) -> None:
    with small_blocks(100), by_tasks():
        joined(samples, tmp_path / "a.zarr", join)
    joined(samples, tmp_path / "b.zarr", join)
    assert_same_files(tmp_path / "a.zarr", tmp_path / "b.zarr")
