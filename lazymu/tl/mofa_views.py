"""What MOFA takes: a dense view of each modality, for the same cells in the same order."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from lazymu.containers import Modality, MuData
from lazymu.errors import (
    ArgumentError,
    EmptyResultError,
    MemoryLimitError,
    MissingResultError,
    explain,
)
from lazymu.settings import settings
from lazymu.stream import LazyMatrix, iterate_blocks
from lazymu.typing import Array, Bools, Float64s, Int64s

COPIES = 9
"""Arrays of a view's size that mofapy2 holds at once while it trains, the view among them: 5.1
measured with Gaussian, 8.3 with other likelihoods."""
USE_OBS = {None: None, "union": "union", "all": "union", "intersection": "intersection"}


class Samples(NamedTuple):
    """Cells in the order in which the model takes them."""

    cells: Int64s
    """Positions on the joint axis, group after group."""
    groups: dict[str, list[str]]
    """Names of the cells of each group."""


class View(NamedTuple):
    """Features of one modality that the model takes."""

    name: str
    matrix: LazyMatrix
    rows: Int64s
    """Row in ``matrix`` of each sample, -1 where the modality has it not."""
    features: pd.Index
    used: Bools
    """Which of the modality's features these are."""


class Factors(NamedTuple):
    """A trained model, factors in falling order of the variance that they explain."""

    scores: Float64s
    """(samples, factors)."""
    loadings: list[Float64s]
    """(features, factors) of each view."""
    variance: list[Float64s]
    """Percent of variance explained, (views, factors), of each group."""
    likelihoods: list[str]


def select_samples(mdata: MuData, groups_label: str | None, use_obs: str | None) -> Samples:
    """Return the cells of all modalities (``union``) or of each of them (``intersection``).

    Raises
    ------
    ArgumentError
        If the modalities' cells differ and ``use_obs`` does not say what to do.
    MissingResultError
        If ``groups_label`` is no column of the joint `obs`.
    """
    if use_obs not in USE_OBS:
        rule = "it must be 'union', 'intersection' or 'all' (= 'union')"
        raise ArgumentError(explain("use_obs", repr(use_obs), rule, "choose one"))
    everywhere = np.ones(mdata.n_obs, dtype=bool)
    for name in mdata.mod:
        everywhere &= mdata.obs_positions(name) >= 0
    if USE_OBS[use_obs] is None and not everywhere.all():
        rule = f"{int((~everywhere).sum())} of {mdata.n_obs} cells are not in every modality"
        fix = "pass use_obs='union' or 'intersection', or run mu.pp.intersect_obs first"
        raise ArgumentError(explain("use_obs", None, rule, fix))
    cells = np.flatnonzero(everywhere)
    if USE_OBS[use_obs] == "union":
        cells = np.arange(mdata.n_obs)
    if len(cells) == 0:
        rule = "no cell is in every modality"
        raise EmptyResultError(explain("use_obs", repr(use_obs), rule, "pass use_obs='union'"))
    return in_groups(mdata, cells.astype(np.int64), groups_label)


def in_groups(mdata: MuData, cells: Int64s, groups_label: str | None) -> Samples:
    """Return cells put together by group, groups in order of first appearance."""
    names = mdata.obs_names
    if groups_label is None:
        return Samples(cells, {"group1": list(names[cells])})
    if groups_label not in mdata.obs:
        rule = f"columns of obs are: {', '.join(map(str, mdata.obs.columns)) or 'none'}"
        raise MissingResultError(explain("groups_label", repr(groups_label), rule, "name one"))
    labels = mdata.obs[groups_label].iloc[cells]
    if labels.isna().any():
        rule = "every cell that is used must have a group"
        got = f"{groups_label!r}, missing for {int(labels.isna().sum())} cells"
        raise ArgumentError(explain("groups_label", got, rule, "fill it in"))
    codes, groups = pd.factorize(labels.astype(str))
    order = np.argsort(codes, kind="stable")
    members = {str(group): list(names[cells[codes == g]]) for g, group in enumerate(groups)}
    return Samples(cells[order], members)


def select_view(
    mdata: MuData,
    name: str,
    samples: Samples,
    *,
    use_raw: bool,
    use_layer: str | None,
    use_var: str | None,
) -> View:
    """Return the samples and selected features of one modality; reads nothing."""
    modality = mdata.mod[name]
    used = np.ones(modality.n_vars, dtype=bool)
    if use_var is not None and use_var in modality.var:
        used = modality.var[use_var].to_numpy().astype(bool)
    if not used.any():
        rule = f"no feature of {name!r} is marked by it"
        raise EmptyResultError(explain("use_var", repr(use_var), rule, "pass use_var=None"))
    matrix = matrix_of(modality, name, use_raw=use_raw, use_layer=use_layer)[:, used]
    rows = mdata.obs_positions(name)[samples.cells]
    return View(name, matrix, rows, modality.var_names[used], used)


def matrix_of(modality: Modality, name: str, *, use_raw: bool, use_layer: str | None) -> LazyMatrix:
    """Return `X`, a layer, or the modality's features as `raw` has them."""
    if use_layer is not None:
        return modality.layers[use_layer]
    if not use_raw:
        return modality.X
    if modality.raw is None:
        rule = f"modality {name!r} has no raw"
        raise MissingResultError(explain("use_raw", True, rule, "pass use_raw=False"))
    columns = modality.raw.var_names.get_indexer(modality.var_names)
    if np.any(columns < 0):
        rule = f"raw lacks {int((columns < 0).sum())} features of {name!r}"
        raise MissingResultError(explain("use_raw", True, rule, "set raw again"))
    return modality.raw.X[:, columns]


def require_room(views: list[View], itemsize: int) -> None:
    """Raise where the dense views do not fit the memory limit.

    Raises
    ------
    MemoryLimitError
        Naming the largest view and what all of them take.
    """
    sizes = {view.name: len(view.rows) * len(view.features) * itemsize for view in views}
    needed = COPIES * sum(sizes.values())
    if needed > settings.memory_limit:
        name, worst = max(sizes.items(), key=lambda item: item[1])
        raise MemoryLimitError(
            explain(
                "memory_limit",
                f"{settings.memory_limit:,} bytes",
                f"MOFA holds dense views, {COPIES} times while it trains: {needed:,} bytes, the "
                f"largest being {name!r} with {COPIES * worst:,}",
                "mark fewer features with use_var, pass use_float32=True, or raise the limit",
            )
        )


def dense_view(view: View, dtype: np.dtype[Any]) -> Array:
    """Return the values of a view (samples, features), NaN for cells that it lacks. One pass."""
    out = np.full((len(view.rows), len(view.features)), np.nan, dtype=dtype)
    present = np.flatnonzero(view.rows >= 0)
    matrix = view.matrix[view.rows[present]]
    for block in iterate_blocks(matrix, label=f"read {view.name}"):
        out[present[block.rows]] = block.X.toarray()
    return out


def unique_names(views: list[View]) -> list[list[str]]:
    """Return the features' names of each view, ``view:name`` where they are not unique."""
    names = [[str(feature) for feature in view.features] for view in views]
    everything = [name for own in names for name in own]
    if len(set(everything)) == len(everything):
        return names
    prefixed = [f"{view.name}:" for view in views]
    return [[p + name for name in own] for p, own in zip(prefixed, names, strict=True)]
