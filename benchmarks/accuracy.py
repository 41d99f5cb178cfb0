"""How near an embedding is to the exact one, and how well it tells cell types apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import subspace_angles

N_NEAREST = 15
N_ASKED = 4000
"""Cells whose neighbours are looked at."""
STANDS_OUT = 1.02


class Accuracy(NamedTuple):
    """Of one embedding; None where the tool computes another decomposition."""

    share: float | None
    """Mean over the exact components of the part that lies in the tool's subspace."""
    leading_error: float | None
    """Sine of the largest angle between the components above the noise."""
    same_type: float
    """Share of a cell's 15 nearest neighbours that are of its type."""


def components_above_noise(values: Any) -> int:
    """Return the number of singular values up to the last that exceeds the next by 2 % or more.

    Those of noise lie close together. At least one.
    """
    apart = np.flatnonzero(values[:-1] >= STANDS_OUT * values[1:])
    return 1 + int(apart.max(initial=0))


def shares(exact: Any, scores: Any) -> Any:
    """Return ``|Q'u|^2`` of every exact component ``u``, with ``Q`` a basis of the tool's subspace.

    Tools centre and scale their components, so that exact ones are centred too.
    """
    basis, _ = np.linalg.qr(centred(scores))
    return ((basis.T @ centred(exact)) ** 2).sum(0)


def leading_error(exact: Any, scores: Any, n_leading: int) -> float:
    """Return the sine of the largest principal angle between the leading subspaces."""
    angles = subspace_angles(centred(exact[:, :n_leading]), centred(scores[:, :n_leading]))
    return float(np.sin(angles.max()))


def centred(X: Any) -> Any:
    """Return columns of mean 0 and length 1."""
    Y = X - X.mean(0, dtype=np.float64)
    return Y / np.linalg.norm(Y, axis=0)


def same_type(scores: Any, types: Any) -> float:
    """Return the share of nearest neighbours of the same type, of some cells drawn at random."""
    from sklearn.neighbors import NearestNeighbors

    asked = np.random.default_rng(0).permutation(len(scores))[:N_ASKED]
    search = NearestNeighbors(n_neighbors=min(N_NEAREST + 1, len(scores))).fit(scores)
    found = search.kneighbors(scores[asked], return_distance=False)[:, 1:]
    return float(np.mean(types[found] == types[asked, None]))


def cell_types(file: Path) -> Any:
    """Return the simulated types by cell name, as numbers."""
    import h5py
    import pandas as pd
    from anndata.io import read_elem

    with h5py.File(file) as handle:
        obs = read_elem(handle["obs"])
    return pd.Series(pd.factorize(obs["cell_type"])[0], index=obs.index)


def accuracy(result: Path, exact: Path | None, types: Any) -> Accuracy:
    """Return the accuracy of what a worker wrote; ``exact`` is None of another decomposition."""
    with np.load(result) as arrays:
        found = {name: arrays[name] for name in arrays}
    own_types = types.loc[found["cells"]].to_numpy()
    purity = same_type(found["scores"], own_types)
    if exact is None:
        return Accuracy(None, None, purity)
    with np.load(exact) as arrays:
        U, values, cells = arrays["scores"], arrays["values"], arrays["cells"]
    if not np.array_equal(cells, found["cells"]):
        raise ValueError(f"{result} has other cells than {exact}")
    n_leading = components_above_noise(values)
    share = float(shares(U, found["scores"]).mean())
    return Accuracy(share, leading_error(U, found["scores"], n_leading), purity)
