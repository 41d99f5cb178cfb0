"""Damage of every kind in every part of a store: it is named, and never read as other numbers."""

from __future__ import annotations

import json
import pickle
import shutil
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import zarr
from typer.testing import CliRunner

import lazymu
from lazymu.cli.main import app
from lazymu.errors import ArgumentError, DamagedFileError, LazyMuError, MissingFileError
from lazymu.io import StoreElements, convert, open_elements, validate
from lazymu.io.integrity.matrices import Totals
from tests.store_samples import dense, make_anndata, make_mudata, peers, value_of

KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "sharded": {"shards": 120},
    "checksums": {"checksums": True},
    "sharded, checksums": {"shards": 120, "checksums": True},
    "format 2": {"zarr_format": 2},
    "zip": {},
}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small MuData of two modalities: one with a layer, an embedding and a graph, one dense."""
    path = tmp_path_factory.mktemp("whole") / "a.h5mu"
    rna, prot = make_anndata(30, 12), make_anndata(25, 4, seed=5, prefix="p")
    prot.obs_names = [f"cell{i}" for i in range(5, 30)]
    rna.raw = None
    del rna.layers["columns"], rna.uns["colors"], rna.varm["PCs"], rna.obs["note"], rna.obs["flag"]
    small = ad.AnnData(prot.X.toarray() + 1, prot.obs[[]], prot.var[[]])
    with peers():
        md.MuData({"rna": rna, "prot": small}).write_h5mu(path)
    return path


def made(file: Path, folder: Path, kind: str) -> Path:
    """Return a store of some kind, in several chunks, with a copy by feature and transforms."""
    path = folder / "a.zarr"
    convert(file, folder / "counts.zarr", chunk_values=40)
    data = lazymu.read(folder / "counts.zarr")
    quiet(lambda: lazymu.pp.normalize_total(data["rna"]))
    lazymu.pp.log1p(data["rna"])
    data.write(path, chunk_values=40, **KINDS[kind])
    shutil.rmtree(folder / "counts.zarr")
    return zipped(path) if kind == "zip" else path


def zipped(path: Path) -> Path:
    target = path.with_name(f"{path.name}.zip")
    with zipfile.ZipFile(target, "w") as out:
        for part in sorted(path.rglob("*")):
            if part.is_file():
                out.write(part, part.relative_to(path))
    return target


def arrays_of(store: Path) -> dict[str, Any]:
    """Return everything that a reader would be given, by path, and the error of what raises."""
    out: dict[str, Any] = {}

    def take(name: str, read: Callable[[], Any]) -> None:
        try:
            out[name] = read()
        except LazyMuError as error:
            out[name] = error

    try:
        found = open_elements(store)
    except LazyMuError as error:
        return {"": error}
    assert isinstance(found, StoreElements)
    take("obs", lambda: found.obs)
    for m, modality in found.mod.items():
        matrices = {"X": modality.X, **modality.layers}
        if modality.raw is not None:
            matrices["raw"] = modality.raw.X
        for name, matrix in matrices.items():
            take(f"{m}/{name}", lambda matrix=matrix: dense(matrix))
            take(f"{m}/{name}/sums", lambda matrix=matrix: matrix.cache.cells())
        take(f"{m}/obs", lambda modality=modality: modality.obs)
        take(f"{m}/var", lambda modality=modality: modality.var)
        for slot in ("obsm", "varm", "obsp", "uns"):
            for key, value in getattr(modality, slot).items():
                take(f"{m}/{slot}/{key}", lambda value=value: value_of(value))
    return out


def same(a: Any, b: Any) -> bool:
    if sp.issparse(a):
        a, b = a.toarray(), b.toarray()
    if isinstance(a, pd.DataFrame):
        return bool(a.equals(b))
    try:
        np.testing.assert_equal(a, b)
    except AssertionError:
        return False
    return True


def files_in(store: Path) -> list[str]:
    return sorted(str(p.relative_to(store)) for p in store.rglob("*") if p.is_file())


def is_metadata(name: str) -> bool:
    return name.rpartition("/")[2] in ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")


def wrong(expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """Return what is read as something else than it was; what raises our own error is right."""
    if "" in found:
        return []
    return [
        name
        for name, value in expected.items()
        if name in found
        and not isinstance(found[name], LazyMuError | None)  # without sums a pass makes them
        and not same(value, found[name])
    ]


def quiet(call: Callable[[], Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call()


Changes: TypeAlias = dict[str, Callable[[bytes], bytes | None]]


class Damaged:
    """A store one file of which is changed at a time."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self.expected = arrays_of(store)
        assert not any(isinstance(value, Exception) for value in self.expected.values())

    def each(self, changes: Changes, names: list[str], *, all_of_them: bool) -> Iterator[str]:
        """Yield the names of files, each changed while it is out and mended afterwards.

        Each file is changed in every way, or else in one, which takes turns.
        """
        ways = list(changes.values())
        pairs = [
            (name, change)
            for number, name in enumerate(names)
            for change in (ways if all_of_them else [ways[number % len(ways)]])
        ]
        for name, change in pairs:
            path = self.store / name
            before = path.read_bytes()
            after = change(before)
            if after is None:
                path.unlink()
            else:
                path.write_bytes(after)
            yield name
            path.write_bytes(before)


def flipped(at: float) -> Callable[[bytes], bytes]:
    def flip(content: bytes) -> bytes:
        changed = bytearray(content)
        changed[int(at * (len(content) - 1))] ^= 1 << 3
        return bytes(changed)

    return flip


CHANGES: Changes = {
    "deleted": lambda _: None,
    "half": lambda content: content[: len(content) // 2],
    "empty": lambda _: b"",
}
FLIPS: Changes = {"early": flipped(0.1), "in the middle": flipped(0.6), "late": flipped(0.95)}


@pytest.mark.parametrize("kind", KINDS)
def test_validate__a_whole_store_is_clean(file: Path, tmp_path: Path, kind: str) -> None:
    store = made(file, tmp_path, kind)
    found = validate(store)
    assert found.empty, found.to_string()
    assert found.attrs["checked"]["sums"] == 3
    result = CliRunner().invoke(app, ["validate", str(store)])
    assert result.exit_code == 0
    assert "no damage; checked" in result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "zip"])
def test_validate__names_every_chunk_that_is_lost_or_cut(
    file: Path, tmp_path: Path, kind: str
) -> None:
    damaged = Damaged(made(file, tmp_path, kind))
    chunks = [name for name in files_in(damaged.store) if not is_metadata(name)]
    assert len(chunks) > 50
    for name in damaged.each(CHANGES, chunks, all_of_them=kind == "plain"):
        found = validate(damaged.store)
        assert name in set(found["file"]), name
        assert set(found["kind"]) == {"damage"}
        assert wrong(damaged.expected, quiet(lambda: arrays_of(damaged.store))) == [], name


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["checksums", "sharded, checksums"])
def test_validate__checksums_find_every_flipped_bit(file: Path, tmp_path: Path, kind: str) -> None:
    damaged = Damaged(made(file, tmp_path, kind))
    chunks = [name for name in files_in(damaged.store) if not is_metadata(name)]
    for name in damaged.each(FLIPS, chunks, all_of_them=False):
        assert name in set(validate(damaged.store)["file"]), name
        assert wrong(damaged.expected, quiet(lambda: arrays_of(damaged.store))) == [], name


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "sharded"])
def test_validate__without_checksums_sums_find_what_changes_matrices(
    file: Path, tmp_path: Path, kind: str
) -> None:
    damaged = Damaged(made(file, tmp_path, kind))
    chunks = [name for name in files_in(damaged.store) if "/X/" in name and "sums" not in name]
    chunks = [name for name in chunks if not is_metadata(name)]
    for name in damaged.each(FLIPS, chunks, all_of_them=True):
        changed = wrong(damaged.expected, quiet(lambda: arrays_of(damaged.store)))
        if changed:
            found = validate(damaged.store)
            assert not found.empty, (name, changed)
            assert any(name.startswith(one) or one in name for one in found["array"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "format 2"])
@pytest.mark.parametrize("change", CHANGES)
def test_validate__names_metadata_that_are_lost_or_cut(
    file: Path, tmp_path: Path, kind: str, change: str
) -> None:
    damaged = Damaged(made(file, tmp_path, kind))
    names = [name for name in files_in(damaged.store) if is_metadata(name)]
    # Without them the store is as whole as one that was never consolidated.
    names = [name for name in names if name != ".zmetadata" or change != "deleted"]
    if kind != "plain":  # as each takes a second
        names = names[::4]
    for name in damaged.each({change: CHANGES[change]}, names, all_of_them=True):
        if name.endswith("/.zmetadata") and change == "deleted":
            continue
        found = quiet(lambda: validate(damaged.store))
        assert not found.empty, name
        folder = name.rpartition("/")[0]
        assert any(one in ("", folder) or name == file_ for one, file_ in
                   zip(found["array"], found["file"], strict=True)), name  # fmt: skip
        assert wrong(damaged.expected, quiet(lambda: arrays_of(damaged.store))) == [], name


def test_validate__flipped_bits_in_a_zip_file(file: Path, tmp_path: Path) -> None:
    store = made(file, tmp_path, "zip")
    expected, content = arrays_of(store), store.read_bytes()
    for at in np.linspace(100, len(content) - 1, 25).astype(int):
        changed = bytearray(content)
        changed[at] ^= 4
        store.write_bytes(changed)
        seen = quiet(lambda: arrays_of(store))
        assert wrong(expected, seen) == []
        if any(isinstance(value, LazyMuError) for value in seen.values()):
            assert not quiet(lambda: validate(store)).empty
    store.write_bytes(content[: len(content) // 2])
    assert not validate(store).empty


def test_read__names_array_rows_and_fix(file: Path, tmp_path: Path) -> None:
    store = made(file, tmp_path, "plain")
    (store / "mod/rna/X/indices/c/1").unlink()
    with pytest.raises(DamagedFileError, match="without 1 of its files"):
        lazymu.read(store)
    convert(file, store, chunk_values=40, overwrite=True)
    X = lazymu.read(store)["rna"].X
    (store / "mod/rna/X/data/c/1").write_bytes(b"")
    said = r"`mod/rna/X/data` is in .*a\.zarr, .*chunk of values 40 to 80\).*`lazymu validate`"
    with pytest.raises(DamagedFileError, match=rf"{said}.* rows \d+ to \d+ of .*a\.zarr"):
        X.to_memory()


def test_read__a_chunk_that_goes_after_the_store_was_opened(file: Path, tmp_path: Path) -> None:
    store = made(file, tmp_path, "plain")
    data = lazymu.read(store)
    for name in ("mod/rna/X/indices/c/1", "mod/prot/X/c/0/0", "mod/rna/obsm/X_pca/c/0/0"):
        (store / name).unlink()
    for read in (
        data["rna"].X.to_memory,
        data["prot"].X.to_memory,
        lambda: data["rna"].obsm["X_pca"],
    ):
        with pytest.raises(DamagedFileError, match="is not there"):
            read()
    again = pickle.loads(pickle.dumps(data["rna"].X))
    with pytest.raises(DamagedFileError, match="is not there"):
        again.to_memory()


def vectors(store: Path) -> dict[str, Any]:
    root: Any = zarr.open_group(store / "mod/rna/X", mode="r+")
    return {part: root[part] for part in ("data", "indices", "indptr")}


@pytest.mark.parametrize(
    ("part", "change", "array", "found", "read"),
    [
        ("indices", lambda v: v.__setitem__(7, 99), "indices", "column 99, where", "must lie in"),
        ("indices", lambda v: v.__setitem__(7, -2), "indices", "column -2, where", "must lie in"),
        ("indices", lambda v: v.__setitem__(1, v[0]), "indices", "not in order, or rep", "sorted"),
        ("data", lambda v: v.__setitem__(4, 0), "data", "values are 0", "no zeros"),
        ("indptr", lambda v: v.__setitem__(3, 60000), "indptr", "it falls from", "must rise"),
        ("indptr", lambda v: v.__setitem__(-1, v[-2]), "indptr", "and there are", "asks for"),
    ],
)
def test_validate__offsets_and_columns(
    file: Path, tmp_path: Path, part: str, change: Any, array: str, found: str, read: str
) -> None:
    convert(file, tmp_path / "a.zarr")
    change(vectors(tmp_path / "a.zarr")[part])
    findings = validate(tmp_path / "a.zarr")
    said = findings[findings["array"] == f"mod/rna/X/{array}"]
    assert len(said) == 1
    assert found in said["found"].iloc[0]
    assert "row" in said["rows"].iloc[0] or "and there are" in found
    with pytest.raises(DamagedFileError, match=read):
        lazymu.read(tmp_path / "a.zarr")["rna"].X.to_memory()


def test_validate__sums_that_are_not_the_counts(file: Path, tmp_path: Path) -> None:
    convert(file, tmp_path / "a.zarr")
    X = vectors(tmp_path / "a.zarr")
    middle = X["data"].shape[0] // 2
    X["data"][middle] = int(X["data"][middle]) + 1
    found = validate(tmp_path / "a.zarr")
    assert set(found["array"]) == {"mod/rna/X"}  # the fingerprint has the ends, here all values
    convert(file, tmp_path / "b.zarr")
    sums: Any = zarr.open_group(tmp_path / "b.zarr/mod/rna/uns/lazymu/sums/X", mode="r+")
    sums["cell_total"][3] = int(sums["cell_total"][3]) + 1
    found = validate(tmp_path / "b.zarr")
    assert found["rows"].tolist() == ["row 3"]
    assert "totals are" in found["found"].iloc[0]


def test_validate__copies_by_feature(file: Path, tmp_path: Path) -> None:
    store = tmp_path / "a.zarr"
    convert(file, store, checksums=True)
    lazymu.read(store)["rna"].store_by_feature()
    found = validate(store)
    assert found.empty
    assert found.attrs["checked"]["copies by feature"] == 1
    copy = tmp_path / "a.zarr.lazymu" / "mod-rna-X-by-feature.zarr"
    values: Any = zarr.open_group(copy, mode="r+")["features/data"]
    assert "crc32c" in json.dumps(values.metadata.to_dict(), default=str)
    values[5] = int(values[5]) + 1
    found = validate(store)
    assert set(found["store"]) == {str(copy)}
    assert found["found"].str.contains("are not those of mod/rna/X").any()
    convert(file, store, overwrite=True)
    X = vectors(store)["data"]
    X[0] = int(X[0]) + 1
    found = validate(store)
    assert found["found"].str.contains("of another matrix than mod/rna/X is now").any()


def edited(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("name", "change", "found"),
    [
        ("mod/rna/obs/depth", lambda d: d.update(shape=[29]), "and the table's index 30"),
        ("mod/rna/obsm/X_pca", lambda d: d.update(shape=[29, 3]), "its tables have 30"),
        ("mod/rna/layers/dense", lambda d: d.update(shape=[30, 11]), "its tables have 30 x 12"),
        ("mod/rna/obsp/distances", lambda d: d["attributes"].update(shape=[31, 30]), "30 x 30"),
        ("mod/rna/X", lambda d: d["attributes"].update(shape=[30, 13]), "its tables have 30 x 12"),
        ("obsmap/rna", lambda d: d.update(shape=[29]), "29 entries for 30 joint names"),
        ("mod", lambda d: d["attributes"].update({"mod-order": ["rna", "x"]}), "names this modali"),
    ],
)
def test_validate__lengths_that_disagree(
    file: Path, tmp_path: Path, name: str, change: Any, found: str
) -> None:
    convert(file, tmp_path / "a.zarr")
    edited(tmp_path / "a.zarr" / name / "zarr.json", change)
    findings = validate(tmp_path / "a.zarr")
    assert findings["found"].str.contains(found, regex=False).any(), findings.to_string()
    assert findings["found"].str.contains("differ from the consolidated ones").any()


def test_validate__codes_and_names(file: Path, tmp_path: Path) -> None:
    convert(file, tmp_path / "a.zarr")
    root: Any = zarr.open_group(tmp_path / "a.zarr", mode="r+")
    root["mod/rna/obs/group/codes"][4] = 7
    found = validate(tmp_path / "a.zarr")
    assert found.iloc[0]["array"] == "mod/rna/obs/group/codes"
    assert found.iloc[0]["rows"] == "row 4"
    assert "code 7, where there are 2" in found.iloc[0]["found"]
    with pytest.raises(DamagedFileError, match="cannot be read"):
        lazymu.read(tmp_path / "a.zarr")


def test_validate__names_that_repeat_are_a_note(tmp_path: Path) -> None:
    adata = ad.AnnData(np.eye(3, dtype=np.float32))
    adata.var_names = ["a", "b", "a"]
    with peers():
        adata.write_zarr(tmp_path / "a.zarr")
    found = validate(tmp_path / "a.zarr")
    assert found["kind"].tolist() == ["note"]
    assert found["found"].tolist() == ["names are there more than once: a"]
    result = CliRunner().invoke(app, ["validate", str(tmp_path / "a.zarr")])
    assert result.exit_code == 0
    assert "1 notes" in result.stdout


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("kind", ["anndata", "mudata", "zip", "h5"])
def test_validate__stores_of_other_tools(tmp_path: Path, kind: str, zarr_format: int) -> None:
    store = tmp_path / "a.zarr"
    with peers(), ad.settings.override(zarr_write_format=zarr_format):
        if kind == "mudata":
            make_mudata().write_zarr(store)
        elif kind == "h5":
            store = tmp_path / "a.h5mu"
            make_mudata().write_h5mu(store)
        else:
            make_anndata().write_zarr(store)
    store = zipped(store) if kind == "zip" else store
    found = validate(store)
    assert found.empty, found.to_string()


def test_validate__matrices_of_other_tools(tmp_path: Path) -> None:
    X = sp.csr_matrix(np.ones((4, 5), dtype=np.float32))
    X.indices[:5] = [4, 3, 2, 1, 0]
    with peers(), ad.settings.override(zarr_write_format=3):
        ad.AnnData(X).write_zarr(tmp_path / "a.zarr")
    found = validate(tmp_path / "a.zarr")
    assert found["kind"].tolist() == ["note"]
    assert "is legal" in found["found"].iloc[0]
    root: Any = zarr.open_group(tmp_path / "a.zarr", mode="r+")
    root["X/indices"][6] = 0
    found = validate(tmp_path / "a.zarr")
    assert found["rows"].tolist() == ["row 1"]
    assert "repeated" in found["found"].iloc[0]
    shutil.rmtree(tmp_path / "a.zarr/X/indices/c")
    found = validate(tmp_path / "a.zarr")
    assert found["found"].str.contains("it is not there, and reads as zeros").any()


def test_validate__after_filters_and_writes(file: Path, tmp_path: Path) -> None:
    convert(file, tmp_path / "a.zarr", chunk_values=40, checksums=True)
    data = lazymu.read(tmp_path / "a.zarr")
    lazymu.pp.filter_genes(data["rna"], min_cells=2)
    quiet(lambda: lazymu.pp.normalize_total(data["rna"]))
    lazymu.pp.log1p(data["rna"])
    data.write(tmp_path / "b.zarr", chunk_values=64)
    data.write(tmp_path / "a.zarr", overwrite=True)
    lazymu.read(tmp_path / "b.zarr").write(tmp_path / "b.zarr", overwrite=True, shards=1 << 21)
    for name in ("a.zarr", "b.zarr"):
        found = validate(tmp_path / name)
        assert found.empty, found.to_string()


def test_checksums__are_read_by_other_tools_and_kept_apart(file: Path, tmp_path: Path) -> None:
    for shards in (None, 120):
        store = tmp_path / f"{shards}.zarr"
        convert(file, store, chunk_values=40, checksums=True, shards=shards)
        arrays = [json.loads(path.read_text()) for path in store.rglob("zarr.json")]
        codecs = [json.dumps(one["codecs"]) for one in arrays if one["node_type"] == "array"]
        assert sum("crc32c" in one for one in codecs) >= len(codecs) - 1
        with peers():
            theirs, ours = md.read_zarr(store), md.read_h5mu(file)
        for m in ("rna", "prot"):
            np.testing.assert_array_equal(dense(theirs[m].X), dense(ours[m].X))
        pd.testing.assert_series_equal(theirs["rna"].obs["depth"], ours["rna"].obs["depth"])
    (tmp_path / "None.zarr/mod/rna/X/data/c/0").write_bytes(b"0" * 20)
    with peers(), pytest.raises(ValueError, match="checksum"):
        md.read_zarr(tmp_path / "None.zarr")
    data = lazymu.read(tmp_path / "120.zarr")
    data.write(tmp_path / "without.zarr", chunk_values=40, shards=120)
    assert "crc32c" not in (tmp_path / "without.zarr/mod/rna/X/zarr.json").read_text()
    with pytest.raises(ArgumentError, match="format 2 of Zarr has no checksum"):
        convert(file, tmp_path / "2.zarr", zarr_format=2, checksums=True)
    with pytest.raises(ArgumentError, match=r"chunks of \.zarr stores"):
        data.write(tmp_path / "a.h5mu", checksums=True)


def test_validate__command(file: Path, tmp_path: Path) -> None:
    store = tmp_path / "a.zarr"
    result = CliRunner().invoke(app, ["convert", str(file), str(store), "--checksums"])
    assert result.exit_code == 0
    (store / "mod/rna/X/data/c/0").write_bytes(b"")
    result = CliRunner().invoke(app, ["validate", str(store)])
    assert result.exit_code == 1
    line, summary = result.stdout.splitlines()
    assert line.startswith(f"{store}: mod/rna/X/data, rows 0 to 30 (mod/rna/X/data/c/0): its ")
    assert line.endswith("copy it from where it is whole, or convert its source again.")
    assert "1 damaged or contradictory; checked" in summary
    result = CliRunner().invoke(app, ["validate", str(tmp_path / "none.zarr")])
    assert result.exit_code == 1
    with pytest.raises(MissingFileError):
        validate(tmp_path / "none.zarr")


def test_validate__memory_and_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    X = sp.random(300, 200, 0.3, "csr", random_state=0, dtype=np.float32)
    with peers():
        ad.AnnData(X).write_h5ad(tmp_path / "a.h5ad")
    convert(tmp_path / "a.h5ad", tmp_path / "a.zarr", chunk_values=500)
    seen = []
    monkeypatch.setattr(Totals, "add", lambda self, *args: seen.append(len(args[1])))
    validate(tmp_path / "a.zarr")
    assert max(seen) == 500
    assert sum(seen) == X.nnz


REAL = ("weird_files", "citeseq_pbmc1k_10x", "tiny_10x", "multiome_pbmc40_10x")


@pytest.mark.slow
@pytest.mark.parametrize("folder", REAL)
def test_validate__real_data_converted_are_clean(
    data_dir: Path, tmp_path: Path, folder: str
) -> None:
    n_checked = 0
    for path in sorted((data_dir / folder).rglob("*")):
        if path.suffix not in (".h5mu", ".h5ad", ".h5"):
            continue
        try:
            quiet(lambda path=path: convert(path, tmp_path / "a.zarr", overwrite=True))
        except LazyMuError:
            continue
        found = quiet(lambda: validate(tmp_path / "a.zarr"))
        assert (found["kind"] == "note").all(), (path, found.to_string())
        theirs = quiet(lambda path=path: validate(path))
        assert (theirs["kind"] == "note").all(), (path, theirs.to_string())
        n_checked += 1
    assert n_checked > 0
