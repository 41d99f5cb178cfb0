"""The whole workflow on a Dask cluster of real processes, some of which are killed on the way."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import lazymu
from lazymu.cli.main import app
from lazymu.datasets import multiome
from lazymu.pipeline import RunParams, run_workflow
from lazymu.stream import passes
from lazymu.stream.connection import connected
from lazymu.stream.plan import plan_blocks
from tests.cluster import Cluster, running
from tests.run_results import assert_same, write_figure
from tests.test_cluster_faults import SABOTEUR

N_CELLS = 300
TABLES: dict[str, dict[str, Any]] = {
    "rna": {"min_genes": 20, "n_comps": 10},
    "atac": {"min_features": 20, "n_comps": 10},
}
FLAGS = [
    *("--rna-min-genes", "20", "--rna-n-comps", "10"),
    *("--atac-min-features", "20", "--atac-n-comps", "10"),
]
LOGGER = "lazymu.pipeline.execution"

pytestmark = pytest.mark.filterwarnings("ignore:The 'future.infer_string' option is deprecated")


@pytest.fixture(scope="module")
def h5mu(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "multi.h5mu"
    return multiome(path, N_CELLS, n_genes=300, n_peaks=500, n_clusters=4, depth=8.0)


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    """Passes have several blocks, so that workers share them; pictures are small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passes, "plan_blocks", partial(plan_blocks, max_values=5_000))
        patch.setattr("lazymu.pipeline.run.write_figure", write_figure)
        yield


@pytest.fixture(scope="module")
def orders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where workers are told in which function to die."""
    return tmp_path_factory.mktemp("orders")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, orders: Path) -> Iterator[tuple[str, Any]]:
    """The address of a scheduler of two workers, and a client that waits for them."""
    folder = tmp_path_factory.mktemp("cluster")
    config = {"SABOTAGE": str(orders)}
    with running(folder, preload=SABOTEUR, config=config) as (cluster, client):
        yield address_of(cluster), client


def address_of(cluster: Cluster) -> str:
    return str(json.loads(cluster.file.read_text())["address"])


def invoke(h5mu: Path, store: Path, *more: str) -> Result:
    """Run `lazymu run`, in threads where no `--scheduler` is among the flags."""
    return CliRunner().invoke(app, ["run", str(h5mu), "-o", str(store), "-v", *FLAGS, *more])


def done(result: Result) -> Result:
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def on_threads(h5mu: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("threads") / "out.zarr"
    done(invoke(h5mu, store))
    return store


@pytest.fixture(scope="module")
def on_cluster(
    h5mu: Path, tmp_path_factory: pytest.TempPathFactory, cluster: tuple[str, Any]
) -> Path:
    store = tmp_path_factory.mktemp("workers") / "out.zarr"
    done(invoke(h5mu, store, "--scheduler", cluster[0]))
    return store


@contextmanager
def when_begins(actions: dict[str, Callable[[], Any]]) -> Iterator[None]:
    """Do something when the log says that a stage begins."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            label = record.getMessage().removesuffix(" begins")
            actions.pop(label, lambda: None)()

    handler, logger = Handler(), logging.getLogger(LOGGER)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
    assert actions == {}, "these stages have not begun"


def assert_equivalent(store: Path, reference: Path) -> None:
    """The same clusters, and embeddings equal but for the order in which sums were added."""
    mine, theirs = lazymu.read(store), lazymu.read(reference)
    assert list(mine.obs_names) == list(theirs.obs_names)
    assert list(mine.obs["leiden_wnn"]) == list(theirs.obs["leiden_wnn"])
    assert mine.obs["leiden_wnn"].nunique() > 1
    for name, key in (("rna", "X_pca"), ("atac", "X_lsi")):
        np.testing.assert_allclose(
            mine[name].obsm[key], theirs[name].obsm[key], rtol=1e-3, atol=1e-4
        )
    umaps = [data.obsm["X_umap"] for data in (mine, theirs)]
    np.testing.assert_allclose(*umaps, atol=1e-3)
    graphs = [data.obsp["wnn_connectivities"].toarray() for data in (mine, theirs)]
    np.testing.assert_allclose(*graphs, atol=1e-4)
    scores = [np.sort(d["rna"].uns["rank_genes_groups"]["scores"]["0"]) for d in (mine, theirs)]
    np.testing.assert_allclose(*scores, rtol=1e-3)


# --- one answer ----------------------------------------------------------------------------------


def test_run__on_a_cluster_is_as_on_threads(on_threads: Path, on_cluster: Path) -> None:
    assert_equivalent(on_cluster, on_threads)


def test_run__workers_killed_on_the_way(
    h5mu: Path, tmp_path: Path, cluster: tuple[str, Any], orders: Path, on_threads: Path
) -> None:
    address, client = cluster
    client.wait_for_workers(2, timeout=60)
    kills = {
        "RNA embedding": (orders / "kill-block").touch,
        "ATAC embedding": (orders / "kill-merge").touch,
    }
    store = tmp_path / "out.zarr"
    with when_begins(dict(kills)):
        done(invoke(h5mu, store, "--scheduler", address))
    killed = sorted(path.name for path in orders.iterdir())
    for path in orders.iterdir():
        path.unlink()
    assert killed == ["obeyed-kill-block", "obeyed-kill-merge"]
    assert_equivalent(store, on_threads)


# --- the scheduler lost --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lost(h5mu: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The store of a run whose scheduler was killed in the middle, and what was said."""
    store = tmp_path_factory.mktemp("lost") / "out.zarr"
    with running(tmp_path_factory.mktemp("cluster")) as (cluster, _), quick_to_give_up():
        kill = partial(os.killpg, cluster.scheduler.pid, signal.SIGKILL)
        with when_begins({"ATAC embedding": kill}):
            result = invoke(h5mu, store, "--scheduler", address_of(cluster))
    assert result.exit_code == 1
    return store, result.output


@contextmanager
def quick_to_give_up() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lazymu.cli.run.connected", partial(connected, timeout=3))
        yield


@pytest.fixture
def lost_copy(lost: tuple[Path, str], tmp_path: Path) -> Path:
    """Another run that was left so."""
    import shutil

    shutil.copytree(lost[0].parent, tmp_path / "lost")
    return tmp_path / "lost" / "out.zarr"


def test_run__lost_scheduler_says_what_to_do(lost: tuple[Path, str]) -> None:
    store, said = lost
    assert not store.exists()
    assert "Kept: the results of 5 stages, up to 'RNA embedding', in" in said
    last = said.strip().splitlines()[-1]
    assert re.fullmatch(
        r"lazymu: `client` is a cluster's, but the connection to its scheduler is lost \(.*\); "
        r"start it again and repeat the step; "
        r"`lazymu run --resume` goes on from the last finished stage\.",
        last,
    )


def test_resume__on_a_new_scheduler_gives_the_same_store(
    h5mu: Path, lost_copy: Path, cluster: tuple[str, Any], on_cluster: Path
) -> None:
    address, client = cluster
    client.wait_for_workers(2, timeout=60)
    said = done(invoke(h5mu, lost_copy, "--scheduler", address, "--resume")).output
    assert "Resumed: goes on after the stage 'RNA embedding' of the earlier run" in said
    assert_same(lost_copy, on_cluster)
    assert not lost_copy.with_name("out.zarr.lazymu").exists()


def test_resume__in_threads_gives_the_same_clusters(
    h5mu: Path, lost_copy: Path, on_threads: Path
) -> None:
    assert "RNA embedding (earlier run)" in done(invoke(h5mu, lost_copy, "--resume")).output
    assert_equivalent(lost_copy, on_threads)


# --- names of stages -----------------------------------------------------------------------------


def test_run_workflow__tasks_and_log_have_the_names_of_stages(
    h5mu: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from distributed import Client, LocalCluster

    params = RunParams().updated(TABLES)
    options: dict[str, Any] = {"n_workers": 1, "threads_per_worker": 2, "dashboard_address": ":0"}
    with (
        LocalCluster(local_directory=str(tmp_path), **options) as local,
        Client(local) as client,
        caplog.at_level("INFO", "lazymu"),
    ):
        summary = run_workflow(h5mu, tmp_path / "out.zarr", params)
        names = client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.task_prefixes))
    for label in ("RNA-embedding", "ATAC-embedding", "Markers", "Figures"):
        assert [name for name in names if name.startswith(f"{label}-")], label
    lines = [line for line in caplog.messages if re.match(r".* (begins$|ends: |fails: )", line)]
    assert lines[::2] == [f"{stage.label} begins" for stage in summary.stages]
    for stage, line in zip(summary.stages, lines[1::2], strict=True):
        passes = f"{stage.n_passes} pass" + "es" * (stage.n_passes != 1)
        told = rf"{stage.label} ends: {stage.seconds:.1f} s, {passes}, peak memory \d+\.\d [MG]B"
        assert re.fullmatch(told, line)


def test_run_workflow__log_says_which_stage_fails(
    h5mu: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    params = RunParams().updated({"rna": {"min_genes": 10**6}})
    with caplog.at_level("INFO", "lazymu"), pytest.raises(lazymu.errors.EmptyResultError):
        run_workflow(h5mu, tmp_path / "out.zarr", params)
    assert re.match(r"RNA quality fails: \d+\.\d s, \d+ pass", caplog.messages[-1])
