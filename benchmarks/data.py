"""The data sets that are measured on, simulated by the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent / "data"
N_GENES, N_PEAKS = 20_000, 100_000


class Data(NamedTuple):
    """One data set, in the formats that the tools read."""

    folder: Path

    @property
    def store(self) -> Path:
        return self.folder / "multiome.zarr"

    @property
    def file(self) -> Path:
        return self.folder / "multiome.h5mu"

    @property
    def atac_file(self) -> Path:
        """The peaks alone, for tools that know no modalities."""
        return self.folder / "atac.h5ad"


def lazymu(*arguments: object) -> None:
    """Run the command line in a new process."""
    command = [sys.executable, "-m", "lazymu", *(str(argument) for argument in arguments)]
    subprocess.run(command, check=True)


def place(cells: int, genes: int = N_GENES, peaks: int = N_PEAKS, under: Path = FOLDER) -> Data:
    """Return where a data set of some size is, or will be."""
    return Data(under / f"{cells}x{genes}x{peaks}")


def simulate(path: Path, cells: int, genes: int, peaks: int, *flags: object) -> None:
    """Simulate a data set, unless it is there: what is there is whole, as it was moved there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        size = ("--cells", cells, "--genes", genes, "--peaks", peaks)
        lazymu("simulate", path, *size, *flags)


def make(cells: int, genes: int = N_GENES, peaks: int = N_PEAKS, under: Path = FOLDER) -> Data:
    """Return a data set: the same counts as store, .h5mu and .h5ad; simulate what is missing."""
    data = place(cells, genes, peaks, under)
    simulate(data.store, cells, genes, peaks)
    simulate(data.file, cells, genes, peaks)
    if not data.atac_file.exists():
        lazymu("export", data.store, data.atac_file, "--modality", "atac", "--x", "counts")
    return data


def warm(path: Path) -> None:
    """Read a file or folder once, so that each tool finds it in the page cache."""
    for file in [path, *path.rglob("*")] if path.is_dir() else [path]:
        if file.is_file():
            with file.open("rb", buffering=0) as stream:
                while stream.read(1 << 24):
                    pass
