"""A file or store written beside its target and moved into place in one step."""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import uuid
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lazymu.errors import ArgumentError, StoreExistsError, explain
from lazymu.store.roots import live_roots

AT_FDCWD = -100
RENAME_EXCHANGE = 2

_writing: set[Path] = set()
_kept: set[Path] = set()
"""Temporary paths of this process that are being written, and that are still read."""


@contextmanager
def replacing(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give a temporary path to write to, and put what was written there in the place of ``path``.

    The temporary path is in the folder ``<name>.lazymu`` beside the target. An error leaves the
    target as it was. Where matrices that were opened from the old file are still in use, it is
    kept under a temporary name until they are gone.

    Raises
    ------
    StoreExistsError
        If the target exists and ``overwrite`` is False.
    """
    path = path.resolve()
    check_target(path, overwrite=overwrite)
    folder = path.with_name(f"{path.name}.lazymu")
    folder.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(folder)
    temporary = folder / f"writing-{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    _writing.add(temporary)
    try:
        yield temporary
        _put(temporary, path)
    except BaseException:
        remove(temporary)
        raise
    finally:
        _writing.discard(temporary)
        remove_if_empty(folder)


def check_target(path: Path, *, overwrite: bool) -> None:
    """Raise where a target may not be written to."""
    if not path.exists():
        return
    if not overwrite:
        rule = "it exists"
        raise StoreExistsError(explain("path", repr(str(path)), rule, "pass overwrite=True"))
    markers = ("zarr.json", ".zgroup", ".zmetadata")
    is_store = path.is_file() or any((path / name).exists() for name in markers)
    if not is_store and any(path.iterdir()):
        rule = "it is a folder that holds no store, and would be removed"
        raise ArgumentError(explain("path", repr(str(path)), rule, "write somewhere else"))


def _put(temporary: Path, path: Path) -> None:
    if not path.exists():
        os.rename(temporary, path)
        return
    exchange(temporary, path)
    readers = live_roots(str(path))
    if not readers:
        remove(temporary)
        return
    keep = Kept(temporary)
    for root in readers:
        root.move(str(temporary), keep)


def exchange(a: Path, b: Path) -> None:
    """Swap two paths of one file system: in one step where the system can, else in three."""
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "renameat2"):
        names = os.fsencode(a), os.fsencode(b)
        if libc.renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE) == 0:
            return
    aside = a.with_name(f"{a.name}-old")
    os.rename(b, aside)
    os.rename(a, b)
    os.rename(aside, a)


class Kept:
    """A replaced file that is still read; it goes with its last reader, or at exit."""

    def __init__(self, path: Path) -> None:
        _kept.add(path)
        weakref.finalize(self, _remove_kept, path)


def _remove_kept(path: Path) -> None:
    remove(path)
    _kept.discard(path)
    remove_if_empty(path.parent)


def remove(path: Path) -> None:
    """Remove a file or folder where it is there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def remove_if_empty(folder: Path) -> None:
    """Remove a folder in which nothing is left."""
    with suppress(OSError):  # other files of a run, or of another write, are in it
        folder.rmdir()


def _remove_leftovers(folder: Path) -> None:
    """Remove what writes left there whose process, on this machine, is gone.

    Of this process's own, what failed may be back: a worker of a cluster went on with its task.
    """
    for path in folder.glob(f"writing-{socket.gethostname()}-*"):
        pid = path.name.split("-")[-2]
        own = pid == str(os.getpid()) and path not in _writing and path not in _kept
        if pid.isdigit() and (own or not is_running(int(pid))):
            remove(path)


def is_running(pid: int) -> bool:
    """Return whether this machine has a process of that number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
