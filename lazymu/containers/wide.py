"""`to_anndata`: the features of several modalities side by side, for models of one matrix."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lazymu import keys
from lazymu.containers.modality import Modality
from lazymu.containers.mudata import MuData
from lazymu.containers.stacked_tables import stacked_rows
from lazymu.containers.together import chosen_modalities, common_cells, matrix_over
from lazymu.errors import ArgumentError, explain
from lazymu.io import ModalityElements, write_elements
from lazymu.stream.side_by_side import side_by_side

if TYPE_CHECKING:
    import anndata as ad


def to_anndata(
    mdata: MuData,
    mods: Sequence[str] | None = None,
    layer: str | None = keys.COUNTS,
    path: str | Path | None = None,
    *,
    overwrite: bool = False,
    **options: Any,
) -> ad.AnnData | None:
    """Put modalities side by side in one AnnData, as scvi-tools' models take them; streaming.

    ``X = [X_1 X_2 ...]``, of shape (cells that are in all of ``mods``, all their features), cells
    in the order of the first modality: what ``anndata.concat([rna, atac], axis=1)`` gives of
    counts in memory.

    Parameters
    ----------
    mdata
        Modalities that share cells.
    mods
        Names of the modalities, in the order in which their features stand; None for all.
    layer
        Values: a layer that all modalities have; None for `X` with its transforms; ``"counts"``,
        where a modality has no layer of this name, for what is stored of its `X`.
    path
        File or store to write (``.h5ad``, ``.zarr``), block by block. None for memory.
    overwrite
        Replace ``path`` where it exists.
    options
        With ``path``, those of :func:`lazymu.io.write_elements`.

    Returns
    -------
    anndata.AnnData | None
        With a CSR `X`; None where ``path`` is given.

    Raises
    ------
    ArgumentError
        If a name repeats in ``mods``, a modality lacks the layer, or modalities share features
        instead of cells.
    ModalityNotFoundError
        If the MuData has no modality of a name.
    NoCommonCellsError
        If no cell is in all modalities.
    NotCountsError
        If ``layer`` is ``"counts"`` and what is stored is known not to be counts.
    MemoryLimitError
        If the matrix in memory exceeds the memory limit.

    Notes
    -----
    Sets in the result:

    - `var`: the columns of all modalities, missing where one has none, and ``modality``;
    - `obs`: the columns of the joint `obs`, then those of each modality as ``rna:column``;
    - `obsm` of the MuData; its other slots, and those of the modalities, are left out.

    Names of features that repeat are kept, with anndata's warning when it opens them.
    Passes over X: one of each modality. Peak memory with ``path``: `settings.memory_limit` and
    annotation.

    References
    ----------
    Ashuach et al., MultiVI, Nature Methods 20, 2023; scvi-tools' tutorials prepare data so.

    Examples
    --------
    >>> import anndata as ad, lazymu, numpy as np
    >>> mdata = lazymu.MuData({"rna": ad.AnnData(np.eye(3)), "prot": ad.AnnData(np.ones((3, 2)))})
    >>> mdata["rna"].var_names, mdata["prot"].var_names = ["a", "b", "c"], ["A", "B"]
    >>> adata = lazymu.to_anndata(mdata, mods=["rna", "prot"])
    >>> adata.var["modality"].tolist()
    ['rna', 'rna', 'rna', 'prot', 'prot']
    """
    if path is None and (overwrite or options):
        argument = "overwrite" if overwrite else next(iter(options))
        rule = "it says how a file is written, and nothing is to be written"
        raise ArgumentError(explain(argument, "given", rule, "pass path="))
    elements = _side_by_side(mdata, chosen_modalities(mdata, mods), layer)
    if path is None:
        return Modality.from_elements(elements).to_anndata()
    write_elements(elements, path, overwrite=overwrite, **options)
    return None


def _side_by_side(
    mdata: MuData, chosen: dict[str, Modality], layer: str | None
) -> ModalityElements:
    names = common_cells(chosen)
    places = mdata.obs_names.get_indexer(names).astype(np.int64)
    return ModalityElements(
        X=side_by_side([matrix_over(mod, layer, name, names) for name, mod in chosen.items()]),
        obs=_obs(mdata, chosen, names),
        var=_var(chosen),
        obsm=mdata.obsm.take(places, names),
    )


def _obs(mdata: MuData, chosen: dict[str, Modality], names: pd.Index) -> pd.DataFrame:
    own = (m.obs.loc[names].add_prefix(f"{name}:") for name, m in chosen.items())
    joined = pd.concat([mdata.obs.loc[names], *own], axis=1)
    return joined.loc[:, ~joined.columns.duplicated()]  # the joint table may hold them already


def _var(chosen: dict[str, Modality]) -> pd.DataFrame:
    tables = [modality.var for modality in chosen.values()]
    names: pd.Index = pd.Index([name for table in tables for name in table.index], dtype=str)
    var = stacked_rows(tables, names)
    codes = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
    var[keys.MODALITY] = pd.Categorical.from_codes(codes, pd.Index(list(chosen), dtype=object))
    return var
