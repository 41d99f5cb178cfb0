"""What the tests of decompositions and normalisations share."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp

from lazymu.stream import passes
from lazymu.stream.plan import plan_blocks


def low_rank_counts(n_obs: int, n_vars: int, rank: int = 6, seed: int = 0) -> sp.csr_matrix:
    """Counts with a few components that stand far out of the noise."""
    rng = np.random.default_rng(seed)
    mean = rng.gamma(0.5, 1.0, (n_obs, rank)) @ rng.gamma(0.5, 0.6, (rank, n_vars))
    return sp.csr_matrix(rng.poisson(mean).astype(np.float32))


@contextmanager
def quiet() -> Iterator[None]:
    """Let a peer package warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Make blocks small from the call on."""
    small = partial(plan_blocks, max_values=500)
    return lambda: monkeypatch.setattr(passes, "plan_blocks", small)
