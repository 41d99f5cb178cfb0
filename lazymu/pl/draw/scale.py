"""From values to the ends of a colour scale: numbers, percentiles, functions."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from lazymu.errors import ArgumentError, explain
from lazymu.typing import Float64s

if TYPE_CHECKING:
    from matplotlib.colors import Colormap, Normalize

Bound: TypeAlias = float | str | Callable[[Float64s], float] | None
"""An end of a scale: a number, a percentile such as ``"p99"``, a function of the values."""


def limit(name: str, bound: Bound, values: Float64s) -> float | None:
    """Return the number that ``bound`` stands for, given the finite ``values``."""
    if bound is None or callable(bound):
        return None if bound is None or values.size == 0 else float(bound(values))
    if not isinstance(bound, str):
        return float(bound)
    match = re.fullmatch(r"p(\d+(?:\.\d+)?)", bound)
    if match is None or float(match[1]) > 100:
        rule = "a string must be a percentile from p0 to p100"
        raise ArgumentError(explain(name, repr(bound), rule, 'write e.g. "p99"'))
    return float(np.percentile(values, float(match[1]))) if values.size else None


@dataclass(frozen=True, kw_only=True)
class ColorScale:
    """How continuous values become colours."""

    vmin: Bound = None
    vmax: Bound = None
    vcenter: Bound = None
    norm: Normalize | None = None
    cmap: str | Colormap | None = None

    def __post_init__(self) -> None:
        if isinstance(self.cmap, str):
            from matplotlib import colormaps

            if self.cmap not in colormaps:
                near = get_close_matches(self.cmap, colormaps) or ["viridis"]
                rule = "matplotlib has no colour map of that name"
                raise ArgumentError(
                    explain("cmap", repr(self.cmap), rule, f"pass e.g. {near[0]!r}")
                )

    def normalize(self, values: Float64s) -> Normalize:
        """Return matplotlib's norm for ``values``, whose ends are the finite extremes by default.

        A percentile at which the scale would be empty, as ``"p99"`` of a gene found in fewer than
        1 % of the cells, gives way to the extreme on its side.
        """
        from matplotlib.colors import Normalize, TwoSlopeNorm

        if self.norm is not None:
            return self.norm
        finite = values[np.isfinite(values)]
        least, most = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
        low = limit("vmin", self.vmin, finite)
        high = limit("vmax", self.vmax, finite)
        low = float(least) if low is None else low
        high = float(most) if high is None else high
        if low >= high and isinstance(self.vmax, str):
            high = float(most)
        if low >= high and isinstance(self.vmin, str):
            low = float(least)
        center = limit("vcenter", self.vcenter, finite)
        if center is None:
            return Normalize(low, high)
        # The two slopes must both be there, also where all values lie on one side.
        reach = max(high - center, center - low) or 1.0
        low = low if low < center else center - reach
        high = high if high > center else center + reach
        return TwoSlopeNorm(center, low, high)


def one_for_each(name: str, given: Bound | Sequence[Bound], n: int) -> list[Bound]:
    """Return ``given`` once for each of ``n`` panels; a list must have one entry a panel."""
    if given is None or callable(given) or isinstance(given, str | float | int):
        return [given] * n
    bounds = list(given)
    if len(bounds) == 1:
        return bounds * n
    if len(bounds) != n:
        rule = f"there are {n} panels"
        raise ArgumentError(
            explain(name, f"a list of {len(bounds)}", rule, "pass one value, or one for each panel")
        )
    return bounds


def panel_scales(
    n_panels: int, *, cmap: str | Colormap | None, norm: Normalize | None, **bounds: Any
) -> list[ColorScale]:
    """Return the scale of each panel; ``bounds`` are vmin, vmax and vcenter, one or a list."""
    ends = {name: one_for_each(name, given, n_panels) for name, given in bounds.items()}
    return [
        ColorScale(cmap=cmap, norm=norm, **{name: one[panel] for name, one in ends.items()})
        for panel in range(n_panels)
    ]
