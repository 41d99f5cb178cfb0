"""Which of many intervals each fragment overlaps, and fragments piled up over windows.

Intervals are half open, ``[start, end)``; ``[s, e)`` overlaps where ``start < e`` and ``end > s``.
Those of a chromosome lie in *layers*: within one, ends rise as starts do, so that what overlaps a
fragment is a run, and the run of the next fragment begins near it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lazymu.kernels.jit import kernel
from lazymu.typing import Array, Int64s, Ints

STEPS = 8
"""Intervals that are passed one by one before the rest is searched by halves."""


class Intervals(NamedTuple):
    """Intervals by chromosome, layer and start."""

    start: Int64s
    end: Int64s
    feature: Int64s
    """Their positions in the table that they were made of."""
    layers: Int64s
    """Where each layer begins, and the end of the last."""
    chromosomes: Int64s
    """The first layer of each chromosome, and the end of the last's."""


def layered_intervals(chrom: Ints, start: Int64s, end: Int64s, n_chromosomes: int) -> Intervals:
    """Return intervals in layers, as few as can be.

    Examples
    --------
    >>> import numpy as np
    >>> nested = layered_intervals(np.zeros(3, int), np.array([0, 2, 5]), np.array([9, 4, 9]), 1)
    >>> nested.feature.tolist(), nested.layers.tolist()
    ([0, 2, 1], [0, 2, 3])
    """
    order = np.lexsort((end, start, chrom))
    layer = np.empty(len(order), np.int64)
    _assign_layers(chrom[order], end[order], layer)
    again = np.lexsort((layer, chrom[order]))
    order, layer = order[again], layer[again]
    sorted_chrom = chrom[order]
    begins = np.ones(len(order), dtype=bool)
    begins[1:] = (np.diff(sorted_chrom) != 0) | (np.diff(layer) != 0)
    first = np.flatnonzero(begins)
    chromosomes = np.searchsorted(sorted_chrom[first], np.arange(n_chromosomes + 1))
    layers = np.append(first, len(order)).astype(np.int64)
    return Intervals(
        start[order], end[order], order.astype(np.int64), layers, chromosomes.astype(np.int64)
    )


@kernel
def _assign_layers(chrom: Ints, end: Int64s, layer: Int64s) -> None:
    """Put each interval, by chromosome and start, into the first layer that ends before it does.

    The ends of the layers fall from each to the next, as piles do in patience sorting.
    """
    last = np.empty(len(end), np.int64)
    n = 0
    for i in range(len(end)):
        if i == 0 or chrom[i] != chrom[i - 1]:
            n = 0
        lo, hi = 0, n
        while lo < hi:
            middle = (lo + hi) // 2
            if last[middle] <= end[i]:
                hi = middle
            else:
                lo = middle + 1
        last[lo] = end[i]
        layer[i] = lo
        n = max(n, lo + 1)


@kernel
def _first_after(end: Int64s, lo: int, hi: int, at: int, position: int) -> int:
    """Return the first interval of ``lo`` to ``hi`` that ends after a position, seen from ``at``.

    Fragments come by position, so that it is mostly where the last one was, or soon after.
    """
    if at > lo and end[at - 1] > position:
        hi = at - 1
    else:
        stop = min(at + STEPS, hi)
        while at < stop:
            if end[at] > position:
                return at
            at += 1
        lo = at
    while lo < hi:
        middle = (lo + hi) // 2
        if end[middle] > position:
            hi = middle
        else:
            lo = middle + 1
    return lo


@kernel
def find_overlaps(
    fragments: Ints,
    first: int,
    start: Int64s,
    end: Int64s,
    layers: Int64s,
    chromosomes: Int64s,
    cursor: Int64s,
    out_fragment: Ints,
    out_interval: Ints,
) -> tuple[int, int]:
    """Find the intervals that fragments from ``first`` on overlap, of known cells alone.

    ``fragments`` is (5, n) as `parse_lines` makes it. Stops before a fragment whose overlaps no
    longer fit. Returns the number of overlaps and the fragment to go on with.
    """
    n = 0
    for i in range(first, fragments.shape[1]):
        chrom = fragments[0, i]
        if chrom < 0 or fragments[3, i] < 0:
            continue
        before, s, e = n, fragments[1, i], fragments[2, i]
        for layer in range(chromosomes[chrom], chromosomes[chrom + 1]):
            hi = layers[layer + 1]
            k = _first_after(end, layers[layer], hi, cursor[layer], s)
            cursor[layer] = k
            while k < hi and start[k] < e:
                if n == len(out_fragment):
                    return before, i
                out_fragment[n], out_interval[n] = i, k
                n += 1
                k += 1
    return n, fragments.shape[1]


@kernel
def pile_up(
    fragments: Ints,
    fragment: Ints,
    first: Int64s,
    mirrored: Array,
    width: int,
    flank: int,
    margin: int,
    counters: Int64s,
    group: Int64s,
    steps: Int64s,
) -> None:
    """Add overlaps of fragments and windows to counters by cell and to profiles of groups.

    Overlap ``j`` is of ``fragment[j]`` and the window of ``width`` bases from ``first[j]``, read
    backwards where ``mirrored[j]``. Each base that is covered counts as often as the fragment was
    read. ``counters`` (cells, 3) takes the first ``flank`` bases, the last ``flank``, and those
    ``margin`` from both ends; ``steps`` (groups, width + 1) the differences of the profile of each
    cell's ``group`` (cells,).
    """
    for j in range(len(fragment)):
        i = fragment[j]
        lo = max(np.int64(fragments[1, i]) - first[j], 0)
        hi = min(np.int64(fragments[2, i]) - first[j], width)
        if hi <= lo:
            continue
        if mirrored[j]:
            lo, hi = width - hi, width - lo
        cell, count = fragments[3, i], np.int64(fragments[4, i])
        counters[cell, 0] += count * max(min(hi, flank) - lo, 0)
        counters[cell, 1] += count * max(hi - max(lo, width - flank), 0)
        counters[cell, 2] += count * max(min(hi, width - margin) - max(lo, margin), 0)
        steps[group[cell], lo] += count
        steps[group[cell], hi] -= count
