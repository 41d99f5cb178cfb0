"""Simulated counts of cells, drawn along the cumulative rates of their features.

The events of a cell are a Poisson process on a line on which every feature has a stretch as long
as its share: gaps between events are exponential, so that features come in order, and duplicates
of a feature side by side. Each cell has a generator of its own (SplitMix64; Steele, Lea & Flood,
OOPSLA 2014), so that it is the same whatever is drawn before it and beside it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from lazymu.kernels.jit import kernel
from lazymu.typing import Array, Float64s, Int64s, Ints

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_SHIFT_1, _SHIFT_2, _SHIFT_3 = np.uint64(30), np.uint64(27), np.uint64(31)
_TO_53_BITS, _ONE = np.uint64(11), np.uint64(1)
_UNIT = 2.0**-53
_SMALLEST = 1e-18  # where a sum of probabilities, rounded, ends


@kernel
def mixed(state: np.uint64) -> np.uint64:
    """Return the output of SplitMix64 for a state."""
    state = (state ^ (state >> _SHIFT_1)) * _MIX_1
    state = (state ^ (state >> _SHIFT_2)) * _MIX_2
    return state ^ (state >> _SHIFT_3)


@kernel
def uniform(state: np.uint64) -> tuple[np.uint64, float]:
    """Return the next state, and a uniform number in (0, 1]."""
    state += _GAMMA
    return state, ((mixed(state) >> _TO_53_BITS) + _ONE) * _UNIT


@kernel
def counts_of_event(
    state: np.uint64, p: float, one: float, ends: int, single: float
) -> tuple[np.uint64, int]:
    """Return the next state, and the counts that an event brings.

    The event has a number of fragments of the logarithmic series, by inversion: one with
    probability ``one``, then ``P(k + 1) = P(k) p k / (k + 1)``. A fragment brings ``ends`` counts,
    in a share ``single`` of cases one less.
    """
    state, u = uniform(state)
    u -= 1.0 - one
    if u > 0:  # one fragment, and u lies between 0 and one with equal chances
        return state, ends - (u <= single * one)
    u += 1.0 - one
    fragments, probability = 2, one * p / 2
    while u > probability and probability > _SMALLEST:
        u -= probability
        probability *= p * fragments / (fragments + 1)
        fragments += 1
    count = fragments * ends
    if single > 0:
        for _ in range(fragments):
            state, u = uniform(state)
            count -= u <= single
    return state, count


class Features(NamedTuple):
    """The features of an assay, as lines on which the events of a cell fall."""

    cumulative: Float64s
    """Cumulated shares of the events in a state, rising to a little over 1, (n_states, n)."""
    guides: Ints
    """:func:`guides` to them."""
    head: int
    """Features of the first part; the rate of events in the others is another."""
    log_series: Float64s
    """Parameter of the logarithmic series of fragments that an event has, (n,)."""
    ones: Float64s
    """Probability that it has one, (n,)."""
    ends: int
    """Counts of a fragment."""
    single: float
    """Share of fragments that bring one count less; below 0 where none do."""


@kernel
def guides(cumulative: Float64s) -> Ints:
    """Return the first feature whose stretch ends after ``b / n_features``, for each b and state.

    An event at ``t`` is looked for from ``guides[state, int(t * n_features)]`` on.
    """
    n_states, n_features = cumulative.shape
    out = np.empty((n_states, n_features), np.int32)
    for s in range(n_states):
        j = 0
        for b in range(n_features):
            while cumulative[s, j] <= b / n_features:
                j += 1
            out[s, b] = j
    return out


@kernel
def draw_part(
    random: np.uint64,
    expected: float,
    low: float,
    high: float,
    features: Features,
    state: int,
    data: Array,
    indices: Array,
    n: int,
) -> tuple[np.uint64, int]:
    """Draw the events of a cell between ``low`` and ``high``; return the generator's next state.

    Values are written from ``n`` on. Also returns where they end, -1 if there is no room for them.
    """
    line, guide = features.cumulative[state], features.guides[state]
    gap = (high - low) / expected
    random, u = uniform(random)
    t = low - gap * math.log(u)
    last, total = -1, 0
    while t < high:
        j = guide[min(int(t * len(line)), len(line) - 1)]
        # Two steps that do not branch; more are rare.
        j += line[j] <= t
        j += line[j] <= t
        while line[j] <= t:
            j += 1
        random, count = counts_of_event(
            random, features.log_series[j], features.ones[j], features.ends, features.single
        )
        again = j == last
        n += not again
        total = total * again + count
        if n > len(data):
            return random, -1
        data[n - 1], indices[n - 1] = total, j
        last = j
        random, u = uniform(random)
        t -= gap * math.log(u)
    return random, n


@kernel
def draw_cells(
    key: np.uint64,
    cells: Int64s,
    states: Int64s,
    expected: Float64s,
    features: Features,
    data: Array,
    indices: Array,
    lengths: Int64s,
) -> int:
    """Draw the counts of cells into ``data`` and ``indices``; return how many values there are.

    Parameters
    ----------
    key
        Seed of the assay; the generator of a cell is made from this and its number.
    cells
        Numbers of the cells to draw, (n,).
    states
        State of each cell of the assay.
    expected
        Expected events of each cell of the assay, in the first features and in the others.
    features
        What all cells share.
    data, indices
        Room for values. Where it is not enough, -1 is returned and what was written is void.
    lengths
        Values of each cell, (n,), filled.
    """
    n = 0
    for a, i in enumerate(cells):
        begin, state = n, states[i]
        bounds = (0.0, min(features.cumulative[state, features.head - 1], 1.0), 1.0)
        random = mixed(key + mixed(np.uint64(i) * _GAMMA))
        for part in range(2):
            if expected[i, part] > 0:
                low, high = bounds[part], bounds[part + 1]
                random, n = draw_part(
                    random, expected[i, part], low, high, features, state, data, indices, n
                )
                if n < 0:
                    return n
        lengths[a] = n - begin
    return n


@kernel
def place_rows(
    data: Array,
    indices: Ints,
    rows: Int64s,
    names: Ints,
    indptr: Int64s,
    out_data: Array,
    out_indices: Ints,
) -> None:
    """Copy rows that stand one after another to where ``indptr`` has row ``rows[a]``.

    Column ``j`` is renamed to ``names[j]`` on the way.
    """
    k = 0
    for i in rows:
        for to in range(indptr[i], indptr[i + 1]):
            out_data[to], out_indices[to] = data[k], names[indices[k]]
            k += 1
