"""Weighted nearest neighbours of cells measured in several modalities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from lazymu.graph.affinity import most_similar
from lazymu.graph.aligned import Fitted, align
from lazymu.graph.bandwidth import Flavor, bandwidths
from lazymu.graph.candidates import find_candidates
from lazymu.graph.checks import require_at_least, require_choice
from lazymu.graph.knn import Method, is_approximate, make_search, sampled_recall
from lazymu.graph.search import NeighborLists
from lazymu.graph.weights import given_weights, modality_weights
from lazymu.stream.memory import return_freed
from lazymu.typing import Array, Float64s, Int64s, Ints

FLAVORS = ("seurat", "muon")


class WeightedNeighbors(NamedTuple):
    """The joint neighbours of N cells measured in some of M modalities."""

    indices: Ints
    """int32, shape (N, k), most similar first, never the cell itself; -1 where a cell has no
    more candidates."""
    distances: Float64s
    """``sqrt((1 - a) / 2)`` of the affinity ``a``, shape (N, k)."""
    weights: Float64s
    """Shape (N, M), 0 where a cell is missing; each row sums to 1."""
    sigma: Float64s
    """Bandwidths, shape (N, M); NaN where a cell is missing."""
    recall: dict[str, float]
    """Of modalities searched approximately, the part of the nearest neighbours found."""


def weighted_neighbors(
    embeddings: Mapping[str, Array],
    positions: Mapping[str, Int64s] | None = None,
    *,
    n_neighbors: int = 20,
    n_bandwidth_neighbors: int = 20,
    n_multineighbors: int = 200,
    flavor: Flavor = "seurat",
    l2_norm: bool | None = None,
    eps: float = 1e-4,
    method: Method = "auto",
    lists: Mapping[str, NeighborLists] | None = None,
    weights: Array | None = None,
    random_state: int | None = 0,
) -> WeightedNeighbors:
    r"""Find each cell's neighbours by a mean of its modalities' kernels, weighted for each cell.

    With ``x`` a cell in modality r, ``p^{rs}`` the mean in r of the cell's neighbours in s, ``d_1``
    the distance of its nearest neighbour and ``sigma`` its bandwidth in r,

    .. math::

        \theta^{rs} &= \exp(-\max(0, |x - p^{rs}| - d_1) / \sigma) \\
        w^r &\propto \sum_{s \ne r} \exp(\min(200, \theta^{rr} / (\theta^{rs} + \epsilon))) \\
        a_{ij} &= \sum_r w^r_i \exp(-\max(0, |x^r_i - x^r_j| - d^r_{1i}) / \sigma^r_i)

    and the neighbours of i are the cells with the largest affinity ``a_ij`` among the
    ``n_multineighbors - 1`` nearest of each modality (``flavor="seurat"``). With ``flavor="muon"``
    theta's denominator is ``sigma - d_1``, ``w`` the softmax of ``theta^{rr} / (max_s theta^{rs} +
    eps)``, ``a_ij = sum_r w^r_i exp(-|x_i - x_j| / sigma_i)``, and ``n_neighbors + 1`` cells are
    kept, among the ``n_multineighbors`` nearest. Of bandwidths see
    :func:`lazymu.graph.bandwidth.bandwidths`.

    Parameters
    ----------
    embeddings
        Modality -> matrix, shape (n_r, d_r).
    positions
        Modality -> row of each of the N cells in that matrix, -1 where it has none, shape (N,).
        None where all have the same N cells in the same order.
    n_neighbors
        Neighbours to keep, as Seurat's ``k.nn``. A modality's own lists have one fewer.
    n_bandwidth_neighbors
        Cells that a bandwidth is the mean of.
    n_multineighbors
        Candidates from each modality, as Seurat's ``knn.range``.
    flavor
        Whose formulas: see above.
    l2_norm
        Scale every cell of every embedding to length 1. None: with ``flavor="seurat"`` alone.
    eps
        Number that keeps the ratio of thetas finite.
    method
        Of the search for neighbours, as of :func:`lazymu.graph.knn.nearest_neighbors`.
    lists
        Modality -> neighbours within its embedding to begin with, instead of those found here.
    weights
        Weight of each modality in each cell, shape (N, M) or (M,), instead of those found here;
        they are scaled to sum to 1 over the modalities that a cell has.
    random_state
        Seed of approximate searches.

    Raises
    ------
    ArgumentError
        If there is no modality, an embedding has a NaN or infinite value, the positions do not fit
        it, a cell is in no modality, weights do not fit, are negative or all 0 in a cell, a number
        of neighbours is too small, or ``flavor`` or ``method`` is unknown.
    MemoryLimitError
        If an approximate search would take more than `settings.memory_limit`.

    Notes
    -----
    A cell missing from a modality takes weights over those that it has, and candidates from them;
    in the affinity of two cells a modality that either lacks counts nothing. Where none of a
    cell's neighbours in s has modality r, ``theta^{rs}`` is taken as ``theta^{rr}``: it speaks
    neither for nor against r. Bandwidths have a floor of 1e-10 of a typical vector's length.

    Each modality is searched once, for its candidates, of which the nearest are its lists. Peak
    memory is the embeddings, one float32 copy of each, and some ``16 k M`` bytes a cell. Candidates
    (``4 n_multineighbors`` bytes a cell and modality) are kept in memory up to a sixteenth of
    the limit, else in a temporary file; 8,192 cells' are looked at together.

    References
    ----------
    Hao et al. 2021, https://doi.org/10.1016/j.cell.2021.04.048; the packages Seurat and muon.

    Examples
    --------
    >>> import numpy as np
    >>> from lazymu.graph.wnn import weighted_neighbors
    >>> rng = np.random.default_rng(0)
    >>> joint = weighted_neighbors({"rna": rng.random((50, 5)), "prot": rng.random((50, 3))})
    >>> joint.indices.shape, joint.weights.shape
    ((50, 20), (50, 2))
    """
    require_choice("flavor", flavor, FLAVORS)
    require_at_least("embeddings", len(embeddings), 1)
    require_at_least("n_neighbors", n_neighbors, 2)
    require_at_least("n_multineighbors", n_multineighbors, 2)
    require_at_least("n_bandwidth_neighbors", n_bandwidth_neighbors, 1)
    scaled = flavor == "seurat" if l2_norm is None else l2_norm
    n_candidates = n_multineighbors - (flavor == "seurat")
    fits, recall = [], {}
    for mod, view in align(embeddings, positions, l2_norm=scaled).items():
        k = min(n_neighbors - 1, len(view.X) - 1)
        search = make_search(
            view.X,
            view.scale,
            metric="euclidean",
            method=method,
            n_built=min(max(k, n_candidates), len(view.X) - 1),
            random_state=random_state,
        )
        n_near = min(n_candidates, len(view.X) - 1)
        found = find_candidates(search, len(view.X), k, n_near, f"neighbours in {mod}")
        del search
        given = None if lists is None else lists.get(mod)
        own = found.lists if given is None else view.reorder(given)
        if given is None and is_approximate(method, len(view.X)):
            recall[mod] = sampled_recall(view.X, own, scale=view.scale)
        sigma = bandwidths(view, own, n_bandwidth_neighbors, flavor, found.candidates.order)
        fits.append(Fitted(view, found.candidates, own, sigma))
    return_freed()
    if weights is None:
        used = modality_weights(fits, eps, flavor)
    else:
        used = given_weights(weights, fits)
    n_kept = min(n_neighbors + (flavor == "muon"), len(used) - 1)
    joint = most_similar(fits, used, n_kept, flavor)
    return_freed()
    widths = np.full(used.shape, np.nan)
    for column, fit in enumerate(fits):
        widths[fit.view.cells, column] = fit.sigma
    return WeightedNeighbors(joint.indices, joint.distances, used, widths, recall)
