"""Stages over all modalities: common cells, joint graph, clusters, UMAP, comparison with labels."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from lazymu import keys, pp, tl
from lazymu.containers import MuData
from lazymu.errors import MissingResultError, explain
from lazymu.pipeline.limits import fewer_neighbors
from lazymu.pipeline.records import Clustering
from lazymu.pipeline.run import Run

_EMBEDDING = {keys.RNA: keys.X_PCA, keys.ATAC: keys.X_LSI, keys.PROT: keys.X_PCA}


def keep_common_cells(run: Run) -> None:
    """Keep the cells that are left in all modalities."""
    if run.mdata.n_mod > 1:
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


def cluster(run: Run) -> None:
    """Leiden clusters at each resolution."""
    for resolution in run.params.joint.resolution:
        tl.leiden(
            run.target,
            resolution=resolution,
            key_added=run.cluster_key(resolution),
            neighbors_key=run.graph_key,
            random_state=run.params.joint.seed,
        )


def lay_out(run: Run) -> None:
    """Two coordinates for each cell."""
    joint = run.params.joint
    tl.umap(
        run.target,
        min_dist=joint.min_dist,
        neighbors_key=run.graph_key,
        random_state=joint.seed,
    )


def compare(run: Run) -> None:
    """Note the number of clusters and, where labels are known, how well they agree."""
    truth = known_labels(run)
    for resolution in run.params.joint.resolution:
        key = run.cluster_key(resolution)
        clusters = run.target.obs[key]
        ari = None if truth is None else agreement(clusters, truth)
        run.summary.clusterings.append(Clustering(key, resolution, clusters.nunique(), ari))


def known_labels(run: Run) -> pd.Series | None:
    """Return the labels named by ``joint.truth``, by cell name; None where nothing is named."""
    truth = run.params.joint.truth
    if not truth:
        return None
    run.summary.truth = truth
    if truth.endswith(".csv"):
        return _labels_in_file(truth)
    for table in (run.mdata.obs, *(mod.obs for mod in run.mdata.mod.values())):
        if truth in table:
            return table[truth]
    rule = "no obs table has that column"
    columns = ", ".join(map(str, run.mdata.obs.columns)) or "none"
    raise MissingResultError(
        explain("joint.truth", repr(truth), rule, f"name one of the joint columns ({columns})")
    )


def _labels_in_file(path: str) -> pd.Series:
    if not Path(path).is_file():
        rule = "there is no such file"
        raise MissingResultError(explain("joint.truth", repr(path), rule, "check its spelling"))
    return pd.read_csv(path, index_col=0).iloc[:, 0]


def agreement(clusters: pd.Series, labels: pd.Series) -> float:
    """Return the adjusted Rand index over the cells that have both."""
    from sklearn.metrics import adjusted_rand_score

    pairs = pd.DataFrame({"found": clusters, "known": labels.reindex(clusters.index)}).dropna()
    return float(adjusted_rand_score(pairs["known"].astype(str), pairs["found"].astype(str)))


def _embedding(run: Run, kind: str) -> str:
    return _EMBEDDING[kind]
