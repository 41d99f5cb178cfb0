"""Components: variance along each, and correlation with sequencing depth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lazymu import keys
from lazymu.containers import Modality
from lazymu.report.charts import bars, captioned
from lazymu.report.markup import Html, tag
from lazymu.report.numbers import short
from lazymu.report.subject import Section, Subject
from lazymu.typing import Float64s, Int64s

DEPTH_LIMIT = 0.75


def components_section(subject: Subject) -> Section:
    """Return variance by principal and LSI component, and the depth that the latter follow."""
    content: list[Html] = []
    missing: list[str] = []
    for name, modality in subject.mdata.mod.items():
        pictures = [*_of_pca(name, modality), *_of_lsi(name, modality)]
        content += pictures
        if not pictures:
            missing.append(f"{name} has no record of PCA or LSI components.")
    content = [tag("div", *content, class_="figures")] if content else []
    return Section("components", "Components", content, missing)


def _of_pca(name: str, modality: Modality) -> list[Html]:
    ratio = _vector(modality.uns.get(keys.PCA), "variance_ratio")
    if ratio is None:
        return []
    total = 100 * float(ratio.sum())
    caption = (
        f"{name}, PCA: the {len(ratio)} components have {total:.1f} % of the variance of the "
        f"features used, the first {100 * float(ratio[0]):.1f} %."
    )
    numbers = np.arange(1, len(ratio) + 1)
    return [captioned(bars(numbers, 100 * ratio, caption, "variance, %"), caption)]


def _of_lsi(name: str, modality: Modality) -> list[Html]:
    kept = modality.uns.get(keys.UNS_LSI)
    stdev = _vector(kept, "stdev")
    if stdev is None or not isinstance(kept, Mapping):
        return []
    dropped = _dropped(kept)
    numbers = np.setdiff1d(np.arange(len(stdev) + len(dropped)), dropped)[: len(stdev)] + 1
    caption = f"{name}, LSI: variance S²/(n-1) along each component that is kept."
    pictures = [captioned(bars(numbers, stdev**2, caption, "variance"), caption)]
    depth = _vector(kept, "depth_corr")
    if depth is None or len(depth) != len(stdev):
        return pictures
    return [*pictures, _depth(name, numbers, depth, dropped, kept)]


def _depth(
    name: str, numbers: Int64s, depth: Float64s, dropped: Int64s, kept: Mapping[str, Any]
) -> Html:
    """Return the correlation of each component with depth, those left out marked."""
    correlation = _vector(kept, "dropped_depth_corr")
    marked = np.zeros(len(numbers), dtype=bool)
    caption = f"{name}, LSI: correlation with log counts of a cell; the limit is ±{DEPTH_LIMIT:g}."
    if len(dropped):
        told = ", ".join(str(one + 1) for one in dropped)
        caption += f" Left out: component {told}"
        if correlation is not None and len(correlation) == len(dropped):
            caption += f" ({', '.join(short(float(r)) for r in correlation)})"
            numbers = np.concatenate([numbers, dropped + 1])
            depth = np.concatenate([depth, correlation])
            marked = np.concatenate([marked, np.ones(len(dropped), dtype=bool)])
        caption += "."
    picture = bars(
        numbers,
        depth,
        caption,
        "correlation",
        marked=marked.tolist(),
        reach=(-1.0, 1.0),
        lines=(-DEPTH_LIMIT, DEPTH_LIMIT),
    )
    return captioned(picture, caption)


def _dropped(kept: Mapping[str, Any]) -> Int64s:
    try:
        return np.atleast_1d(np.asarray(kept.get("dropped", ()))).astype(np.int64)
    except (TypeError, ValueError):
        return np.zeros(0, dtype=np.int64)


def _vector(kept: Any, name: str) -> Float64s | None:
    """Return an array of a result, None where there is none with numbers in it."""
    if not isinstance(kept, Mapping) or name not in kept:
        return None
    try:
        values = np.asarray(kept[name], dtype=np.float64)
    except (TypeError, ValueError):
        return None
    return values if values.ndim == 1 and len(values) and np.isfinite(values).all() else None
