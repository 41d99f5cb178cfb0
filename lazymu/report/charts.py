"""Figures as SVG elements; colours and type are the style sheet's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lazymu.report.distributions import Distribution
from lazymu.report.markup import Html, joined, tag
from lazymu.report.numbers import short
from lazymu.typing import Float64s, Int64s

WIDTH, HEIGHT = 360, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 18, 10, 36
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


class Axis(NamedTuple):
    """From values to places along one side of a figure."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False
    whole: bool = False
    """Whether only whole numbers have a meaning."""

    def place(self, value: float) -> float:
        """Return where a value stands."""
        low, high, at = self.low, self.high, value
        if self.log:
            low, high, at = (float(np.log10(one)) for one in (low, high, max(at, low)))
        return self.start + (at - low) / ((high - low) or 1.0) * (self.end - self.start)

    def ticks(self, n: int = 5) -> list[float]:
        """Return round values along the axis."""
        if self.log:
            powers = range(int(np.floor(np.log10(self.low))), int(np.ceil(np.log10(self.high))) + 1)
            few = self.high / self.low < 100
            marks = [m * 10.0**p for p in powers for m in ((1, 2, 5) if few else (1,))]
            return [mark for mark in marks if self.low <= mark <= self.high]
        raw = (self.high - self.low) / n or 1.0
        power = 10.0 ** np.floor(np.log10(raw))
        step = next(s * power for s in _STEPS if s * power >= raw * 0.999)
        step = float(np.ceil(step)) if self.whole else step
        first = np.ceil(self.low / step - 1e-9) * step
        # Adding 0 makes the -0 of ceil a 0.
        return [float(t) + 0.0 for t in np.arange(first, self.high + step * 1e-6, step)]


def horizontal(low: float, high: float, *, log: bool = False, whole: bool = False) -> Axis:
    """Return the lower axis of a figure."""
    return Axis(low, high, _LEFT, WIDTH - _RIGHT, log, whole)


def vertical(low: float, high: float) -> Axis:
    """Return the left axis of a figure."""
    return Axis(low, high, HEIGHT - _BOTTOM, _TOP)


def histogram(now: Int64s, before: Distribution, title: str, x_name: str) -> Html:
    """Return bars of the cells that are there now before an outline of those at first."""
    edges, log = before.edges, before.is_log
    limits = [float(limit) for limit in before.limits if np.isfinite(limit)]
    low, high = float(edges[0]), float(edges[-1])
    reach = [limit for limit in limits if limit > 0 or not log]
    one_each = not log and bool(np.all(np.diff(edges) == 1.0))
    x = horizontal(min([low, *reach]), max([high, *reach]), log=log, whole=one_each)
    y = vertical(0.0, float(max(1, *before.counts, *now)))
    places = [x.place(float(edge)) for edge in edges]
    marks = [
        tag("path", d=_outline(places, before.counts, y), class_="before"),
        tag("path", d=_outline(places, now, y), class_="now"),
        *(
            tag("line", x1=at, x2=at, y1=_TOP, y2=_at(y.start), class_="limit")
            for at in (_at(x.place(limit)) for limit in reach)
        ),
    ]
    return _figure(title, x, y, x_name, "cells", marks)


def _outline(places: Sequence[float], counts: Int64s, y: Axis) -> str:
    """Return the path around bars that stand side by side."""
    steps = [f"M{_at(places[0])} {_at(y.start)}"]
    for right, count in zip(places[1:], counts, strict=True):
        steps.append(f"V{_at(y.place(float(count)))}H{_at(right)}")
    return "".join([*steps, f"V{_at(y.start)}Z"])


def bars(
    numbers: Int64s,
    values: Float64s,
    title: str,
    y_name: str,
    *,
    marked: Sequence[bool] = (),
    reach: tuple[float, float] | None = None,
    lines: Sequence[float] = (),
) -> Html:
    """Return a bar for each component, by its number; those ``marked`` stand out."""
    low, high = reach or (min(0.0, float(values.min())), float(values.max()) * 1.05 or 1.0)
    x = horizontal(float(numbers.min()) - 0.5, float(numbers.max()) + 0.5, whole=True)
    y = vertical(low, high)
    width = 0.7 * (x.place(1.0) - x.place(0.0))
    marks = []
    for n, (number, value) in enumerate(zip(numbers, values, strict=True)):
        top, bottom = sorted((y.place(float(value)), y.place(0.0)))
        marks.append(
            tag(
                "rect",
                tag("title", f"component {number}: {short(float(value))}"),
                x=_at(x.place(float(number)) - width / 2),
                y=_at(top),
                width=_at(width),
                height=_at(max(bottom - top, 0.5)),
                class_="marked" if len(marked) and marked[n] else "now",
            )
        )
    for line in lines:
        at = _at(y.place(line))
        marks.append(tag("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=at, y2=at, class_="limit"))
    return _figure(title, x, y, "component", y_name, marks)


def _figure(title: str, x: Axis, y: Axis, x_name: str, y_name: str, marks: list[Html]) -> Html:
    """Return a figure with its axes."""
    base = _at(y.start)
    frame: list[Html] = []
    for value in y.ticks(4):
        at = _at(y.place(value))
        frame.append(tag("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=at, y2=at, class_="grid"))
        frame.append(tag("text", short(value), x=_LEFT - 5, y=at, dy="0.32em", class_="end"))
    for value in x.ticks(6):
        at = _at(x.place(value))
        frame.append(tag("line", x1=at, x2=at, y1=base, y2=_at(y.start + 4), class_="axis"))
        frame.append(tag("text", short(value), x=at, y=_at(y.start + 16), class_="middle"))
    zero = _at(y.place(0.0)) if y.low < 0 else base
    frame.append(tag("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=zero, y2=zero, class_="axis"))
    middle = (x.start + x.end) / 2
    names = [
        tag("text", x_name, x=_at(middle), y=HEIGHT - 4, class_="middle name"),
        tag("text", y_name, x=0, y=0, class_="middle name", transform=_upright(y)),
    ]
    picture = tag(
        "svg",
        tag("title", title),
        joined([*frame, *marks, *names]),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=title,
    )
    return picture


def _upright(y: Axis) -> str:
    return f"translate(11 {_at((y.start + y.end) / 2)}) rotate(-90)"


def _at(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def keys_to(*entries: tuple[str, str]) -> Html:
    """Return what the classes of marks stand for: pairs of a class and its name."""
    marks = (
        tag("span", tag("i", class_=f"swatch {kind}"), name, class_="key") for kind, name in entries
    )
    return tag("p", *marks, class_="keys")


def captioned(picture: Html, *caption: object) -> Html:
    """Return a figure with what it shows beneath."""
    return tag("figure", picture, tag("figcaption", *caption))


def track(*marks: Html, height: int) -> Html:
    """Return a strip of a table's cell that marks stand on, placed by percentages."""
    return tag("svg", *marks, class_="track", height=height, width="100%", aria_hidden="true")


def meter(part: float, whole: float) -> Html:
    """Return a bar as long as a part of a whole."""
    width = 100 * part / whole if whole > 0 and np.isfinite(part) else 0.0
    bar = tag("rect", x="0", y="2", width=f"{width:.1f}%", height="8", class_="now")
    return track(bar, height=12)
