"""Sources whose files cannot be read by rows: converted in a temporary folder at first use."""

from __future__ import annotations

import shutil
import tempfile
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lazymu.store.arrays import Layout
from lazymu.store.roots import StoredArray, ZarrRoot
from lazymu.store.sources import CSRSource, Origin
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
        self._converted: CSRSource | None = None
        self._lock = threading.Lock()

    @abstractmethod
    def blocks(self) -> Iterator[CSR]:
        """Yield the rows in order, as canonical CSR."""

    def prepare(self) -> CSRSource:
        """Return the rows as they stand in the temporary folder, written there once."""
        with self._lock:
            if self._converted is None:
                self._converted = self._convert()
        return self._converted

    def _convert(self) -> CSRSource:
        import zarr

        folder = tempfile.mkdtemp(prefix="lazymu-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        path = str(Path(folder) / "matrix.zarr")
        writer = CSRWriter(
            zarr.open_group(path, mode="w", zarr_format=3),
            "X",
            self.shape[1],
            dtype=self.dtype,
            layout=Layout(),
            capacity=self.n_values(),
        )
        write_all(writer, self.blocks())
        root = ZarrRoot(path)
        data, indices, indptr = (
            StoredArray(root, f"X/{part}") for part in ("data", "indices", "indptr")
        )
        return CSRSource(data, indices, indptr, self.shape, self.origin)

    @abstractmethod
    def n_values(self) -> int:
        """Return how many values are stored at most."""

    @property
    def indptr(self) -> Int64s:
        return self.prepare().indptr

    def read(self, start: int, stop: int) -> CSR:
        return self.prepare().read(start, stop)

    def __reduce__(self) -> str | tuple[Any, ...]:
        """Pickle as the converted rows: another process reads the same temporary folder."""
        return self.prepare().__reduce__()
