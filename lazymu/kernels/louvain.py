"""Moves of vertices between communities: the inner loop of the Louvain algorithm.

The quality of a partition is ``sum_ij [c_i = c_j] (A_ij - sum_l pull_l out_il into_jl)``: weights
``A`` summed over layers, less what each layer's degrees would lead one to expect. Sums of degrees
by community are arrays (communities, layers); ``weights`` are ``A_ij + A_ji``, CSR.

Source: Blondel et al. 2008, https://doi.org/10.1088/1742-5468/2008/10/P10008; vertices wait in a
queue as in Traag et al. 2019, https://doi.org/10.1038/s41598-019-41695-z.
"""

from __future__ import annotations

import numpy as np

from lazymu.kernels.jit import kernel
from lazymu.typing import Array, Bools, Float64s, Int64s, Ints


@kernel
def sums_by_community(community: Int64s, values: Array, sums: Array) -> None:
    """Add each vertex's row of ``values`` to its community's row of ``sums``."""
    for v in range(len(community)):
        sums[community[v]] += values[v]


@kernel
def weight_within(community: Int64s, indptr: Ints, indices: Ints, weights: Float64s) -> float:
    """Return the sum of the weights that stay in their community."""
    total = 0.0
    for v in range(len(community)):
        for t in range(indptr[v], indptr[v + 1]):
            if community[indices[t]] == community[v]:
                total += weights[t]
    return total


@kernel
def meet_communities(
    v: int,
    community: Int64s,
    indptr: Ints,
    indices: Ints,
    weights: Float64s,
    near: Float64s,
    is_met: Bools,
    met: Int64s,
) -> int:
    """Add up a vertex's weights to each community, its own first; return how many were met."""
    met[0], near[community[v]], is_met[community[v]] = community[v], 0.0, True
    n_met = 1
    for t in range(indptr[v], indptr[v + 1]):
        if indices[t] != v:
            c = community[indices[t]]
            if not is_met[c]:
                met[n_met], near[c], is_met[c] = c, 0.0, True
                n_met += 1
            near[c] += weights[t]
    for k in range(n_met):
        is_met[met[k]] = False
    return n_met


@kernel
def expected_between(
    v: int,
    c: int,
    sum_out: Float64s,
    sum_into: Float64s,
    out: Float64s,
    into: Float64s,
    pull: Float64s,
) -> float:
    """Return the weight expected between a vertex and row ``c`` of sums of degrees."""
    expected = 0.0
    for layer in range(len(pull)):
        both = out[v, layer] * sum_into[c, layer] + into[v, layer] * sum_out[c, layer]
        expected += pull[layer] * both
    return expected


@kernel
def best_community(
    v: int,
    n_met: int,
    met: Int64s,
    near: Float64s,
    sum_out: Float64s,
    sum_into: Float64s,
    out: Float64s,
    into: Float64s,
    pull: Float64s,
    least_gain: float,
) -> int:
    """Return where the quality is largest with a vertex in it: a community met, -1 for alone."""
    home = met[0]
    expected = expected_between(v, home, sum_out, sum_into, out, into, pull)
    expected -= expected_between(v, v, out, into, out, into, pull)
    best, most = home, near[home] - expected + least_gain
    for k in range(1, n_met):
        c = met[k]
        value = near[c] - expected_between(v, c, sum_out, sum_into, out, into, pull)
        if value > most:
            best, most = c, value
    return best if most >= 0.0 else -1


@kernel
def move_vertices(
    community: Int64s,
    order: Int64s,
    indptr: Ints,
    indices: Ints,
    weights: Float64s,
    out: Float64s,
    into: Float64s,
    pull: Float64s,
    least_gain: float,
) -> int:
    """Move vertices to where the quality grows most, until it does no more; return the moves.

    A vertex has its turn in ``order``, and again after a neighbour has moved to a community other
    than its own. Communities are numbers below that of the vertices.
    """
    n = len(community)
    sum_out, sum_into, sizes = np.zeros(out.shape), np.zeros(out.shape), np.zeros(n, np.int64)
    sums_by_community(community, out, sum_out)
    sums_by_community(community, into, sum_into)
    sums_by_community(community, np.ones(n, np.int64), sizes)
    empty = np.empty(n, np.int64)
    n_empty = 0
    for c in range(n):
        if sizes[c] == 0:
            empty[n_empty] = c
            n_empty += 1
    near, is_met, met = np.zeros(n), np.zeros(n, np.bool_), np.empty(n, np.int64)
    queue, waits = order.copy(), np.ones(n, np.bool_)
    head, n_waiting, n_moves = 0, n, 0
    while n_waiting > 0:
        v = queue[head]
        head, n_waiting, waits[v] = (head + 1) % n, n_waiting - 1, False
        home = community[v]
        n_met = meet_communities(v, community, indptr, indices, weights, near, is_met, met)
        c = best_community(v, n_met, met, near, sum_out, sum_into, out, into, pull, least_gain)
        if c == home or (c < 0 and sizes[home] == 1):
            continue
        n_moves += 1
        if c < 0:
            n_empty -= 1
            c = empty[n_empty]
        community[v] = c
        sizes[home], sizes[c] = sizes[home] - 1, sizes[c] + 1
        for sums, degrees in ((sum_out, out), (sum_into, into)):
            sums[home] -= degrees[v]
            sums[c] += degrees[v]
        if sizes[home] == 0:
            # What rounding has left would count for the next who comes.
            sum_out[home], sum_into[home] = 0.0, 0.0
            empty[n_empty] = home
            n_empty += 1
        for t in range(indptr[v], indptr[v + 1]):
            u = indices[t]
            if not waits[u] and community[u] != c:
                queue[(head + n_waiting) % n] = u
                n_waiting, waits[u] = n_waiting + 1, True
    return n_moves
