"""Modality weights by cluster: boxes in a table."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lazymu import keys
from lazymu.report.charts import keys_to, track
from lazymu.report.columns import Column, all_columns, column_values, used_categories
from lazymu.report.distributions import quartiles
from lazymu.report.markup import Html, scrolling, tag
from lazymu.report.numbers import whole
from lazymu.report.subject import Section, Subject
from lazymu.typing import Float64s

_BOX = 10
_GAP = 3


def weights_section(subject: Subject) -> Section:
    """Return the quartiles of each modality's weight in each cluster."""
    weights = _weights(subject)
    groups = None if subject.clusters is None else column_values(subject.mdata, subject.clusters)
    if not weights or not isinstance(groups, pd.Categorical) or subject.clusters is None:
        why = "The store has one modality, so that there are none."
        if subject.mdata.n_mod > 1 and not weights:
            why = "The store holds no modality weights: run lazymu.pp.neighbors on the MuData."
        elif weights:
            why = "There are modality weights, but no clusters to show them by."
        return Section("weights", "Modality weights", [], [why])
    label = subject.clusters.label(subject.mdata)
    about = (
        "Boxes are quartiles with the median, over all cells of a cluster; lines reach from the "
        "5th to the 95th percentile. The dotted line marks equal weights."
    )
    content = [
        tag("p", about),
        keys_to(*((f"mod-{n % 4}", name) for n, name in enumerate(weights))),
        _table(used_categories(groups), weights, label),
    ]
    return Section("weights", "Modality weights", content, [])


def _weights(subject: Subject) -> dict[str, Float64s]:
    """Return the weight of each modality in each cell, for modalities that have one."""
    mdata = subject.mdata
    found: dict[str, Float64s] = {}
    for column in all_columns(mdata):
        for name in mdata.mod:
            joint = column == Column(None, keys.of_modality(name, keys.MOD_WEIGHT))
            if joint or column == Column(name, keys.MOD_WEIGHT):
                values = column_values(mdata, column)
                if not isinstance(values, pd.Categorical) and np.isfinite(values).any():
                    found[name] = values
    return found if mdata.n_mod > 1 else {}


def _table(groups: pd.Categorical, weights: dict[str, Float64s], label: str) -> Html:
    header = [
        *(tag("th", one, scope="col") for one in (label, "cells")),
        tag("th", tag("span", "0"), tag("span", "weight"), tag("span", "1"), class_="scale"),
        *(tag("th", f"{name}, median", scope="col") for name in weights),
    ]
    rows = []
    for code, category in enumerate(groups.categories):
        members = groups.codes == code
        values = {name: of_all[members & np.isfinite(of_all)] for name, of_all in weights.items()}
        medians = [quartiles(one)[2] for one in values.values()]
        rows.append(
            tag(
                "tr",
                tag("th", category, scope="row"),
                tag("td", whole(int(members.sum()))),
                tag("td", _boxes(list(values.values())), class_="wide"),
                *(tag("td", "—" if np.isnan(m) else f"{m:.2f}") for m in medians),
            )
        )
    made = tag(
        "table",
        tag("caption", f"Modality weights by {label}"),
        tag("thead", tag("tr", *header)),
        tag("tbody", *rows),
        class_="numbers weights",
    )
    return scrolling(made, "modality weights by cluster")


def _boxes(values: list[Float64s]) -> Html:
    height = len(values) * (_BOX + _GAP) + _GAP
    equal = f"{100 / len(values):.1f}%"
    marks = [tag("line", x1=equal, x2=equal, y1=0, y2=height, class_="equal")]
    for n, weights in enumerate(values):
        if not len(weights):
            continue
        low, q1, median, q3, high = (100 * np.percentile(weights, [5, 25, 50, 75, 95])).tolist()
        top = _GAP + n * (_BOX + _GAP)
        middle = top + _BOX / 2
        kind = f"mod-{n % 4}"
        marks += [
            tag("line", x1=_at(low), x2=_at(high), y1=middle, y2=middle, class_=f"whisker {kind}"),
            tag(
                "rect",
                x=_at(q1),
                y=top,
                width=_at(max(q3 - q1, 0.6)),
                height=_BOX,
                class_=f"box {kind}",
            ),
            tag("line", x1=_at(median), x2=_at(median), y1=top, y2=top + _BOX, class_="median"),
        ]
    return track(*marks, height=height)


def _at(percent: float) -> str:
    return f"{percent:.2f}%"
