"""Arrays in temporary files, of which no more is held in memory than the pages at hand."""

from __future__ import annotations

import mmap
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lazymu.typing import Array


class _Pages(mmap.mmap):
    """A mapping of a temporary file, which loses nothing when its pages are let go."""


class PagedArray:
    """An array in a temporary file, which is gone when nothing refers to it any more.

    Parameters
    ----------
    shape, dtype
        Of the array, which begins with zeros.
    folder
        Where the file is; None: where :func:`tempfile.gettempdir` says.
    """

    def __init__(
        self, shape: tuple[int, ...], dtype: npt.DTypeLike, folder: Path | None = None
    ) -> None:
        n_bytes = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        with tempfile.TemporaryFile(prefix="lazymu-", dir=folder) as file:
            file.truncate(max(n_bytes, 1))
            self._pages = _Pages(file.fileno(), max(n_bytes, 1))
        self.values: Array = np.frombuffer(self._pages, dtype, n_bytes // np.dtype(dtype).itemsize)
        self.values = self.values.reshape(shape)

    def let_go(self) -> None:
        """Leave all pages to the file; they come back when they are asked for."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._pages.madvise(mmap.MADV_DONTNEED)


def set_aside(values: Array, folder: Path | None = None) -> Array:
    """Return an array of the same values in a temporary file, of which nothing is held."""
    paged = PagedArray(values.shape, values.dtype, folder)
    paged.values[...] = values
    paged.let_go()
    return paged.values


def let_go(values: Array) -> None:
    """Leave the pages of an array to its file where it is in one (:func:`set_aside`)."""
    base: Any = values
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, memoryview):
        base = base.obj
    if isinstance(base, _Pages) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)
