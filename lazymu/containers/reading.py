"""`read`: a path to a container, without reading counts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lazymu.containers.history import keep_opened
from lazymu.containers.modality import Modality
from lazymu.containers.mudata import MuData
from lazymu.io import open_elements
from lazymu.io.elements import ModalityElements, StoreElements
from lazymu.store.locations import redacted


def read(
    path: str | Path, storage_options: Mapping[str, Any] | None = None, **options: Any
) -> MuData | Modality:
    """Open a file or store by its suffix; nothing of `X` is read.

    Parameters
    ----------
    path
        ``.h5mu``, ``.h5ad``, ``.zarr``, ``.zarr.zip``, a 10x ``.h5`` file or mtx folder, or a
        modality inside, as in ``pbmc.h5mu/rna``. URLs of ``.zarr`` and ``.zarr.zip``:
        ``s3://``, ``gs://``, ``az://``, ``https://``.
    storage_options
        Of a URL: names of s3fs (``key``, ``secret``, ``anon``, ``endpoint_url``, ...) or obstore;
        else the environment (``AWS_ACCESS_KEY_ID``, ...) and ``~/.aws`` are used.
    options
        Those of :func:`lazymu.io.open_elements`.

    Returns
    -------
    MuData | Modality
        A MuData, or a modality where the file holds one AnnData.

    Raises
    ------
    UnknownFormatError
        If no reader knows the suffix.
    MissingFileError, AccessError, RemoteError
        If there is nothing, or a server refuses or does not answer.

    Notes
    -----
    Passes over X: none. Memory: annotation, and the row offsets of a matrix once it is used.

    Examples
    --------
    >>> import anndata as ad, numpy as np, lazymu, tempfile
    >>> path = tempfile.mkdtemp() + "/small.zarr"
    >>> lazymu.MuData({"rna": ad.AnnData(np.eye(3))}).write(path)
    >>> lazymu.read(path)["rna"].X
    LazyMatrix 3 × 3, CSR float64, Astype
    """
    elements = open_elements(path, storage_options=storage_options, **options)
    if isinstance(path, str | Path):
        _keep_location(elements, redacted(path))
    if isinstance(elements, StoreElements):
        return MuData.from_elements(elements)
    return Modality.from_elements(elements)


def _keep_location(elements: StoreElements | ModalityElements, path: str) -> None:
    """Let matrices say what path opens them again, for the history of what is made of them."""
    mod = (
        {f"{path}/{name}": one for name, one in elements.mod.items()}
        if isinstance(elements, StoreElements)
        else {path: elements}
    )
    for location, modality in mod.items():
        keep_opened(modality, location)


# muon's and scanpy's names for the same thing: the suffix says what the file is.
read_h5mu = read_h5ad = read_zarr = read_10x_h5 = read_10x_mtx = read
