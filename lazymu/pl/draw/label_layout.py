"""Boxes of text pushed apart until none overlaps another."""

from __future__ import annotations

import numpy as np

from lazymu.typing import Float64s

_STEPS = 400
_MARGIN = 3.0


def overlaps(centers: Float64s, sizes: Float64s) -> Float64s:
    """Return (n, n, 2): by how much each two boxes overlap in x and y; 0 where they do not."""
    reach = (sizes[:, None] + sizes[None]) / 2
    depth = reach - np.abs(centers[:, None] - centers[None])
    depth[np.diag_indices(len(centers))] = 0.0
    overlapping: Float64s = np.where((depth > 0).all(axis=2, keepdims=True), depth, 0.0)
    return overlapping


def spread_boxes(anchors: Float64s, sizes: Float64s, low: Float64s, high: Float64s) -> Float64s:
    """Return centres (n, 2) near ``anchors`` of boxes that do not overlap, if there is room.

    In each step every two boxes that overlap move apart along the axis that needs less, each by
    half of it; boxes stay within ``low`` (2,) and ``high`` (2,).
    """
    sizes = sizes + _MARGIN
    n = len(anchors)
    inner_low, inner_high = low + sizes / 2, high - sizes / 2
    inner_high = np.maximum(inner_low, inner_high)
    centers: Float64s = np.clip(anchors, inner_low, inner_high)
    # Boxes on the very same spot part by their rank.
    rank = np.sign(np.arange(n)[:, None] - np.arange(n)[None])
    for _ in range(_STEPS):
        depth = overlaps(centers, sizes)
        if not depth.any():
            break
        delta = centers[:, None] - centers[None]
        away = np.where(delta == 0, rank[:, :, None], np.sign(delta))
        vertical = depth[:, :, 1] <= depth[:, :, 0]
        push = np.where(np.stack([~vertical, vertical], axis=2), away * depth, 0.0)
        # A little more than half, so that rounding does not leave boxes touching for ever.
        centers = np.clip(centers + 0.51 * push.sum(axis=1), inner_low, inner_high)
    return centers
