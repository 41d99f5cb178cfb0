"""Files of every known format as elements, by suffix. Nothing of a matrix is read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lazymu.errors import MissingFileError, ModalityNotFoundError, UnknownFormatError, explain
from lazymu.io.anndata_groups import kind_of, modality_names, read_modality, read_store
from lazymu.io.elements import ModalityElements, StoreElements
from lazymu.io.tenx_h5 import is_tenx, read_tenx_h5
from lazymu.io.tenx_mtx import matrix_file, read_tenx_mtx
from lazymu.store.locations import is_url, redacted, split_query
from lazymu.store.refusal import refusing
from lazymu.store.roots import H5Root, Root, ZarrRoot, missing

SUFFIXES = (".h5mu", ".h5ad", ".zarr", ".zarr.zip", ".h5", ".hdf5")
KNOWN = f"{', '.join(SUFFIXES)} and Cell Ranger folders with matrix.mtx"


def open_elements(
    path: Any,
    *,
    genome: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> StoreElements | ModalityElements:
    """Open a file or folder and return its parts; matrices and arrays are read when needed.

    Known are MuData and AnnData in HDF5 (``.h5mu``, ``.h5ad``) and in Zarr of format 2 and 3
    (``.zarr``, ``.zarr.zip``, URLs), and Cell Ranger's output: ``.h5`` of every generation and
    folders with ``matrix.mtx``. ``file.h5mu/rna`` and ``store.zarr/mod/rna`` name one modality.

    Parameters
    ----------
    path
        Path, URL, or open Zarr store.
    genome
        Genome to keep, of Cell Ranger files with several. Genomes of legacy files, which hold a
        matrix for each, are put side by side where None, with ``var["genome"]``.
    storage_options
        Of a URL: names of s3fs (``key``, ``secret``, ``token``, ``anon``, ``endpoint_url``,
        ``profile``) or of obstore. What they do not say is taken from the environment
        (``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL``, ...) or from ``~/.aws``.

    Returns
    -------
    Parts of a MuData, or of an AnnData where the path holds just one.

    Raises
    ------
    MissingFileError
        If there is nothing at ``path``.
    UnknownFormatError
        If no reader knows the suffix or the layout.
    DamagedFileError
        If the file contradicts itself or cannot be read.
    ModalityNotFoundError
        If ``path`` names a modality that the file does not have.
    AccessError
        If an object store refuses access, or the credentials.
    RemoteError
        If a server does not answer, also when asked again.

    Notes
    -----
    No pass over any matrix; memory: the tables of cells and features, and ``indptr`` when a matrix
    is first read. A CSC matrix, or the text of an ``.mtx`` file, is turned into CSR in a temporary
    folder (`TMPDIR`) when first read.
    """
    if not isinstance(path, str | Path):
        with refusing("path", "an open Zarr store"):
            return _read_groups(ZarrRoot(path), "")
    location = str(path) if is_url(str(path)) else str(Path(path).expanduser())
    with refusing("path", repr(redacted(location))):
        return _opened(location, genome, storage_options)


def _opened(
    location: str, genome: str | None, options: Mapping[str, Any] | None
) -> StoreElements | ModalityElements:
    if "\0" in location:
        rule = "a path holds no NUL"
        raise MissingFileError(explain("path", repr(location), rule, "check its spelling"))
    file, inner = split_path(location)
    if not inner and not is_url(file) and (matrix := matrix_file(Path(file))) is not None:
        if not matrix.exists():
            raise missing(file)
        return read_tenx_mtx(matrix)
    root = root_of(file, options)
    kind = kind_of(root)
    if not kind and isinstance(root, H5Root) and is_tenx(root):
        return _read_tenx(root, inner, genome)
    if kind or inner:
        return _read_groups(root, inner)
    rule = f"its layout is none of {KNOWN}"
    raise UnknownFormatError(explain("path", repr(str(root)), rule, "convert it to one of them"))


def split_path(path: str) -> tuple[str, str]:
    """Return a file and the path inside it: the file is the last part with a known suffix.

    Examples
    --------
    >>> split_path("data/pbmc.h5mu/rna")
    ('data/pbmc.h5mu', 'rna')
    """
    location, query = split_query(path)
    parts = location.rstrip("/").split("/")
    for n in range(len(parts), 0, -1):
        if parts[n - 1].lower().endswith(SUFFIXES):
            return "/".join(parts[:n]) + query, "/".join(parts[n:])
    return path, ""


def root_of(file: str, options: Mapping[str, Any] | None) -> Root:
    """Return the root of an HDF5 file or a Zarr store."""
    if is_url(file):
        return _remote_root(file, options)
    folder = Path(file)
    if file.lower().endswith((".zarr", ".zarr.zip")):
        return ZarrRoot(file)
    if not folder.exists():
        raise missing(file)
    if folder.is_dir() and any((folder / name).is_file() for name in ("zarr.json", ".zgroup")):
        return ZarrRoot(file)
    if file.lower().endswith(SUFFIXES):
        return H5Root(file)
    raise UnknownFormatError(
        explain("path", repr(file), f"known are {KNOWN}", "convert it to one of them")
    )


def _remote_root(url: str, options: Mapping[str, Any] | None) -> Root:
    if split_query(url)[0].lower().endswith((".h5mu", ".h5ad", ".h5", ".hdf5")):
        rule = "behind URLs there are .zarr and .zarr.zip"
        fix = "download it and run lazymu convert"
        raise UnknownFormatError(explain("path", repr(redacted(url)), rule, fix))
    return ZarrRoot(url, options)


def _read_tenx(root: H5Root, inner: str, genome: str | None) -> StoreElements | ModalityElements:
    store = read_tenx_h5(root, genome=genome)
    if not inner:
        return store
    if inner not in store.mod:
        raise _unknown_modality(inner, root, list(store.mod))
    return store.mod[inner]


def _read_groups(root: Root, inner: str) -> StoreElements | ModalityElements:
    inner = inner.strip("/")
    kind = kind_of(root)
    if not inner:
        return read_store(root) if kind == "mudata" else read_modality(root)
    for name in (inner, f"mod/{inner}"):
        if root.find(name) is not None and kind_of(root, name) == "anndata":
            return read_modality(root, name)
    raise _unknown_modality(inner, root, modality_names(root) if kind == "mudata" else [])


def _unknown_modality(name: str, root: Root, known: list[str]) -> ModalityNotFoundError:
    rule = f"{root} holds {', '.join(known) or 'no modalities'}"
    return ModalityNotFoundError(explain("path", f"of {name!r}", rule, "name one of them"))
