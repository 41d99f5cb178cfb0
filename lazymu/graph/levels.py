"""The Louvain algorithm on several layers: moves of vertices, communities that become vertices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from lazymu.typing import CSR, Float64s, Int64s

ROUNDING = 1e-10
"""Gains below this share of the mean weight of a vertex are taken for rounding."""


class Level(NamedTuple):
    """Layers of directed graphs of the same n vertices, as far as communities depend on them.

    Weights of layers add up, so that one graph has them all; what is expected of degrees does not.
    """

    weights: CSR
    """float64, shape (n, n): ``sum_l w_l (A_l + A_l')``."""
    out: Float64s
    """Shape (n, layers): weights that leave each vertex."""
    into: Float64s
    """Shape (n, layers): weights that enter each vertex."""
    pull: Float64s
    """Shape (layers,): ``w_l gamma_l`` over the sum of a layer's weights."""


def level_of(
    adjacencies: Sequence[CSR], resolutions: Sequence[float], weights: Sequence[float]
) -> Level:
    """Return the first level, on which vertices are cells."""
    n = adjacencies[0].shape[0]
    total = sp.csr_matrix((n, n), dtype=np.float64)
    out, into = np.empty((n, len(weights))), np.empty((n, len(weights)))
    for layer, (A, weight) in enumerate(zip(adjacencies, weights, strict=True)):
        out[:, layer] = np.asarray(A.sum(axis=1, dtype=np.float64)).ravel()
        into[:, layer] = np.asarray(A.sum(axis=0, dtype=np.float64)).ravel()
        total = total + weight * A.astype(np.float64)
    sums = out.sum(axis=0)
    pull = np.divide(
        np.multiply(weights, resolutions), sums, out=np.zeros(len(sums)), where=sums > 0
    )
    both = sp.csr_matrix(total + total.T)
    both.sort_indices()
    return Level(both, out, into, pull)


def quality(level: Level, community: Int64s) -> float:
    """Return ``sum_l w_l sum_ij [c_i = c_j] (A_ij - gamma_l out_i into_j / sum(A))``."""
    from lazymu.kernels.louvain import weight_within

    graph = level.weights
    within = weight_within(community, graph.indptr, graph.indices, graph.data) / 2
    expected = _by_community(level.out, community) * _by_community(level.into, community)
    return float(within - expected.sum(axis=0) @ level.pull)


def louvain(level: Level, n_iterations: int, generator: np.random.Generator) -> Int64s:
    """Return a community of each vertex that a number of rounds leads to from single vertices.

    Each round starts at the vertices themselves, in the communities of the one before; -1: on
    while any vertex moves.
    """
    community = np.arange(len(level.out))
    done = 0
    while done != n_iterations:
        community, n_moves = _climb(level, community, generator)
        done += 1
        if n_moves == 0:
            break
    return community


def _climb(level: Level, community: Int64s, generator: np.random.Generator) -> tuple[Int64s, int]:
    """Return the communities after one round, and how many moves it took."""
    vertex_of, own, total = np.arange(len(community)), community, 0
    while True:
        own, n_moves = _moved(level, own, generator)
        total += n_moves
        community = own[vertex_of]
        n_communities = int(own.max(initial=-1)) + 1
        if n_communities == len(own):
            return community, total
        level, vertex_of = _merged(level, own), community
        own = np.arange(n_communities)


def _moved(level: Level, community: Int64s, generator: np.random.Generator) -> tuple[Int64s, int]:
    """Return the communities, numbered from 0, after all moves of single vertices."""
    from lazymu.kernels.louvain import move_vertices

    graph, moved = level.weights, community.copy()
    n_moves = move_vertices(
        moved,
        generator.permutation(len(moved)),
        graph.indptr,
        graph.indices,
        graph.data,
        level.out,
        level.into,
        level.pull,
        ROUNDING * graph.data.sum() / max(1, len(moved)),
    )
    numbered: Int64s = np.unique(moved, return_inverse=True)[1]
    return numbered, n_moves


def _merged(level: Level, community: Int64s) -> Level:
    """Return the level on which communities are vertices."""
    n, n_communities = len(community), int(community.max()) + 1
    member = sp.csr_matrix((np.ones(n), community, np.arange(n + 1)), (n, n_communities))
    weights = sp.csr_matrix(member.T @ level.weights @ member)
    weights.sort_indices()
    out, into = (_by_community(values, community) for values in (level.out, level.into))
    return Level(weights, out, into, level.pull)


def _by_community(values: Float64s, community: Int64s) -> Float64s:
    from lazymu.kernels.louvain import sums_by_community

    sums = np.zeros((int(community.max(initial=-1)) + 1, values.shape[1]))
    sums_by_community(community, values, sums)
    return sums
