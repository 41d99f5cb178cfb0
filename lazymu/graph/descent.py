"""UMAP's stochastic gradient descent in threads, the same for any number of them.

The cells are shuffled into blocks. In each round of a tournament every block meets one other, and
the edges between the two are visited in turn: threads never touch the same cells, so that the
result is that of one thread, and what they touch stays in a core's cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from lazymu.settings import settings
from lazymu.stream.progress import advance, reporting
from lazymu.typing import CSR, Floats, Int64s

N_BLOCKS = 32
"""Blocks of cells: as many as half of them are worked on at a time, whatever the threads. With
fewer than some 300 cells a block the cells repelled are too few: neighbours get lost."""


def descend(
    connectivities: CSR,
    start: Floats,
    *,
    a: float,
    b: float,
    alpha: float,
    gamma: float,
    negative_sample_rate: int,
    n_epochs: int,
    random_state: np.random.RandomState,
) -> Floats:
    """Move cells along the gradients of UMAP's objective.

    As in umap-learn an edge has its turn in a part of the epochs that is its weight over the
    largest one, and each of its ends then moves away from ``negative_sample_rate`` other cells.
    Unlike there, these are drawn from the block of the other end; powers are exact to 1e-5.

    Parameters
    ----------
    connectivities
        Weights of the graph, shape (n, n), symmetric.
    start
        Shape (n, d).
    a, b
        The curve ``1 / (1 + a x^{2b})``.
    alpha
        Initial learning rate, which falls to 0.
    gamma
        Weight of repulsion.
    negative_sample_rate
        As above.
    n_epochs
        Rounds over all edges.
    random_state
        Source of the shuffle and the draws.

    Returns
    -------
    float32, shape (n, d).

    Notes
    -----
    Time is ``O(n_epochs * edges)``. Peak memory: 12 bytes for each pair of neighbours and 16 a
    cell, beside the graph.
    """
    from lazymu.kernels import layout

    generator = np.random.default_rng(random_state.randint(np.iinfo(np.int32).max))
    n_cells = len(start)
    block_cells = -(-n_cells // N_BLOCKS)
    order = generator.permutation(n_cells)
    position = np.empty(n_cells, np.int32)
    position[order] = np.arange(n_cells, dtype=np.int32)
    places = np.ascontiguousarray(start[order], np.float32)
    least = float(connectivities.data.max(initial=0.0)) / max(n_epochs, 1)
    graph = (connectivities.indptr, connectivities.indices, connectivities.data)
    ends, shares, starts = layout.edges_by_blocks(*graph, position, block_cells, N_BLOCKS, least)
    axes = (0,) * places.shape[1]
    rounds = [np.array(pairs) for pairs in _rounds(N_BLOCKS)]

    def visit(pairs: Int64s, curve: Floats, epoch: int, seeds: Int64s) -> None:
        layout.visit_edges(
            *(places, ends, shares, starts, pairs, block_cells, axes, curve),
            *(epoch, negative_sample_rate, seeds[pairs[:, 0], pairs[:, 1]]),
        )

    token = f"UMAP {id(places)}"
    with (
        reporting(token, "UMAP", n_epochs, n_epochs * len(shares)),
        ThreadPoolExecutor(settings.n_threads) as pool,
    ):
        for epoch in range(1, n_epochs + 1):
            seeds = generator.integers(np.iinfo(np.int64).max, size=(N_BLOCKS, N_BLOCKS))
            rate = alpha * (1 - (epoch - 1) / n_epochs)
            step = (np.array([a, b, gamma, rate], np.float32), epoch, seeds)
            for pairs in rounds:
                parts = np.array_split(pairs, settings.n_threads)
                list(pool.map(visit, parts, *([value] * len(parts) for value in step)))
            advance(token, len(shares))
    return places[position]


def _rounds(n: int) -> Iterator[list[tuple[int, int]]]:
    """Return the rounds of a tournament of ``n`` blocks, n even, in which all pairs meet once.

    In the first each meets itself; then one stays and the others go round a circle.

    Examples
    --------
    >>> [sorted(pairs) for pairs in _rounds(4)][1:]
    [[(0, 3), (1, 2)], [(0, 2), (1, 3)], [(0, 1), (2, 3)]]
    """
    yield [(i, i) for i in range(n)]
    for turn in range(n - 1):
        circle = [(turn + i) % (n - 1) for i in range(n - 1)]
        met = [(circle[0], n - 1)]
        met += [(circle[i], circle[n - 1 - i]) for i in range(1, n // 2)]
        yield [(min(pair), max(pair)) for pair in met]
