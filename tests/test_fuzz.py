"""Damaged files of every kind in processes of their own: none crashes, hangs or fails unexpectedly.

`make fuzz` goes on for ten minutes.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.fuzz_seeds import KINDS
from tests.fuzzing import fuzz
from tests.mutations import damaged, mutations_of

SECONDS = 60.0
"""At most, on a machine that is busy; else the number of cases is what ends it."""
GROUPS = {
    "hdf5": (["h5mu", "h5ad", "h5ad-own", "tenx"], 25),
    "zarr": (["zarr", "zarr2", "zarr-shards", "zarr-anndata", "zip"], 12),
    "text": (["mtx", "mtx-gz", "gtf", "gtf-gz", "bed", "peaks", "peaks-gz", "toml", "truth"], 40),
    "fragments": (["fragments", "fragments-bgzip"], 100),
}


def test_groups__have_every_kind() -> None:
    assert sorted(kind for kinds, _ in GROUPS.values() for kind in kinds) == sorted(KINDS)


@pytest.mark.parametrize("group", GROUPS)
def test_damaged_files__are_read_or_refused(group: str) -> None:
    kinds, n_cases = GROUPS[group]
    for kind, tally in fuzz(kinds, seconds=SECONDS, stop=n_cases).items():
        assert not tally.failures, "\n".join(tally.failures)
        assert tally.n_inputs > 0, kind
        assert tally.outcomes["refused"] > 0, kind


def test_damaged__is_the_same_for_the_same_seed() -> None:
    data = bytes(range(256)) * 8
    first, again, other = (
        damaged(np.random.default_rng(seed), data, mutations_of("a.h5", data)) for seed in (1, 1, 2)
    )
    assert first == again != other
