"""`concat`: the cells of several samples as one data set, without a copy or on disk."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import pandas as pd

from lazymu.containers.history import record_join
from lazymu.containers.modality import Modality
from lazymu.containers.mudata import MuData
from lazymu.containers.names import require_unique
from lazymu.containers.reading import read
from lazymu.containers.stacked_tables import agreeing_columns, stacked_arrays, stacked_rows
from lazymu.errors import ArgumentError, DuplicateNamesError, ModalityNotFoundError, explain
from lazymu.io import ModalityElements, RawElements, StoreElements
from lazymu.io.matrices import same_values
from lazymu.stream.matrix import LazyMatrix
from lazymu.stream.stacked import Columns, stack, stacked_steps

Join: TypeAlias = Literal["inner", "outer"]
Store: TypeAlias = "MuData | Modality | str | Path"


def concat(
    stores: Collection[Store] | Mapping[str, Store],
    *,
    join: Join = "inner",
    label: str | None = "sample",
    keys: Collection[str] | None = None,
    index_unique: str | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    **options: Any,
) -> MuData | Modality:
    """Join the cells of several samples, modality by modality; copy nothing, or write it.

    With parts of ``n_k`` cells the result has ``n_1 + n_2 + ...`` cells, part after part, and
    the features that all parts have (``"inner"``) or any has (``"outer"``): ``x_ij`` is the value
    of feature ``j`` in the part that cell ``i`` is from, 0 where that part has it not.

    Parameters
    ----------
    stores
        Samples: MuData, modalities, or paths that :func:`read` opens. A mapping gives the keys.
    join
        Features (and, of MuData, modalities) of the result: ``"inner"`` those of all samples,
        ``"outer"`` those of any.
    label
        Column of `obs`, in every modality and jointly, that says which sample a cell is from.
        None adds none.
    keys
        Name of each sample, ``"0"``, ``"1"``, ... by default.
    index_unique
        Text between a cell's name and the key of its sample, as in ``"-"``; None keeps names.
    out
        Store or file to write (``.zarr``, ``.h5mu``, ``.h5ad``). None makes no copy: the matrices
        of the result read the samples' own blocks.
    overwrite
        Replace ``out`` where it exists.
    options
        With ``out``, those of :func:`lazymu.io.write_elements`: ``storage_options`` of a URL, ...

    Returns
    -------
    MuData | Modality
        What the samples are. With ``out``, opened from there.

    Raises
    ------
    ArgumentError
        If samples are of different kinds, keys are not one for each, `obs` has the column
        ``label`` already, or transforms differ between samples.
    DuplicateNamesError
        If names of cells repeat without ``index_unique``, or names of features do.
    ModalityNotFoundError
        If no modality is in all samples.

    Notes
    -----
    Names and order of features are anndata's: those of the first sample (inner), or sorted where
    samples differ (outer). Modalities are in the order in which they first appear. In particular:

    - `X`, layers and `raw`: those that all samples have. A transform is kept where all samples have
      the same one: factors of cells are joined, factors of features must agree. Else it is an
      error; join the counts then, and transform the whole.
    - `obs`: the columns of all samples, missing where a sample has none (anndata drops these in an
      inner join). Categories are in order of appearance.
    - `var`: columns that all samples have, where samples agree on every feature that they share.
      In an inner join this is ``merge="same"`` of ``anndata.concat``.
    - `obsm`: keys of the same width in all samples. `obsp`, `varm`, `varp` and `uns` are left out:
      graphs and loadings are not those of the joined cells. Of `uns["lazymu"]` the samples' history
      is kept.

    Dense matrices get 0, not NaN as in anndata, for features that a sample has not.

    Passes over X: none; with ``out``, one at most for each matrix. Memory: annotation of all cells,
    and `settings.memory_limit` with ``out``, which is replaced in one step. Sums of counts that the
    samples' stores know are known of the result.

    References
    ----------
    ``anndata.concat`` and ``mudata.concat`` (scverse).

    Examples
    --------
    >>> import lazymu, numpy as np, pandas as pd
    >>> a = lazymu.Modality(np.eye(2), var=pd.DataFrame(index=["CD3", "CD4"]))
    >>> b = lazymu.Modality(np.eye(2), var=pd.DataFrame(index=["CD4", "CD8"]))
    >>> joined = lazymu.concat({"a": a, "b": b}, join="outer", index_unique="-")
    >>> joined.X.toarray()[2], list(joined.obs_names)
    (array([0., 1., 0.]), ['0-a', '1-a', '0-b', '1-b'])
    """
    if join not in ("inner", "outer"):
        raise ArgumentError(explain("join", repr(join), 'it is "inner" or "outer"', "pass one"))
    if out is None and options:
        rule = "it says how a store is written, and nothing is to be written"
        raise ArgumentError(explain(next(iter(options)), "given", rule, "pass out="))
    named = _named(stores, keys)
    opened = {key: _opened(store) for key, store in named.items()}
    plan = _Plan(join, label, index_unique, list(opened))
    joined = _join_all(opened, plan)
    record_join(joined, opened, {"join": join, "label": label, "index_unique": index_unique})
    if out is None:
        return joined
    joined.write(out, overwrite=overwrite, **options)
    return read(out, options.get("storage_options"))


class _Plan(NamedTuple):
    """How samples are joined."""

    join: Join
    label: str | None
    index_unique: str | None
    keys: list[str]


# --- arguments ------------------------------------------------------------------------------------


def _named(stores: Any, keys: Collection[str] | None) -> dict[str, Any]:
    """Return samples by key."""
    if isinstance(stores, str | Path | MuData | Modality) or not isinstance(stores, Collection):
        rule = "it is several: a list, or a dictionary by key"
        raise ArgumentError(explain("stores", f"a {type(stores).__name__}", rule, "pass a list"))
    if isinstance(stores, Mapping):
        if keys is not None:
            rule = "the keys of a dictionary of stores are the keys"
            raise ArgumentError(explain("keys", "given", rule, "leave one of the two out"))
        keys, stores = stores.keys(), stores.values()
    if not len(stores):
        raise ArgumentError(explain("stores", "empty", "there must be a sample", "pass some"))
    names = [str(key) for key in (range(len(stores)) if keys is None else keys)]
    if len(names) != len(stores) or len(set(names)) < len(names):
        rule = f"each of the {len(stores)} samples has one of its own"
        raise ArgumentError(explain("keys", f"{names}", rule, "pass as many different keys"))
    return dict(zip(names, stores, strict=True))


def _opened(store: Any) -> MuData | Modality:
    data = read(store) if isinstance(store, str | Path) else store
    if not isinstance(data, MuData | Modality):
        rule = "samples are lazymu's MuData or modalities, or paths"
        fix = "wrap it: lazymu.Modality(adata), or pass the path of its file"
        raise ArgumentError(explain("stores", f"with a {type(data).__name__}", rule, fix))
    if isinstance(data, MuData) and data.axis != 0:
        rule = "cells are joined of MuData whose modalities share cells (axis 0)"
        fix = "join its modalities, as mdata[name], one by one"
        raise ArgumentError(explain("stores", f"with a MuData of axis {data.axis}", rule, fix))
    return data


def _join_all(opened: dict[str, MuData | Modality], plan: _Plan) -> MuData | Modality:
    mdatas = {key: data for key, data in opened.items() if isinstance(data, MuData)}
    modalities = {key: data for key, data in opened.items() if isinstance(data, Modality)}
    if mdatas and modalities:
        got = f"MuData ({', '.join(mdatas)}) and modalities ({', '.join(modalities)})"
        rule, fix = "samples must be of one kind", "pass the modality of each, as mdata[name]"
        raise ArgumentError(explain("stores", got, rule, fix))
    return _join_mdatas(mdatas, plan) if mdatas else _join_modalities(modalities, plan)[0]


# --- modalities -----------------------------------------------------------------------------------


def _join_modalities(
    parts: Mapping[str, Modality], plan: _Plan, where: str = ""
) -> tuple[Modality, pd.Index, list[Columns]]:
    """Return the joined modality, the features, and the column of each in each part."""
    elements = [part.to_elements() for part in parts.values()]
    names, columns = _features([part.var for part in elements], plan.join, where)
    obs = _joined_obs({key: part.obs for key, part in parts.items()}, plan, where)
    joined = ModalityElements(
        X=_joined_X(elements, columns, len(names)),
        obs=obs,
        var=agreeing_columns([part.var for part in elements], columns, names),
        obsm=stacked_arrays([part.obsm for part in elements], obs.index),
    )
    joined.layers = _joined_layers(elements, joined.X, columns, len(names))
    joined.raw = _joined_raw(elements, joined, columns, plan, where)
    return Modality.from_elements(joined), names, columns


def _features(
    tables: Sequence[pd.DataFrame], join: Join, where: str
) -> tuple[pd.Index, list[Columns]]:
    """Return the features of the whole, and the column of each in each part."""
    parts = [table.index for table in tables]
    if all(names.equals(parts[0]) for names in parts[1:]):
        return parts[0], [None] * len(parts)
    for names in parts:
        require_unique(names, axis=1, where=where)
    merge = pd.Index.intersection if join == "inner" else pd.Index.union
    joined: pd.Index = reduce(merge, parts)
    joined = joined.astype(str)
    columns = [names.get_indexer(joined).astype(np.int64) for names in parts]
    return joined, [
        None if np.array_equal(cols, np.arange(len(names))) else cols
        for cols, names in zip(columns, parts, strict=True)
    ]


def _joined_obs(tables: Mapping[str, pd.DataFrame], plan: _Plan, where: str) -> pd.DataFrame:
    label = plan.label
    if label is not None and any(label in table for table in tables.values()):
        rule = "a sample has a column of this name already"
        fix = "pass another label, or label=None to keep the column"
        raise ArgumentError(explain("label", repr(label), rule, fix))
    obs = stacked_rows(list(tables.values()), _cell_names(tables, plan, where))
    if label is not None:
        codes = np.repeat([plan.keys.index(key) for key in tables], [*map(len, tables.values())])
        obs[label] = pd.Categorical.from_codes(codes, categories=pd.Index(plan.keys, dtype=object))
    return obs


def _cell_names(tables: Mapping[str, pd.DataFrame], plan: _Plan, where: str) -> pd.Index:
    """Return the names of all cells, checked to be unique."""
    end = {key: "" if plan.index_unique is None else plan.index_unique + key for key in tables}
    named = [name + end[key] for key, table in tables.items() for name in table.index]
    names: pd.Index = pd.Index(named, dtype=str)
    if not names.is_unique:
        repeated = names[names.duplicated()][0]
        got = f"{where + ': ' if where else ''}with {repeated!r} more than once"
        if plan.index_unique is None and all(t.index.is_unique for t in tables.values()):
            rule = "names of cells must be unique, and samples have the same ones"
            fix = 'pass index_unique="-" to append the key of its sample to each name'
        else:
            rule = "names of cells must be unique in each sample, and with its key appended"
            fix = "call .obs_names_make_unique() on the modality of the sample"
        raise DuplicateNamesError(explain("obs_names", got, rule, fix))
    return names


# --- matrices -------------------------------------------------------------------------------------


def _joined_X(
    parts: Sequence[ModalityElements], columns: Sequence[Columns], n_vars: int
) -> LazyMatrix | None:
    matrices = [part.X for part in parts if part.X is not None]
    if matrices and len(matrices) < len(parts):
        got = f"absent in {len(parts) - len(matrices)} of {len(parts)} samples"
        rule, fix = "all samples have it, or none", "set X in each, or leave these samples out"
        raise ArgumentError(explain("X", got, rule, fix))
    return stack(matrices, columns, n_vars) if matrices else None


def _joined_layers(
    parts: Sequence[ModalityElements], X: LazyMatrix | None, columns: Sequence[Columns], n_vars: int
) -> dict[str, LazyMatrix]:
    """Return the layers that all samples have."""
    keys = [key for key in parts[0].layers if all(key in part.layers for part in parts)]
    return {
        key: _joined(X, [(p.X, p.layers[key]) for p in parts], columns, n_vars, f"layers[{key!r}]")
        for key in keys
    }


def _joined(
    X: LazyMatrix | None,
    pairs: Sequence[tuple[LazyMatrix | None, LazyMatrix]],
    columns: Sequence[Columns],
    n_vars: int,
    what: str,
) -> LazyMatrix:
    """Return matrices joined; the whole shares what is stored with `X` where each of them does."""
    matrices = [matrix for _, matrix in pairs]
    if X is not None and all(own is not None and same_values(own, m) for own, m in pairs):
        return X.counts.with_steps(*stacked_steps(matrices, columns, what, X.source.dtype))
    return stack(matrices, columns, n_vars, what)


def _joined_raw(
    parts: Sequence[ModalityElements],
    joined: ModalityElements,
    columns: Sequence[Columns],
    plan: _Plan,
    where: str,
) -> RawElements | None:
    """Return `raw` where all samples have it, with features joined as those of `X`."""
    raws = [part.raw for part in parts if part.raw is not None]
    if len(raws) < len(parts):
        if raws:
            message = f"{where}: ".lstrip(": ") + "`raw` is left out, as not all samples have it"
            warnings.warn(message, UserWarning, stacklevel=5)
        return None
    names, own = _features([raw.var for raw in raws], plan.join, f"{where} raw".strip())
    alike = all(raw.var.index.equals(p.var.index) for raw, p in zip(raws, parts, strict=True))
    X = joined.X if alike else None
    pairs = [(part.X, raw.X) for part, raw in zip(parts, raws, strict=True)]
    matrix = _joined(X, pairs, columns if alike else own, len(names), "raw")
    return RawElements(matrix, agreeing_columns([raw.var for raw in raws], own, names))


# --- several modalities ---------------------------------------------------------------------------


def _join_mdatas(parts: Mapping[str, MuData], plan: _Plan) -> MuData:
    shared, mod, tables = _modalities(parts.values(), plan.join), {}, []
    for name in shared:
        having = {key: part for key, part in parts.items() if name in part.mod}
        own = {key: part[name] for key, part in having.items()}
        mod[name], names, columns = _join_modalities(own, plan, name)
        joint = [part.var[part.var_positions(name) >= 0] for part in having.values()]
        tables.append(agreeing_columns(joint, columns, names))
    obs = _joined_obs({key: part.obs for key, part in parts.items()}, plan, "")
    elements = StoreElements(
        mod={name: modality.to_elements() for name, modality in mod.items()},
        obs=obs,
        var=stacked_rows(tables, pd.Index([n for t in tables for n in t.index], dtype=str)),
        obsm=stacked_arrays([part.to_elements().obsm for part in parts.values()], obs.index),
    )
    return MuData.from_elements(elements)


def _modalities(parts: Collection[MuData], join: Join) -> list[str]:
    """Return the modalities of the whole, in the order in which they first appear."""
    names = list(dict.fromkeys(name for part in parts for name in part.mod))
    if join == "inner":
        names = [name for name in names if all(name in part.mod for part in parts)]
    if not names:
        got = "; ".join(", ".join(part.mod) or "none" for part in parts)
        rule, fix = "no modality is in all samples", 'pass join="outer" to keep each'
        raise ModalityNotFoundError(explain("stores", f"with modalities {got}", rule, fix))
    return names
