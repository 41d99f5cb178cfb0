"""Which intervals and points lie within, over or near each other: searches in sorted arrays.

Positions are on one line (see :func:`lazymu.genomics.intervals.offsets_of`); intervals are
``[start, end)``. Answers are pairs of positions in the two arrays.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lazymu.typing import Int64s, Ints

NONE = np.int64(1) << 35
"""Gap to the nearest point where there is none on the chromosome; gaps within one are smaller."""


class Pairs(NamedTuple):
    """Entry ``first[k]`` of one array goes with entry ``second[k]`` of the other."""

    first: Int64s
    second: Int64s


def expand(starts: Int64s, stops: Int64s) -> Pairs:
    """Return each run's number with each of the positions ``starts[i]`` to ``stops[i]`` (less 1).

    Examples
    --------
    >>> expand(np.array([3, 0]), np.array([5, 1]))
    Pairs(first=array([0, 0, 1]), second=array([3, 4, 0]))
    """
    lengths = np.maximum(stops - starts, 0)
    owner = np.repeat(np.arange(len(starts), dtype=np.int64), lengths)
    before = np.cumsum(lengths) - lengths
    within = np.arange(len(owner), dtype=np.int64) - before[owner]
    return Pairs(owner, starts[owner] + within)


def points_within(starts: Int64s, ends: Int64s, points: Int64s, reach: int | Int64s) -> Pairs:
    """Return all pairs of an interval and a point at most ``reach`` bases away; points ascend."""
    first = np.searchsorted(points, starts - reach, side="left")
    last = np.searchsorted(points, ends - 1 + reach, side="right")
    return expand(first.astype(np.int64), last.astype(np.int64))


def nearest_gaps(starts: Int64s, ends: Int64s, points: Int64s) -> Int64s:
    """Return how many bases away the nearest point is: 0 within the interval, 1 beside it.

    `NONE` where there is none on the chromosome. Points ascend.
    """
    first = np.searchsorted(points, starts, side="left")
    last = np.searchsorted(points, ends, side="left")
    guarded = np.concatenate([[-NONE], points, [np.iinfo(np.int64).max // 2]]).astype(np.int64)
    before, after = starts - guarded[first], guarded[last + 1] - (ends - 1)
    gaps = np.where(last > first, 0, np.minimum(before, after))
    found: Int64s = np.minimum(gaps, NONE)
    return found


def nearest_points(starts: Int64s, ends: Int64s, points: Int64s, reach: int) -> Pairs:
    """Return each interval with its nearest point, all of them where several are as near.

    Only points up to ``reach`` bases away; points ascend.

    Examples
    --------
    >>> starts, ends = np.array([10, 90]), np.array([20, 95])
    >>> nearest_points(starts, ends, np.array([5, 24, 24, 300]), reach=100)
    Pairs(first=array([0, 0, 0, 1, 1]), second=array([0, 1, 2, 1, 2]))
    """
    gaps = nearest_gaps(starts, ends, points)
    pairs = points_within(starts, ends, points, np.minimum(gaps, reach))
    near = gaps[pairs.first] <= reach
    return Pairs(pairs.first[near], pairs.second[near])


def overlapping(starts: Int64s, ends: Int64s, others: Int64s, other_ends: Int64s) -> Pairs:
    """Return all pairs of an interval and one of the others that share a base.

    Either the other begins within the interval, or the interval within the other: both are runs
    of sorted starts, however intervals are nested.
    """
    by_start, by_other = np.argsort(starts, kind="stable"), np.argsort(others, kind="stable")
    begins = others[by_other]
    inner = expand(_places(begins, starts), _places(begins, ends))
    begins = starts[by_start]
    outer = expand(_places(begins, others + 1), _places(begins, other_ends))
    first = np.concatenate([inner.first, by_start[outer.second]])
    second = np.concatenate([by_other[inner.second], outer.first])
    order = np.lexsort((second, first))
    return Pairs(first[order], second[order])


def _places(sorted_values: Int64s, values: Int64s) -> Int64s:
    return np.searchsorted(sorted_values, values, side="left").astype(np.int64)


def signed_distance(starts: Int64s, ends: Int64s, points: Int64s, strand: Ints) -> Int64s:
    """Return how far intervals lie from points, entry by entry, in the direction of a strand.

    0 where the point is within; positive where the interval is downstream, on strand 1 to its
    right; its nearest base counts.
    """
    right = np.maximum(starts - points, 0)
    left = np.maximum(points - (ends - 1), 0)
    distance: Int64s = ((right - left) * strand).astype(np.int64)
    return distance
