"""Stochastic gradient descent of UMAP's layout, over edges between two blocks of cells.

Source: McInnes, Healy & Melville 2018, https://arxiv.org/abs/1802.03426, section 3.2, and the
package umap-learn.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from lazymu.kernels.jit import contracting_kernel, kernel
from lazymu.typing import Floats, Int64s, Ints

Axes: TypeAlias = tuple[int, ...]
FARTHEST_STEP = np.float32(4.0)
"""A coordinate's largest step, in learning rates."""
SQRT_HALF_BITS, MANTISSA_BITS, EXPONENT_BIAS = np.int32(0x3F3504F3), np.int32(23), np.int32(127)
WIDEST = np.float32(100.0)
"""Powers of 2 are held between -100 and 100."""
SMALLEST = np.float32(1e-30)
"""Squared distances below it are 0: there the logarithm's bits would not be normal numbers."""


@contracting_kernel
def power(x: np.float32, exponent: float) -> np.float32:
    """Return ``x ** exponent`` in float32 for x of 1e-30 and more, to 1e-5 of it.

    The logarithm to base 2 is the number's own exponent and a polynomial of its mantissa in
    (sqrt(1/2), sqrt(2)]; the power of 2 is put together in the same way. Powers out of a float32's
    range are held at 2^-100 and 2^100.
    """
    bits = np.float32(x).view(np.int32)
    whole = np.int32((bits - SQRT_HALF_BITS) >> MANTISSA_BITS)
    mantissa = np.int32(bits - (whole << MANTISSA_BITS)).view(np.float32)
    # log2(m) = 2 / ln 2 * atanh(s), s = (m - 1) / (m + 1), |s| < 0.172.
    s = (mantissa - np.float32(1.0)) / (mantissa + np.float32(1.0))
    q = s * s
    series = np.float32(0.5770780) + q * np.float32(0.4121986)
    log = np.float32(whole) + s * (np.float32(2.8853901) + q * (np.float32(0.9617967) + q * series))
    t = min(max(log * np.float32(exponent), -WIDEST), WIDEST)
    nearest = np.int32(np.floor(t + np.float32(0.5)))
    f = t - np.float32(nearest)
    high = np.float32(0.0096181) + f * np.float32(0.0013333)
    middle = np.float32(0.2402265) + f * (np.float32(0.0555041) + f * high)
    fraction = np.float32(1.0) + f * (np.float32(0.6931472) + f * middle)
    return fraction * np.int32((nearest + EXPONENT_BIAS) << MANTISSA_BITS).view(np.float32)


@kernel
def power_of_each(x: Floats, exponent: float) -> Floats:
    """Return :func:`power` of every entry."""
    out = np.empty(len(x), np.float32)
    for i in range(len(x)):
        out[i] = power(np.float32(x[i]), exponent)
    return out


@contracting_kernel
def clipped(step: np.float32) -> np.float32:
    """Return a step of at most `FARTHEST_STEP` to either side."""
    if step > FARTHEST_STEP:
        return FARTHEST_STEP
    return -FARTHEST_STEP if step < -FARTHEST_STEP else step


@contracting_kernel
def squared_length(places: Floats, i: int, j: int, axes: Axes) -> np.float32:
    """Return the squared distance of two cells' places."""
    total = np.float32(0.0)
    for c in range(len(axes)):
        difference = places[i, c] - places[j, c]
        total += difference * difference
    return total


@contracting_kernel
def attract(places: Floats, i: int, j: int, axes: Axes, curve: Floats) -> None:
    """Move two cells towards each other, a step along the gradient of ``log v_ij``."""
    a, b, rate = curve[0], curve[1], curve[3]
    squared = squared_length(places, i, j, axes)
    if squared <= SMALLEST:
        return
    raised = power(squared, b)
    pull = np.float32(-2.0) * a * b * raised / (squared * (a * raised + np.float32(1.0)))
    for c in range(len(axes)):
        step = rate * clipped(pull * (places[i, c] - places[j, c]))
        places[i, c] += step
        places[j, c] -= step


@contracting_kernel
def add_repulsion(moves: Floats, places: Floats, i: int, j: int, axes: Axes, curve: Floats) -> None:
    """Add the step of a cell away from another, along the gradient of ``gamma log(1 - v_ij)``."""
    a, b, gamma, rate = curve[0], curve[1], curve[2], curve[3]
    squared = squared_length(places, i, j, axes)
    if squared <= SMALLEST:
        return
    spread = a * power(squared, b) + np.float32(1.0)
    push = np.float32(2.0) * gamma * b / ((squared + np.float32(0.001)) * spread)
    for c in range(len(axes)):
        moves[c] += rate * clipped(push * (places[i, c] - places[j, c]))


@contracting_kernel
def visit_edges(
    places: Floats,
    ends: Ints,
    shares: Floats,
    starts: Int64s,
    pairs: Int64s,
    block_cells: int,
    axes: Axes,
    curve: Floats,
    epoch: int,
    n_repelled: int,
    seeds: Int64s,
) -> None:
    """Visit the edges between some pairs of blocks whose turn it is, once from either end.

    Parameters
    ----------
    places
        Coordinates of all cells, float32; those of the blocks are moved.
    ends, shares, starts
        The edges, as :func:`edges_by_blocks` returns them; each has its turn in the part of the
        epochs that is its share.
    pairs
        Blocks that meet, shape (p, 2).
    block_cells
        Cells of a block; the last one may have fewer.
    axes
        A tuple as long as there are dimensions: its length is known when loops are compiled.
    curve
        ``a``, ``b``, ``gamma`` and the learning rate, float32.
    epoch
        Number of this epoch, from 1.
    n_repelled
        Cells of the other end's block that each end is moved away from.
    seeds
        Shape (p,): states of a congruential generator (Knuth's MMIX) that draws these.
    """
    moves = np.zeros(len(axes), np.float32)
    n_cells, n_blocks = len(places), int(np.sqrt(len(starts) - 1))
    for p in range(len(pairs)):
        state = np.uint64(seeds[p])
        number = pairs[p, 0] * n_blocks + pairs[p, 1]
        for e in range(starts[number], starts[number + 1]):
            share = np.float64(shares[e])
            if np.floor(epoch * share) == np.floor((epoch - 1) * share):
                continue
            for end in range(2):
                i, j = ends[e, end], ends[e, 1 - end]
                attract(places, i, j, axes, curve)
                first = pairs[p, 1 - end] * block_cells
                n_there = np.uint64(min(block_cells, n_cells - first))
                for _ in range(n_repelled):
                    state = state * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
                    drawn = np.int64(((state >> np.uint64(32)) * n_there) >> np.uint64(32))
                    add_repulsion(moves, places, i, first + drawn, axes, curve)
                for c in range(len(axes)):
                    places[i, c] += moves[c]
                    moves[c] = 0.0


@kernel
def pair_of(here: int, there: int, block_cells: int, n_blocks: int) -> int:
    """Return the number of the pair of blocks that two positions are in, the lower one first."""
    first, second = here // block_cells, there // block_cells
    return min(first, second) * n_blocks + max(first, second)


@kernel
def edges_by_blocks(
    indptr: Ints,
    indices: Ints,
    data: Floats,
    position: Ints,
    block_cells: int,
    n_blocks: int,
    least: float,
) -> tuple[Ints, Floats, Int64s]:
    """Return the edges above a graph's diagonal, sorted by the pair of blocks that they join.

    Cell ``i`` stands at ``position[i]``, in block ``position[i] // block_cells``; edges of a weight
    below ``least`` are left out.

    Returns
    -------
    ``ends`` (m, 2), positions, that in the lower block first; ``shares`` (m,), weights over the
    largest one; ``starts`` (n_blocks^2 + 1,), where the edges of blocks ``first * n_blocks +
    second`` begin.
    """
    counts = np.zeros(n_blocks * n_blocks, np.int64)
    largest = np.float32(0.0)
    for i in range(len(position)):
        for t in range(indptr[i], indptr[i + 1]):
            if indices[t] > i and data[t] >= least:
                counts[pair_of(position[i], position[indices[t]], block_cells, n_blocks)] += 1
                largest = max(largest, data[t])
    starts = np.zeros(len(counts) + 1, np.int64)
    starts[1:] = np.cumsum(counts)
    at = starts[:-1].copy()
    ends = np.empty((starts[-1], 2), np.int32)
    shares = np.empty(starts[-1], np.float32)
    for i in range(len(position)):
        for t in range(indptr[i], indptr[i + 1]):
            if indices[t] > i and data[t] >= least:
                here, there = position[i], position[indices[t]]
                pair = pair_of(here, there, block_cells, n_blocks)
                ends[at[pair], 0] = min(here, there)
                ends[at[pair], 1] = max(here, there)
                shares[at[pair]] = data[t] / largest
                at[pair] += 1
    return ends, shares, starts
