from __future__ import annotations

import gc
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from lazymu.errors import ArgumentError, StoreExistsError
from lazymu.store import replace
from lazymu.store.replace import exchange, replacing
from lazymu.store.roots import H5Root, ZarrRoot


def store(path: Path, text: str) -> Path:
    path.mkdir()
    (path / "zarr.json").write_text(text)
    return path


def said(path: Path) -> str:
    return (path / "zarr.json").read_text()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_replacing__new_target(tmp_path: Path) -> None:
    with replacing(tmp_path / "deep" / "a.zarr", overwrite=False) as temporary:
        store(temporary, "new")
        assert temporary.parent == tmp_path / "deep" / "a.zarr.lazymu"
        assert not (tmp_path / "deep" / "a.zarr").exists()
    assert said(tmp_path / "deep" / "a.zarr") == "new"
    assert names(tmp_path / "deep") == ["a.zarr"]


def test_replacing__existing_target(tmp_path: Path) -> None:
    target = store(tmp_path / "a.zarr", "old")
    with replacing(target, overwrite=True) as temporary:
        store(temporary, "new")
        assert said(target) == "old"
    assert said(target) == "new"
    assert names(tmp_path) == ["a.zarr"]


def test_replacing__raises_where_the_target_exists(tmp_path: Path) -> None:
    target = store(tmp_path / "a.zarr", "old")
    with (
        pytest.raises(StoreExistsError, match="it exists; pass overwrite=True") as raised,
        replacing(target, overwrite=False),
    ):
        raise AssertionError("not reached")
    assert isinstance(raised.value, FileExistsError)
    assert names(tmp_path) == ["a.zarr"]


def test_replacing__spares_folders_that_hold_no_store(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").touch()
    with (
        pytest.raises(ArgumentError, match="a folder that holds no store, and would be removed"),
        replacing(tmp_path / "home", overwrite=True),
    ):
        raise AssertionError("not reached")
    assert (tmp_path / "home" / "thesis.tex").exists()


def test_replacing__error_leaves_the_target_as_it_was(tmp_path: Path) -> None:
    target = store(tmp_path / "a.zarr", "old")

    def write_half() -> None:
        with replacing(target, overwrite=True) as temporary:
            store(temporary, "half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert said(target) == "old"
    assert names(tmp_path) == ["a.zarr"]


def test_replacing__keeps_other_files_of_a_run(tmp_path: Path) -> None:
    (tmp_path / "a.zarr.lazymu").mkdir()
    (tmp_path / "a.zarr.lazymu" / "run.json").touch()
    with replacing(tmp_path / "a.zarr", overwrite=True) as temporary:
        store(temporary, "new")
    assert names(tmp_path / "a.zarr.lazymu") == ["run.json"]


def test_replacing__removes_what_a_killed_process_left(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        check=True,
        capture_output=True,
        text=True,
    )
    folder = tmp_path / "a.zarr.lazymu"
    folder.mkdir()
    host = socket.gethostname()
    store(folder / f"writing-{host}-{done.stdout.strip()}-0a", "half")
    store(folder / f"writing-{host}-{os.getpid()}-0b", "what a task wrote after its pass failed")
    store(folder / "writing-elsewhere-1-0c", "another machine's")
    with replacing(tmp_path / "a.zarr", overwrite=True) as others:
        store(others, "another thread's")
        with replacing(tmp_path / "a.zarr", overwrite=True) as temporary:
            store(temporary, "new")
        assert names(folder) == ["writing-elsewhere-1-0c", others.name]


@pytest.mark.parametrize("can_exchange", [True, False])
def test_exchange__swaps_folders(
    can_exchange: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not can_exchange:
        monkeypatch.setattr(replace.ctypes, "CDLL", lambda *_, **__: object())
    a, b = store(tmp_path / "a", "A"), store(tmp_path / "b", "B")
    exchange(a, b)
    assert (said(a), said(b)) == ("B", "A")
    assert names(tmp_path) == ["a", "b"]


def test_replacing__roots_follow_the_store_that_they_read(tmp_path: Path) -> None:
    target = store(tmp_path / "a.zarr", "old")
    first, second = ZarrRoot(str(target)), ZarrRoot(str(target))
    other = ZarrRoot(str(tmp_path / "b.zarr"))
    with replacing(target, overwrite=True) as temporary:
        store(temporary, "new")
    assert first.location == second.location != str(target)
    assert other.location == str(tmp_path / "b.zarr")
    assert said(Path(first.location)) == "old"
    assert said(target) == "new"
    del first
    gc.collect()
    assert said(Path(second.location)) == "old"
    del second
    gc.collect()
    assert names(tmp_path) == ["a.zarr"]


def test_replacing__file_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "real.h5ad").write_text("old")
    (tmp_path / "link.h5ad").symlink_to(tmp_path / "real.h5ad")
    root = H5Root(tmp_path / "link.h5ad")
    with replacing(tmp_path / "link.h5ad", overwrite=True) as temporary:
        temporary.write_text("new")
    assert (tmp_path / "real.h5ad").read_text() == "new"
    assert (tmp_path / "link.h5ad").is_symlink()
    assert Path(root.location).read_text() == "old"
