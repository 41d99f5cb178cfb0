"""What `tl.leiden` and `tl.louvain` share: clusters of layers, and where clusters are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lazymu.containers import Modality, MuData
from lazymu.graph.communities import Clusters
from lazymu.graph.multiplex import DEFAULT_ROUNDS, Layer, MultiplexClusters
from lazymu.tl.layers import Resolution, require_numbers
from lazymu.typing import Ints


def resolutions_of(resolution: Resolution) -> list[float]:
    """Return the resolutions at which one graph is clustered."""
    values = list(np.atleast_1d(np.asarray(resolution)))
    require_numbers("resolution", resolution, values)
    return [float(value) for value in values]


def store_at_resolutions(
    data: Modality | MuData,
    key_added: str,
    resolution: Resolution,
    found: Sequence[Clusters],
    params: Mapping[str, Any],
    random_state: int | None,
) -> None:
    """Write the clusters of one graph, with several resolutions one column for each."""
    for value, clusters in zip(resolutions_of(resolution), found, strict=True):
        key = key_added if np.isscalar(resolution) else f"{key_added}_{value:g}"
        own = {"resolution": value, **params}
        _store(data, key, clusters.labels, own, random_state)
        data.uns[key]["modularity"] = clusters.modularity


def cluster_layers(
    data: Modality | MuData,
    layers: Mapping[str, Layer],
    cluster: Callable[..., MultiplexClusters],
    key_added: str,
    resolution: Resolution,
    *,
    n_iterations: int | None,
    directed: bool | None,
    use_weights: bool | None,
    random_state: int | None,
) -> None:
    """Cluster cells by the modalities' graphs together, and write what is found.

    None stands for muon's defaults: two rounds, directed, each edge 1.
    """
    rounds = DEFAULT_ROUNDS if n_iterations is None else n_iterations
    found = cluster(
        layers,
        n_iterations=rounds,
        directed=directed is not False,
        use_weights=bool(use_weights),
        random_state=random_state,
    )
    resolutions = {name: layer.resolution for name, layer in layers.items()}
    several = isinstance(resolution, Mapping)
    params = {
        "resolution": resolutions if several else next(iter(resolutions.values())),
        "mod_weights": {name: layer.weight for name, layer in layers.items()},
        "n_iterations": rounds,
        "partition_improvement": found.improvement,
    }
    _store(data, key_added, found.labels, params, random_state)


def _store(
    data: Modality | MuData,
    key: str,
    labels: Ints,
    params: dict[str, Any],
    random_state: int | None,
) -> None:
    # A file cannot hold None.
    seed = {} if random_state is None else {"random_state": random_state}
    data.obs[key] = _as_categories(labels)
    data.uns[key] = {"params": params | seed}


def _as_categories(labels: Ints) -> pd.Categorical:
    """Return labels 0, 1, ... as categories "0", "1", ... in that order."""
    names = pd.Index([str(label) for label in range(int(labels.max(initial=-1)) + 1)], dtype=object)
    return pd.Categorical.from_codes(labels, categories=names)
