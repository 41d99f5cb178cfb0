"""To and from AnnData and MuData in memory."""

from __future__ import annotations

import copy as copying
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import pandas as pd

from lazymu.containers.mappings import LazyDict
from lazymu.errors import ArgumentError, explain
from lazymu.io.elements import ModalityElements, RawElements
from lazymu.stream.matrix import LazyMatrix

if TYPE_CHECKING:
    import anndata as ad
    import mudata as md

    from lazymu.containers.modality import Modality
    from lazymu.containers.mudata import MuData


def elements_of_anndata(adata: Any) -> ModalityElements:
    """Return the parts of an AnnData in memory, copied.

    Raises
    ------
    ArgumentError
        If it is backed by a file.
    """
    if adata.isbacked:
        rule, fix = "it must be in memory", f"open its file: lazymu.read({str(adata.filename)!r})"
        raise ArgumentError(explain("adata", "an AnnData backed by a file", rule, fix))
    raw = adata.raw
    return ModalityElements(
        X=None if adata.X is None else LazyMatrix(adata.X),
        obs=_named(adata.obs),
        var=_named(adata.var),
        layers={name: LazyMatrix(layer) for name, layer in adata.layers.items() if name},
        obsm=_copies(adata.obsm),
        varm=_copies(adata.varm),
        obsp=_copies(adata.obsp),
        varp=_copies(adata.varp),
        uns=copying.deepcopy(dict(adata.uns)),
        raw=None
        if raw is None
        else RawElements(LazyMatrix(raw.X), _named(raw.var), _copies(raw.varm)),
    )


def _copies(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Return arrays that share no memory with an AnnData's, nor are views of it."""
    return {key: value.copy() for key, value in arrays.items()}


def _named(table: pd.DataFrame) -> pd.DataFrame:
    """Return a copy whose index is of strings, held as pandas holds them by default."""
    return table.set_axis(table.index.astype(str), axis=0)


def anndata_of(modality: Modality) -> ad.AnnData:
    """Return a modality as an AnnData in memory; one pass for each matrix."""
    import anndata as ad

    parts = modality.to_elements()
    adata = ad.AnnData(
        X=None if parts.X is None else parts.X.to_memory(),
        obs=modality.obs.copy(),
        var=modality.var.copy(),
        layers={name: layer.to_memory() for name, layer in parts.layers.items()},
        obsm=_copies(modality.obsm),
        varm=_copies(modality.varm),
        obsp=_copies(modality.obsp),
        varp=_copies(modality.varp),
        uns=copying.deepcopy(modality.uns.copy()),
    )
    if modality.raw is not None:
        raw = modality.raw.elements
        X, obs = raw.X.to_memory(), modality.obs[[]].copy()
        adata.raw = ad.AnnData(X, obs=obs, var=raw.var.copy(), varm=_copies(LazyDict(raw.varm)))
    return adata


def mudata_of(mdata: MuData) -> md.MuData:
    """Return a MuData in memory; one pass for each matrix."""
    import mudata as md

    mod = {name: anndata_of(modality) for name, modality in mdata.mod.items()}
    with _without_pulling():
        joint = md.MuData(mod, axis=mdata.axis)
    joint.obs = mdata.obs.reindex(joint.obs_names)
    joint.var = mdata.var.reindex(joint.var_names) if mdata.var_names.is_unique else joint.var
    order = mdata.obs_names.get_indexer(joint.obs_names)
    for slot in ("obsm", "obsp"):
        values = getattr(mdata, slot).take(order)
        for key in values:
            getattr(joint, slot)[key] = values[key]
    for slot in ("varm", "varp"):
        for key, value in getattr(mdata, slot).items():
            getattr(joint, slot)[key] = value.copy()
    for key, value in mdata.uns.items():
        joint.uns[key] = copying.deepcopy(value)
    return joint


def _without_pulling() -> AbstractContextManager[Any]:
    """Keep mudata from copying the modalities' columns into the joint tables (0.3 names it so)."""
    import mudata as md

    if hasattr(md, "settings"):
        override: AbstractContextManager[Any] = md.settings.override(pull_on_update=False)
        return override
    options: AbstractContextManager[Any] = md.set_options(pull_on_update=False)
    return options
