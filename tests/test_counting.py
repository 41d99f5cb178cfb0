"""The witnesses themselves: they must see what they are there to see."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import zarr
from zarr.storage import MemoryStore

from tests.counting import CountingStore, counting_scheduler, raise_if_dask_computes


def test_counting_scheduler__counts_computations() -> None:
    with counting_scheduler() as scheduler:
        lazy = da.ones(4, chunks=2) + 1
        assert scheduler.n_computes == 0
        assert lazy.sum().compute() == 8
        lazy.compute()
    assert scheduler.n_computes == 2


def test_raise_if_dask_computes__raises() -> None:
    with raise_if_dask_computes(max_computes=1):
        da.ones(4).compute()
        with pytest.raises(AssertionError, match="computed 2 times, allowed are 1"):
            da.ones(4).compute()


@pytest.mark.parametrize(("zarr_format", "shards"), [(2, None), (3, None), (3, (6,))])
def test_counting_store__counts_chunks(zarr_format: int, shards: tuple[int] | None) -> None:
    inner = MemoryStore()
    zarr.create_array(
        inner, name="a", data=np.arange(1, 13), chunks=(3,), shards=shards, zarr_format=zarr_format
    )
    store = CountingStore(inner)
    array = zarr.open_group(store, mode="r")["a"]
    assert store.chunk_reads() == {}
    np.testing.assert_array_equal(array[:4], np.arange(1, 5))
    assert len(store.chunk_reads("a/")) == (1 if shards else 2)
    assert store.chunk_reads("b/") == {}
