"""Summary: how much there is, and what was run."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from lazymu.report.columns import column_values, used_categories
from lazymu.report.markup import Html, table, tag
from lazymu.report.numbers import duration, short, size, whole
from lazymu.report.subject import Section, Subject


def summary_section(subject: Subject) -> Section:
    """Return sizes, clusters and their agreement with known labels, stages and notes."""
    cards = [
        tag("div", tag("dt", name), tag("dd", value), class_="card")
        for name, value in _facts(subject)
    ]
    content = [tag("dl", *cards, class_="cards"), _modalities(subject), *_clusterings(subject)]
    stages = subject.run.stages
    missing = []
    if stages is not None:
        done = " → ".join(stages["label"])
        content.append(tag("p", tag("strong", "What was run: "), done, "."))
    else:
        missing.append(subject.not_kept("list of stages that were run"))
    if subject.run.notes:
        notes = tag("ul", *(tag("li", note) for note in subject.run.notes))
        content += [tag("h3", "Notes of the run"), notes]
    if subject.clusters is None:
        missing.append("No column of clusters was found: run lazymu.tl.leiden.")
    return Section("summary", "Summary", content, missing)


def _facts(subject: Subject) -> Iterator[tuple[str, str]]:
    mdata, run = subject.mdata, subject.run
    yield "cells", whole(mdata.n_obs)
    for name, modality in mdata.mod.items():
        yield f"{name} features", whole(modality.n_vars)
    if subject.clusters is not None:
        groups = column_values(mdata, subject.clusters)
        if isinstance(groups, pd.Categorical):
            yield "clusters", whole(len(used_categories(groups).categories))
        else:
            yield "clusters", whole(len(np.unique(groups[np.isfinite(groups)])))
    if run.clusterings is not None and len(run.clusterings):
        ari = float(run.clusterings["ari"].iloc[0])
        if np.isfinite(ari):
            yield f"ARI with {run.truth}", f"{ari:.3f}"
    if run.stages is not None and len(run.stages):
        yield "time", duration(float(np.nansum(run.stages["seconds"])))
        yield "peak memory", size(float(run.stages["peak_bytes"].max()))


def _modalities(subject: Subject) -> Html:
    """Return cells and features of each modality, before and after where that is known."""
    mdata, sizes = subject.mdata, subject.run.sizes
    before = {} if sizes is None else {row["modality"]: row for _, row in sizes.iterrows()}
    rows = []
    for name, modality in mdata.mod.items():
        was = before.get(name)
        first = ("—", "—") if was is None else (was["cells_before"], was["features_before"])
        cells, features = (one if isinstance(one, str) else whole(one) for one in first)
        found = ", ".join([*modality.obsm, *modality.layers]) or "—"
        rows.append((name, cells, whole(modality.n_obs), features, whole(modality.n_vars), found))
    header = ("modality", "cells at first", "now", "features at first", "now", "obsm and layers")
    return table(header, rows, caption="Modalities", class_="numbers")


def _clusterings(subject: Subject) -> list[Html]:
    found = subject.run.clusterings
    if found is None or not len(found):
        return []
    rows = [
        [row["key"], short(row["resolution"]), whole(row["n_clusters"]), short(row["ari"])]
        for _, row in found.iterrows()
    ]
    header = ["column", "resolution", "clusters", f"ARI with {subject.run.truth}"]
    if found["ari"].isna().all():
        header, rows = header[:3], [row[:3] for row in rows]
    return [table(header, rows, caption="Clusterings", class_="numbers")]
