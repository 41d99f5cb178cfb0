"""Chunk sizes, codecs and ways of reading, on the counts and column indices of simulated peaks.

`python -m benchmarks.bench_reading` prints, for every codec and chunk size, the bytes a nonzero
takes and the millions of nonzeros a second that are written and read: by zarr-python's own
pipeline, by that of `zarrs` where it is installed, and by numcodecs straight from chunks' files.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, cast

import numcodecs
import numpy as np
import zarr
from zarr.codecs import BloscCodec, ZstdCodec

from benchmarks import data, machine
from benchmarks.pages import markdown, save
from benchmarks.roofline import best_seconds

CELLS = 2_200
"""Some 16 million nonzeros."""
BLOCK_VALUES = 1 << 22
"""Values that are asked for at once, as passes ask for blocks."""
CHUNK_SIZES = tuple(1 << power for power in range(17, 23))
CODECS = (
    *(("blosc-lz4", shuffle) for shuffle in ("shuffle", "bitshuffle")),
    *(("blosc-zstd", shuffle) for shuffle in ("shuffle", "bitshuffle")),
    ("zstd", ""),
)
CORES = (1, 2)
PIPELINES = {
    "zarr-python": "zarr.core.codec_pipeline.BatchedCodecPipeline",
    "zarrs": "zarrs.ZarrsCodecPipeline",
}

Arrays = dict[str, Any]
"""``data`` and ``indices`` of a matrix."""


class Way(NamedTuple):
    """One way of reading, on a number of cores, with as many threads that ask for blocks."""

    name: str
    n_cores: int


class Measured(NamedTuple):
    """One codec with one chunk size."""

    codec: str
    chunk: int
    bytes_per_nonzero: float
    written: float
    """Millions of nonzeros a second."""
    read: dict[Way, float]


def measure(arrays: Arrays, folder: Path, codec: tuple[str, str], chunk: int) -> Measured:
    """Write the arrays, and read them in every way."""
    n_values = len(arrays["data"])

    def write() -> None:
        group: Any = zarr.open_group(folder, mode="w")
        for name, values in arrays.items():
            array = group.create_array(
                name,
                shape=values.shape,
                dtype=values.dtype,
                chunks=(chunk,),
                compressors=compressor(codec, values.itemsize),
            )
            array[:] = values

    written = n_values / best_seconds(write, 1) / 1e6
    stored = sum(file.stat().st_size for file in folder.rglob("c/*"))
    read = {}
    for n_cores in CORES:
        with on_cores(n_cores):
            for name, reader in readers(codec):
                seconds = best_seconds(partial(reader, folder, arrays, n_cores), 2)
                read[Way(name, n_cores)] = n_values / seconds / 1e6
    return Measured(" ".join(codec).strip(), chunk, stored / n_values, written, read)


@contextmanager
def on_cores(n_cores: int) -> Iterator[None]:
    """Keep all threads of this process to some cores: pools' sizes are set once a process."""
    cores = os.sched_getaffinity(0)
    try:
        set_cores(set(sorted(cores)[:n_cores]))
        yield
    finally:
        set_cores(cores)


def set_cores(cores: set[int]) -> None:
    for task in Path("/proc/self/task").iterdir():
        with suppress(ProcessLookupError):  # a thread that has ended meanwhile
            os.sched_setaffinity(int(task.name), cores)


def compressor(codec: tuple[str, str], itemsize: int) -> Any:
    """Return zarr's codec."""
    name, shuffle = codec
    if name == "zstd":
        return ZstdCodec(level=3)
    return BloscCodec(
        cname=cast(Any, name.removeprefix("blosc-")),
        clevel=5,
        shuffle=cast(Any, shuffle),
        typesize=itemsize,
    )


def decoder(codec: tuple[str, str]) -> Any:
    """Return numcodecs' codec of the same format."""
    return numcodecs.Zstd() if codec[0] == "zstd" else numcodecs.Blosc()


Reader = Callable[[Path, Arrays, int], None]


def readers(codec: tuple[str, str]) -> Iterator[tuple[str, Reader]]:
    """Yield the ways of reading that are installed."""
    for name, pipeline in PIPELINES.items():
        if name == "zarr-python" or find_spec(name) is not None:
            yield name, through(pipeline)
    yield "numcodecs", direct(decoder(codec))


def through(pipeline: str) -> Reader:
    """Return a reader by one of zarr's pipelines: each thread asks for blocks in turn."""

    def read(folder: Path, arrays: Arrays, n_threads: int) -> None:
        options = {"codec_pipeline.path": pipeline, "threading.max_workers": CORES[-1]}
        with zarr.config.set(options):
            group: Any = zarr.open_group(folder, mode="r")
            handles = [group[name] for name in arrays]
        starts = range(0, len(arrays["data"]), BLOCK_VALUES)
        with zarr.config.set(options), ThreadPoolExecutor(n_threads) as pool:
            blocks = pool.map(lambda lo: [h[lo : lo + BLOCK_VALUES] for h in handles], starts)
            check(sum(len(block[0]) for block in blocks), arrays)

    return read


def direct(codec: Any) -> Reader:
    """Return a reader that decodes each chunk's file into its place, chunks shared by threads."""

    def read(folder: Path, arrays: Arrays, n_threads: int) -> None:
        n_read = 0
        for name, values in arrays.items():
            found = np.empty_like(values)
            files = sorted((folder / name / "c").iterdir(), key=lambda file: int(file.name))
            chunk = zarr.open_array(folder / name, mode="r").chunks[0]

            def decode(file: Path, found: Any = found, chunk: int = chunk) -> int:
                start = int(file.name) * chunk
                whole = np.frombuffer(codec.decode(file.read_bytes()), found.dtype)
                part = found[start : start + chunk]
                part[:] = whole[: len(part)]
                return len(part)

            with ThreadPoolExecutor(n_threads) as pool:
                n_read = sum(pool.map(decode, files))
        check(n_read, arrays)

    return read


def check(n_read: int, arrays: Arrays) -> None:
    if n_read != len(arrays["data"]):
        raise RuntimeError(f"read {n_read} of {len(arrays['data'])} values")


def simulated(cells: int, **size: Any) -> Arrays:
    """Return the stored counts and column indices of simulated peaks."""
    group: Any = zarr.open_group(data.make(cells, **size).store, mode="r")["mod/atac/X"]
    return {name: group[name][:] for name in ("data", "indices")}


def table(arrays: Arrays, chunk_sizes: tuple[int, ...] = CHUNK_SIZES) -> str:
    """Return a line for every codec and chunk size."""
    with tempfile.TemporaryDirectory() as folder:
        measured = [
            measure(arrays, Path(folder) / "group.zarr", codec, chunk)
            for codec in CODECS
            for chunk in chunk_sizes
        ]
    ways = list(measured[0].read)
    names = [f"{way.name}, {way.n_cores} core{'s'[: way.n_cores - 1]}" for way in ways]
    rows = (
        (
            *(m.codec, f"2^{m.chunk.bit_length() - 1}", f"{m.bytes_per_nonzero:.2f}"),
            *(f"{rate:.0f}" for rate in (m.written, *(m.read[way] for way in ways))),
        )
        for m in measured
    )
    return markdown(("codec", "chunk", "bytes a nonzero", "written", *names), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=CELLS)
    load = machine.load()
    arrays = simulated(parser.parse_args().cells)
    title = f"Reading and writing, {len(arrays['data']):,} nonzeros, millions of them a second"
    save("reading", title, table(arrays), load)


if __name__ == "__main__":
    main()
