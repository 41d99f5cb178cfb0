"""Groups of like cells whose mean values stand for them."""

from __future__ import annotations

import numpy as np

from lazymu import keys
from lazymu.containers import Modality, MuData
from lazymu.errors import ArgumentError, MissingResultError, explain
from lazymu.stream.threads import one_native_thread
from lazymu.tl.grouping import codes_and_categories
from lazymu.typing import Float64s, Int64s

TRAINING_CELLS = 64
"""Cells for each metacell that centres are fitted to."""
MOST = 250
"""Metacells at most by default."""
FEWEST = 3
ASSIGNED_ROWS = 1 << 16


def metacell_codes(
    mdata: MuData,
    rows: Int64s,
    groupby: str | None,
    use_rep: str | None,
    n_metacells: int | None,
    random_state: int | None,
) -> Int64s:
    """Return the group of each of the joint cells ``rows``, -1 for none; groups are 0, 1, ...

    Raises
    ------
    ArgumentError
        If there are fewer than three groups, or arguments exclude each other.
    MissingResultError
        If the column or the embedding does not exist.
    """
    if groupby is not None:
        if use_rep is not None or n_metacells is not None:
            other = "use_rep" if use_rep is not None else "n_metacells"
            rule = f"it excludes {other}"
            raise ArgumentError(explain("groupby", repr(groupby), rule, "leave one of them out"))
        codes = _codes_of_column(mdata, groupby)[rows]
    else:
        X = _embedding(mdata, use_rep)[rows]
        n = min(round(len(X) ** 0.5), MOST) if n_metacells is None else n_metacells
        codes = k_means(X, n, random_state)
    kept = codes >= 0
    codes[kept] = np.unique(codes[kept], return_inverse=True)[1]
    if codes.max(initial=-1) + 1 < FEWEST:
        argument = "n_metacells" if groupby is None else "groupby"
        got = f"with {codes.max(initial=-1) + 1} groups of cells"
        rule = f"a correlation needs {FEWEST} or more"
        raise ArgumentError(explain(argument, got, rule, "make finer groups"))
    return codes


def _codes_of_column(mdata: MuData, groupby: str) -> Int64s:
    if groupby not in mdata.obs:
        known = ", ".join(map(str, mdata.obs.columns)) or "none"
        rule, fix = f"columns of obs are: {known}", "name one, or run mdata.pull_obs() first"
        raise MissingResultError(explain("groupby", repr(groupby), rule, fix))
    return codes_and_categories(mdata.obs[groupby])[0].copy()


def _embedding(mdata: MuData, use_rep: str | None) -> Float64s:
    """Return an embedding of the joint cells, NaN where there is none of a cell."""
    if use_rep is not None:
        return np.asarray(mdata.obsm[use_rep], dtype=np.float64)
    parts = []
    for kinds, key in ((keys.RNA_ALIASES, keys.X_PCA), (keys.ATAC_ALIASES, keys.X_LSI)):
        name = next(name for name in kinds if name in mdata.mod)
        parts.append(_scaled(_stored(mdata.mod[name], name, key), mdata.obs_positions(name)))
    return np.concatenate(parts, axis=1)


def _stored(modality: Modality, name: str, key: str) -> Float64s:
    if key not in modality.obsm:
        rule = f"mdata[{name!r}].obsm has no {key!r}, of which metacells are made"
        fix = "run pp.pca and atac.tl.lsi, or pass groupby or use_rep"
        raise MissingResultError(explain("use_rep", None, rule, fix))
    return np.asarray(modality.obsm[key], dtype=np.float64)


def _scaled(X: Float64s, positions: Int64s) -> Float64s:
    """Return rows at positions (NaN for -1), all columns together of variance 1."""
    total = float(np.nansum(np.nanvar(X, axis=0)))
    taken = X[positions] / (total**0.5 or 1.0)
    taken[positions < 0] = np.nan
    return taken


def k_means(X: Float64s, n_clusters: int, random_state: int | None) -> Int64s:
    """Return the cluster of each row, -1 of rows that are not finite.

    Centres are fitted to a sample of `TRAINING_CELLS` rows a cluster.
    """
    from sklearn.cluster import KMeans

    finite = np.flatnonzero(np.isfinite(X).all(axis=1))
    if not 1 <= n_clusters <= len(finite):
        rule = f"there are {len(finite)} cells with an embedding"
        raise ArgumentError(explain("n_metacells", n_clusters, rule, "pass a number up to that"))
    rng = np.random.default_rng(random_state)
    size = min(len(finite), TRAINING_CELLS * n_clusters)
    sample = np.sort(rng.choice(finite, size, replace=False))
    seed = int(rng.integers(2**31))
    codes = np.full(len(X), -1, dtype=np.int64)
    with one_native_thread():
        fit = KMeans(n_clusters, n_init=1, random_state=seed).fit(X[sample])
        for start in range(0, len(finite), ASSIGNED_ROWS):
            some = finite[start : start + ASSIGNED_ROWS]
            codes[some] = fit.predict(X[some])
    return codes
