"""Making values that differ by rounding alone equal."""

from __future__ import annotations

import numpy as np

from lazymu.typing import Float64s

DIGITS = 10


def without_noise(values: Float64s) -> Float64s:
    """Return values rounded to 10 significant digits.

    The same sum, added up in another order, differs in its last digits. Where values are compared
    (ranks, edges of bins), a difference of rounding would then decide, and the result would depend
    on the blocks in which a matrix is read.
    """
    size = np.abs(values)
    scale = 10.0 ** np.floor(np.log10(np.where(np.isfinite(size) & (size > 0), size, 1.0)))
    rounded: Float64s = np.round(values / scale, DIGITS - 1) * scale
    return rounded
