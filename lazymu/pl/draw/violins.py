"""Violins: the density of values in each group, with the points themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from lazymu.pl.draw.density import density
from lazymu.typing import Float64s

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DensityNorm: TypeAlias = Literal["area", "count", "width"]

HALF_WIDTH = 0.4
_MOST_POINTS = 5_000  # of a violin: more would be a black bar
_SEED = 0
_LETTER_INCHES = 0.09


@dataclass(frozen=True, kw_only=True)
class ViolinStyle:
    """How violins look; ``jitter`` is how far points may stand from the middle."""

    log: bool = False
    stripplot: bool = True
    jitter: float = HALF_WIDTH
    size: float = 1.0
    density_norm: DensityNorm = "width"
    rotation: float | None = None


def draw_violins(
    ax: Axes,
    samples: Sequence[Float64s],
    labels: Sequence[str],
    colors: Sequence[str],
    style: ViolinStyle,
) -> None:
    """Draw a violin for each sample; NaN, and on a ``log`` axis values not above 0, are left out.

    On a ``log`` axis the density is that of the logarithm, so that the shape is what one sees. The
    white line is the median. At most 5,000 points of a sample are drawn, taken at random.
    """
    kept = [sample[np.isfinite(sample) & ((sample > 0) | (not style.log))] for sample in samples]
    shapes = [_shape(sample, log=style.log) if sample.size else None for sample in kept]
    peaks = [1.0 if shape is None else float(shape[1].max()) for shape in shapes]
    scales = _scales(style.density_norm, peaks, [len(sample) for sample in kept])
    generator = np.random.default_rng(_SEED)
    for x, (sample, shape, color) in enumerate(zip(kept, shapes, colors, strict=True)):
        if shape is None:
            continue
        half = shape[1] * scales[x]
        ax.fill_betweenx(shape[0], x - half, x + half, facecolor=color, edgecolor="0.3", lw=0.6)
        if style.stripplot:
            _strip(ax, x, sample, (shape[0], half), style, generator)
        ax.hlines(float(np.median(sample)), x - 0.12, x + 0.12, color="white", lw=2, zorder=3)
        ax.hlines(float(np.median(sample)), x - 0.1, x + 0.1, color="black", lw=1, zorder=3)
    if style.log:
        ax.set_yscale("log")
    ax.set_xlim(-0.6, len(samples) - 0.4)
    ax.set_xticks(range(len(labels)), labels, rotation=_rotation(ax, labels, style))
    ax.spines[["top", "right"]].set_visible(False)


def _shape(sample: Float64s, *, log: bool) -> tuple[Float64s, Float64s]:
    if not log:
        return density(sample)
    grid, height = density(np.log10(sample))
    return 10.0**grid, height


def _scales(norm: DensityNorm, peaks: Sequence[float], counts: Sequence[int]) -> list[float]:
    """Return what turns each density into a half width of at most 0.4."""
    if norm == "width":
        return [HALF_WIDTH / peak for peak in peaks]
    if norm == "area":
        return [HALF_WIDTH / max(peaks)] * len(peaks)
    most = max(max(counts), 1)
    return [HALF_WIDTH / peak * (count / most) for peak, count in zip(peaks, counts, strict=True)]


def _strip(
    ax: Axes,
    x: int,
    sample: Float64s,
    outline: tuple[Float64s, Float64s],
    style: ViolinStyle,
    generator: np.random.Generator,
) -> None:
    """Draw points at random places within the violin, no farther from its middle than jitter."""
    shown = sample
    if len(sample) > _MOST_POINTS:
        shown = generator.choice(sample, _MOST_POINTS, replace=False)
    reach = np.minimum(np.interp(shown, *outline), style.jitter)
    places = x + reach * generator.uniform(-1, 1, len(shown))
    points = ax.scatter(places, shown, s=style.size, color="black", linewidths=0, rasterized=True)
    points.set_alpha(min(1.0, 300 / max(len(shown), 1) + 0.15))
    points.set_in_layout(False)


def _rotation(ax: Axes, labels: Sequence[str], style: ViolinStyle) -> float:
    """Return the asked rotation, or upright text where labels would run into each other."""
    if style.rotation is not None:
        return style.rotation
    inches = ax.get_window_extent().width / ax.figure.dpi / max(len(labels), 1)
    return 90.0 if max(map(len, labels), default=0) * _LETTER_INCHES > inches else 0.0
