"""Keep the cells that all modalities have."""

from __future__ import annotations

import logging
from functools import reduce

import pandas as pd

from lazymu.containers import MuData
from lazymu.containers.history import recorded
from lazymu.containers.names import require_unique
from lazymu.errors import ArgumentError, NoCommonCellsError, explain

logger = logging.getLogger("lazymu")


@recorded
def intersect_obs(mdata: MuData) -> None:
    """Keep the cells whose names are in every modality, in place.

    Sets every modality to the cells common to all, each in its own order; joint tables, embeddings
    and graphs follow by name. Logs one line.

    Parameters
    ----------
    mdata
        A MuData.

    Raises
    ------
    NoCommonCellsError
        If no cell is in all modalities; the message shows names of each.
    DuplicateNamesError
        If a modality has a cell's name twice.
    ArgumentError
        If ``mdata`` is not a MuData, or its modalities share features instead of cells.

    Notes
    -----
    Passes over X: none; later passes skip the cells.

    Examples
    --------
    >>> import lazymu as mu, numpy as np
    >>> rna = mu.Modality(np.eye(3), obs={"n": [1, 2, 3]})
    >>> mdata = mu.MuData({"rna": rna, "prot": mu.Modality(np.ones((2, 4)))})
    >>> mu.pp.intersect_obs(mdata)
    >>> mdata.n_obs, mdata["rna"].n_obs
    (2, 2)
    """
    if not isinstance(mdata, MuData):
        rule, fix = "cells are common to the modalities of a MuData", "pass a lazymu.MuData"
        raise ArgumentError(explain("mdata", f"a {type(mdata).__name__}", rule, fix))
    if mdata.axis == 1:
        rule = "its modalities share features and have cells of their own"
        raise ArgumentError(explain("mdata", "a MuData of axis 1", rule, "pass one of axis 0"))
    names = {name: modality.obs_names for name, modality in mdata.mod.items()}
    for name, index in names.items():
        require_unique(index, axis=0, where=name)
    common = reduce(lambda a, b: a[a.isin(b)], names.values(), next(iter(names.values())))
    if common.empty:
        raise NoCommonCellsError(_nothing_common(names))
    for modality in mdata.mod.values():
        modality.subset_obs(modality.obs_names.isin(common))
    dropped = ", ".join(f"{len(index) - len(common)} of {name}" for name, index in names.items())
    logger.info(
        "kept the %d cells common to all modalities (filtered out %s)", len(common), dropped
    )


def _nothing_common(names: dict[str, pd.Index]) -> str:
    shown = "; ".join(f"{name}: {', '.join(index[:2])}, ..." for name, index in names.items())
    fix = "make the names agree, for example by removing a suffix such as '-1' from one of them"
    return explain("obs_names", shown, "no cell is in all modalities", fix)
