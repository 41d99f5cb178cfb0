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
                folder = tempfile.mkdtemp(prefix="lazymu-")
                weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
                self._rows = self.convert(folder)
        return self._rows

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
