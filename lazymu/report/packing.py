"""Values as small whole numbers in base64, as the page's script reads them."""

from __future__ import annotations

import base64
from typing import NamedTuple

import numpy as np

from lazymu.typing import Array, Float64s

MISSING = 255
LEVELS = 254
MOST_CATEGORIES = 250
_TOP_PERCENT = 99.5


class Scale(NamedTuple):
    """The values that the least and the largest level stand for."""

    low: float
    high: float
    clipped: bool
    """Whether there are values above the largest level, which takes them too."""


def levels(values: Float64s) -> tuple[Array, Scale]:
    """Return values as levels 0 to 254, 255 where missing, and what these stand for.

    A value ``x`` has level ``round(254 (x - low) / (high - low))``, with ``high`` the 99.5th
    percentile where that is above ``low``, so that a few large values leave colours to the others.

    Examples
    --------
    >>> import numpy as np
    >>> levels(np.array([0.0, 1.0, np.nan, 2.0]))[0].tolist()
    [0, 127, 255, 254]
    """
    known = np.isfinite(values)
    codes = np.full(len(values), MISSING, dtype=np.uint8)
    if not known.any():
        return codes, Scale(0.0, 0.0, clipped=False)
    finite = values[known]
    low, most = float(finite.min()), float(finite.max())
    high = float(np.percentile(finite, _TOP_PERCENT, method="higher"))
    high = high if high > low else most
    spread = (high - low) or 1.0
    codes[known] = np.rint(np.clip((finite - low) / spread, 0, 1) * LEVELS).astype(np.uint8)
    return codes, Scale(low, high, clipped=most > high)


def grid_positions(coordinates: Array) -> tuple[Array, Array]:
    """Return finite coordinates (n, 2) as uint16 on one square grid, the picture in its middle.

    Both axes have one unit, so that distances keep their proportions.
    """
    points = np.asarray(coordinates, dtype=np.float64)
    low, high = points.min(axis=0), points.max(axis=0)
    span = float((high - low).max()) or 1.0
    shares = (points - (low + high) / 2) / span + 0.5
    grid = np.rint(np.clip(shares, 0, 1) * 65535).astype("<u2")
    return grid[:, 0], grid[:, 1]


def packed(values: Array) -> str:
    """Return the bytes of an array as base64."""
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")
