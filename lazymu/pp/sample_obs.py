"""Draw a sample of the cells."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import pandas as pd

from lazymu.containers import Modality, MuData, as_modality
from lazymu.containers.history import recorded
from lazymu.errors import ArgumentError, MissingResultError, explain
from lazymu.typing import Int64s, RandomState

Container = TypeVar("Container", Modality, MuData)


@recorded
def sample_obs(
    data: Container,
    frac: float = 0.1,
    groupby: str | None = None,
    min_n: int | None = None,
    *,
    random_state: RandomState = 0,
) -> Container:
    """Draw cells at random without replacement, from all or from each group.

    Of ``n`` cells ``max(ceil(frac n), min_n)`` are drawn, and never more than there are; they
    keep their order.

    Parameters
    ----------
    data
        A modality or MuData.
    frac
        Share of the cells to draw, 0 to 1.
    groupby
        Column of `obs`: draw from each of its groups. Cells without a label are not drawn.
    min_n
        Draw at least so many, of each group where there are groups.
    random_state
        Seed; the same one draws the same cells.

    Returns
    -------
    Modality | MuData
        The sample, lazy; ``data`` is left as it is.

    Raises
    ------
    ArgumentError
        If ``frac`` is not within 0 to 1.
    MissingResultError
        If there is no such column.

    Notes
    -----
    Writes nothing. Passes over X: none.

    Examples
    --------
    >>> import lazymu as mu, numpy as np
    >>> rna = mu.Modality(np.ones((40, 2)), obs={"batch": ["a"] * 30 + ["b"] * 10})
    >>> mu.pp.sample_obs(rna, 0.1, "batch").obs["batch"].value_counts().to_dict()
    {'a': 3, 'b': 1}
    """
    if not 0 <= frac <= 1:
        raise ArgumentError(explain("frac", frac, "it is a share of the cells", "pass e.g. 0.1"))
    if not isinstance(data, MuData):
        as_modality(data)
    positions = sample_positions(_groups(data.obs, groupby), frac, min_n or 0, random_state)
    sample: Container = data[positions]
    return sample


def sample_positions(groups: Int64s, frac: float, min_n: int, random_state: RandomState) -> Int64s:
    """Return positions drawn from each group (0, 1, ...; negative for none), ascending."""
    generator = np.random.default_rng(random_state)
    drawn = [np.zeros(0, dtype=np.int64)]
    for group in range(int(groups.max(initial=-1)) + 1):
        members = np.flatnonzero(groups == group)
        n = min(max(int(np.ceil(len(members) * frac)), min_n), len(members))
        drawn.append(generator.choice(members, size=n, replace=False))
    return np.sort(np.concatenate(drawn))


def _groups(obs: pd.DataFrame, groupby: str | None) -> Int64s:
    if groupby is None:
        return np.zeros(len(obs), dtype=np.int64)
    if groupby not in obs:
        known = ", ".join(map(str, obs.columns)) or "none"
        rule = f"columns of obs are: {known}"
        raise MissingResultError(explain("groupby", repr(groupby), rule, "name one of them"))
    return pd.Categorical(obs[groupby]).codes.astype(np.int64)
