"""Stores behind URLs: buckets by S3's protocol, web servers, ZIP files, memory; and faults."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
import traceback
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import anndata as ad
import mudata as md
import numpy as np
import pytest
import scipy.sparse as sp
import zarr
from numpy.testing import assert_array_equal

import lazymu
from lazymu.errors import (
    AccessError,
    ArgumentError,
    DamagedFileError,
    MemoryLimitError,
    MissingFileError,
    MissingPackageError,
    RemoteError,
    StoreExistsError,
    UnknownFormatError,
)
from lazymu.io import convert
from lazymu.settings import settings
from lazymu.store import credentials, remote, roots
from lazymu.store.locations import redacted
from lazymu.store.roots import ZarrRoot
from tests.conftest import make_counts
from tests.object_server import (
    ACCESS_KEY,
    BUCKET,
    SECRET_KEY,
    TOKEN,
    ObjectServer,
    Request,
    serving,
)
from tests.store_samples import peers

pytest.importorskip("obstore", reason="obstore (extra s3) is not installed")

URL = f"s3://{BUCKET}/data/cells.zarr"
CHUNK = 256
SECRETS = (ACCESS_KEY, SECRET_KEY, TOKEN)


def isolate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ask again at once, and let nothing of this machine's own accounts be seen."""
    backoff = {"init_backoff": timedelta(milliseconds=5), "base": 2}
    monkeypatch.setattr(remote, "RETRIES", {"max_retries": 3, "backoff": backoff})
    for name in (*credentials.PROVIDERS, *credentials.ENDPOINTS, *credentials.REGIONS):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_SKIP_SIGNATURE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setattr(credentials, "VENDOR", tmp_path / "no-vendor")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    isolate(monkeypatch, tmp_path)


@pytest.fixture
def s3() -> Iterator[ObjectServer]:
    with serving() as server:
        yield server


@pytest.fixture
def web() -> Iterator[ObjectServer]:
    with serving(signed=False) as server:
        yield server


def sample(seed: int = 0) -> lazymu.MuData:
    """Return 300 cells of two modalities, one sparse and one dense."""
    rna = ad.AnnData(make_counts(300, seed=seed))
    rna.obs["type"] = np.resize(["a", "b", "c"], 300)
    rna.obsm["X_pca"] = np.random.default_rng(seed).random((300, 3))
    rna.uns["answer"] = 42
    prot = ad.AnnData(make_counts(300, 5, density=0.9, seed=seed + 1).toarray())
    prot.var_names = [f"ab{n}" for n in range(5)]
    return lazymu.MuData({"rna": rna, "prot": prot})


def write(server: ObjectServer, url: str = URL, *, seed: int = 0, **options: Any) -> lazymu.MuData:
    data = sample(seed)
    data.write(url, storage_options=server.options, chunk_values=CHUNK, **options)
    return data


def assert_same(found: Any, expected: lazymu.MuData) -> None:
    assert list(found.mod) == list(expected.mod)
    for name, modality in expected.mod.items():
        assert_array_equal(dense(found[name]), dense(modality))
        assert list(found[name].obs_names) == list(modality.obs_names)


def dense(modality: lazymu.Modality) -> Any:
    X = modality.X.to_memory() if hasattr(modality.X, "to_memory") else modality.X.toarray()
    return X.toarray() if sp.issparse(X) else np.asarray(X)


def dump(server: ObjectServer, folder: Path, prefix: str = "data/cells.zarr") -> Path:
    """Write the objects below a prefix as files."""
    for key, value in server.objects.items():
        if key.startswith(f"{prefix}/"):
            path = folder / key.removeprefix(f"{prefix}/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(value)
    return folder


# --- buckets --------------------------------------------------------------------------------------


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_s3__write_and_read_give_the_values(s3: ObjectServer, zarr_format: int) -> None:
    data = write(s3, zarr_format=zarr_format)
    found = lazymu.read(URL, s3.options)
    assert_same(found, data)
    assert_array_equal(found["rna"].obsm["X_pca"], data["rna"].obsm["X_pca"])
    assert found["rna"].uns["answer"] == 42
    assert_array_equal(dense(lazymu.read(f"{URL}/rna", s3.options)), dense(data["rna"]))


def test_s3__shards_are_the_default_and_other_tools_read_them(
    s3: ObjectServer, tmp_path: Path
) -> None:
    data = write(s3)
    write(s3, seed=2, overwrite=True)  # its chunks have the other kind of keys
    for _ in range(2):
        root = zarr.open_group(dump(s3, tmp_path / "copy"), mode="r")
        assert root["mod/rna/X/data"].shards == (8 * CHUNK,)
        with peers():
            theirs = md.read_zarr(tmp_path / "copy")
        assert_array_equal(theirs["rna"].X.toarray(), dense(sample(2)["rna"]))
        assert_array_equal(theirs["rna"].obsm["X_pca"], sample(2)["rna"].obsm["X_pca"])
        shutil.rmtree(tmp_path / "copy")
    assert_same(lazymu.read(URL, s3.options), sample(2))
    assert_same(data, sample())


def test_s3__large_shards_come_in_parts(s3: ObjectServer) -> None:
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2**31, (1500, 1500)).astype(np.float64)
    lazymu.Modality(X).write(URL, storage_options=s3.options)
    assert s3.count("POST", "X/c/") == 2  # one to begin, one to end
    assert_array_equal(dense(lazymu.read(URL, s3.options)), X)


def test_s3__credentials_from_the_environment(
    s3: ObjectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write(s3)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)
    assert_same(lazymu.read(URL), data)


def test_s3__credentials_from_a_profile(
    s3: ObjectServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data = write(s3)
    keys = f"[lab]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n"
    (tmp_path / "credentials").write_text(keys)
    (tmp_path / "config").write_text(
        f"[profile lab]\nendpoint_url = {s3.url}\nregion = eu-x-1\n[profile sso]\nsso_session = x\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    assert_same(lazymu.read(URL, {"profile": "lab"}), data)
    monkeypatch.setenv("AWS_PROFILE", "lab")
    assert_same(lazymu.read(URL), data)
    with pytest.raises(ArgumentError, match=r"`profile` is 'other', but neither ~/\.aws/config"):
        lazymu.read(URL, {"profile": "other"})
    with pytest.raises(AccessError, match=r"keys come by sso.*aws configure export-credentials"):
        lazymu.read(URL, {"profile": "sso"})


def test_s3__concat_and_convert(s3: ObjectServer, tmp_path: Path) -> None:
    data = write(s3)
    local = tmp_path / "local.zarr"
    convert(URL, local, storage_options=s3.options)
    assert_same(lazymu.read(local), data)
    joined = lazymu.concat(
        [lazymu.read(URL, s3.options), local],
        index_unique="-",
        out=f"s3://{BUCKET}/joined.zarr",
        storage_options=s3.options,
    )
    assert_array_equal(dense(joined["rna"]), np.vstack([dense(data["rna"])] * 2))


def test_s3__a_store_of_another_tool(s3: ObjectServer, tmp_path: Path) -> None:
    data = sample()
    with peers():  # mudata consolidates no metadata, so that they have to be listed
        md.write_zarr(tmp_path / "theirs.zarr", data.to_mudata())
    for path in (tmp_path / "theirs.zarr").rglob("*"):
        if path.is_file():
            key = path.relative_to(tmp_path / "theirs.zarr")
            s3.objects[f"data/cells.zarr/{key}"] = path.read_bytes()
    assert_same(lazymu.read(URL, s3.options), data)
    write(s3, seed=1, overwrite=True)
    assert_same(lazymu.read(URL, s3.options), sample(1))


def test_url__needs_obstore(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(MissingPackageError, match=r"need the package obstore; pip install"):
        lazymu.read(URL)


# --- requests -------------------------------------------------------------------------------------


def test_s3__requests_of_a_pass(s3: ObjectServer) -> None:
    data = write(s3)
    found = lazymu.read(URL, s3.options)["rna"]
    n_shards = -(-int(found.X.source.indptr[-1]) // (8 * CHUNK))
    assert n_shards == 2
    s3.requests.clear()
    assert_array_equal(found.X.source.read(0, 300).toarray(), dense(data["rna"]))
    for array in ("data", "indices"):
        asked = [one for one in s3.requests if f"X/{array}/" in one.key]
        # The index of each shard once, and all chunks that are needed of it in one piece.
        assert [one.method for one in asked] == ["GET"] * 2 * n_shards
        assert sum((one.bytes_range or "").startswith("bytes=-") for one in asked) == n_shards
    dense(found)  # the first pass also makes sure that stored sums hold
    s3.requests.clear()
    dense(found)
    assert len(s3.requests) == 2 * n_shards


def test_s3__chunks_without_shards_come_side_by_side(s3: ObjectServer) -> None:
    data = write(s3, shards=None)
    found = lazymu.read(URL, s3.options)["rna"]
    assert_array_equal(dense(found), dense(data["rna"]))
    s3.requests.clear()
    s3.fail("slow", 100, lambda request: "X/data/" in request.key)
    found.X.source.read(0, 300 // 3)
    starts = [one.at for one in s3.requests if "X/data/" in one.key]
    assert len(starts) == -(-int(found.X.source.indptr[100]) // CHUNK) > 3
    assert starts[-1] - starts[0] < 0.8  # else each would wait a second for the one before


# --- what a reader sees ---------------------------------------------------------------------------


def test_write__new_store_is_visible_in_one_step(s3: ObjectServer) -> None:
    write(s3)
    puts = [one.key for one in s3.requests if one.method == "PUT"]
    documents = [key for key in puts if key.endswith("zarr.json")]
    assert puts[0].endswith(".lazymu-writing")
    assert puts[-1] == "data/cells.zarr/zarr.json"
    assert puts[-len(documents) :] == documents  # all metadata come after all chunks
    assert not any("lazymu-writing" in key for key in s3.objects)


def test_write__old_store_is_whole_until_the_new_one_is(s3: ObjectServer) -> None:
    write(s3)
    old = dict(s3.objects)
    problems = []

    def watch(request: Request) -> None:
        published = s3.objects["data/cells.zarr/zarr.json"] != old["data/cells.zarr/zarr.json"]
        chunks = [key for key in old if not key.endswith("zarr.json")]
        if not published and not all(s3.objects.get(key) is old[key] for key in chunks):
            problems.append(request)

    s3.faults.append(watch)
    for seed in (1, 2):  # keys alternate between two kinds
        write(s3, seed=seed, overwrite=True)
        old = dict(s3.objects)
        assert_same(lazymu.read(URL, s3.options), sample(seed))
    assert not problems


def test_write__a_reader_of_a_replaced_store_is_told(s3: ObjectServer) -> None:
    write(s3)
    reader = pickle.loads(pickle.dumps(lazymu.read(URL, s3.options)["rna"].X))
    reader.source.read(0, 1)
    roots._live.discard(reader.source._data.root)  # as if it were another process's
    write(s3, seed=1, overwrite=True)
    with pytest.raises(DamagedFileError, match="is not there, and lazymu wrote all chunks"):
        reader.source.read(0, 300)
    again = pickle.loads(pickle.dumps(reader))
    with pytest.raises(DamagedFileError, match="it was replaced after it was opened"):
        again.source.read(0, 300)


def test_write__over_what_is_read_is_refused(s3: ObjectServer) -> None:
    write(s3)
    data = lazymu.read(URL, s3.options)
    with pytest.raises(ArgumentError, match=r"data in use are read from it.*write to another name"):
        data.write(URL, storage_options=s3.options)
    assert_same(lazymu.read(URL, s3.options), sample())


def test_write__failure_leaves_the_old_store_and_nothing_else(s3: ObjectServer) -> None:
    write(s3)
    before = dict(s3.objects)
    s3.fail("403", 10**6, lambda request: "/mod/prot/X/" in request.key)
    with pytest.raises(AccessError, match=r"s3://cells/data/cells\.zarr.*403 AccessDenied"):
        write(s3, seed=1, overwrite=True)
    assert s3.objects == before


@pytest.mark.parametrize("existing", [False, True])
def test_write__what_a_killed_write_left_is_removed(s3: ObjectServer, existing: bool) -> None:
    if existing:
        write(s3)
    before = dict(s3.objects)
    n_puts = s3.count("PUT")
    s3.fail("403", 10**6, lambda request: s3.count("PUT") > n_puts + 12)
    with pytest.raises(AccessError):
        write(s3, seed=1, overwrite=True)
    s3.faults.clear()
    assert len(s3.objects) > len(before)  # it could not clean up
    if existing:
        assert_same(lazymu.read(URL, s3.options), sample())
    else:
        with pytest.raises(MissingFileError, match="there is no such store or bucket"):
            lazymu.read(URL, s3.options)
    write(s3, seed=2, overwrite=existing)
    assert_same(lazymu.read(URL, s3.options), sample(2))
    with serving() as fresh:
        write(fresh, seed=3)
        write(fresh, seed=2, overwrite=True)
        names = {key.replace("/c/", "/").replace(".", "/") for key in fresh.objects}
        assert len(s3.objects) == len(names)


def test_write__refuses_stores_and_other_objects(s3: ObjectServer) -> None:
    write(s3)
    with pytest.raises(StoreExistsError, match="it exists; pass overwrite=True"):
        write(s3, overwrite=False)
    s3.objects["papers/a.pdf"] = b"pdf"
    with pytest.raises(UnknownFormatError, match=r"what can be written is \.zarr"):
        write(s3, f"s3://{BUCKET}/papers")
    s3.objects["papers.zarr/a.pdf"] = b"pdf"
    with pytest.raises(ArgumentError, match="objects that are no store, and they would be removed"):
        write(s3, f"s3://{BUCKET}/papers.zarr")
    assert s3.objects["papers.zarr/a.pdf"] == b"pdf"


def test_write__shards_count_against_the_memory_limit(s3: ObjectServer) -> None:
    with settings.override(memory_limit="1GB"):
        with pytest.raises(MemoryLimitError, match="this pass needs"):
            sample().write(URL, shards=1 << 28, storage_options=s3.options)
    assert not s3.objects


# --- memory ---------------------------------------------------------------------------------------


def test_memory__is_one_store_in_a_process(tmp_path: Path) -> None:
    url = f"memory://{tmp_path.name}.zarr"
    sample().write(url, chunk_values=CHUNK)
    assert_same(lazymu.read(url), sample())
    sample(1).write(url, chunk_values=CHUNK)
    assert_same(lazymu.read(url), sample(1))
    with pytest.raises(MissingFileError, match="no such store"):
        lazymu.read("memory://nothing.zarr")


def test_memory__values_wider_than_the_sample_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lazymu.io.sampling.RUN_VALUES", 16)
    X = sp.random(300, 50, 0.2, format="csr", random_state=0)
    X.data[:] = 1
    X.data[1000] = 70_000
    url = f"memory://{tmp_path.name}.zarr"
    lazymu.Modality(X).write(url, chunk_values=CHUNK)
    found = lazymu.read(url)
    assert found.X.source.dtype == np.uint32
    assert_array_equal(dense(found), X.toarray())


# --- web servers and ZIP files --------------------------------------------------------------------


def serve_store(server: ObjectServer, tmp_path: Path, name: str = "x.zarr") -> lazymu.MuData:
    data = sample()
    data.write(tmp_path / name, chunk_values=CHUNK)
    for path in (tmp_path / name).rglob("*"):
        if path.is_file():
            server.objects[str(path.relative_to(tmp_path))] = path.read_bytes()
    return data


def test_http__is_read_and_not_written(web: ObjectServer, tmp_path: Path) -> None:
    data = serve_store(web, tmp_path)
    found = lazymu.read(f"{web.url}/x.zarr")
    assert_same(found, data)
    assert {one.method for one in web.requests} == {"GET"}
    found["rna"].var["n"] = 1
    found.write(tmp_path / "local.zarr")  # a result beside a source that takes none
    assert_same(lazymu.read(tmp_path / "local.zarr"), data)
    with pytest.raises(ArgumentError, match="local store that lazymu wrote"):
        lazymu.read(f"{web.url}/x.zarr")["rna"].store_by_feature()
    web.requests.clear()
    with pytest.raises(ArgumentError, match="http serves files and takes none; write to a local"):
        found.write(f"{web.url}/y.zarr")
    assert not web.requests


def test_http__without_consolidated_metadata(web: ObjectServer) -> None:
    web.objects["x.zarr/zarr.json"] = (
        b'{"zarr_format": 3, "node_type": "group", "attributes": {"encoding-type": "MuData"}}'
    )
    web.objects["x.zarr/mod/zarr.json"] = b'{"zarr_format": 3, "node_type": "group"}'
    with pytest.raises(DamagedFileError, match="metadata are not consolidated"):
        lazymu.read(f"{web.url}/x.zarr")


def test_https__with_a_certificate_of_ones_own(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not there to make a certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    command += " -addext basicConstraints=critical,CA:FALSE"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *names, *files], check=True, capture_output=True)
    both = tmp_path / "both.pem"
    both.write_text(key.read_text() + certificate.read_text())
    with serving(signed=False, certificate=both) as server:
        data = serve_store(server, tmp_path)
        trusted = {"client_options": {"root_certificate": certificate.read_bytes()}}
        assert_same(lazymu.read(f"{server.url}/x.zarr", trusted), data)
        with pytest.raises(RemoteError, match="does not answer, also when asked again"):
            lazymu.read(f"{server.url}/x.zarr")


def test_zip__is_read_from_web_and_bucket(
    web: ObjectServer, s3: ObjectServer, tmp_path: Path
) -> None:
    data = serve_store(web, tmp_path)
    path = shutil.make_archive(str(tmp_path / "x.zarr"), "zip", tmp_path / "x.zarr")
    web.objects["x.zarr.zip"] = s3.objects["x.zarr.zip"] = Path(path).read_bytes()
    assert_same(lazymu.read(path), data)
    assert_same(lazymu.read(f"{web.url}/x.zarr.zip?sig={TOKEN}"), data)
    assert_same(lazymu.read(f"s3://{BUCKET}/x.zarr.zip", s3.options), data)
    with pytest.raises(MissingFileError, match="no such store"):
        lazymu.read(f"{web.url}/y.zarr.zip")
    with pytest.raises(UnknownFormatError, match=r"what can be written is \.zarr"):
        data.write(f"s3://{BUCKET}/y.zarr.zip", storage_options=s3.options)
    web.objects["z.zarr.zip"] = Path(path).read_bytes()[:5000]
    with pytest.raises(DamagedFileError, match="cannot be opened as a Zarr group"):
        lazymu.read(f"{web.url}/z.zarr.zip")


def test_url__hdf5_is_not_read(web: ObjectServer) -> None:
    with pytest.raises(UnknownFormatError, match=r"behind URLs there are \.zarr and \.zarr\.zip"):
        lazymu.read(f"{web.url}/a.h5mu?sig={TOKEN}")


# --- faults ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["503", "500", "reset", "cut"])
def test_faults__that_pass_are_got_over(s3: ObjectServer, kind: str) -> None:
    s3.fail(kind, 2, lambda request: request.method == "PUT")
    s3.fail(kind, 1, lambda request: request.key == "")  # a listing
    data = write(s3)
    s3.fail(kind, 2, lambda request: request.key.endswith("zarr.json"))
    found = lazymu.read(URL, s3.options)
    s3.fail(kind, 3, lambda request: "X/" in request.key)
    assert_same(found, data)


@pytest.mark.parametrize(
    ("kind", "cause"), [("503", "503 SlowDown"), ("reset", "the connection fai")]
)
def test_faults__that_stay_are_said(s3: ObjectServer, kind: str, cause: str) -> None:
    write(s3)
    found = lazymu.read(URL, s3.options)
    s3.fail(kind, 10**6)
    with pytest.raises(RemoteError, match=rf"cells\.zarr'.*asked again \({cause}"):
        found["rna"].X.source.read(0, 300)
    with pytest.raises(RemoteError, match=r"check the network and the endpoint"):
        lazymu.read(URL, s3.options)
    assert len(s3.requests) < 400  # a bounded number of tries


def test_faults__time_out(s3: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    write(s3)
    monkeypatch.setattr(remote, "TIMEOUTS", {"timeout": "200ms"})
    monkeypatch.setattr(remote, "RETRIES", {"max_retries": 1})
    s3.fail("slow", 10**6)
    with pytest.raises(RemoteError, match="it timed out"):
        lazymu.read(URL, s3.options)


def test_faults__of_access(s3: ObjectServer) -> None:
    write(s3)
    s3.requests.clear()  # before a read that fails, whose other requests may still come
    for more in ({}, {"aws_metadata_endpoint": s3.url}):
        with pytest.raises(AccessError, match=r"no credentials were found.*'anon': True"):
            lazymu.read(URL, {"endpoint_url": s3.url, **more})
        assert bool(s3.requests) == bool(more)
    wrong = {**s3.options, "secret": "wrong"}
    with pytest.raises(AccessError, match=r"does not accept the credentials \(403 SignatureDoes"):
        lazymu.read(URL, wrong)
    with pytest.raises(AccessError, match=r"403 InvalidAccessKeyId.*check AWS_ACCESS_KEY_ID"):
        sample().write(URL, storage_options={**s3.options, "key": "other"})
    with pytest.raises(AccessError, match=r"refuses access \(403 AccessDenied\)"):
        lazymu.read(URL, {"anon": True, "endpoint_url": s3.url})
    s3.fail("301", 10)
    with pytest.raises(AccessError, match="its bucket is in another region; set AWS_REGION"):
        lazymu.read(URL, s3.options)
    s3.faults.clear()
    with pytest.raises(ArgumentError, match="'no_such_option' is no option of it"):
        lazymu.read(URL, {**s3.options, "no_such_option": 1})


def test_faults__of_names(s3: ObjectServer) -> None:
    for url in (f"s3://{BUCKET}/nothing.zarr", "s3://other/cells.zarr"):
        with pytest.raises(
            MissingFileError, match=rf"{url}', but there is no such store or bucket"
        ):
            lazymu.read(url, s3.options)
    with pytest.raises(MissingFileError, match="no such store or bucket"):
        write(s3, "s3://other/cells.zarr")
    with pytest.raises(ArgumentError, match="bucket or host is missing"):
        lazymu.read("s3:///cells.zarr", s3.options)
    with pytest.raises(ArgumentError, match="no URL of a known kind"):
        lazymu.read("ftp://host/cells.zarr")


@pytest.mark.parametrize("shards", [None, "auto"])
def test_faults__lost_chunks_are_no_zeros(s3: ObjectServer, shards: Any) -> None:
    write(s3, shards=shards)
    for part in ("mod/rna/X/indices/c/1", "mod/prot/X/c/0/0"):
        del s3.objects[f"data/cells.zarr/{part}"]
    found = lazymu.read(URL, s3.options)
    for name in ("rna", "prot"):
        with pytest.raises(DamagedFileError, match="is not there, and lazymu wrote all chunks"):
            dense(found[name])


def test_faults__damaged_shards(s3: ObjectServer) -> None:
    write(s3)
    key = "data/cells.zarr/mod/rna/X/data/c/0"
    s3.objects[key] = s3.objects[key][:-9]
    with pytest.raises(DamagedFileError, match="values cannot be read"):
        dense(lazymu.read(URL, s3.options)["rna"])


# --- secrets --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:pa/ss@host/a.zarr?X-Amz-Signature=1#x", "https://host/a.zarr"),
        ("s3://key:secret@bucket/a.zarr", "s3://bucket/a.zarr"),
        ("https://host/a.zarr/mod/rna?sig=1@2", "https://host/a.zarr/mod/rna"),
        ("data/me@lab?.zarr", "data/me@lab?.zarr"),
    ],
)
def test_redacted__shows_no_access(url: str, shown: str) -> None:
    assert redacted(url) == shown


def test_secrets__in_the_url_of_a_bucket_are_refused() -> None:
    with pytest.raises(ArgumentError, match="do not belong into the URL of a bucket") as caught:
        lazymu.read(f"s3://{ACCESS_KEY}:{SECRET_KEY}@{BUCKET}/a.zarr")
    assert not any(secret in str(caught.value) for secret in SECRETS)


def test_secrets__in_a_web_address_are_used_and_not_shown(
    web: ObjectServer, tmp_path: Path
) -> None:
    data = serve_store(web, tmp_path)
    address = web.url.removeprefix("http://")
    url = f"http://me:{ACCESS_KEY}@{address}/x.zarr?sig={TOKEN}"
    found = lazymu.read(url)
    assert_same(found, data)
    assert {one.query.get("sig") for one in web.requests} == {TOKEN}
    shown = [str(ZarrRoot(url)), repr(found), repr(found["rna"].X), repr(ZarrRoot(url).node())]
    web.fail("reset", 10**6)
    for act in (lambda: lazymu.read(url), lambda: dense(lazymu.read(f"{url}/rna"))):
        with pytest.raises(RemoteError) as caught:
            act()
        shown += [str(caught.value), *traceback.format_exception(caught.value)]
    assert not [text for text in shown for secret in SECRETS if secret in text]
    assert any(f"http://{address}/x.zarr" in text for text in shown)


def test_pickle__of_a_matrix_takes_its_options_along(s3: ObjectServer) -> None:
    data = write(s3)
    X = lazymu.read(URL, s3.options)["rna"].X
    assert not any(secret in repr(vars(X)) for secret in SECRETS)
    again = pickle.loads(pickle.dumps(X))
    assert_array_equal(again.source.read(0, 300).toarray(), dense(data["rna"]))
    del s3.objects["data/cells.zarr/mod/rna/X/data/c/0"]
    with pytest.raises(DamagedFileError, match="lazymu wrote all chunks"):
        pickle.loads(pickle.dumps(X)).source.read(0, 300)
