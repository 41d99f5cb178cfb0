"""Schemes of candidates for joint neighbours, to compare with Seurat's nearest 199 of each.

All start from the same weights and rank by the same affinity; they differ in which cells are
ranked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from lazymu.graph.affinity import most_similar
from lazymu.graph.aligned import Aligned, Fitted, align
from lazymu.graph.bandwidth import bandwidths
from lazymu.graph.candidates import Candidates, find_candidates
from lazymu.graph.knn import make_search, search_blocks
from lazymu.graph.search import NeighborLists
from lazymu.graph.weights import modality_weights

K = 20
"""Joint neighbours."""
BLOCK = 1 << 14


class Graph(NamedTuple):
    """What a scheme gives."""

    lists: NeighborLists
    weights: Any
    n_ranked: float
    """Candidates that a cell has, on average, over all rounds."""


Embeddings = dict[str, Any]
Scheme = Callable[[Embeddings], Graph]


def fitted(embeddings: Embeddings, n: int, method: str = "auto") -> list[Fitted]:
    """Return each modality's lists, bandwidths and ``n`` candidates."""
    fits = []
    for name, view in align(embeddings, None, l2_norm=True).items():
        search = searching(view, method, max(n, K - 1))
        found = find_candidates(search, len(view.X), K - 1, n, name)
        order = found.candidates.order
        sigma = bandwidths(view, found.lists, K, "seurat", order)
        fits.append(Fitted(view, found.candidates, found.lists, sigma))
    return fits


def searching(view: Aligned, method: str, n: int) -> Any:
    return make_search(
        *(view.X, view.scale),
        metric="euclidean",
        method=method,
        n_built=min(n, len(view.X) - 1),
        random_state=0,
    )


def ranked(fits: Sequence[Fitted], weights: Any, candidates: Candidates) -> NeighborLists:
    """Return the best of some candidates, instead of those that the modalities have."""
    none = Candidates(len(weights), 0, candidates.order)
    first, *others = fits
    own = [first._replace(candidates=candidates)]
    return most_similar(
        own + [fit._replace(candidates=none) for fit in others], weights, K, "seurat"
    )


def candidates_of(blocks: Iterator[tuple[Any, Any]], n: int, k: int, order: Any) -> Candidates:
    """Return candidates that are made a block of cells at a time."""
    kept = Candidates(n, k, order)
    for rows, lists in blocks:
        # A cell is among its neighbours' neighbours, and no candidate of its own.
        lists[lists == rows[:, None]] = -1
        kept.write(rows, lists)
    return kept


def nearest(n: int, method: str = "auto") -> Scheme:
    """Return the scheme of the ``n`` nearest of each modality, as Seurat's."""

    def scheme(embeddings: Embeddings) -> Graph:
        fits = fitted(embeddings, n, method)
        weights = modality_weights(fits, 1e-4, "seurat")
        return Graph(most_similar(fits, weights, K, "seurat"), weights, n * len(fits))

    return scheme


def along_joint_graph(n_first: int, n_rounds: int) -> Scheme:
    """Return the scheme of some nearest, then joint neighbours of joint neighbours, in rounds."""

    def scheme(embeddings: Embeddings) -> Graph:
        fits = fitted(embeddings, n_first)
        weights = modality_weights(fits, 1e-4, "seurat")
        order = fits[0].candidates.order
        lists = most_similar(fits, weights, K, "seurat")
        for _ in range(n_rounds):
            near = lists.indices
            blocks = (
                (
                    rows,
                    np.column_stack(
                        [fit.candidates.read(rows) for fit in fits]
                        + [near[near[rows]].reshape(len(rows), -1)]
                    ),
                )
                for rows in runs(order)
            )
            width = n_first * len(fits) + K * K
            lists = ranked(fits, weights, candidates_of(blocks, len(near), width, order))
        return Graph(lists, weights, n_first * len(fits) * (1 + n_rounds) + n_rounds * K * K)

    return scheme


def along_both_graphs(n_followed: int) -> Scheme:
    """Return the scheme of the modalities' own lists, and the lists of their first cells."""

    def scheme(embeddings: Embeddings) -> Graph:
        fits = fitted(embeddings, K - 1)
        weights = modality_weights(fits, 1e-4, "seurat")
        order, lists = fits[0].candidates.order, [fit.lists.indices for fit in fits]
        width = len(lists) * (K - 1) * (1 + len(lists) * n_followed)

        def found(rows: Any) -> Any:
            columns = [own[rows] for own in lists]
            for own in lists:
                followed = own[rows, :n_followed]
                columns += [other[followed].reshape(len(rows), -1) for other in lists]
            return np.column_stack(columns)

        blocks = ((rows, found(rows)) for rows in runs(order))
        further = candidates_of(blocks, len(weights), width, order)
        return Graph(ranked(fits, weights, further), weights, width)

    return scheme


def side_by_side(n: int) -> Scheme:
    """Return the scheme of the ``n`` nearest by all components, in units of mean bandwidths."""

    def scheme(embeddings: Embeddings) -> Graph:
        fits = fitted(embeddings, K - 1)
        weights = modality_weights(fits, 1e-4, "seurat")
        columns = [
            fit.view.X * (fit.view.scale * np.sqrt(weight / fit.sigma.mean()))[:, None]
            for fit, weight in zip(fits, weights.mean(axis=0), strict=True)
        ]
        view = align({"all": np.column_stack(columns).astype(np.float32)}, None, l2_norm=False)
        search = searching(view["all"], "auto", n)
        found = search_blocks(search, len(weights), 1, "all", n)
        blocks = ((rows, near.candidates) for rows, near in found)
        together = candidates_of(blocks, len(weights), n, search.order)
        return Graph(ranked(fits, weights, together), weights, n)

    return scheme


def runs(order: Any) -> Iterator[Any]:
    """Yield the cells, some at a time."""
    for start in range(0, len(order), BLOCK):
        yield order[start : start + BLOCK]


SCHEMES: dict[str, Scheme] = {
    **{f"nearest {n} of each": nearest(n) for n in (20, 40, 60, 100, 150, 199)},
    "nearest 40 of each, then along the joint graph": along_joint_graph(40, 1),
    "nearest 40 of each, then twice along it": along_joint_graph(40, 2),
    "nearest 100 of each, then along the joint graph": along_joint_graph(100, 1),
    "lists of the first 5 in both graphs": along_both_graphs(5),
    "lists of the first 10 in both graphs": along_both_graphs(10),
    "nearest 200 by all components together": side_by_side(200),
}
EXACT: Scheme = nearest(199, "exact")
"""Seurat's algorithm."""
