"""Cells in two dimensions: what the page's script draws, and the lists to pick from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from lazymu import keys
from lazymu.containers import Modality, MuData
from lazymu.errors import LazyMuError
from lazymu.pl.coordinates import find_embedding
from lazymu.report.columns import (
    Column,
    all_columns,
    colors_of,
    column_values,
    is_derived,
    joint_rows,
    used_categories,
)
from lazymu.report.features import (
    MOST_OF_ALL,
    MOST_SHOWN,
    chosen_features,
    feature_values,
    has_matrix,
)
from lazymu.report.markup import Html, tag
from lazymu.report.numbers import whole
from lazymu.report.packing import MISSING, MOST_CATEGORIES, grid_positions, levels, packed
from lazymu.report.sampling import drawn_cells
from lazymu.report.subject import Section, Subject
from lazymu.typing import Array, Floats, Int64s

MOST_POINTS = 100_000
MOST_COLUMNS = 24
_BASES = ("X_umap", "X_tsne", "X_pca", "X_lsi")
_NAMES = {"X_umap": "UMAP", "X_tsne": "t-SNE", "X_pca": "PCA", "X_lsi": "LSI"}
_ANNOTATION = "annotation of cells"


class Cells(NamedTuple):
    """The section, and the data that its script reads."""

    section: Section
    data: dict[str, Any]


class _Picked(NamedTuple):
    """An entry of the pick-lists."""

    group: str
    label: str
    data: dict[str, Any]


def cells_section(subject: Subject) -> Cells:
    """Return two pictures of the cells with pick-lists of columns and features."""
    title = "Cells"
    found = _embedding(subject)
    if found is None:
        missing = "The store holds no embedding to draw: run lazymu.tl.umap."
        return Cells(Section("cells", title, [], [missing]), {})
    name, coordinates = found
    placed = np.flatnonzero(np.isfinite(coordinates).all(axis=1))
    drawn = placed[drawn_cells(_groups(subject)[placed], MOST_POINTS)]
    columns, left_out = _columns(subject)
    picked = [_column_entry(subject, column, drawn) for column in columns]
    reasons: list[str] = []
    picked += _feature_entries(subject, drawn, reasons)
    if not picked:
        missing = "The store holds no column of obs and no feature to colour cells by."
        return Cells(Section("cells", title, [], [missing]), {})
    x, y = grid_positions(coordinates[drawn])
    data = {
        "n": len(drawn),
        "x": packed(x),
        "y": packed(y),
        "columns": [{"name": one.label, **one.data} for one in picked],
    }
    first = _position(columns, subject.clusters, 0)
    second = _position(columns, subject.compared, min(1, len(picked) - 1))
    content = [
        tag("p", _about(subject, name, len(placed), len(drawn))),
        tag("div", _view(0, picked, first), _view(1, picked, second), class_="views"),
        *(tag("p", reason, class_="note") for reason in reasons),
    ]
    if left_out:
        told = ", ".join(left_out)
        content.append(tag("p", f"Columns not in the lists: {told}.", class_="note"))
    return Cells(Section("cells", title, content, []), data)


def _embedding(subject: Subject) -> tuple[str, Floats] | None:
    """Return the first embedding that there is: joint before a modality's, UMAP before others."""
    mdata = subject.mdata
    for key in _BASES:
        names = [key, *(keys.of_modality(mod, key) for mod in mdata.mod)]
        owners: tuple[MuData | Modality, ...] = (mdata, *mdata.mod.values())
        for name, owner in zip(names, owners, strict=True):
            if key not in owner.obsm:
                continue
            try:
                coordinates = find_embedding(mdata, name).coordinates
            except (LazyMuError, TypeError, ValueError):  # another tool's form
                continue
            if coordinates.ndim == 2 and coordinates.shape[1] >= 2:
                flat = coordinates[:, :2]
                if np.isfinite(flat).all(axis=1).any():
                    whose = "joint " if owner is mdata and mdata.n_mod > 1 else ""
                    of = f" of {name.partition(':')[0]}" if owner is not mdata else ""
                    return f"{whose}{_NAMES[key]}{of if mdata.n_mod > 1 else ''}", flat
    return None


def _groups(subject: Subject) -> Int64s:
    """Return a number for each cell's cluster, by which a sample keeps rare ones."""
    if subject.clusters is None:
        return np.zeros(subject.mdata.n_obs, dtype=np.int64)
    values = column_values(subject.mdata, subject.clusters)
    codes = values.codes if isinstance(values, pd.Categorical) else np.zeros(len(values))
    return np.asarray(codes, dtype=np.int64)


def _about(subject: Subject, name: str, n_placed: int, n_drawn: int) -> str:
    n_cells = subject.mdata.n_obs
    text = f"Cells on the {name}."
    if n_drawn < n_placed:
        text += (
            f" Drawn are {whole(n_drawn)} of {whole(n_placed)} cells, a random sample with a fixed "
            "seed that keeps rare clusters; numbers beside the categories are of all cells."
        )
    if n_placed < n_cells:
        text += f" Cells without coordinates: {whole(n_cells - n_placed)}."
    return text + " A click on a category shows it alone."


def _columns(subject: Subject) -> tuple[list[Column], list[str]]:
    """Return the columns to pick from, the most telling first, and names of those left out."""
    ranked: list[tuple[int, Column]] = []
    left_out: list[str] = []
    for column in all_columns(subject.mdata):
        if is_derived(column):
            continue
        values = column_values(subject.mdata, column)
        is_category = isinstance(values, pd.Categorical)
        n = len(used_categories(values).categories) if isinstance(values, pd.Categorical) else 1
        empty = n == 0 if is_category else not np.isfinite(np.asarray(values)).any()
        if empty or n > MOST_CATEGORIES:
            left_out.append(column.label(subject.mdata))
            continue
        looked_at = column in (subject.clusters, subject.compared)
        ranked.append((0 if looked_at else 1 if is_category else 2, column))
    ranked.sort(key=lambda pair: pair[0])
    ordered = [column for _, column in ranked]
    left_out += [column.label(subject.mdata) for column in ordered[MOST_COLUMNS:]]
    return ordered[:MOST_COLUMNS], left_out


def _column_entry(subject: Subject, column: Column, drawn: Int64s) -> _Picked:
    label = column.label(subject.mdata)
    values = column_values(subject.mdata, column)
    if not isinstance(values, pd.Categorical):
        return _Picked(_ANNOTATION, label, _numbers(values[drawn]))
    used = used_categories(values)
    labels = [str(one) for one in used.categories]
    counts = np.bincount(used.codes[used.codes >= 0], minlength=len(labels))
    codes = np.where(used.codes < 0, MISSING, used.codes.astype(np.int64)).astype(np.uint8)
    data = {
        "kind": "categories",
        "labels": labels,
        "colors": colors_of(subject.mdata, column, labels),
        "counts": counts.tolist(),
        "values": packed(codes[drawn]),
    }
    return _Picked(_ANNOTATION, label, data)


def _numbers(values: Array) -> dict[str, Any]:
    codes, scale = levels(np.asarray(values, dtype=np.float64))
    return {"kind": "numbers", **scale._asdict(), "values": packed(codes)}


def _feature_entries(subject: Subject, drawn: Int64s, reasons: list[str]) -> Iterator[_Picked]:
    """Yield the features of each modality; why these goes into ``reasons``."""
    mdata = subject.mdata
    most = min(MOST_SHOWN, MOST_OF_ALL // max(1, mdata.n_mod))
    for name, modality in mdata.mod.items():
        if not has_matrix(modality):
            reasons.append(f"Features of {name} to pick: none, as it has no X.")
            continue
        choice = chosen_features(modality, most)
        reasons.append(f"Features of {name} to pick: {choice.reason}.")
        rows = joint_rows(mdata, name)[drawn]
        values = feature_values(modality, choice.positions, rows)
        for position in choice.positions:
            feature = str(modality.var_names[position])
            yield _Picked(f"features of {name}", feature, _numbers(values[position]))


def _position(columns: list[Column], wanted: Column | None, otherwise: int) -> int:
    return columns.index(wanted) if wanted in columns else otherwise


def _view(number: int, picked: list[_Picked], chosen: int) -> Html:
    """Return one picture with its list; the script draws into it."""
    groups: dict[str, list[Html]] = {}
    for n, one in enumerate(picked):
        option = tag("option", one.label, value=n, selected=n == chosen)
        groups.setdefault(one.group, []).append(option)
    options = [tag("optgroup", *some, label=label) for label, some in groups.items()]
    select = tag("select", *options, id=f"pick-{number}", autocomplete="off")
    canvas = tag(
        "canvas",
        "A picture of the cells, drawn by the script of this page.",
        id=f"cells-{number}",
        role="img",
        aria_label=f"cells coloured by {picked[chosen].label}",
    )
    return tag(
        "div",
        tag("label", "Colour by ", select, for_=f"pick-{number}"),
        tag("div", canvas, class_="stage"),
        tag("div", id=f"legend-{number}", class_="legend"),
        class_="view",
    )
