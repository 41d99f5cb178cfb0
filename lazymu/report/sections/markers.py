"""Markers: the best features of each cluster, in a table that sorts and filters."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from lazymu import keys
from lazymu.pl.values import natural_order
from lazymu.report.features import marker_table
from lazymu.report.markup import Html, scrolling, tag
from lazymu.report.numbers import short
from lazymu.report.subject import Section, Subject

MOST_ROWS = 3000
_SHOWN = 20
_NUMBERS = {
    "scores": "score",
    "logfoldchanges": "log2 fold change",
    "pvals_adj": "adjusted p",
    "pct_nz_group": "found in cluster",
    "pct_nz_reference": "found in others",
}


def markers_section(subject: Subject) -> Section:
    """Return the ranked features of every modality that has any."""
    content: list[Html] = []
    for name, modality in subject.mdata.mod.items():
        ranked = marker_table(modality)
        if ranked is not None and len(ranked):
            content += _table(name, ranked, _method(modality.uns[keys.RANK_GENES_GROUPS]))
    if content:
        return Section("markers", "Markers", content, [])
    missing = "No features were ranked by cluster: run lazymu.tl.rank_genes_groups."
    return Section("markers", "Markers", [], [missing])


def _method(result: object) -> str:
    params = result.get("params") if isinstance(result, dict) else None
    if not isinstance(params, dict):
        return ""
    against = str(params.get("reference", "rest"))
    others = "all other cells" if against == "rest" else f"cluster {against}"
    return f"By {params.get('method', 'an unknown test')}, each cluster against {others}."


def _table(name: str, ranked: pd.DataFrame, method: str) -> list[Html]:
    groups = natural_order(ranked["group"].astype(str).unique().tolist())
    shown = max(1, min(_SHOWN, MOST_ROWS // len(groups)))
    rank = ranked.groupby("group", observed=True).cumcount() + 1
    best = ranked.assign(rank=rank)[rank <= shown]
    key = f"markers-{name}"
    numbers = {k: v for k, v in _NUMBERS.items() if k in best and best[k].notna().any()}
    header = [
        _sortable("cluster", "text"),
        _sortable("rank", "number"),
        _sortable("feature", "text"),
        *(_sortable(title, "number") for title in numbers.values()),
    ]
    made = tag(
        "table",
        tag("caption", f"{name}: the first {shown} features of each cluster"),
        tag("thead", tag("tr", *header)),
        tag("tbody", *_rows(best, list(numbers))),
        class_="markers sortable",
        id=key,
    )
    return [
        tag("h3", name),
        tag("p", f"{method} The first {shown} of each cluster are shown."),
        _controls(key, groups, len(best)),
        scrolling(made, f"markers of {name}", "scroll tall"),
    ]


def _sortable(title: str, kind: str) -> Html:
    button = tag("button", title, tag("span", aria_hidden="true", class_="arrow"), type="button")
    return tag("th", button, scope="col", data_kind=kind, aria_sort="none")


def _rows(best: pd.DataFrame, numbers: list[str]) -> Iterator[Html]:
    columns = [best[column].to_numpy(dtype=np.float64) for column in numbers]
    words = zip(best["group"].astype(str), best["rank"], best["names"].astype(str), strict=True)
    for row, (group, rank, feature) in enumerate(words):
        values = [float(column[row]) for column in columns]
        yield tag(
            "tr",
            tag("td", group),
            tag("td", rank, data_value=rank),
            tag("td", feature),
            *(tag("td", short(v), data_value=repr(v) if np.isfinite(v) else "") for v in values),
        )


def _controls(key: str, groups: list[str], n_rows: int) -> Html:
    """Return what the table is filtered by; the script brings it to life."""
    options = [tag("option", "all clusters", value=""), *(tag("option", one) for one in groups)]
    return tag(
        "div",
        tag("label", "Feature ", tag("input", type="search", data_filter=key, autocomplete="off")),
        tag("label", "Cluster ", tag("select", *options, data_group=key)),
        tag("output", f"{n_rows:,} rows", data_count=key, aria_live="polite"),
        class_="controls",
    )
