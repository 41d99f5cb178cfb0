"""Sources whose files cannot be read by rows: converted in a temporary folder at first use."""

from __future__ import annotations

import shutil
import tempfile
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from lazymu.errors import MissingFileError, explain
from lazymu.settings import settings
from lazymu.store.arrays import Layout
from lazymu.store.roots import StoredArray, ZarrRoot
from lazymu.store.sources import CSRSource, MatrixSource, Origin, window
from lazymu.store.writers import CSRWriter, write_all
from lazymu.typing import CSR, Int64s


class ConvertedSource(ABC):
    """Rows of a matrix that is written as CSR into a temporary folder when first read.

    The folder stands where :func:`tempfile.gettempdir` says (set `TMPDIR`), takes about the space
    of the compressed matrix, and is removed with the source or at exit.
    """

    is_dense = False

    def __init__(self, shape: tuple[int, int], dtype: np.dtype[Any], origin: Origin) -> None:
        self.shape, self.dtype, self.origin = shape, dtype, origin
        self._rows: MatrixSource | None = None
        self._lock = threading.Lock()

    @abstractmethod
    def convert(self, folder: str) -> MatrixSource:
        """Return the rows from what is written into a folder."""

    def written(self, folder: str, blocks: Iterable[CSR], n_values: int) -> MatrixSource:
        """Write rows as CSR of up to ``n_values`` into a folder and return their source."""
        import zarr

        location = str(Path(folder) / "rows.zarr")
        group = zarr.open_group(location, mode="w", zarr_format=3)
        writer = CSRWriter(
            group, "X", self.shape[1], dtype=self.dtype, layout=Layout(), capacity=n_values
        )
        write_all(writer, blocks)
        root = ZarrRoot(location)
        data, indices, indptr = (
            StoredArray(root, f"X/{part}") for part in ("data", "indices", "indptr")
        )
        return CSRSource(data, indices, indptr, self.shape, self.origin)

    def prepare(self) -> MatrixSource:
        """Return the rows as they stand in the temporary folder, written there once."""
        with self._lock:
            if self._rows is None:
                self._rows = self.convert(self.new_folder())
        return self._rows

    def new_folder(self) -> str:
        """Return a temporary folder that goes with the source."""
        folder = tempfile.mkdtemp(prefix="lazymu-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return folder

    @property
    def is_prepared(self) -> bool:
        """Whether the rows stand in a temporary folder."""
        return self._rows is not None

    def take(self, rows: MatrixSource) -> None:
        """Take rows that another process has converted into a folder of this source."""
        self._rows = rows

    @property
    def indptr(self) -> Int64s:
        return self.prepare().indptr

    def window(self, first: int, stop: int) -> MatrixSource:
        """Return rows ``first`` to ``stop`` as they stand in the temporary folder."""
        return window(self.prepare(), first, stop)

    def read(self, start: int, stop: int) -> CSR:
        return self.prepare().read(start, stop)

    def __reduce__(self) -> str | tuple[Any, ...]:
        """Pickle as the converted rows: another process reads the same temporary folder."""
        return self.prepare().__reduce__()


class Conversion:
    """The conversion of a source by another process: pickled, it is as yet to be done.

    Parameters
    ----------
    source
        What is converted.
    folder
        Folder of the source, to which each attempt writes under a name of its own.
    memory_limit
        Bytes that the process may take.
    """

    def __init__(self, source: ConvertedSource, folder: str, memory_limit: int) -> None:
        self._source, self._folder, self._memory_limit = source, folder, memory_limit

    def __reduce__(self) -> tuple[Any, ...]:
        kept = {name: of for name, of in vars(self._source).items() if name not in _OF_PROCESS}
        return _pending, (type(self._source), kept, self._folder, self._memory_limit)

    def run(self) -> MatrixSource:
        """Return the converted rows."""
        if not Path(self._folder).is_dir():
            got, rule = repr(self._folder), "a worker of the cluster does not find it"
            fix = "set TMPDIR to a folder that all workers share, or convert the file first"
            raise MissingFileError(explain("TMPDIR", got, rule, fix))
        with _converting, settings.override(memory_limit=self._memory_limit):
            return self._source.convert(tempfile.mkdtemp(dir=self._folder))


_OF_PROCESS = ("_lock", "_rows")
_converting = threading.Lock()
"""Settings are a process's: one conversion at a time has its limit."""


def _pending(
    kind: type[ConvertedSource], kept: dict[str, Any], folder: str, memory_limit: int
) -> Conversion:
    source = kind.__new__(kind)
    vars(source).update(kept, _lock=threading.Lock(), _rows=None)
    return Conversion(source, folder, memory_limit)
