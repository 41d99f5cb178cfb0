"""Commands and the whole workflow on URLs; that nothing they write or say gives access away."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from typer.testing import CliRunner, Result

import lazymu
from lazymu.cli.main import app
from lazymu.datasets import multiome
from lazymu.pipeline import RunParams, run_workflow
from lazymu.pipeline.workflow import figures_folder
from tests.object_server import ACCESS_KEY, BUCKET, SECRET_KEY, TOKEN, ObjectServer, serving
from tests.test_store_urls import isolate

pytest.importorskip("obstore", reason="obstore (extra s3) is not installed")

URL = f"s3://{BUCKET}/cells.zarr"
PASSWORD = quote(SECRET_KEY, safe="")
SECRETS = (ACCESS_KEY, SECRET_KEY, PASSWORD, TOKEN)
PARAMS = RunParams().updated({"rna": {"min_genes": 20, "n_comps": 10, "n_top_genes": 300}})

pytestmark = [
    # anndata 0.13 uses what pandas 3 has deprecated.
    pytest.mark.filterwarnings("ignore:The 'future.infer_string' option is deprecated"),
]


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ObjectServer]:
    isolate(monkeypatch, tmp_path)
    with serving() as server:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        yield server


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of RNA counts."""
    folder = tmp_path_factory.mktemp("urls")
    rna = lazymu.read(multiome(folder / "m.h5mu", 200, 600, 400, n_clusters=3, depth=4.0))["rna"]
    lazymu.MuData({"rna": rna}).write(folder / "local.zarr")
    return folder / "local.zarr"


def cli(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def done(*arguments: object) -> str:
    result = cli(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


def holding_secrets(folder: Path) -> list[Path]:
    """Return the files that hold a secret as text, and the stores that hold one when decoded."""
    found = [
        path
        for path in folder.rglob("*")
        if path.is_file() and any(secret.encode() in path.read_bytes() for secret in SECRETS)
    ]
    for store in folder.glob("*.zarr"):
        if any(secret in repr(_plain(lazymu.read(store))) for secret in SECRETS):
            found.append(store)
    return found


def _plain(data: Any) -> list[Any]:
    """Return what a store keeps beside its matrices."""
    parts = [data, *data.mod.values()]
    return [[dict(part.uns), part.obs.to_dict(), part.var.to_dict()] for part in parts]


def test_run__of_a_url_gives_a_local_result_and_no_secrets(
    s3: ObjectServer, local: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    said = [done("convert", local, URL), done("info", URL)]
    assert "rna: 200 cells x 600 features" in said[1]
    stored = dict(s3.objects)
    remote, plain, web = (tmp_path / f"{name}.zarr" for name in ("remote", "plain", "web"))
    flags = ("--rna-min-genes", 20, "--rna-n-comps", 10, "--rna-n-top-genes", 300)
    said.append(done("run", URL, "-o", remote, *flags, "-v"))
    run_workflow(local, plain, PARAMS)
    with serving(signed=False) as server:
        server.objects = stored
        address = server.url.removeprefix("http://")
        secret = f"http://me:{PASSWORD}@{address}/cells.zarr?X-Amz-Signature={TOKEN}"
        summary = run_workflow(secret, web, PARAMS)
        said += [repr(summary), done("info", secret), done("run", secret, "--dry-run", *flags)]
        said += [cli("plot", f"{secret}&x=1", "--color", "no").output]
        said += [cli("export", secret, secret).output, cli("run", secret, "-o", secret).output]
    assert summary.source == f"http://{address}/cells.zarr"
    assert s3.objects == stored  # the source is only read
    expected = lazymu.read(plain)
    for path in (remote, web):
        found = lazymu.read(path)
        assert list(found.obs_names) == list(expected.obs_names)
        assert_array_equal(found["rna"].X.toarray(), expected["rna"].X.toarray())
        assert_array_equal(found["rna"].obs["leiden"], expected["rna"].obs["leiden"])
        pca, theirs = found["rna"].obsm["X_pca"], expected["rna"].obsm["X_pca"]
        assert_allclose(np.abs(pca), np.abs(theirs), atol=1e-3)
        assert figures_folder(path).is_dir()
    assert not holding_secrets(tmp_path)
    assert not [text for text in (*said, caplog.text) for one in SECRETS if one in text]
    assert f"http://{address}/cells.zarr" in web.with_name("web_report.html").read_text()


def test_resume__of_a_url_keeps_no_secret_and_takes_a_new_signature(
    local: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def stop(label: str, number: int, total: int) -> None:
        if label == "RNA embedding":
            raise KeyboardInterrupt

    out = tmp_path / "out.zarr"
    with serving(signed=False) as server, caplog.at_level(logging.DEBUG, "lazymu"):
        for path in local.rglob("*"):
            if path.is_file():
                server.objects[f"cells.zarr/{path.relative_to(local)}"] = path.read_bytes()
        url = f"{server.url}/cells.zarr"
        first = f"{url.replace('://', f'://me:{PASSWORD}@')}?X-Amz-Signature={TOKEN}"
        with pytest.raises(KeyboardInterrupt):
            run_workflow(first, out, PARAMS, watch=stop)
        assert list(tmp_path.rglob("stages/*.json"))
        assert not holding_secrets(tmp_path)
        summary = run_workflow(f"{url}?X-Amz-Signature=new", out, PARAMS, resume=True)
    assert summary.resumption == ["goes on after the stage 'Common cells' of the earlier run"]
    assert summary.source == url
    assert not [secret for secret in SECRETS if secret in caplog.text]


def test_run__to_a_url_is_refused_before_work(s3: ObjectServer, local: Path) -> None:
    result = cli("run", local, "-o", URL)
    assert result.exit_code == 1
    assert "local folders; name a local store" in result.stderr
    assert not s3.requests


def test_simulate__to_a_url_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = cli("simulate", f"s3://{BUCKET}/x.zarr").stderr
    assert "simulated data are written to local paths" in said
    assert not list(tmp_path.iterdir())


def test_errors__name_flags_and_variables(s3: ObjectServer, local: Path) -> None:
    done("convert", local, URL)
    assert "it exists; pass --overwrite" in cli("convert", local, URL).stderr
    assert "takes none; write to a local path" in cli("convert", local, "https://x/y.zarr").stderr
    s3.fail("403", 1, lambda request: request.method == "GET")
    said = cli("info", URL).stderr
    assert "refuses access (403 AccessDenied)" in said
    assert "AWS_PROFILE" in said
    assert "storage_options" not in said


def test_help__says_where_credentials_come_from() -> None:
    said = " ".join(done("--help").split())
    for name in ("s3://", "AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_ENDPOINT_URL", "~/.aws"):
        assert name in said
