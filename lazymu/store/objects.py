"""Arrays in a folder, each under a name that is made of its contents, so that it is kept once."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lazymu.errors import DamagedFileError, explain
from lazymu.store.element_writer import plain, write_element
from lazymu.store.elements import read_element
from lazymu.store.replace import remove
from lazymu.store.roots import ZarrRoot

PIECE_BYTES = 32 << 20
_ELEMENT = "value"
_ASIDE = "aside-"


class Objects:
    """Arrays as small Zarr stores in one folder, added in one step and never changed.

    Parameters
    ----------
    folder
        Where they are; it is made when the first is added.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, values: Any) -> str:
        """Keep an array (NumPy's, or pandas' of nullable numbers or text); return its name."""
        values = plain(values)
        name = digest(values)
        if not (self.folder / name).exists():
            self._write(name, values)
        return name

    def _write(self, name: str, values: Any) -> None:
        import zarr

        aside = self.folder / f"{_ASIDE}{uuid.uuid4().hex[:12]}"
        try:
            write_element(zarr.open_group(aside, mode="w", zarr_format=3), _ELEMENT, values)
            os.rename(aside, self.folder / name)
        except BaseException:
            remove(aside)
            raise

    def read(self, name: str) -> Any:
        """Return an array.

        Raises
        ------
        DamagedFileError
            If it is not there, or not what was kept.
        """
        root = ZarrRoot(str(self.folder / name))
        try:
            values = plain(read_element(root, _ELEMENT))
        except Exception as error:  # Zarr and its codecs raise many kinds
            raise _damaged(name, self.folder, f"it cannot be read ({error})") from error
        if digest(values) != name:
            raise _damaged(name, self.folder, "its values are others than were written")
        return values

    def keep_only(self, names: Collection[str]) -> None:
        """Remove all other arrays, and what a killed process was about to add."""
        if not self.folder.is_dir():
            return
        for path in self.folder.iterdir():
            if path.name not in names:
                remove(path)


def _damaged(name: str, folder: Path, rule: str) -> DamagedFileError:
    return DamagedFileError(explain(name, f"an array in {folder}", rule, "start anew"))


def digest(values: Any) -> str:
    """Return the SHA-256 of an array's kind, shape and values, shortened.

    Texts are told by pandas' hashes of them, whatever pandas holds them as.
    """
    found = hashlib.sha256()
    if _is_text(values):
        texts = np.asarray(values, dtype=object)
        missing = np.asarray(pd.isna(texts))
        if missing.any():
            texts = texts.copy()
            texts[missing] = None
        found.update(f"text {texts.shape}".encode())
        found.update(pd.util.hash_array(texts.ravel(), categorize=False).tobytes())
    elif isinstance(values, np.ndarray):
        found.update(f"{values.dtype.descr} {values.shape}".encode())
        for piece in _pieces(values):
            found.update(piece)
    else:
        found.update(f"{values.dtype} {values.shape}".encode())
        found.update(pd.util.hash_array(values, categorize=False).tobytes())
    return found.hexdigest()[:32]


def _is_text(values: Any) -> bool:
    return values.dtype == object or isinstance(values.dtype, pd.StringDtype)


def _pieces(values: np.ndarray[Any, Any]) -> Iterator[bytes | memoryview]:
    """Yield the bytes of an array in the order of C, in runs of rows."""
    if not values.size:
        return
    rows = max(1, PIECE_BYTES // max(1, values[:1].nbytes))
    for start in range(0, len(values), rows):
        piece = np.ascontiguousarray(values[start : start + rows])
        numbers = piece.dtype.names is None
        yield piece.reshape(-1).view(np.uint8).data if numbers else piece.tobytes()
