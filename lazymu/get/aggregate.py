"""Sums, means, variances and counts of features within groups of cells, as an AnnData."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import pandas as pd

from lazymu import keys
from lazymu.containers import Modality, as_modality
from lazymu.errors import ArgumentError, MemoryLimitError, explain
from lazymu.settings import settings
from lazymu.stream import GroupMoments, GroupMomentsReducer, LazyMatrix, run_pass
from lazymu.stream.plan import RUNTIME_BYTES, working_bytes
from lazymu.tl.grouping import codes_and_categories, labels_of
from lazymu.typing import Array, Bools, Int64s

if TYPE_CHECKING:
    import anndata as ad

Func: TypeAlias = Literal["sum", "mean", "var", "count_nonzero", "fraction"]
FUNCS: tuple[str, ...] = get_args(Func)


class Combinations(NamedTuple):
    """Groups that one or more groupings make together."""

    codes: Int64s
    """Group of each cell, -1 where a label is missing."""
    obs: pd.DataFrame
    """The groups: their labels in each grouping; names are the labels, joined by ``_``."""


def aggregate(
    data: Modality,
    by: str | pd.Series[Any] | Sequence[str | pd.Series[Any]],
    func: Func | Iterable[Func],
    *,
    mask: Bools | str | None = None,
    dof: int = 1,
    layer: str | None = None,
) -> ad.AnnData:
    """Aggregate the cells of each group: a table of groups by features for each function.

    With the ``n`` cells ``i`` of a group: ``sum = sum_i x_ij``, ``mean = sum / n``,
    ``var = sum_i (x_ij - mean)^2 / (n - dof)``, ``count_nonzero = sum_i [x_ij != 0]`` and
    ``fraction = count_nonzero / n``. Sums of counts are exact, as pseudobulk tests need them.

    Parameters
    ----------
    data
        A modality.
    by
        Columns of `obs`: one or several, whose combinations that occur are the groups. Instead of
        a name, a Series, which is aligned by cell names, such as ``mdata.obs["leiden_wnn"]``.
    func
        One or several of ``"sum"``, ``"mean"``, ``"var"``, ``"count_nonzero"``, ``"fraction"``.
    mask
        Cells that take part: a mask, a Series (aligned by cell names), or a column of `obs`. A
        group that it leaves no cell stays, with sums of 0.
    dof
        Degrees of freedom that a variance loses; it is NaN for groups of no more cells.
    layer
        Aggregate this layer instead of `X`.

    Returns
    -------
    anndata.AnnData
        Groups by features, in memory: a float64 layer for each function (int64 for
        ``"count_nonzero"``), no `X`; `obs` with the groupings and `n_obs_aggregated`, the number of
        cells; `var` of the modality. Groups are called by their labels, joined by ``_``.

    Raises
    ------
    ArgumentError
        If a function is unknown, a grouping is given twice or is of no cell, or the mask is not
        one.
    MissingResultError
        If a column or layer is not there.
    MemoryLimitError
        If the tables exceed the memory limit: 16 bytes (24 for ``"var"``) for each group, feature
        and thread, and once more.

    Notes
    -----
    Passes over X: one, for all groups and functions; cells of no group are not read where they
    lie together. Memory beside the result: the tables of each thread.

    Cells without a label take no part, nor do masked ones: as scanpy's newest version has it.
    Earlier ones divide by the number of all cells of a group where there is a mask.

    References
    ----------
    Variances are found by E. A. Youngs and E. M. Cramer, Some results relevant to choice of sum and
    sum-of-product algorithms, Technometrics 1971. Results are those of scanpy's function of this
    name (Wolf et al., Genome Biology 2018, doi:10.1186/s13059-017-1382-0).

    Examples
    --------
    >>> import lazymu as sc, numpy as np
    >>> X = np.array([[4.0, 0.0], [5.0, 1.0], [0.0, 6.0], [1.0, 6.0]])
    >>> obs = {"sample": ["s1", "s1", "s2", "s2"], "cluster": ["a", "b", "b", "b"]}
    >>> rna = sc.Modality(X, obs=obs, var={"n": [0, 1]})
    >>> bulk = sc.get.aggregate(rna, ["sample", "cluster"], ["sum", "fraction"])
    >>> bulk.obs["n_obs_aggregated"].to_dict()
    {'s1_a': 1, 's1_b': 1, 's2_b': 2}
    >>> bulk.layers["sum"].tolist()
    [[4.0, 0.0], [5.0, 1.0], [1.0, 12.0]]
    """
    import anndata as ad

    modality = as_modality(data)
    funcs = known_functions(func, dof)
    groups = combinations(modality, [by] if isinstance(by, str | pd.Series) else list(by))
    codes = np.where(mask_of_cells(modality, mask), groups.codes, -1)
    matrix = modality.X if layer is None else modality.layers[layer]
    n_cells = np.bincount(codes[codes >= 0], minlength=len(groups.obs))
    found = group_moments(matrix, codes, len(groups.obs), squares="var" in funcs)
    layers = {name: table(name, found, n_cells, dof) for name in funcs}
    groups.obs[keys.N_OBS_AGGREGATED] = n_cells
    return ad.AnnData(layers=layers, obs=groups.obs, var=modality.var.copy())


# --- what is asked for ----------------------------------------------------------------------------


def known_functions(func: str | Iterable[str], dof: int) -> list[str]:
    """Return the functions asked for, each once.

    Raises
    ------
    ArgumentError
        If one is unknown, there is none, or ``dof`` is negative.
    """
    funcs = [func] if isinstance(func, str) else list(dict.fromkeys(func))
    unknown = [name for name in funcs if name not in FUNCS]
    if unknown or not funcs:
        rule = f"functions are {', '.join(map(repr, FUNCS))}"
        got = repr(unknown[0]) if unknown else "empty"
        raise ArgumentError(explain("func", got, rule, "name one or several of them"))
    if dof < 0:
        raise ArgumentError(explain("dof", dof, "it must be 0 or more", "pass 1 for a sample"))
    return funcs


def combinations(modality: Modality, groupings: list[str | pd.Series[Any]]) -> Combinations:
    """Return the groups that groupings make: those combinations of labels that cells have.

    They come in the order of the labels, those of the first grouping first.

    Raises
    ------
    ArgumentError
        If there is no grouping, one is given twice, or no cell has a label in each.
    MissingResultError
        If `obs` has no such column.
    """
    named: dict[str, tuple[Int64s, pd.Index]] = {}
    for grouping in groupings:
        labels, name = labels_of(modality, grouping, argument="by")
        if name in named:
            rule = "each grouping has a column of the result, by its name"
            fix = "leave one out, or rename the Series"
            raise ArgumentError(explain("by", f"{name!r} twice", rule, fix))
        named[name] = codes_and_categories(labels)
    if not named:
        raise ArgumentError(explain("by", "empty", "cells are grouped by it", "name a column"))
    shape = [len(categories) for _, categories in named.values()]
    each = np.stack([codes for codes, _ in named.values()])
    labelled = (each >= 0).all(axis=0)
    if not labelled.any():
        rule, fix = "no cell has a label", "check that a Series has the names of the cells"
        raise ArgumentError(explain("by", repr(list(named)), rule, fix))
    codes = np.full(modality.n_obs, -1, dtype=np.int64)
    flat = np.ravel_multi_index(tuple(each[:, labelled]), shape)
    present, codes[labelled] = np.unique(flat, return_inverse=True)
    parts = {
        name: pd.Categorical.from_codes(own, categories)
        for own, (name, (_, categories)) in zip(
            np.unravel_index(present, shape), named.items(), strict=True
        )
    }
    names = ["_".join(map(str, labels)) for labels in zip(*parts.values(), strict=True)]
    return Combinations(codes, pd.DataFrame(parts, index=pd.Index(names, dtype=str)))


def mask_of_cells(modality: Modality, mask: Bools | pd.Series[Any] | str | None) -> Bools:
    """Return which cells take part.

    Raises
    ------
    ArgumentError
        If the mask is not boolean, or not one entry for each cell.
    MissingResultError
        If `obs` has no such column.
    """
    if mask is None:
        return np.ones(modality.n_obs, dtype=bool)
    if isinstance(mask, str):
        mask, _ = labels_of(modality, mask, argument="mask")
    elif isinstance(mask, pd.Series):
        mask = mask.reindex(modality.obs_names, fill_value=False)
    values: Array = np.asarray(mask)
    if values.dtype != bool or values.shape != (modality.n_obs,):
        got = f"of {values.dtype} and shape {values.shape}"
        rule = f"it must be a boolean mask of the {modality.n_obs} cells"
        raise ArgumentError(explain("mask", got, rule, "pass a mask or a boolean column of obs"))
    return values


# --- what comes out -------------------------------------------------------------------------------


def group_moments(
    matrix: LazyMatrix, codes: Int64s, n_groups: int, *, squares: bool
) -> GroupMoments:
    """Return what each group's values add up to; ``codes`` is -1 for cells of none. One pass.

    Raises
    ------
    MemoryLimitError
        If the tables exceed the memory limit.
    """
    if (codes < 0).any():
        matrix, codes = matrix[codes >= 0], codes[codes >= 0]
    reducer = GroupMomentsReducer(codes, n_groups, matrix.shape[1], squares=squares)
    needed = (settings.n_threads + 1) * reducer.state_bytes
    if needed > working_bytes(settings.memory_limit):
        raise MemoryLimitError(
            explain(
                "by",
                f"{n_groups:,} groups of {matrix.shape[1]:,} features",
                f"their tables take {needed:,} bytes with {settings.n_threads} threads, and the "
                f"memory limit is {settings.memory_limit:,}",
                "select features first (mod[:, genes]), use fewer threads, or set "
                f"lazymu.settings.memory_limit to {needed + 2 * RUNTIME_BYTES:,}",
            )
        )
    found: GroupMoments
    (found,) = run_pass(matrix, reducer, label="aggregate")
    return found


def table(func: str, found: GroupMoments, n_cells: Int64s, dof: int) -> Array:
    """Return the result of one function, (groups, features)."""
    n = n_cells.astype(np.float64)[:, None]
    if func == "sum":
        return found.total
    if func == "count_nonzero":
        return found.nnz.astype(np.int64)
    with np.errstate(invalid="ignore"):
        if func == "mean":
            return found.total / n
        if func == "fraction":
            return found.nnz / n
    _, squares = found.with_zeros(n)
    return squares / np.where(n > dof, n - dof, np.nan)
