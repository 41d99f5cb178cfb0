"""Stages over all modalities: common cells, joint graph, clusters, UMAP, comparison with labels."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from lazymu import keys, pp, tl
from lazymu.containers import Modality, MuData
from lazymu.errors import (
    ArgumentError,
    DamagedFileError,
    MissingFileError,
    MissingResultError,
    explain,
)
from lazymu.pipeline.limits import fewer_neighbors
from lazymu.pipeline.records import Clustering
from lazymu.pipeline.run import Run
from lazymu.stream.memory import return_freed
from lazymu.stream.paged import set_aside

SET_ASIDE_BYTES = 32 << 20
_EMBEDDING = {keys.RNA: keys.X_PCA, keys.ATAC: keys.X_LSI, keys.PROT: keys.X_PCA}


def keep_common_cells(run: Run) -> None:
    """Keep the cells that are left in all modalities."""
    if run.mdata.n_mod > 1:
        with ExitStack() as filters:
            for name in run.mdata.mod:
                filters.enter_context(run.filtering(name, "cells", "in all modalities"))
            pp.intersect_obs(run.mdata)
    run.summary.n_cells = run.target.n_obs


def connect(run: Run) -> None:
    """Find each cell's neighbours: weighted over modalities, or in the only one."""
    joint = run.params.joint
    target = run.target
    n_neighbors = fewer_neighbors(run, joint.n_neighbors, target.n_obs)
    if isinstance(target, MuData):
        pp.neighbors(
            target,
            n_neighbors=n_neighbors,
            use_rep={name: _embedding(run, kind) for kind, name in run.present().items()},
            key_added=run.graph_key,
            random_state=joint.seed,
        )
    else:
        (kind,) = run.present()
        pp.neighbors(
            target,
            n_neighbors=n_neighbors,
            use_rep=_embedding(run, kind),
            random_state=joint.seed,
        )


def set_results_aside(run: Run) -> None:
    """Put the large arrays of embeddings and distances into files: clusters need room, not them.

    They come back, page by page, for whoever asks for their values.
    """
    containers: tuple[MuData | Modality, ...] = (run.mdata, *run.mdata.mod.values())
    for container in containers:
        for results in (container.obsm, container.varm):
            for key, values in results.deferred().items():
                if isinstance(values, np.ndarray) and values.nbytes >= SET_ASIDE_BYTES:
                    results[key] = set_aside(values, run.working)
        for key, graph in container.obsp.deferred().items():
            of_distances = key.endswith(keys.DISTANCES) and sp.issparse(graph)
            if of_distances and graph.data.nbytes >= SET_ASIDE_BYTES:
                graph.data = set_aside(graph.data, run.working)
                graph.indices = set_aside(graph.indices, run.working)
    return_freed()


def cluster(run: Run) -> None:
    """Leiden clusters at each resolution, of one graph."""
    set_results_aside(run)
    resolutions = run.params.joint.resolution
    plain = run.cluster_key(resolutions[0])
    tl.leiden(
        run.target,
        resolution=resolutions,
        key_added=plain,
        neighbors_key=run.graph_key,
        random_state=run.params.joint.seed,
    )
    # The first has no number in its name.
    for table in (run.target.obs, run.target.uns):
        table[plain] = table.pop(f"{plain}_{resolutions[0]:g}")


def lay_out(run: Run) -> None:
    """Two coordinates for each cell."""
    joint = run.params.joint
    tl.umap(
        run.target,
        min_dist=joint.min_dist,
        neighbors_key=run.graph_key,
        random_state=joint.seed,
    )


def find_labels(run: Run) -> None:
    """Bring the known labels into the `obs` of what is clustered, before any work is lost.

    They are a column of any `obs`, or stand in a CSV file: cell names, then labels.
    """
    truth, obs = run.params.joint.truth, run.target.obs
    if truth.endswith(".csv"):
        labels = labels_in_file(truth)
    else:
        tables = (obs, run.mdata.obs, *(mod.obs for mod in run.mdata.mod.values()))
        named = [table[truth] for table in tables if truth in table]
        if not named:
            columns = ", ".join(map(str, run.mdata.obs.columns)) or "none"
            rule = f"no obs table has that column (the joint one has {columns})"
            raise MissingResultError(
                explain("joint.truth", repr(truth), rule, "name a column or a CSV file")
            )
        labels = named[0]
    run.summary.truth = str(labels.name)
    if run.summary.truth not in obs:
        obs[run.summary.truth] = pd.Categorical(labels.reindex(obs.index))


def has_labels(run: Run) -> bool:
    """Whether known labels were named."""
    return bool(run.params.joint.truth)


def compare(run: Run) -> None:
    """Note the number of clusters and, where labels are known, how well they agree."""
    obs, truth = run.target.obs, run.summary.truth
    for resolution in run.params.joint.resolution:
        key = run.cluster_key(resolution)
        ari = None if truth is None else agreement(obs[key], obs[truth])
        found = Clustering(key, resolution, obs[key].nunique(), ari)
        run.summary.clusterings.append(found)


def labels_in_file(path: str) -> pd.Series[Any]:
    """Return the labels of a CSV file, by cell; raise where it is no such table."""
    if not Path(path).is_file():
        rule = "there is no such file"
        raise MissingFileError(explain("joint.truth", repr(path), rule, "check its spelling"))
    try:
        table = pd.read_csv(path, index_col=0)
    except (ValueError, OverflowError, OSError) as error:
        rule = f"it is no table ({' '.join(str(error).split())})"
        raise DamagedFileError(
            explain("joint.truth", repr(path), rule, "write it as CSV again")
        ) from error
    if table.shape[1] == 0:
        rule = "its first column must be cell names and its second their labels"
        raise ArgumentError(explain("joint.truth", repr(path), rule, "add the labels"))
    return table.iloc[:, 0]


def agreement(clusters: pd.Series[Any], labels: pd.Series[Any]) -> float:
    """Return the adjusted Rand index over the cells that have both."""
    from sklearn.metrics import adjusted_rand_score

    pairs = pd.DataFrame({"found": clusters, "known": labels}).dropna()
    return float(adjusted_rand_score(pairs["known"].astype(str), pairs["found"].astype(str)))


def _embedding(run: Run, kind: str) -> str:
    return _EMBEDDING[kind]
