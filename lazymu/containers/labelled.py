"""A modality as a labelled lazy `xarray.Dataset`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lazymu.stream.matrix import LazyMatrix

if TYPE_CHECKING:
    import xarray as xr

    from lazymu.containers.modality import Modality


def dataset_of(modality: Modality) -> xr.Dataset:
    """Return `X`, layers, annotation and embeddings as one dataset.

    Dims are `obs`, `var` and, for each array of `obsm` and `varm`, `component` (or
    `<key>_component` where lengths differ from the first one's). `X` and layers are Dask arrays
    of dense blocks, nothing of which is computed.
    """
    import xarray as xr

    names = {
        "obs": ("obs", _strings(modality.obs_names)),
        "var": ("var", _strings(modality.var_names)),
    }
    variables: dict[str, Any] = {"X": _matrix(modality.X)}
    variables |= {f"layer_{name}": _matrix(layer) for name, layer in modality.layers.items()}
    for axis, table in (("obs", modality.obs), ("var", modality.var)):
        variables |= {f"{axis}_{c}": (axis, _column(table[c])) for c in table.columns}
    widths: dict[str, int] = {}
    for axis, arrays in (("obs", modality.obsm), ("var", modality.varm)):
        for key, value in arrays.items():
            values = np.asarray(value)
            if values.ndim == 2:
                dim = _component(widths, key, values.shape[1])
                variables[key] = ((axis, dim), values)
    return xr.Dataset(variables, coords=names)


def _matrix(matrix: LazyMatrix) -> tuple[tuple[str, str], Any]:
    from lazymu.stream.dask_array import to_dask_dense

    return ("obs", "var"), to_dask_dense(matrix)


def _component(widths: dict[str, int], key: str, width: int) -> str:
    """Return the dim of an array's columns: shared by arrays of the first one's width."""
    if widths.setdefault("component", width) == width:
        return "component"
    return f"{key}_component"


def _strings(names: pd.Index) -> Any:
    return np.asarray(names, dtype=object)


def _column(column: pd.Series) -> Any:
    return column.to_numpy(dtype=object) if column.dtype.kind not in "biuf" else column.to_numpy()
