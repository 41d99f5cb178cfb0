"""Which droplets are cells and which hold only background: the matrices that DSB compares."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from lazymu import keys
from lazymu.containers import Modality, MuData, as_modality, read
from lazymu.containers.names import require_unique
from lazymu.errors import ArgumentError, EmptyResultError, MissingResultError, explain
from lazymu.stream import LazyMatrix
from lazymu.stream.sums import cell_sums
from lazymu.typing import Bools

Range = tuple[float, float]


class Droplets(NamedTuple):
    """Cells, and the antibody counts of empty droplets with the cells' proteins."""

    cells: Modality
    empty: LazyMatrix
    selected: MuData | None
    """The cells of all modalities, where they were selected from the unfiltered data."""


def find_droplets(
    data: Modality | MuData,
    data_raw: Modality | MuData | str | Path | None,
    empty_range: Range | None,
    cell_range: Range | None,
) -> Droplets:
    """Return cells and empty droplets, from one unfiltered MuData or from two objects."""
    if data_raw is None:
        return split_by_counts(data, empty_range, cell_range)
    raw: Any = read(data_raw) if isinstance(data_raw, str | Path) else data_raw
    cells = as_modality(data, kinds=keys.PROT_ALIASES)
    unfiltered = as_modality(raw, kinds=keys.PROT_ALIASES)
    require_unique(cells.obs_names, axis=0)
    is_empty: Bools = ~unfiltered.obs_names.isin(cells.obs_names)
    if empty_range is not None:
        is_empty &= in_range(log10_counts(rna_of(raw, "data_raw"), unfiltered), empty_range)
    return Droplets(cells, background(unfiltered, is_empty, cells.var_names), None)


def split_by_counts(
    data: Modality | MuData, empty_range: Range | None, cell_range: Range | None
) -> Droplets:
    """Return cells and empty droplets of unfiltered data, by their RNA counts."""
    if empty_range is None or cell_range is None:
        rule = "without `data_raw` the data are unfiltered, and ranges of counts tell cells apart"
        fix = "pass empty_counts_range=(1.5, 2.8), cell_counts_range=(3, 5) (log10), or data_raw"
        got = f"{empty_range}" if empty_range is None else f"{cell_range}"
        name = "empty_counts_range" if empty_range is None else "cell_counts_range"
        raise ArgumentError(explain(name, got, rule, fix))
    if max(empty_range) > min(cell_range):
        rule = f"it must lie below cell_counts_range={cell_range}"
        raise ArgumentError(explain("empty_counts_range", empty_range, rule, "part the ranges"))
    rna, prot = rna_of(data, "data"), as_modality(data, kinds=keys.PROT_ALIASES)
    counts = log10_counts(rna, prot)
    names = prot.obs_names[in_range(counts, cell_range)]
    if not len(names):
        rule = f"no droplet has log10 counts within {cell_range}"
        raise EmptyResultError(explain("cell_counts_range", cell_range, rule, "widen it"))
    empty = background(prot, in_range(counts, empty_range), prot.var_names)
    assert isinstance(data, MuData)  # rna_of takes nothing else
    selected: MuData = data[list(names)]
    return Droplets(as_modality(selected, kinds=keys.PROT_ALIASES), empty, selected)


def rna_of(data: Any, argument: str) -> Modality:
    """Return the RNA modality by whose counts droplets are told apart."""
    if not isinstance(data, MuData):
        rule = "ranges of counts are of RNA counts"
        fix = "pass a MuData with modalities 'rna' and 'prot'"
        raise ArgumentError(explain(argument, f"a {type(data).__name__}", rule, fix))
    return as_modality(data, kinds=keys.RNA_ALIASES)


def log10_counts(rna: Modality, prot: Modality) -> pd.Series[float]:
    """Return ``log10(RNA counts + 1)`` of the droplets of ``prot``, by name; NaN where unknown."""
    totals = pd.Series(np.log10(cell_sums(rna.X).total + 1), index=rna.obs_names)
    return totals.reindex(prot.obs_names)


def in_range(values: pd.Series[float], bounds: Range) -> Bools:
    """Return which values lie within bounds, the upper one excluded."""
    return ((values >= min(bounds)) & (values < max(bounds))).to_numpy()


def background(unfiltered: Modality, is_empty: Bools, proteins: pd.Index) -> LazyMatrix:
    """Return the counts of the empty droplets, with the cells' proteins in their order."""
    if is_empty.sum() < 2:
        rule = "the background needs at least 2 droplets that are not cells"
        fix = "pass the unfiltered droplets, or widen empty_counts_range"
        got = f"with {int(is_empty.sum())} empty droplets"
        raise EmptyResultError(explain("data_raw", got, rule, fix))
    missing = proteins[~proteins.isin(unfiltered.var_names)]
    if len(missing):
        rule = f"it lacks {len(missing)} of the proteins of `data`, such as {missing[0]!r}"
        got = f"with {unfiltered.n_vars} proteins"
        raise MissingResultError(explain("data_raw", got, rule, "pass the same panel"))
    return unfiltered[np.flatnonzero(is_empty), list(proteins)].X
