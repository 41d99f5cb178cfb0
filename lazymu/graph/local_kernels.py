"""Similarities of cells in one modality, scaled to each cell's surroundings."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from lazymu.graph.aligned import Aligned, Vectors
from lazymu.graph.search import NeighborLists, empty_heaps
from lazymu.stream.threads import for_row_blocks
from lazymu.typing import CSR, Float64s, Floats, Int64s, Ints

BACKGROUND_CELLS = 4096
"""Cells that stand for all that are far; up to so many cells it is all of them."""
BLOCK_ROWS = 1 << 13
FAR_ROWS = 256
"""Rows whose distances from the background are held at a time: 8 MB."""


class Scaling(NamedTuple):
    """What similarities in a modality depend on besides distances ``d``.

    ``P_ij = W_ij (g_i + g_j) / 2``, where ``W_ij`` is the normal density of ``d_ij`` at the
    deviation ``sigma (m_i + m_j + d_ij) / 3``.
    """

    means: Float64s
    """``m``, each row's mean distance from its neighbours."""
    g: Float64s
    """Half over the sum of each row's affinities ``W``."""
    sigma: float
    eps: float


class LocalKernel(NamedTuple):
    """One modality's similarities of N cells, before any diffusion."""

    view: Aligned
    scaling: Scaling
    S: CSR
    """Each cell's largest similarities, its own among them, over their sum; (N, N)."""
    totals: Float64s
    """Sum of each cell's similarities to all others, (N,); 0 where the modality lacks it."""


def local_kernel(
    view: Aligned,
    lists: NeighborLists,
    n_neighbors: int,
    *,
    sigma: float,
    eps: float,
    random_state: int | None,
) -> LocalKernel:
    r"""Return the similarities of a modality's cells.

    .. math::

        W_{ij} &= \mathcal{N}(d_{ij}; 0, \sigma u_{ij}), \quad u_{ij} = (m_i + m_j + d_{ij}) / 3 \\
        P_{ij} &= (W_{ij} / 2 \sum_{l \ne i} W_{il} + W_{ij} / 2 \sum_{l \ne j} W_{jl}) / 2,
        \quad P_{ii} = 1 / 2

    where ``m`` is the mean distance of the ``n_neighbors`` nearest cells. ``S`` holds the
    ``n_neighbors`` largest of a row of ``P``, its own 1/2 among them, over their sum.

    Parameters
    ----------
    view
        The embedding.
    lists
        The nearest neighbours within it, at least ``n_neighbors`` of each cell: the most similar
        are looked for among these and the cells in whose lists a cell is.
    n_neighbors
        As above.
    sigma, eps
        As above; ``eps`` is added to ``m`` and ``u``.
    random_state
        Seed of the background.

    Notes
    -----
    Sums over all cells are exact over the lists; of the cells beyond, 4,096 drawn at random stand
    for all. Up to 4,096 cells the sums are exact throughout.
    """
    n = len(view.X)
    means = lists.distances[:, :n_neighbors].mean(axis=1) + eps
    rng = np.random.default_rng(random_state)
    sample = np.sort(rng.choice(n, min(n, BACKGROUND_CELLS), replace=False)).astype(np.int32)
    unscaled = Scaling(means, np.ones(n), sigma, eps)
    near = _near_sums(lists, unscaled)
    far, _ = _far_sums(view, lists, unscaled, sample, sample)
    sampled = unscaled._replace(g=half_over(near[sample] + far))
    far, far_scaled = _far_sums(view, lists, sampled, sample, np.arange(n, dtype=np.int32))
    scaling = unscaled._replace(g=half_over(near + far))
    totals = np.zeros(len(view.row_of))
    across = _near_sums(lists, scaling) + far_scaled
    totals[view.cells] = ((near + far) * scaling.g + across) / 2
    return LocalKernel(view, scaling, _strongest(view, lists, scaling, n_neighbors - 1), totals)


def half_over(sums: Float64s) -> Float64s:
    """Return 1/2 over each sum, and 1/2 where it is 0."""
    halves: Float64s = 0.5 / np.where(sums > 0, sums, 1)
    return halves


def _near_sums(lists: NeighborLists, scaling: Scaling) -> Float64s:
    """Return ``sum_j W_ij g_j`` over each row's list."""
    from lazymu.kernels.snf import near_sums

    out = np.empty(len(lists.indices))
    means, g, sigma, eps = scaling

    def work(start: int, stop: int) -> None:
        near_sums(out, start, stop, lists.indices, lists.distances, means, g, sigma, eps)

    for_row_blocks(work, 0, len(out), BLOCK_ROWS)
    return out


def _far_sums(
    view: Aligned, lists: NeighborLists, scaling: Scaling, sample: Ints, rows: Ints
) -> tuple[Float64s, Float64s]:
    """Return ``sum_j W_ij`` and ``sum_j W_ij g_j`` of rows, over the cells not in their lists.

    They are estimated from a sample, the cells that ``scaling.g`` is of.
    """
    from lazymu.kernels.snf import far_sums

    sums, weighted = np.empty(len(rows)), np.empty(len(rows))
    # Distances come from products, which an offset common to all would blur.
    center = view.X.mean(axis=0, dtype=np.float64)
    sampled = view.X[sample] - center
    lengths = np.einsum("ij,ij->i", sampled, sampled)
    means, g, sigma, eps = scaling

    def work(start: int, stop: int) -> None:
        asked = slice(start, stop)
        vectors = view.X[rows[asked]] - center
        squares = -2 * (vectors @ sampled.T)
        squares += np.einsum("ij,ij->i", vectors, vectors)[:, None]
        squares += lengths
        np.maximum(squares, 0, out=squares)
        far_sums(
            *(sums[asked], weighted[asked], rows[asked], squares, sample),
            *(lists.indices, means, g, sigma, eps),
        )

    for_row_blocks(work, 0, len(rows), FAR_ROWS)
    return sums, weighted


def _strongest(view: Aligned, lists: NeighborLists, scaling: Scaling, n_others: int) -> CSR:
    """Return each cell's largest similarities and its own, over their sum, (N, N)."""
    from lazymu.kernels.snf import most_affine
    from lazymu.kernels.wnn import reverse_lists

    n, n_cells = len(view.X), len(view.row_of)
    similar, ids = empty_heaps(n, min(n_others, n - 1), n)
    indptr, rows = reverse_lists(lists.indices)
    means, g, sigma, eps = scaling

    def work(start: int, stop: int) -> None:
        most_affine(
            similar[start:stop],
            ids[start:stop],
            start,
            view.X,
            view.scale,
            lists.indices,
            indptr,
            rows,
            means,
            g,
            sigma,
            eps,
        )

    for_row_blocks(work, 0, n, BLOCK_ROWS)
    values = np.column_stack([np.full(n, 0.5), -similar])
    values /= values.sum(axis=1, keepdims=True)
    cols = np.column_stack([view.cells, view.cells[ids]])
    lengths = np.where(view.row_of >= 0, cols.shape[1], 0)
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    S: CSR = sp.csr_matrix((values.ravel(), cols.ravel(), starts), shape=(n_cells, n_cells))
    S.sort_indices()
    return S


def reordered(kernel: LocalKernel, order: Ints) -> LocalKernel:
    """Return a kernel for cells in another order, in which old cell ``order[i]`` is cell ``i``."""
    place: Ints = np.empty_like(order)
    place[order] = np.arange(len(order))
    X, scale, cells, row_of, origin, _ = kernel.view
    view = Aligned.of(Vectors(X, scale, place[cells], row_of[order]), origin)
    S: CSR = kernel.S[order]
    S.indices = place[S.indices].astype(S.indices.dtype, copy=False)
    S.has_sorted_indices = False
    S.sort_indices()
    return LocalKernel(view, kernel.scaling, S, kernel.totals[order])


def write_similarities(kernel: LocalKernel, indptr: Int64s, cols: Ints, out: Floats) -> None:
    """Write ``P_ij`` of the pairs of cells in a CSR pattern; 0 where the modality lacks one."""
    from lazymu.kernels.snf import pair_affinities

    view = kernel.view
    means, g, sigma, eps = kernel.scaling

    def work(start: int, stop: int) -> None:
        pair_affinities(
            out,
            start,
            stop,
            indptr,
            cols,
            view.X,
            view.scale,
            view.row_of,
            means,
            g,
            sigma,
            eps,
        )

    for_row_blocks(work, 0, len(view.row_of), BLOCK_ROWS)
