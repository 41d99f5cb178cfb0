"""Chunks of simulated counts to the CSR arrays of an HDF5 file, in constant memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from lazymu.datasets.assay import SimulatedAssay
from lazymu.errors import StoreExistsError, explain
from lazymu.settings import settings
from lazymu.typing import CSR

_HDF5_CHUNK = 1 << 17  # values in a compressed chunk
_COMPRESSION = {"compression": "gzip", "compression_opts": 1, "shuffle": True}


@contextmanager
def new_hdf5(path: str | Path, *, overwrite: bool, userblock: bytes = b"") -> Iterator[h5py.File]:
    """Open a file for writing under a temporary name; give it its name when the block ends well."""
    target = Path(path)
    if target.exists() and not overwrite:
        rule = "that file exists and overwriting was not asked for"
        raise StoreExistsError(explain("path", target, rule, "pass overwrite=True"))
    partial = target.with_name(f".{target.name}.partial")
    size = 512 if userblock else 0
    try:
        with h5py.File(partial, "w", userblock_size=size) as file:
            yield file
        if userblock:
            with partial.open("r+b") as raw:
                raw.write(userblock)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def counts_in_order(assay: SimulatedAssay) -> Iterator[CSR]:
    """Yield the chunks of an assay in order, a few made ahead on other threads."""
    ahead = settings.n_threads + 1
    with ThreadPoolExecutor(settings.n_threads) as pool:
        pending = [pool.submit(assay.chunk, k) for k in range(min(ahead, assay.cells.n_chunks))]
        for k in range(assay.cells.n_chunks):
            yield pending[k % ahead].result()
            if k + ahead < assay.cells.n_chunks:
                pending[k % ahead] = pool.submit(assay.chunk, k + ahead)


def append_csr(group: h5py.Group, blocks: Iterator[CSR], index_dtype: npt.DTypeLike) -> None:
    """Write ``data``, ``indices`` and ``indptr`` of row blocks, one after the other."""
    create = group.create_dataset
    arrays = {
        name: create(name, (0,), dtype, maxshape=(None,), chunks=(_HDF5_CHUNK,), **_COMPRESSION)
        for name, dtype in (("data", np.int32), ("indices", index_dtype))
    }
    indptr = [np.zeros(1, dtype=np.int64)]
    n_written = 0
    for block in blocks:
        for name, values in (("data", block.data), ("indices", block.indices)):
            arrays[name].resize((n_written + block.nnz,))
            arrays[name][n_written:] = values
        indptr.append(n_written + block.indptr[1:].astype(np.int64))
        n_written += block.nnz
    create("indptr", data=np.concatenate(indptr).astype(index_dtype), **_COMPRESSION)


def write_strings(group: h5py.Group, name: str, values: Sequence[str]) -> None:
    """Write text as fixed-width bytes, as Cell Ranger does."""
    group.create_dataset(name, data=np.array(values, dtype=np.bytes_), **_COMPRESSION)
