"""Quality: cells lost at each filter, and distributions before and after."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lazymu import keys
from lazymu.containers import Modality
from lazymu.report.charts import captioned, histogram, keys_to
from lazymu.report.distributions import (
    COUNTED,
    QUALITY_COLUMNS,
    Distribution,
    distribution,
    in_bins,
    quartiles,
)
from lazymu.report.markup import Html, scrolling, tag
from lazymu.report.numbers import share, short, whole
from lazymu.report.subject import Section, Subject
from lazymu.typing import Float64s

_CALLED = {
    keys.N_GENES_BY_COUNTS: "features found in a cell",
    keys.TOTAL_COUNTS: "counts of a cell",
    keys.pct_counts_of("mt"): "mitochondrial counts, %",
}


def quality_section(subject: Subject) -> Section:
    """Return the tables of what filters took, and a histogram of each quality column."""
    content: list[Html] = []
    missing: list[str] = []
    filters = subject.run.filters
    if filters is None:
        missing.append(subject.not_kept("record of the cells lost at each filter"))
    else:
        content += [_lost(filters[filters["axis"] == axis], axis) for axis in ("cells", "features")]
    if not subject.run.quality:
        missing.append(subject.not_kept("quality of the cells before the filters"))
    else:
        legend = (("before", "before the filters"), ("now", "now"), ("limit", "limit"))
        content.append(keys_to(*legend))
    for name, modality in subject.mdata.mod.items():
        pictures = _pictures(subject, name, modality)
        if pictures:
            content.append(tag("h3", name))
            content.append(tag("div", *pictures, class_="figures"))
        else:
            missing.append(f"{name} has no quality columns: run lazymu.pp.calculate_qc_metrics.")
    return Section("quality", "Quality and filters", content, missing)


def _lost(filters: pd.DataFrame, axis: str) -> Html:
    """Return what each filter took of the cells or features of each modality, with sums."""
    bodies = []
    for name, steps in filters.groupby("modality", sort=False):
        rows = [
            _step(name, step["rule"], step["before"], step["after"]) for _, step in steps.iterrows()
        ]
        first, last = steps["before"].iloc[0], steps["after"].iloc[-1]
        total = _step(name, "all filters", first, last, class_="total")
        bodies.append(tag("tbody", *rows, total))
    header = ("modality", f"keep {axis}", "before", "lost", "share", "kept")
    made = tag(
        "table",
        tag("caption", f"{axis.capitalize()} lost at each filter"),
        tag("thead", tag("tr", *(tag("th", one, scope="col") for one in header))),
        *bodies,
        id=f"lost-{axis}",
        class_="filters",
    )
    return scrolling(made, f"{axis} lost at each filter")


def _step(name: object, rule: str, before: float, after: float, class_: str | None = None) -> Html:
    lost = before - after
    numbers = (whole(before), whole(lost), share(lost, before), whole(after))
    cells = (tag("th", name, scope="row"), tag("td", rule), *(tag("td", n) for n in numbers))
    return tag("tr", *cells, class_=class_)


def _pictures(subject: Subject, name: str, modality: Modality) -> list[Html]:
    found = []
    for column in QUALITY_COLUMNS:
        if column not in modality.obs:
            continue
        values = pd.to_numeric(modality.obs[column], "coerce").to_numpy(dtype=np.float64)
        before = subject.run.quality.get(name, {}).get(column)
        shown = before or distribution(values, counted=column in COUNTED)
        if shown is not None:
            found.append(_picture(name, column, values, shown, is_before=before is not None))
    return found


def _picture(
    name: str, column: str, values: Float64s, shown: Distribution, *, is_before: bool
) -> Html:
    now = quartiles(values[np.isfinite(values)])
    medians = f"median {short(now[2])}, quartiles {short(now[1])} and {short(now[3])}"
    cells = f"{whole(len(values))} cells"
    caption = f"{column}. Now: {cells}, {medians}."
    if is_before:
        was = shown.quartiles
        caption += (
            f" Before: {whole(shown.n_cells)} cells, median {short(was[2])}, "
            f"quartiles {short(was[1])} and {short(was[3])}."
        )
    outside = shown.n_cells - int(shown.counts.sum())
    if outside:
        caption += f" {whole(outside)} cells with 0 are not drawn."
    picture = histogram(in_bins(values, shown.edges), shown, f"{name}: {caption}", _CALLED[column])
    return captioned(picture, caption)
