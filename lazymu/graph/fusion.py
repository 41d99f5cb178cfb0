"""Diffusion of several similarity networks into one, on pairs of cells that are kept throughout.

A network ``P`` is known at the pairs, and by the sums of its rows. What these sums exceed the pairs
by is taken as spread evenly over all cells of the modality: it is little at any one pair, but so
many pairs are not kept that without it the pairs would gain weight from step to step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from lazymu.graph.local_kernels import BLOCK_ROWS, LocalKernel, half_over, write_similarities
from lazymu.graph.search import empty_heaps
from lazymu.stream.threads import for_row_blocks
from lazymu.typing import CSR, Bools, Float64s, Floats, Int64s, Ints

NONE = -1


class Pairs(NamedTuple):
    """Pairs of cells, each both ways and no cell with itself, as a CSR pattern."""

    indptr: Int64s
    cols: Ints
    """int32, those of a row ascending."""


def all_pairs(n: int) -> Pairs:
    """Return all pairs of n cells."""
    cols = np.tile(np.arange(n, dtype=np.int32), (n, 1))[~np.eye(n, dtype=bool)]
    return Pairs(np.arange(n + 1) * (n - 1), cols)


def strongest_pairs(kernels: Sequence[CSR], width: int) -> Pairs:
    """Return the pairs with the ``width`` largest ``sum_r (S_r S_r')_ij`` of either cell.

    Such cells are neighbours, or have neighbours in common, in some modality.

    Parameters
    ----------
    kernels
        ``S_r``, each (N, N).
    width
        Pairs that each cell chooses.
    """
    from lazymu.kernels import snf

    n = kernels[0].shape[0]
    lists = np.empty((n, width), np.int32)
    B = sp.hstack(kernels, format="csr")
    T = B.T.tocsr()

    def work(start: int, stop: int) -> None:
        snf.strongest_pairs(
            *(lists[start:stop], start),
            *(B.indptr, B.indices, B.data, T.indptr, T.indices, T.data),
        )

    for_row_blocks(work, 0, n, BLOCK_ROWS)
    return _both_ways(lists)


def _both_ways(lists: Ints) -> Pairs:
    """Return the pairs that are in either cell's list."""
    from lazymu.kernels.fuzzy import count_union
    from lazymu.kernels.snf import union_columns

    n, chosen = len(lists), lists >= 0
    starts = np.concatenate([[0], np.cumsum(chosen.sum(axis=1))])
    cols = lists[chosen]
    A = sp.csr_matrix((np.ones(len(cols), np.int8), cols, starts), shape=(n, n))
    A.sort_indices()
    T = A.T.tocsr()
    indptr = count_union(A.indices, A.indptr, T.indices, T.indptr).astype(np.int64, copy=False)
    out = np.empty(indptr[-1], np.int32)
    union_columns(out, indptr, A.indptr, A.indices, T.indptr, T.indices)
    return Pairs(indptr, out)


class Fusion:
    """The networks of M modalities, and the steps that make them alike.

    Memory is two values of ``dtype`` a pair and modality, and one more a pair where there are more
    than two modalities or cells are missing.
    """

    def __init__(self, kernels: Sequence[LocalKernel], pairs: Pairs, dtype: np.dtype[Any]) -> None:
        self._S = [kernel.S for kernel in kernels]
        self._pairs = pairs
        self._present: Bools = np.array([kernel.view.row_of >= 0 for kernel in kernels])
        self._totals = np.array([kernel.totals for kernel in kernels])
        self._P: Floats = np.empty((len(kernels), len(pairs.cols)), dtype)
        self._next = np.empty_like(self._P)
        for kernel, values in zip(kernels, self._P, strict=True):
            write_similarities(kernel, *pairs, values)
        self._groups = np.unique(self._present.T, axis=0, return_counts=True)

    def step(self) -> None:
        """Replace each ``P_r`` by ``S_r Q_r S_r'``, ``Q_r`` being the mean of the others."""
        beyond = self._beyond()
        self._totals = np.array([self._diffuse(r, beyond) for r in range(len(self._S))])
        self._P, self._next = self._next, self._P

    def most_similar(self, k: int) -> tuple[Ints, Float64s]:
        """Return the ``k`` cells most similar to each in the mean of the networks.

        Indices are -1 and similarities 0 where a cell has fewer pairs.
        """
        from lazymu.kernels.snf import largest_pairs

        mean = self._mean(NONE)
        n = self._present.shape[1]
        sums = self._products(mean, np.ones(n)) + self._mean_beyond(self._beyond(), NONE)
        self._scale(mean, half_over(sums))
        similar, ids = empty_heaps(n, min(k, n - 1), n)

        def work(start: int, stop: int) -> None:
            largest_pairs(similar[start:stop], ids[start:stop], start, *self._pairs, mean)

        for_row_blocks(work, 0, n, BLOCK_ROWS)
        found = np.isfinite(similar)
        return np.where(found, ids, NONE), np.where(found, -similar, 0)

    def _diffuse(self, r: int, beyond: Float64s) -> Float64s:
        """Write ``S_r Q_r S_r'``, scaled as ``P`` is, for the next step; return its rows' sums."""
        from lazymu.kernels.snf import diffused_rows

        S, here, out = self._S[r], self._present[r], self._next[r]
        Q, Q_beyond = self._mean(r), self._mean_beyond(beyond, r)
        diagonal = np.zeros(len(here))
        indptr, cols = self._pairs.indptr.view(np.uint64), self._pairs.cols.view(np.uint32)
        S_indptr, S_indices = S.indptr.astype(np.uint64), S.indices.view(np.uint32)

        def work(start: int, stop: int) -> None:
            diffused_rows(
                *(out, diagonal, start, stop, indptr, cols, Q),
                *(S_indptr, S_indices, S.data),
            )

        def without_diagonal(x: Float64s) -> Float64s:
            """Return ``S Q S' x``, the diagonal left out; pairs that are not kept are in it."""
            v = S.T @ x
            whole: Float64s = S @ (self._products(Q, v) + v / 2 + Q_beyond * v[here].mean())
            return whole - diagonal * x

        for_row_blocks(work, 0, len(here), BLOCK_ROWS)
        sums = without_diagonal(np.ones(len(here)))
        g = half_over(sums)
        self._scale(out, g)
        return (sums * g + without_diagonal(g)) / 2

    def _mean(self, left_out: int) -> Floats:
        """Return the mean of the networks but one; where no other has a pair it is that one's."""
        from lazymu.kernels.snf import mean_of_pairs

        out: Floats
        if left_out != NONE and len(self._P) == 2 and self._present.all():
            out = self._P[1 - left_out]
            return out
        out = np.empty_like(self._P[0])

        def work(start: int, stop: int) -> None:
            mean_of_pairs(out, start, stop, *self._pairs, self._P, self._present, left_out)

        for_row_blocks(work, 0, self._present.shape[1], BLOCK_ROWS)
        return out

    def _beyond(self) -> Float64s:
        """Return how similar each cell is to one with which it has no pair, (M, N)."""
        ones = np.ones(self._present.shape[1])
        kept = np.array([self._products(P, ones) for P in self._P])
        thin: Float64s = np.maximum(self._totals - kept, 0) / self._present.sum(axis=1)[:, None]
        return thin

    def _mean_beyond(self, beyond: Float64s, left_out: int) -> Float64s:
        """Return the sum of each row of :meth:`_mean` over the pairs that are not kept."""
        total = np.zeros(beyond.shape[1])
        for group, size in zip(*self._groups, strict=True):
            if left_out != NONE and not group[left_out]:
                continue
            shared = self._present & group[:, None]
            if left_out != NONE:
                shared[left_out] = False
            n = shared.sum(axis=0)
            alone = 0 if left_out == NONE else beyond[left_out]
            mean = (beyond * shared).sum(axis=0) / np.maximum(n, 1)
            total += size * np.where(n > 0, mean, alone)
        return total

    def _products(self, values: Floats, vector: Float64s) -> Float64s:
        """Return the product of the matrix of the pairs' values with a vector."""
        from lazymu.kernels.snf import row_products

        out = np.empty(len(vector))

        def work(start: int, stop: int) -> None:
            row_products(out, start, stop, *self._pairs, values, vector)

        for_row_blocks(work, 0, len(out), BLOCK_ROWS)
        return out

    def _scale(self, values: Floats, g: Float64s) -> None:
        """Multiply the pairs' values by ``(g_i + g_j) / 2``."""
        from lazymu.kernels.snf import scale_pairs

        def work(start: int, stop: int) -> None:
            scale_pairs(values, start, stop, *self._pairs, g)

        for_row_blocks(work, 0, len(g), BLOCK_ROWS)
