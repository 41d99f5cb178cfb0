"""Colours for categories that stay apart, also for colour-blind readers, for any number of them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from lazymu.typing import Bools, Float64s

OKABE_ITO = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#f0e442")
"""Okabe and Ito's colours but black, strongest contrasts first."""

# Machado et al. (2009): linear RGB as seen with full protanopia and deuteranopia.
_PROTANOPIA = (
    (0.152286, 1.052583, -0.204868),
    (0.114503, 0.786281, 0.099216),
    (-0.003882, -0.048116, 1.051998),
)
_DEUTERANOPIA = (
    (0.367322, 0.860646, -0.227968),
    (0.280085, 0.672501, 0.047413),
    (-0.011820, 0.042940, 0.968881),
)
VISIONS: tuple[Float64s, ...] = (np.eye(3), np.array(_PROTANOPIA), np.array(_DEUTERANOPIA))
"""Matrices on linear RGB: usual vision, no red cones, no green cones."""

# Ottosson (2020): linear RGB -> cone responses -> Oklab, where equal distances look equal.
_TO_CONES = np.array(
    [
        (0.4122214708, 0.5363325363, 0.0514459929),
        (0.2119034982, 0.6806995451, 0.1073969566),
        (0.0883024619, 0.2817188376, 0.6299787005),
    ]
)
_TO_OKLAB = np.array(
    [
        (0.2104542553, 0.7936177850, -0.0040720468),
        (1.9779984951, -2.4285922050, 0.4505937099),
        (0.0259040371, 0.7827717662, -0.8086757660),
    ]
)
# Usual vision sees more colours: ask twice the distance of it, so that neither side pays alone.
_WEIGHTS = (0.5, 1.0, 1.0)
_GRID = 18
_LIGHTNESS = (0.38, 0.88)
_CHROMA = (0.05, 0.22)
_BACKGROUND = ("#ffffff", "#d3d3d3")


def hex_to_rgb(color: str) -> tuple[float, float, float]:
    """Return the red, green and blue parts, 0 to 1, of ``#rrggbb``."""
    red, green, blue = (int(color[start : start + 2], 16) / 255 for start in (1, 3, 5))
    return red, green, blue


def rgb_to_hex(rgb: Float64s) -> str:
    """Return ``#rrggbb`` of red, green and blue parts from 0 to 1."""
    return "#" + "".join(f"{round(255 * part):02x}" for part in rgb)


def oklab(rgb: Float64s, vision: Float64s) -> Float64s:
    """Return the Oklab coordinates (n, 3) of sRGB colours (n, 3) as one vision sees them."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ vision.T, 0.0, 1.0)
    lab: Float64s = np.cbrt(seen @ _TO_CONES.T) @ _TO_OKLAB.T
    return lab


def separation(colors: Float64s, others: Float64s) -> Float64s:
    """Return (n, m): the least weighted Oklab distance of sRGB colours over :data:`VISIONS`."""
    gaps = [
        weight * np.linalg.norm(oklab(colors, seen)[:, None] - oklab(others, seen)[None], axis=2)
        for weight, seen in zip(_WEIGHTS, VISIONS, strict=True)
    ]
    nearest: Float64s = np.min(gaps, axis=0)
    return nearest


def _candidates() -> Float64s:
    """Return a grid of sRGB colours that show on white, neither grey nor glaring."""
    axis = np.linspace(0.0, 1.0, _GRID)
    rgb = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    lab = oklab(rgb, VISIONS[0])
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    shows: Bools = (lab[:, 0] > _LIGHTNESS[0]) & (lab[:, 0] < _LIGHTNESS[1])
    kept: Float64s = rgb[shows & (chroma > _CHROMA[0]) & (chroma < _CHROMA[1])]
    return kept


@lru_cache(maxsize=32)
def distinct_colors(n: int) -> tuple[str, ...]:
    """Return ``n`` colours as hex strings; those for a smaller ``n`` are a prefix of them.

    The first seven are Okabe and Ito's. Each further one is the candidate whose least distance
    to all earlier ones, to white and to the grey of missing values is the largest. A distance
    is Euclidean in Oklab, the least of half that of usual vision and those of protanopia and
    deuteranopia.

    References
    ----------
    Okabe and Ito, Color Universal Design (2008); Machado, Oliveira and Fernandes, A
    physiologically-based model for simulation of color vision deficiency, IEEE TVCG (2009),
    doi:10.1109/TVCG.2009.113; Ottosson, A perceptual color space for image processing (2020).

    Examples
    --------
    >>> distinct_colors(2)
    ('#0072b2', '#e69f00')
    >>> len(set(distinct_colors(40)))
    40
    """
    chosen = list(OKABE_ITO[:n])
    if n <= len(chosen):
        return tuple(chosen)
    candidates = _candidates()
    taken = np.array([hex_to_rgb(color) for color in (*_BACKGROUND, *chosen)])
    distance = separation(candidates, taken).min(axis=1)
    while len(chosen) < n:
        best = candidates[[int(distance.argmax())]]
        chosen.append(rgb_to_hex(best[0]))
        distance = np.minimum(distance, separation(candidates, best)[:, 0])
    return tuple(chosen)
