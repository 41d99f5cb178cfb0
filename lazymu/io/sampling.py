"""What a matrix is like, from a few runs of its rows: enough to choose how it is stored."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from lazymu.store.dtypes import UNSIGNED, narrowest, wider
from lazymu.stream.matrix import LazyMatrix

N_RUNS = 8
RUN_VALUES = 1 << 17


class Sample(NamedTuple):
    """What some rows of a matrix are like."""

    density: float
    dtype: np.dtype[Any]
    """Narrowest type that holds the values seen."""
    whole_rows: bool
    """Whether rows have as many values as their source says: none dropped, no zeros stored."""


def sample(matrix: LazyMatrix) -> Sample:
    """Return the share of nonzeros and the type of the values in `N_RUNS` runs of rows.

    A small matrix is seen whole. Reads up to `N_RUNS` x `RUN_VALUES` values.
    """
    n_obs, n_vars = matrix.shape
    offsets = np.concatenate([[0], np.cumsum(matrix.row_values)])
    starts = [0]
    if offsets[-1] > N_RUNS * RUN_VALUES:
        starts = np.linspace(0, n_obs, N_RUNS, endpoint=False).astype(int).tolist()
    room = N_RUNS * RUN_VALUES // len(starts)
    n_seen, n_values, n_stored, dtype = 0, 0, 0, UNSIGNED[0]
    for start in starts:
        last = int(np.searchsorted(offsets, offsets[start] + room, side="right")) - 1
        stop = min(max(start + 1, last), n_obs)
        if stop > start:
            X = matrix.load(start, stop)
            n_seen, n_values = n_seen + stop - start, n_values + X.nnz
            n_stored += int(offsets[stop] - offsets[start])
            dtype = wider(dtype, narrowest(X.data))
    return Sample(n_values / max(n_seen * n_vars, 1), dtype, n_values == n_stored)
