"""The run: time and memory by stage, parameters, versions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from lazymu.report.charts import meter
from lazymu.report.markup import Html, scrolling, table, tag
from lazymu.report.numbers import duration, size, whole
from lazymu.report.subject import Section, Subject


def run_section(subject: Subject) -> Section:
    """Return tables of stages, parameters and versions, and what the machine was given."""
    run = subject.run
    content: list[Html] = []
    missing: list[str] = []
    if run.source:
        content.append(tag("p", "Source: ", tag("code", run.source), "."))
    if run.machine:
        told = ", ".join(_machine(run.machine))
        content.append(tag("p", f"{told}."))
    if run.stages is not None and len(run.stages):
        content.append(_stages(run.stages))
    else:
        missing.append(subject.not_kept("times and memory of stages"))
    pair: list[Html] = []
    for kept, what, made in (
        (run.params, "parameters", _parameters),
        (run.versions, "versions of packages", _versions),
    ):
        if kept:
            pair.append(made(kept))
        else:
            missing.append(subject.not_kept(what))
    if pair:
        content.append(tag("div", *pair, class_="pair"))
    return Section("run", "Stages, parameters, versions", content, missing)


def _machine(machine: Mapping[str, Any]) -> Iterator[str]:
    if "memory_limit" in machine:
        yield f"Memory limit {size(float(machine['memory_limit']))}"
    if "n_threads" in machine:
        yield f"{int(machine['n_threads'])} threads"
    if "system" in machine:
        yield str(machine["system"])


def _stages(stages: pd.DataFrame) -> Html:
    longest = float(np.nanmax(stages["seconds"], initial=0.0))
    largest = float(stages["peak_bytes"].max())
    rows = []
    for _, stage in stages.iterrows():
        seconds, peak = float(stage["seconds"]), float(stage["peak_bytes"])
        rows.append(
            tag(
                "tr",
                tag("th", stage["label"], scope="row"),
                tag("td", "—" if np.isnan(seconds) else duration(seconds)),
                tag("td", meter(seconds, longest), class_="bar"),
                tag("td", size(peak) if peak else "—"),
                tag("td", meter(peak, largest), class_="bar"),
                tag("td", whole(stage["n_passes"]) if stage["n_passes"] else ""),
                tag("td", whole(stage["n_values"]) if stage["n_values"] else ""),
            )
        )
    total = tag(
        "tr",
        tag("th", "all", scope="row"),
        tag("td", duration(float(np.nansum(stages["seconds"])))),
        tag("td"),
        tag("td", size(largest)),
        tag("td"),
        tag("td", whole(stages["n_passes"].sum())),
        tag("td", whole(stages["n_values"].sum())),
        class_="total",
    )
    names = ("stage", "time", "", "peak memory", "", "passes", "values read")
    header = tag("tr", *(tag("th", n, scope="col") if n else tag("td") for n in names))
    made = tag(
        "table",
        tag("caption", "Time and memory by stage"),
        tag("thead", header),
        tag("tbody", *rows, total),
        class_="numbers stages",
        id="stages",
    )
    return scrolling(made, "time and memory by stage")


def _parameters(params: Mapping[str, Any]) -> Html:
    rows = [
        (section, name, _written(value))
        for section, values in sorted(params.items())
        if isinstance(values, Mapping)
        for name, value in sorted(values.items())
    ]
    return table(("section", "parameter", "value"), rows, caption="Parameters", class_="words")


def _written(value: Any) -> str:
    if isinstance(value, np.ndarray | list | tuple):
        return ", ".join(_written(one) for one in value)
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float | np.floating) else str(value) or "—"


def _versions(versions: Mapping[str, str]) -> Html:
    return table(
        ("package", "version"), sorted(versions.items()), caption="Versions", class_="words"
    )
