"""A scheduler by its address: connected to, or an error that says what is wrong with it."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lazymu.cli.main import app
from lazymu.errors import ArgumentError, ClusterLostError, EmptyResultError, RemoteError
from lazymu.stream import compute as compute_module
from lazymu.stream.cluster import active_client, workers
from lazymu.stream.compute import compute
from lazymu.stream.connection import connected
from tests.cluster import running


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("cluster"), n_workers=1) as (cluster, _):
        yield json.loads(cluster.file.read_text())["address"]


def test_connected__work_goes_to_the_workers_until_the_end(scheduler: str) -> None:
    with connected(scheduler) as client:
        assert active_client() is client
        assert workers()[:2] == (1, 1)
    assert client.status == "closed"
    assert active_client() is not client


@pytest.mark.parametrize(
    "address", ["", "localhost", "localhost:8786", "http://host:1", "tcp://host", "tcp://a:b:1"]
)
def test_connected__what_is_no_address(address: str) -> None:
    with pytest.raises(ArgumentError) as error, connected(address):
        pass
    assert str(error.value) == (
        f"`scheduler` is {address!r}, but the address of a scheduler is a protocol, a host and a "
        "port; write it as `dask scheduler` shows it: tcp://host:8786."
    )


@pytest.mark.parametrize("silent", [True, False])
def test_connected__nobody_answers(silent: bool) -> None:
    """A port where nobody listens, and one of a server that says nothing."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if silent:
            server.listen()
        address = "tcp://{}:{}".format(*server.getsockname())
        started = time.monotonic()
        with (
            pytest.raises(RemoteError, match=r"no scheduler answers there within 1 s \(.*dask sch"),
            connected(address, timeout=1),
        ):
            pass
        assert time.monotonic() - started < 10
    assert active_client() is None


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ("2020.1.0", "its worker tcp://w has dask 2020.1.0, this process"),
        (None, "its worker tcp://w has no dask, this process"),
    ],
)
def test_connected__other_versions(
    other: str | None, told: str, scheduler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distributed import Client

    get = Client.get_versions

    def get_versions(self: Client, **options: Any) -> Any:
        found = get(self, **options)
        (worker,) = found["workers"].values()
        packages = {**worker["packages"], "dask": other}
        return {**found, "workers": {"tcp://w": {**worker, "packages": packages}}}

    monkeypatch.setattr(Client, "get_versions", get_versions)
    with pytest.raises(ArgumentError, match=told) as error, connected(scheduler):
        pass
    assert "install the same versions on all machines (python, dask, distr" in str(error.value)


def test_connected__scheduler_refuses_the_versions(
    scheduler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise ImportError("Mismatched versions found")

    monkeypatch.setattr("distributed.Client", refuse)
    with (
        pytest.raises(ArgumentError, match=r"but Mismatched versions found; install the same"),
        connected(scheduler),
    ):
        pass


def test_run_command__tells_of_a_wrong_scheduler(tmp_path: Path) -> None:
    command = ["run", "absent.h5mu", "-o", str(tmp_path / "out.zarr"), "--scheduler", "host:8786"]
    failed = CliRunner().invoke(app, command)
    assert failed.exit_code == 1
    assert failed.output.startswith("lazymu: `scheduler` is 'host:8786', but the address")


# --- a connection that breaks --------------------------------------------------------------------


class FakeClient:
    def __init__(self, status: str) -> None:
        self.status = status


def computing(error: Exception, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*tasks: Any, **options: Any) -> None:
        raise error

    monkeypatch.setattr("dask.base.compute", fail)
    monkeypatch.setattr(compute_module, "active_client", lambda: FakeClient(status))
    compute([])


@pytest.mark.parametrize("error", [ConnectionResetError("reset"), TimeoutError("late")])
def test_compute__lost_connection_says_what_to_do(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        ClusterLostError, match=r"its scheduler is lost \((reset|late)\); start it again"
    ):
        computing(error, "connecting", monkeypatch)


@pytest.mark.parametrize(
    "error", [EmptyResultError("no cell"), RemoteError("no bucket"), PermissionError("secret.zarr")]
)
def test_compute__errors_of_tasks_stay_what_they_are(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(type(error), match=str(error)):
        computing(error, "running", monkeypatch)
