"""Files imported and stores written by the workers of a cluster, which are killed on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anndata as ad
import dask
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from distributed import Client

import lazymu
from lazymu.errors import MissingFileError
from lazymu.io import convert, open_elements, write_elements
from lazymu.io.mtx_source import MtxSource
from lazymu.store.transpose import TransposedSource
from tests.cluster import Cluster, running
from tests.conftest import REPOSITORY
from tests.object_server import BUCKET, serving
from tests.store_samples import elements_of, files_of, peers, random_counts
from tests.test_cluster_faults import SABOTEUR
from tests.test_io_tenx import write_mtx
from tests.test_range_writes import (
    assert_same_files,
    assert_written_over,
    joined,
    samples,
    small_blocks,
)

__all__ = ["samples"]  # a fixture


@pytest.fixture(scope="module")
def orders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where workers are told in which function to die."""
    return tmp_path_factory.mktemp("orders")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, orders: Path) -> Iterator[Cluster]:
    folder, config = tmp_path_factory.mktemp("cluster"), {"SABOTAGE": str(orders)}
    with (
        running(folder, preload=SABOTEUR, config=config) as (cluster, client),
        client.as_current(),
    ):
        yield cluster


@pytest.fixture(autouse=True)
def _written_by_workers(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(job: Any) -> None:
        assert dask.config.get("scheduler", None) == "threads", f"{job} has one writer"

    for name in ("_run_one", "_run_together"):
        original = getattr(lazymu.io.matrices, name)
        monkeypatch.setattr(lazymu.io.matrices, name, lambda job, f=original: refuse(job) or f(job))


@pytest.fixture(params=[False, True], ids=["undisturbed", "killed"])
def killed(request: pytest.FixtureRequest, orders: Path) -> Iterator[None]:
    """Have a worker die in the middle of a range, or none; see that it has."""
    if request.param:
        (orders / "kill-write").touch()
    yield
    if request.param:
        (orders / "obeyed-kill-write").unlink()


@pytest.mark.usefixtures("killed")
@pytest.mark.parametrize("join", ["inner", "outer"])
def test_import_of_files__is_as_by_one_writer(
    samples: list[Path], join: Any, tmp_path: Path
) -> None:
    with small_blocks(100):
        joined(samples, tmp_path / "a.zarr", join)
    with dask.config.set(scheduler="threads"):
        joined(samples, tmp_path / "b.zarr", join)
    assert_same_files(tmp_path / "a.zarr", tmp_path / "b.zarr")


def test_import_of_files__text_is_parsed_in_a_task_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, orders: Path
) -> None:
    """Also files by column; a worker dies on the way."""
    parts = [random_counts(100 + 20 * n, 12, seed=n) for n in range(3)]
    paths = [tmp_path / "a", tmp_path / "b", tmp_path / "c.h5ad"]
    for path, X in zip(paths[:2], parts, strict=False):
        write_mtx(path, X)
        lines = [f"{n}\tgene{n}\tGene Expression\n" for n in range(12)]
        (path / "features.tsv").write_text("".join(lines))
    with peers():
        var = pd.DataFrame(index=[f"gene{n}" for n in range(12)])
        ad.AnnData(sp.csc_matrix(parts[2]), var=var).write_h5ad(paths[2])
    monkeypatch.setattr(MtxSource, "convert", None)
    monkeypatch.setattr(TransposedSource, "convert", None)
    (orders / "kill-convert").touch()
    samples = [*(lazymu.read(path)["rna"] for path in paths[:2]), lazymu.read(paths[2])]
    found = lazymu.concat(samples, index_unique="-", out=tmp_path / "all.zarr")
    (orders / "obeyed-kill-convert").unlink()
    assert (found.X.to_memory() != sp.vstack(parts)).nnz == 0


@pytest.mark.usefixtures("killed")
def test_write__results_in_the_place_of_what_is_read(tmp_path: Path) -> None:
    """A store is read and replaced; the old one is there until the end."""
    path, expected = tmp_path / "a.zarr", tmp_path / "b.zarr"
    with dask.config.set(scheduler="threads"):
        write_elements(elements_of(random_counts(400, 30)), path, chunk_values=64)
        write_elements(elements_of(open_elements(path).X[::2]), expected, chunk_values=100)
    with small_blocks(100):
        half = elements_of(open_elements(path).X[::2])
        write_elements(half, path, chunk_values=100, overwrite=True)
    del half
    assert_same_files(path, expected)
    assert sorted(os.listdir(tmp_path)) == ["a.zarr", "b.zarr"]


@pytest.mark.usefixtures("killed")
@pytest.mark.parametrize("shards", [None, 192])
def test_write__to_a_bucket(shards: int | None, tmp_path: Path) -> None:
    pytest.importorskip("obstore", reason="obstore (extra s3) is not installed")
    with serving() as server:
        for n, X in enumerate([random_counts(400, 30), random_counts(300, 20)]):
            source, expected = tmp_path / f"{n}.zarr", tmp_path / f"{n}-threads.zarr"
            options: dict[str, Any] = {"chunk_values": 64, "shards": shards, "overwrite": True}
            with dask.config.set(scheduler="threads"):
                write_elements(elements_of(X), source)
                convert(source, expected, **options)
            url = f"s3://{BUCKET}/a.zarr"
            with small_blocks(100):
                convert(source, url, storage_options=server.options, **options)
            assert sorted(server.objects) == sorted(
                f"a.zarr/{flat(name) if n else name}" for name in files_of(expected)
            )
            found = open_elements(url, storage_options=server.options)
            np.testing.assert_array_equal(found.X.to_memory().toarray(), X.toarray())
            del found


def flat(name: str) -> str:
    """Return the key of a chunk in the second of two kinds, in which stores alternate."""
    before, between, after = f"/{name}".partition("/c/")
    if name.endswith("/c"):
        return f"{name.removesuffix('/c')}/0"
    return f"{before}/{after.replace('/', '.')}".strip("/") if between else name


# --- errors --------------------------------------------------------------------------------------


def test_write__worker_that_fails_leaves_the_old_store(tmp_path: Path, samples: list[Path]) -> None:
    target = tmp_path / "a.zarr"
    with dask.config.set(scheduler="threads"):
        joined(samples, target, "outer")
    before = files_of(target)
    source = tmp_path / "gone.h5mu"
    source.write_bytes(samples[0].read_bytes())
    elements = open_elements(source)
    assert elements.mod["rna"].X.source.indptr[0] == 0
    elements.mod["rna"].X.load(0, 1)  # it is open here
    source.unlink()
    with small_blocks(100), pytest.raises(MissingFileError, match=r"gone\.h5mu"):
        write_elements(elements, target, overwrite=True, chunk_values=64)
    assert files_of(target) == before
    with dask.config.set(scheduler="threads"):
        assert_written_over(target)


CLIENT = """
import os, signal, sys
from distributed import Client
import lazymu
from lazymu.stream.progress import watching
from tests.test_io_tenx import write_mtx
from tests.test_range_writes import joined, small_blocks

def die(tick):
    if tick.label == "write rna" and tick.done_blocks > 2:
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    with Client(scheduler_file=sys.argv[1]), small_blocks(30), watching(die):
        joined(sys.argv[3:], sys.argv[2], "outer")
"""


def until_idle() -> None:
    """Wait for tasks of a client that is gone: what they write late, the next write removes.

    The scheduler has forgotten them; the workers' threads have not.
    """
    client, deadline = Client.current(), time.monotonic() + 30
    while client.run_on_scheduler(n_clients) > 1 or any(client.run(running_tasks).values()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def n_clients(dask_scheduler: Any) -> int:
    return sum(name.startswith("Client-") for name in dask_scheduler.clients)


def running_tasks(dask_worker: Any) -> int:
    return len(dask_worker.active_threads)


def test_write__client_killed(cluster: Cluster, samples: list[Path], tmp_path: Path) -> None:
    target, paths = tmp_path / "a.zarr", map(str, samples)
    command = [sys.executable, "-c", CLIENT, str(cluster.file), str(target), *paths]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert not target.exists()
    (left,) = (tmp_path / "a.zarr.lazymu").iterdir()
    assert any("/data/c/" in name for name in files_of(left))
    until_idle()
    with small_blocks(100):
        joined(samples, target, "outer")
    with dask.config.set(scheduler="threads"):
        joined(samples, tmp_path / "b.zarr", "outer")
    assert_same_files(target, tmp_path / "b.zarr")
    assert sorted(os.listdir(tmp_path)) == ["a.zarr", "b.zarr"]
