"""Clusters that `lazymu.cluster` starts: what workers get, and passes on them."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import dask.config
import numpy as np
import pytest

import lazymu
from lazymu.cluster import worker
from lazymu.decomposition.reducers import Gram
from lazymu.errors import ArgumentError, MissingPackageError
from lazymu.settings import settings
from lazymu.stream import LazyMatrix, run_pass
from lazymu.stream.cluster import workers
from tests.conftest import make_counts

GIB = 1 << 30


def gram() -> Any:
    return run_pass(LazyMatrix(make_counts(90, 9)), Gram(9), label="test")[0]


def setup_of_worker(dask_worker: Any) -> dict[str, Any]:
    """Return what a worker's process got (run on it)."""
    memory = "distributed.worker.memory"
    return {
        "variables": {name: os.environ.get(name) for name in worker.ENVIRONMENT},
        "pause": dask.config.get(f"{memory}.pause"),
        "target": dask.config.get(f"{memory}.target"),
        "pauses_at": dask_worker.memory_manager.memory_pause_fraction,
        "limit": dask_worker.memory_manager.memory_limit,
        "folder": dask_worker.local_directory,
        "nanny": dask_worker.nanny,
    }


def check_workers(client: Any, memory: int) -> None:
    """Look at the workers of a real cluster, and run a pass on them."""
    for found in client.run(setup_of_worker).values():
        assert found["variables"] == worker.ENVIRONMENT
        assert (found["pause"], found["pauses_at"], found["target"]) == (False, False, 0.6)
        assert found["limit"] == memory
        assert found["nanny"] is not None
    ttl = client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.worker_ttl)
    assert ttl == 60
    found = gram()
    with dask.config.set(scheduler="threads"):
        np.testing.assert_allclose(found, gram(), rtol=1e-12)


# --- sizes ---------------------------------------------------------------------------------------


def test_worker_of__sizes() -> None:
    assert worker.worker_of(4, "8GB") == (4, 8 * 10**9)
    with pytest.raises(ArgumentError, match="`threads` is 0"):
        worker.worker_of(0, "8GB")
    least = r"a worker of 2 threads needs 922,746,880 bytes.*1 GB a thread.* or fewer threads"
    with pytest.raises(ArgumentError, match=least):
        worker.worker_of(2, "0.9GB")
    assert worker.worker_of(2, 922_746_880).threads == 2


def test_variables__are_read_by_dask() -> None:
    collected = dask.config.collect_env(worker.variables())
    with dask.config.set(collected):
        for name, value in worker.CONFIG.items():
            assert dask.config.get(name) == value


@pytest.mark.parametrize(
    ("recipe", "module", "install"),
    [
        (lambda: lazymu.cluster.ssh(["a", "b"]), "asyncssh", "asyncssh"),
        (lambda: lazymu.cluster.slurm(1), "dask_jobqueue", "dask-jobqueue"),
        (
            lambda: lazymu.cluster.kubernetes(1, image="i"),
            "dask_kubernetes.operator",
            "dask-kubernetes",
        ),
    ],
    ids=["ssh", "slurm", "kubernetes"],
)
def test_recipe__without_its_package(
    recipe: Callable[[], Any], module: str, install: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingPackageError, match=f"pip install {install}"):
        recipe()


# --- real ones -----------------------------------------------------------------------------------


def test_local__workers_and_a_pass() -> None:
    client = lazymu.cluster.local(2, threads=1, memory="1500MB")
    try:
        check_workers(client, 1_500_000_000)
        assert len(client.nthreads()) == 2
    finally:
        client.shutdown()


def test_local__shares_the_limit_out() -> None:
    with settings.override(memory_limit="2GB", n_threads=2):
        client = lazymu.cluster.local(2)
        try:
            assert workers() == (2, 1, 10**9, True)
        finally:
            client.shutdown()


def test_ssh__hosts() -> None:
    for hosts in ("head", ["head"]):
        with pytest.raises(ArgumentError, match="one for the scheduler and one for each worker"):
            lazymu.cluster.ssh(hosts)


@pytest.mark.slow
def test_ssh__workers_and_a_pass(ssh_server: dict[str, Any], tmp_path: Any) -> None:
    client = lazymu.cluster.ssh(
        ["127.0.0.1", "127.0.0.1"],
        threads=1,
        memory="1500MB",
        connect_options=ssh_server,
        local_directory=str(tmp_path),
    )
    try:
        check_workers(client, 1_500_000_000)
        folders = [found["folder"] for found in client.run(setup_of_worker).values()]
        assert len(folders) == 1
        assert folders[0].startswith(str(tmp_path))
    finally:
        client.shutdown()


@pytest.fixture
def ssh_server() -> Iterator[dict[str, Any]]:
    """A server of SSH on this machine, in a thread; gives what a client needs to connect."""
    asyncssh = pytest.importorskip("asyncssh")
    from tests.ssh_server import serving

    with serving(asyncssh) as options:
        yield options


# --- batch systems -------------------------------------------------------------------------------


class Fake:
    """Keeps what it was made with, in place of a cluster."""

    made: Fake

    def __init__(self, **options: Any) -> None:
        self.options, self.n_workers = options, 0
        type(self).made = self

    def scale(self, n_workers: int) -> None:
        self.n_workers = n_workers


def install(patch: pytest.MonkeyPatch, name: str, **content: Any) -> None:
    """Put a module in the place of an optional package, and return clusters unconnected."""
    module = ModuleType(name)
    module.__dict__.update(content)
    patch.setitem(sys.modules, name, module)
    for recipe in ("slurm", "kubernetes"):
        unconnected(patch, recipe)


def unconnected(patch: pytest.MonkeyPatch, recipe: str) -> None:
    """Let a recipe return its cluster, no client."""
    module = importlib.import_module(f"lazymu.cluster.{recipe}")
    patch.setattr(module, "connected", lambda cluster: cluster)


def exported(lines: list[str]) -> dict[str, str]:
    assert all(line.startswith("export ") for line in lines)
    return dict(line.removeprefix("export ").split("=", 1) for line in lines)


def test_slurm__options(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "dask_jobqueue", SLURMCluster=Fake)
    cluster = lazymu.cluster.slurm(16, queue="short", account="lab", threads=8, memory=16 * GIB)
    assert cluster.n_workers == 16
    options = Fake.made.options
    assert (options["queue"], options["account"]) == ("short", "lab")
    assert (options["cores"], options["processes"]) == (8, 1)
    assert options["memory"] == f"{16 * GIB}B"
    assert options["job_mem"] == f"{16 * 1024 + 256}M"
    assert exported(options["job_script_prologue"]) == worker.variables()


@pytest.mark.skipif(importlib.util.find_spec("dask_jobqueue") is None, reason="no dask-jobqueue")
def test_slurm__job_script(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dask_jobqueue.SLURMCluster.scale", lambda self, n: None)
    unconnected(monkeypatch, "slurm")
    cluster = lazymu.cluster.slurm(2, queue="short", threads=8, memory=16 * GIB)
    try:
        script = cluster.job_script()
    finally:
        cluster.close()
    for line in (
        "#SBATCH -p short",
        "#SBATCH --cpus-per-task=8",
        "#SBATCH --mem=16640M",
        "export OMP_NUM_THREADS=1",
        "export DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE=False",
    ):
        assert line in script.splitlines()
    command = script.splitlines()[-1]
    for words in ("--nthreads 8", "--memory-limit 16.00GiB", "--nanny", "${TMPDIR:-/tmp}"):
        assert words in command


def test_kubernetes__spec(monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("dask_kubernetes") is None:
        make_spec = spec_of_operator
    else:
        from dask_kubernetes.operator import make_cluster_spec as make_spec
    name = "dask_kubernetes.operator"
    install(monkeypatch, name, KubeCluster=Fake, make_cluster_spec=make_spec)
    lazymu.cluster.kubernetes(16, image="lab/lazymu:1", namespace="lab", threads=8, memory=16 * GIB)
    assert Fake.made.options["namespace"] == "lab"
    spec = Fake.made.options["custom_cluster_spec"]["spec"]
    assert spec["worker"]["replicas"] == 16
    (container,) = spec["worker"]["spec"]["containers"]
    size = {"cpu": "8", "memory": f"{16 * 1024 + 256}Mi"}
    assert container["resources"] == {"requests": size, "limits": size}
    assert container["image"] == "lab/lazymu:1"
    assert {entry["name"]: entry["value"] for entry in container["env"]} == worker.variables()
    command = " ".join(container["args"])
    assert command.startswith(f"dask worker --nthreads 8 --nanny --memory-limit {16 * GIB} ")
    (scheduler,) = spec["scheduler"]["spec"]["containers"]
    assert scheduler["resources"]["limits"] == {"cpu": "1", "memory": "4Gi"}


def spec_of_operator(
    *,
    name: str,
    image: str,
    n_workers: int,
    resources: Any,
    env: dict[str, str],
    worker_command: list[str],
) -> Any:
    """Return the parts of the operator's cluster specification that are looked at."""
    variables = [{"name": key, "value": value} for key, value in env.items()]
    common = {"image": image, "env": variables, "resources": resources}
    pod = {"containers": [{**common, "args": worker_command}]}
    scheduler = {"containers": [{**common, "args": ["dask-scheduler"]}]}
    return {
        "spec": {"worker": {"replicas": n_workers, "spec": pod}, "scheduler": {"spec": scheduler}}
    }
