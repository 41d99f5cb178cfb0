"""Files made to do harm: they run nothing, lead nowhere, and take no more than they hold."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import pickle
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import zarr
from typer.testing import CliRunner

from lazymu.cli.main import app
from lazymu.errors import DamagedFileError, LazyMuError, MemoryLimitError
from lazymu.genomics.read_genes import as_genes
from lazymu.io import StoreElements, open_elements, write_elements
from lazymu.pipeline.params import RunParams
from lazymu.settings import settings
from lazymu.store import h5_probe
from tests.conftest import REPOSITORY
from tests.fuzz_seeds import read_elements, read_peaks
from tests.store_samples import elements_of, make_anndata, peers, random_counts
from tests.test_io_tenx import write_mtx

HUGE = 10**12
LONG_TEXT = {"name": "null_terminated_bytes", "configuration": {"length_bytes": 1 << 50}}


class Payload:
    """What a pickle runs when it is loaded: it makes a file."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (self._path, "w"))


@pytest.fixture
def h5ad(tmp_path: Path) -> Path:
    path = tmp_path / "a.h5ad"
    with peers():
        make_anndata().write_h5ad(path)
    return path


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "a.zarr"
    write_elements(elements_of(random_counts(6, 4), obsm={"X_pca": np.ones((6, 2))}), path)
    return path


def refuses(path: Path, message: str, kind: type[LazyMuError] = DamagedFileError) -> None:
    with pytest.raises(kind, match=message):
        read_elements(path)


# --- nothing is run -------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["obsm/x", "obs/x", "uns/x", "layers/x", "X"])
@pytest.mark.parametrize("codec", ["filters", "compressor"])
def test_pickle__in_a_zarr_codec_is_never_loaded(place: str, codec: str, tmp_path: Path) -> None:
    path, made = tmp_path / "a.zarr", tmp_path / "made"
    write_elements(elements_of(random_counts(6, 4)), path, zarr_format=2)
    array = path / place
    if place == "X":
        (array / ".zgroup").unlink()
    array.mkdir(exist_ok=True)
    shape = [6, 4] if place in ("X", "layers/x") else [6]
    metadata = {"zarr_format": 2, "shape": shape, "chunks": shape, "dtype": "|O", "order": "C"}
    metadata |= {"fill_value": None, "filters": None, "compressor": None}
    unpickles = {"id": "pickle", "protocol": 5}
    metadata[codec] = [unpickles] if codec == "filters" else unpickles
    (array / ".zarray").write_text(json.dumps(metadata))
    (array / ".zattrs").write_text('{"encoding-type": "array", "encoding-version": "0.2.0"}')
    (array / ".".join("0" * len(shape))).write_bytes(pickle.dumps(Payload(made)))
    if place == "obs/x":
        attrs = json.loads((path / "obs/.zattrs").read_text())
        (path / "obs/.zattrs").write_text(json.dumps(attrs | {"column-order": ["x"]}))
    refuses(path, "runs code of the file, and is never used|cannot be read")
    assert not made.exists()


def test_pickle__in_hdf5_is_data(h5ad: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    payload = np.void(pickle.dumps(Payload(made)))
    with h5py.File(h5ad, "a") as file:
        file["uns/x"] = payload
        file["uns/x"].attrs["pickled"] = payload
        file["obs"].attrs["pickled"] = payload
    with contextlib.suppress(LazyMuError):
        read_elements(h5ad)
    assert not made.exists()


def test_package__loads_no_pickle() -> None:
    loads = re.compile(r"allow_pickle|pickle\.loads?\(|np\.load\(|read_pickle|\beval\(|exec\(")
    for path in (REPOSITORY / "lazymu").rglob("*.py"):
        assert not loads.findall(path.read_text()), path


# --- nothing leads out ----------------------------------------------------------------------------


def external_link(file: h5py.File, other: Path) -> None:
    file["obsm/x"] = h5py.ExternalLink(str(other), "X")


def soft_to_external(file: h5py.File, other: Path) -> None:
    file["uns/out"] = h5py.ExternalLink(str(other), "/")
    file["obsm/x"] = h5py.SoftLink("/uns/out/X")


def external_storage(file: h5py.File, other: Path) -> None:
    file.create_dataset("obsm/x", (30, 1), "u1", external=[(str(other), 0, 30)])


def virtual(file: h5py.File, other: Path) -> None:
    layout = h5py.VirtualLayout((30,), "u1")
    layout[:] = h5py.VirtualSource(str(other), "x", (30,))
    file.create_virtual_dataset("obs/x", layout)


@pytest.mark.parametrize("leads", [external_link, soft_to_external, external_storage, virtual])
def test_h5__leads_to_no_other_file(
    leads: Callable[[h5py.File, Path], None], h5ad: Path, tmp_path: Path
) -> None:
    other = tmp_path / "secret"
    with h5py.File(other, "w") as file:
        file["X"], file["x"] = np.ones((30, 1)), np.ones(30, "u1")
    with h5py.File(h5ad, "a") as file:
        leads(file, other)
    refuses(h5ad, "is not followed|are not read")


def test_h5__links_within_the_file_are_followed(h5ad: Path) -> None:
    with h5py.File(h5ad, "a") as file:
        file["layers/again"] = h5py.SoftLink("/X")
        file["obsm/again"] = file["obsm/X_pca"]
        file["obsm/nowhere"] = h5py.SoftLink("/nowhere")
        del file["obsm/nowhere"]
    found = open_elements(h5ad)
    assert not isinstance(found, StoreElements)
    assert found.X is not None
    assert (found.layers["again"].to_memory() != found.X.to_memory()).nnz == 0
    np.testing.assert_array_equal(found.obsm["again"].read(), found.obsm["X_pca"].read())


def circle(file: h5py.File) -> None:
    file["uns/x/y/z"] = 1
    file["uns/x/y/again"] = file["uns/x"]


def soft_circle(file: h5py.File) -> None:
    file["uns/x"] = h5py.SoftLink("/uns")


def doubling(file: h5py.File) -> None:
    for n in range(40):
        group = file.create_group(f"uns/x/{n}")
        if n:
            group["a"] = group["b"] = file[f"uns/x/{n - 1}"]


def deep(file: h5py.File) -> None:
    file["uns/" + "x/" * 300 + "y"] = 1


@pytest.mark.parametrize("ends", [circle, soft_circle, doubling, deep])
def test_h5__groups_without_end(ends: Callable[[h5py.File], None], h5ad: Path) -> None:
    with h5py.File(h5ad, "a") as file:
        ends(file)
    refuses(h5ad, "leads? in a circle|cannot be read")


@pytest.mark.parametrize("part", ["X/data", "X/indices/c/0", "obs", "obsm/X_pca/zarr.json"])
def test_zarr__links_out_of_the_store_are_not_followed(part: str, store: Path) -> None:
    outside = store.with_name("outside")
    (store / part).rename(outside)
    (store / part).symlink_to(outside)
    refuses(store, f"`{part}` is in .* it is a link that leads out of the store")


def test_zarr__links_within_and_to_the_store_are_followed(store: Path, tmp_path: Path) -> None:
    (store / "X/data").rename(store / "beside")
    (store / "X/data").symlink_to(store / "beside")
    linked = tmp_path / "linked.zarr"
    linked.symlink_to(store)
    found = open_elements(linked)
    assert not isinstance(found, StoreElements)
    assert found.X is not None
    assert (found.X.to_memory() != random_counts(6, 4)).nnz == 0


def test_zarr__link_to_its_own_folder_comes_to_an_end(store: Path) -> None:
    (store / "uns/x").symlink_to(store / "uns")
    refuses(store, "leads? in a circle|cannot be read")


def test_zarr__keys_of_attributes_lead_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    write_elements(StoreElements({"rna": elements_of(random_counts(6, 4))}), path)
    metadata = json.loads((path / "mod/zarr.json").read_text())
    metadata["attributes"]["mod-order"] = ["../../outside", "/etc"]
    (path / "mod/zarr.json").write_text(json.dumps(metadata))
    elements = open_elements(path)
    assert isinstance(elements, StoreElements)
    assert list(elements.mod) == ["rna"]
    obs = path / "mod/rna/obs/zarr.json"
    metadata = json.loads(obs.read_text())
    metadata["attributes"]["column-order"] = ["../var/_index"]
    obs.write_text(json.dumps(metadata))
    refuses(path, "cannot be read")


@pytest.mark.parametrize("name", ["../evil", "/tmp/lazymu-evil", "..\\evil", "a/../../evil"])
def test_zip__members_with_paths_are_not_written(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "deep"
    folder.mkdir()
    path = folder / "a.zarr.zip"
    with zarr.storage.ZipStore(str(path), mode="w") as target, peers():
        make_anndata(6, 4).write_zarr(target)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr(name, b"evil")
    with contextlib.suppress(LazyMuError):
        read_elements(path)
    assert [found.name for found in tmp_path.rglob("*evil*")] == []
    assert not Path("/tmp/lazymu-evil").exists()


def test_h5mu__modality_named_as_a_folder_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "a.h5mu"
    write_elements(StoreElements({"rna": elements_of(random_counts(6, 4))}), path)
    with h5py.File(path, "a") as file:
        file.move("mod/rna", "mod/..")
    found = open_elements(path)
    with pytest.raises(LazyMuError, match=r"`key` is '\.\.'"):
        write_elements(found, tmp_path / "b.zarr")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.h5mu"]


@pytest.mark.parametrize("name", ["a.h5ad", "a.gtf", "a.toml", "a.tsv"])
def test_pipe__is_no_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    os.mkfifo(path)
    readers = {".gtf": as_genes, ".toml": RunParams.from_toml, ".tsv": read_peaks}
    read: Any = readers.get(path.suffix, open_elements)
    with pytest.raises(LazyMuError, match="regular file"):
        read(path)


# --- nothing takes more than it holds -------------------------------------------------------------


def claims_h5(change: Callable[[h5py.File], None]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / "a.h5ad"
        with peers():
            make_anndata().write_h5ad(path, compression="gzip")
        with h5py.File(path, "a") as file:
            change(file)
        return path

    return make


def replaced(file: h5py.File, name: str, shape: tuple[int, ...], dtype: str = "i8") -> None:
    attrs = dict(file[name].attrs) if name in file else {}
    if name in file:
        del file[name]
    chunks = tuple(min(n, 1000) for n in shape)
    file.create_dataset(name, shape, dtype, chunks=chunks, compression="gzip")
    file[name].attrs.update(attrs)


def huge_values(file: h5py.File) -> None:
    """Rows that claim more values than there are, in arrays that claim them too."""
    n = file["X/indptr"].shape[0]
    file["X/indptr"][...] = 0
    del file["X/indptr"]
    file["X/indptr"] = np.linspace(0, HUGE, n).astype("i8")
    replaced(file, "X/data", (HUGE,), "f4")
    replaced(file, "X/indices", (HUGE,), "i8")


def huge_rows(file: h5py.File) -> None:
    file["X/indptr"][-1] = 2**31 - 1


def huge_shape(file: h5py.File) -> None:
    file["X"].attrs["shape"] = np.array([10**15, 10**15])


def huge_chunk(file: h5py.File) -> None:
    del file["obsm/X_pca"]
    file.create_dataset("obsm/X_pca", (30, 3), "f8", chunks=(2**20, 500), maxshape=(None, None))


def zarr_claims(name: str, **changes: Any) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / "a.zarr"
        write_elements(elements_of(random_counts(6, 4), obsm={"X_pca": np.ones((6, 2))}), path)
        metadata = json.loads((path / name / "zarr.json").read_text())
        for key, value in changes.items():
            if key == "chunks":
                metadata["chunk_grid"]["configuration"]["chunk_shape"] = value
            else:
                metadata[key] = value
        (path / name / "zarr.json").write_text(json.dumps(metadata))
        return path

    return make


def zip_bomb(folder: Path) -> Path:
    path = folder / "a.zarr.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        with file.open("zarr.json", "w", force_zip64=True) as member:
            for _ in range(520):
                member.write(b" " * (1 << 20))
    return path


def mtx_bomb(name: str, text: bytes, times: int) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = write_mtx(folder / "mtx", random_counts(6, 4), zipped=True)
        with gzip.open(path / f"{name}.gz", "wb", compresslevel=1) as file:
            for _ in range(times):
                file.write(text)
        return path

    return make


def mtx_claims(sizes: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = write_mtx(folder / "mtx", random_counts(6, 4))
        lines = (path / "matrix.mtx").read_text().splitlines()
        lines[2] = sizes
        (path / "matrix.mtx").write_text("\n".join(lines) + "\n")
        return path

    return make


def gtf_bomb(folder: Path) -> Path:
    path = folder / "a.gtf.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(3):
            file.write(b"x" * (1 << 20))
    return path


BOMBS = {
    "values": claims_h5(huge_values),
    "rows": claims_h5(huge_rows),
    "shape": claims_h5(huge_shape),
    "obsm": claims_h5(lambda file: replaced(file, "obsm/X_pca", (30, 10**13), "f8")),
    "obs": claims_h5(lambda file: replaced(file, "obs/depth", (10**15,), "f8")),
    "names": claims_h5(lambda file: replaced(file, "obs/_index", (10**14,), "S10")),
    "indptr": claims_h5(lambda file: replaced(file, "X/indptr", (10**15,))),
    "dense": claims_h5(lambda file: replaced(file, "layers/dense", (30, 10**14), "f8")),
    "chunk": claims_h5(huge_chunk),
    "zarr-obsm": zarr_claims("obsm/X_pca", shape=[6, 10**15]),
    "zarr-chunk": zarr_claims("obsm/X_pca", chunks=[1 << 40, 1 << 20]),
    "zarr-chunk-of-X": zarr_claims("X/data", chunks=[1 << 40]),
    "zarr-data": zarr_claims("X/data", shape=[10**15]),
    "zarr-indptr": zarr_claims("X/indptr", shape=[10**15]),
    "zarr-names": zarr_claims("obs/_index", shape=[10**15]),
    "zarr-dtype": zarr_claims("X/data", data_type=LONG_TEXT),
    "zip": zip_bomb,
    "barcodes-long-line": mtx_bomb("barcodes.tsv", b"A" * (1 << 20), 3),
    "barcodes-many-lines": mtx_bomb("barcodes.tsv", b"A\n" * (1 << 19), 70),
    "features-fields": mtx_bomb("features.tsv", b"A\t" * (1 << 18), 3),
    "matrix-long-line": mtx_bomb("matrix.mtx", b"%" * (1 << 20), 3),
    "mtx-values": mtx_claims(f"4 6 {HUGE}"),
    "mtx-cells": mtx_claims(f"4 {10**15} 3"),
    "mtx-digits": mtx_claims(f"4 6 {'9' * 5000}"),
    "gtf": gtf_bomb,
}
READ = """
import json, resource, sys, time, warnings
from pathlib import Path
warnings.simplefilter("ignore")
import lazymu
from lazymu.errors import LazyMuError
from lazymu.genomics.read_genes import as_genes
from tests.fuzz_seeds import read_elements, read_peaks
lazymu.settings.memory_limit, lazymu.settings.n_threads = 1 << 29, 1
for n, path in enumerate(map(Path, sys.argv[1:])):
    began = time.monotonic()
    try:
        (as_genes if ".gtf" in path.name else read_elements)(path)
        said = "read"
    except LazyMuError as error:
        said = f"refused: {error}"
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
    if n == 0:  # a sound file, with which imports and kernels come
        in_use = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (in_use + (1 << 30),) * 2)
    print(json.dumps([said, time.monotonic() - began]), flush=True)
"""


def test_claims__are_compared_with_what_is_there(tmp_path: Path) -> None:
    sound = claims_h5(lambda file: None)(tmp_path)
    paths = [sound]
    for name, make in BOMBS.items():
        folder = tmp_path / name
        folder.mkdir()
        paths.append(make(folder))
    command = [sys.executable, "-c", READ, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, timeout=300)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(told) == len(paths), done.stderr
    assert told[0][0] == "read"
    for name, (said, seconds) in zip(BOMBS, told[1:], strict=True):
        assert said.startswith("refused"), f"{name}: {said}"
        assert seconds < 30, name


def test_claims__sound_sparse_arrays_beyond_the_limit_are_read(tmp_path: Path) -> None:
    """What compresses well, and is all there, is no bomb."""
    path = tmp_path / "a.h5ad"
    with peers():
        adata = make_anndata()
        adata.obsm["zeros"] = np.zeros((30, 20_000))
        adata.write_h5ad(path, compression="gzip")
    with settings.override(memory_limit=1 << 20):
        found = open_elements(path)
        assert found.obsm["zeros"].read().shape == (30, 20_000)


# --- what the command line says -------------------------------------------------------------------


@pytest.mark.parametrize("command", ["info", "convert", "run", "report"])
@pytest.mark.parametrize("name", ["values", "zarr-names", "zip", "mtx-digits"])
def test_command_line__says_one_sentence(command: str, name: str, tmp_path: Path) -> None:
    path = BOMBS[name](tmp_path)
    target = {"convert": [str(tmp_path / "b.zarr")], "run": ["--dry-run"]}.get(command, [])
    if command == "report":
        target = ["--out", str(tmp_path / "r.html")]
    done = CliRunner().invoke(app, [command, str(path), *target])
    assert done.exit_code == 1
    assert done.output.startswith("lazymu: `")
    assert "Traceback" not in done.output
    assert done.output.count("\n") == 1


def test_text__longer_than_memory_is_refused(tmp_path: Path) -> None:
    path = mtx_bomb("barcodes.tsv", b"A\n" * (1 << 19), 5)(tmp_path)
    with settings.override(memory_limit=1 << 24):
        refuses(path, "its text is longer than", MemoryLimitError)


def test_probe__that_waits_refuses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.h5ad"
    write_elements(elements_of(random_counts(6, 4)), path)
    monkeypatch.setattr(h5_probe, "SECONDS", 0.05)
    monkeypatch.setattr(h5_probe, "_read", lambda path: time.sleep(30))
    assert len(open_elements(path).obs) == 6
