"""The columns of all `obs` tables, their values by joint cell, and which of them say most."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from lazymu import keys
from lazymu.containers import Modality, MuData
from lazymu.pl.draw.palette import distinct_colors
from lazymu.pl.groups import colors_key
from lazymu.pl.values import CellValues, Groups, plain_values
from lazymu.report.packing import MOST_CATEGORIES
from lazymu.report.records import RunRecord
from lazymu.typing import Float64s, Int64s

_CLUSTERS = re.compile(rf"({keys.LEIDEN}|{keys.LOUVAIN}|cluster|seurat_clusters)", re.IGNORECASE)
_SAMPLES = (
    *("cell_type", "celltype", "cell_types", "annotation", "truth"),
    *("sample", "sample_id", "batch", "donor", "donor_id", "patient", "condition", "orig.ident"),
)
_DERIVED = (keys.log1p_of(""), f"{keys.N_GENES}$", f"{keys.N_COUNTS}$")
_HEX = re.compile(r"#[0-9a-fA-F]{6}([0-9a-fA-F]{2})?")


class Column(NamedTuple):
    """A column of the joint `obs`, or of a modality's."""

    modality: str | None
    name: str

    def label(self, mdata: MuData) -> str:
        """Return what the page calls it: without the modality where there is only one."""
        if self.modality is None or mdata.n_mod == 1:
            return self.name
        return keys.of_modality(self.modality, self.name)


def all_columns(mdata: MuData) -> Iterator[Column]:
    """Yield the columns, joint ones first; those that are there twice once."""
    joint = [str(name) for name in mdata.obs.columns]
    yield from (Column(None, name) for name in joint)
    for key, modality in mdata.mod.items():
        for name in map(str, modality.obs.columns):
            if keys.of_modality(key, name) not in joint:
                yield Column(key, name)


def is_derived(column: Column) -> bool:
    """Whether a column says again what another says."""
    return any(re.match(pattern, column.name) for pattern in _DERIVED)


def owner(mdata: MuData, column: Column) -> MuData | Modality:
    """Return what has the column in its `obs`."""
    return mdata if column.modality is None else mdata.mod[column.modality]


def joint_rows(mdata: MuData, modality: str | None) -> Int64s:
    """Return the row of a modality for each joint cell, -1 where it has it not."""
    return np.arange(mdata.n_obs) if modality is None else mdata.obs_positions(modality)


def column_values(mdata: MuData, column: Column) -> CellValues:
    """Return the value of each joint cell: categories, or numbers with NaN where missing."""
    values = plain_values(owner(mdata, column).obs[column.name])
    rows = joint_rows(mdata, column.modality)
    # Row -1, of cells that a modality has not, takes what is appended.
    if isinstance(values, pd.Categorical):
        return pd.Categorical.from_codes(np.append(values.codes, -1)[rows], dtype=values.dtype)
    placed: Float64s = np.append(values, np.nan)[rows]
    return placed


def used_categories(values: Groups) -> Groups:
    """Return categories without those that no cell has."""
    return values.remove_unused_categories()


def colors_of(mdata: MuData, column: Column, labels: Sequence[str]) -> list[str]:
    """Return a colour for each category: those stored in `uns`, as hex, or else distinct ones."""
    stored = owner(mdata, column).uns.get(colors_key(column.name))
    categories = plain_values(owner(mdata, column).obs[column.name])
    if stored is not None and isinstance(categories, pd.Categorical):
        known = [str(color) for color in np.atleast_1d(np.asarray(stored, dtype=object))]
        names = [str(name) for name in categories.categories]
        if len(known) >= len(names) and all(_HEX.fullmatch(color) for color in known):
            by_name = dict(zip(names, known, strict=False))
            return [by_name[label][:7] for label in labels]
    return list(distinct_colors(len(labels)))


def cluster_column(mdata: MuData, run: RunRecord) -> Column | None:
    """Return the clusters: those that the run made, that markers are of, or that are named so."""
    known = list(all_columns(mdata))
    wanted = [] if run.clusterings is None else run.clusterings["key"].tolist()
    for modality in mdata.mod.values():
        ranked = modality.uns.get(keys.RANK_GENES_GROUPS)
        if isinstance(ranked, dict) and isinstance(ranked.get("params"), dict):
            wanted.append(str(ranked["params"].get("groupby")))
    for name in wanted:
        found = next((c for c in known if name in (c.name, c.label(mdata))), None)
        if found is not None:
            return found
    return next((c for c in known if _CLUSTERS.match(c.name) and _is_grouping(mdata, c)), None)


def compared_column(mdata: MuData, run: RunRecord, clusters: Column | None) -> Column | None:
    """Return what clusters are seen beside: known labels, samples, or any other categories."""
    known = [column for column in all_columns(mdata) if column != clusters]
    for name in (run.truth, *_SAMPLES):
        for column in known:
            if name and column.name.lower() == name.lower() and _is_grouping(mdata, column):
                return column
    others = [c for c in known if not _CLUSTERS.match(c.name) and _is_grouping(mdata, c)]
    return others[0] if others else None


def _is_grouping(mdata: MuData, column: Column) -> bool:
    """Whether a column has categories, and not too many to be told apart."""
    series = owner(mdata, column).obs[column.name]
    numbers = pd.api.types.is_numeric_dtype(series) and not pd.api.types.is_bool_dtype(series)
    return not numbers and 1 <= series.nunique() <= MOST_CATEGORIES
