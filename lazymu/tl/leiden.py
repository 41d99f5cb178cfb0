"""Leiden clusters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from lazymu import keys
from lazymu.containers import Modality, MuData
from lazymu.graph.leiden import DEFAULT_ROUNDS, Implementation, leiden_at_resolutions
from lazymu.tl.graphs import container_of, graph_of
from lazymu.typing import CSR


def leiden(
    data: Modality | MuData,
    resolution: float | Sequence[float] = 1.0,
    *,
    random_state: int | None = 0,
    key_added: str = keys.LEIDEN,
    adjacency: CSR | None = None,
    directed: bool | None = None,
    use_weights: bool = True,
    n_iterations: int | None = None,
    neighbors_key: str | None = None,
    obsp: str | None = None,
    flavor: Implementation = "igraph",
) -> None:
    r"""Cluster cells by modularity of a neighbour graph.

    Maximises, with weights ``A``, degrees ``k`` and ``2m`` their sum,

    .. math:: Q = \frac{1}{2m} \sum_{ij} (A_{ij} - \gamma k_i k_j / 2m) \, [c_i = c_j]

    Parameters
    ----------
    data
        A modality or MuData with a neighbour graph.
    resolution
        gamma: larger values give more clusters. With several values there is a column for each.
    random_state
        Seed.
    key_added
        Column of `obs`; with several resolutions ``<key_added>_<resolution>``.
    adjacency
        Weights of the graph, shape (n_obs, n_obs), instead of a stored one.
    directed
        Whether ``A_ij`` and ``A_ji`` are different edges; only with leidenalg.
    use_weights
        Whether edges have their weights, or 1 each.
    n_iterations
        Rounds of the algorithm, -1 for on while Q improves; None: 2 with igraph, -1 with leidenalg.
    neighbors_key
        Name of the graph, as given to ``pp.neighbors(key_added=...)``; None: "neighbors".
    obsp
        Name of an array of `obsp` instead.
    flavor
        The package to use: "igraph" (fast) or "leidenalg" (scanpy's former default).

    Notes
    -----
    Writes ``obs[key_added]`` (categories "0", "1", ... from the largest cluster down) and
    ``uns[key_added]`` with `params` and `modularity`; for a MuData into its joint `obs`. With
    igraph the clusters are those of ``scanpy.tl.leiden(flavor="igraph", n_iterations=2)`` with the
    same seed, numbered by size.

    Passes over X: none. Peak memory: some 70 bytes a stored weight.

    Raises
    ------
    MissingResultError
        If there is no such graph.
    ArgumentError
        If both ``neighbors_key`` and ``obsp`` are given, or ``directed`` with igraph.
    MemoryLimitError
        If the graph exceeds the memory limit.

    References
    ----------
    Traag, Waltman & van Eck 2019, https://doi.org/10.1038/s41598-019-41695-z.

    Examples
    --------
    >>> import numpy as np, lazymu
    >>> rng = np.random.default_rng(0)
    >>> centres = np.repeat([[0, 0], [9, 9]], 30, axis=0)
    >>> rna = lazymu.Modality(np.ones((60, 2)), obsm={"X_pca": centres + rng.random((60, 2))})
    >>> lazymu.pp.neighbors(rna, n_neighbors=30)
    >>> lazymu.tl.leiden(rna, resolution=0.1)
    >>> rna.obs["leiden"].value_counts().to_dict()
    {'0': 30, '1': 30}
    """
    container = container_of(data)
    graph = adjacency
    if graph is None:
        graph = graph_of(container, neighbors_key, obsp).connectivities
    several = not np.isscalar(resolution)
    values = np.atleast_1d(np.asarray(resolution, dtype=float)).tolist()
    partitions = leiden_at_resolutions(
        graph,
        values,
        n_iterations=n_iterations,
        flavor=flavor,
        directed=directed,
        use_weights=use_weights,
        random_state=random_state,
    )
    for value, found in zip(values, partitions, strict=True):
        rounds = DEFAULT_ROUNDS[flavor] if n_iterations is None else n_iterations
        params: dict[str, Any] = {"resolution": value, "n_iterations": rounds}
        if random_state is not None:
            params["random_state"] = random_state
        key = f"{key_added}_{value:g}" if several else key_added
        container.obs[key] = as_categories(found.labels)
        container.uns[key] = {"params": params, "modularity": found.modularity}


def as_categories(labels: np.ndarray[Any, Any]) -> pd.Categorical:
    """Return labels 0, 1, ... as categories "0", "1", ... in that order."""
    names = pd.Index([str(label) for label in range(int(labels.max(initial=-1)) + 1)], dtype=object)
    return pd.Categorical.from_codes(labels, categories=names)
