"""From one file to another, in bounded memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from lazymu.io.open import open_elements
from lazymu.io.write import write_elements


def convert(
    src: str | Path,
    dst: str | Path,
    *,
    overwrite: bool = False,
    genome: str | None = None,
    zarr_format: Literal[2, 3] = 3,
    chunk_values: int = 1 << 20,
    shards: int | Literal["auto"] | None = "auto",
    checksums: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> None:
    """Convert a file of any format that is read into a Zarr store (``.zarr``), streaming.

    Values, names, their order, annotation and `raw` come back exactly by :func:`export`.

    Parameters
    ----------
    src
        What :func:`open_elements` opens.
    dst
        Zarr store to write, a path or a URL.
    overwrite
        Replace ``dst`` where it exists.
    genome
        Genome to keep, of Cell Ranger files with several.
    zarr_format, chunk_values, shards, checksums
        Those of :func:`write_elements`.
    storage_options
        Of URLs, for ``src`` and ``dst`` alike, as of :func:`open_elements`.

    Raises
    ------
    MissingFileError, UnknownFormatError, DamagedFileError, StoreExistsError
        As opening and writing do.

    Notes
    -----
    One pass over each matrix, also of a Cell Ranger file with several modalities; peak memory
    is `settings.memory_limit` at most, tables and `obsm`, `obsp` apart. CSC matrices and `.mtx`
    text take a temporary copy on disk.

    Examples
    --------
    >>> import anndata, numpy as np, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> anndata.AnnData(np.eye(3, dtype="float32")).write_h5ad(f"{folder}/eye.h5ad")
    >>> convert(f"{folder}/eye.h5ad", f"{folder}/eye.zarr")
    >>> open_elements(f"{folder}/eye.zarr").X
    LazyMatrix 3 × 3, CSR float32, Astype
    """
    write_elements(
        open_elements(src, genome=genome, storage_options=storage_options),
        dst,
        overwrite=overwrite,
        zarr_format=zarr_format,
        chunk_values=chunk_values,
        shards=shards,
        checksums=checksums,
        storage_options=storage_options,
    )


def export(
    store: str | Path,
    dst: str | Path,
    *,
    overwrite: bool = False,
    X: Literal["counts", "normalized"] = "normalized",
    compression: Literal["gzip", "lzf"] | None = "gzip",
    storage_options: Mapping[str, Any] | None = None,
) -> None:
    """Write a store as ``.h5mu``, or one modality of it as ``.h5ad``, for other tools.

    Types and encodings are those of the file that the store was converted from. What lazymu keeps
    for itself in `uns` is left out.

    Parameters
    ----------
    store
        What :func:`open_elements` opens; ``store.zarr/mod/rna`` names a modality.
    dst
        File to write.
    overwrite
        Replace ``dst`` where it exists.
    X
        Write `X` and layers with their transforms (``"normalized"``), or the stored counts.
    compression
        Filter of HDF5 arrays.
    storage_options
        Of a URL, as of :func:`open_elements`.

    Raises
    ------
    MissingFileError, UnknownFormatError, DamagedFileError, StoreExistsError
        As opening and writing do.
    ArgumentError
        If a MuData of several modalities is to be an ``.h5ad``.

    Notes
    -----
    One pass over each matrix, more where it was CSC; peak memory is `settings.memory_limit`.

    Examples
    --------
    >>> import anndata, numpy as np, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> anndata.AnnData(np.eye(3, dtype="float32")).write_h5ad(f"{folder}/eye.h5ad")
    >>> convert(f"{folder}/eye.h5ad", f"{folder}/eye.zarr")
    >>> export(f"{folder}/eye.zarr", f"{folder}/again.h5ad")
    >>> anndata.read_h5ad(f"{folder}/again.h5ad").X.dtype
    dtype('float32')
    """
    write_elements(
        open_elements(store, storage_options=storage_options),
        dst,
        overwrite=overwrite,
        X=X,
        compression=compression,
        storage_options=storage_options,
    )
