"""Fixtures that several test files share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

REPOSITORY = Path(__file__).resolve().parents[1]
PEERS_WARN = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
"""Marks of tests in which a peer package draws."""


def shared_folder(name: str, variable: str) -> Path:
    """Return the folder ``$variable`` or ``<repo>/../shared/name``, or skip the test."""
    folder = Path(os.environ.get(variable) or REPOSITORY.parent / "shared" / name)
    if not folder.is_dir():
        pytest.skip(f"real {name} absent: no folder {folder}; set {variable}")
    return folder


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Real data sets; the test is skipped where they are absent."""
    return shared_folder("data", "LAZYMU_DATA")


@pytest.fixture
def closed_figures() -> Iterator[None]:
    """Draw into memory alone, and close what a test has drawn."""
    from matplotlib import pyplot  # slow to import, and few tests draw

    pyplot.switch_backend("agg")
    yield
    pyplot.close("all")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def read_only(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """Return the matrix with arrays that raise when a function under test writes into them."""
    for array in (matrix.data, matrix.indices, matrix.indptr):
        array.flags.writeable = False
    return matrix


def make_counts(
    n_obs: int = 60, n_vars: int = 40, *, density: float = 0.3, seed: int = 0
) -> sp.csr_matrix:
    """Return read-only float32 counts in canonical CSR, each feature with its own mean."""
    generator = np.random.default_rng(seed)
    means = generator.gamma(1.0, 2.0, n_vars)
    values = 1 + generator.poisson(np.broadcast_to(means, (n_obs, n_vars)))
    kept = generator.random((n_obs, n_vars)) < density
    return read_only(sp.csr_matrix(np.where(kept, values, 0).astype(np.float32)))


@pytest.fixture
def counts() -> sp.csr_matrix:
    return make_counts()


@pytest.fixture
def counts_factory() -> Callable[..., sp.csr_matrix]:
    return make_counts
