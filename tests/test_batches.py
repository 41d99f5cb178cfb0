"""Mini-batches: every cell once an epoch, the same for a seed, mixed, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import lazymu
from lazymu import pp
from lazymu.errors import ArgumentError, MemoryLimitError, NoCommonCellsError
from lazymu.stream import batches as stream_batches
from lazymu.stream import recorded_passes
from tests.conftest import make_counts
from tests.store_samples import dense, even_counts, peak_bytes

N_OBS = 200


@pytest.fixture
def short_runs(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Make runs of few values from the call on."""

    def shorten(values: int) -> None:
        monkeypatch.setattr("lazymu.stream.plan.FEW_VALUES", values)
        monkeypatch.setattr(stream_batches, "RUN_VALUES", values)

    return shorten


@pytest.fixture
def mod() -> lazymu.Modality:
    return lazymu.Modality(make_counts(N_OBS, 10, density=0.6))


def epoch_of(batches: Any) -> list[tuple[Any, np.ndarray[Any, Any]]]:
    return list(batches)


def cells_of(epoch: Any) -> np.ndarray[Any, Any]:
    return np.concatenate([cells for _, cells in epoch])


@given(
    n_obs=st.integers(0, 60),
    batch_size=st.integers(1, 70),
    run=st.integers(1, 200),
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
@hypothesis_settings(max_examples=60, deadline=None)
def test_batches__every_cell_once_with_its_values(
    n_obs: int, batch_size: int, run: int, flags: tuple[bool, bool, bool]
) -> None:
    shuffle, as_dense, drop_last = flags
    X = make_counts(max(n_obs, 1), 6)[:n_obs]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lazymu.stream.plan.FEW_VALUES", run)
        patch.setattr(stream_batches, "RUN_VALUES", run)
        batches = lazymu.batches(
            lazymu.Modality(X), batch_size, shuffle=shuffle, dense=as_dense, drop_last=drop_last
        )
    for _ in range(2):
        epoch = epoch_of(batches)
        assert len(epoch) == len(batches)
        assert all(len(cells) == batch_size for _, cells in epoch[:-1])
        cells = cells_of([(None, np.zeros(0, np.int64)), *epoch])
        assert len(np.unique(cells)) == len(cells)
        assert len(cells) == (n_obs - n_obs % batch_size if drop_last else n_obs)
        if not shuffle:
            np.testing.assert_array_equal(cells, np.arange(len(cells)))
        for values, rows in epoch:
            assert sp.issparse(values) is not as_dense
            assert values.dtype == np.float32
            np.testing.assert_array_equal(dense(values), X[rows].toarray())


def test_batches__the_seed_tells_all_epochs(
    mod: lazymu.Modality, short_runs: Callable[[int], None]
) -> None:
    short_runs(30)
    first, second = (mod.batches(16, random_state=3) for _ in range(2))
    epochs = [cells_of(first) for _ in range(3)]
    for cells in epochs:
        np.testing.assert_array_equal(cells, cells_of(second))
    assert not np.array_equal(epochs[0], epochs[1])
    assert not np.array_equal(epochs[0], cells_of(mod.batches(16, random_state=4)))
    second.epoch = 1
    np.testing.assert_array_equal(cells_of(second), epochs[1])
    assert second.epoch == 2
    of_generator = mod.batches(16, random_state=np.random.default_rng(3))
    np.testing.assert_array_equal(cells_of(of_generator), epochs[0])


def test_batches__a_batch_mixes_cells_of_many_runs(short_runs: Callable[[int], None]) -> None:
    """Of 2,000 cells in over 100 runs, a batch of 64 holds most of the 16 runs of its buffer."""
    mod = lazymu.Modality(np.ones((2000, 5), dtype=np.float32))
    short_runs(100)
    batches = mod.batches(64)
    bounds = batches.plan.bounds
    assert len(bounds) > 100
    runs = [len(np.unique(np.searchsorted(bounds, cells, "right"))) for _, cells in batches]
    assert min(runs[:-1]) >= 10
    places = [np.ptp(cells) for _, cells in batches]
    assert np.median(places) > 1000
    following = [np.mean(np.abs(np.diff(cells)) == 1) for _, cells in batches]
    assert np.mean(following) < 0.03


def test_batches__of_a_store_in_one_pass(
    mod: lazymu.Modality, tmp_path: Path, short_runs: Callable[[int], None]
) -> None:
    mod.write(tmp_path / "data.zarr")
    opened = lazymu.read(tmp_path / "data.zarr")
    pp.normalize_total(opened, target_sum=10)
    pp.log1p(opened)
    picked = opened[np.random.default_rng(0).permutation(N_OBS)[:150]]
    values, counts = picked.X.toarray(), picked.X.counts.toarray()
    short_runs(40)
    with recorded_passes() as read:
        epoch = epoch_of(picked.batches(32, dense=True, dtype="float64"))
    assert len(read) == 1
    assert read[0].n_values == int(picked.X.row_values.sum())
    assert sorted(cells_of(epoch)) == list(range(150))
    for X, cells in epoch:
        assert X.dtype == np.float64
        np.testing.assert_allclose(X, values[cells], rtol=1e-6)
    for X, cells in picked.batches(32, layer="counts"):
        np.testing.assert_array_equal(X.toarray(), counts[cells])


def test_batches__of_several_modalities(short_runs: Callable[[int], None]) -> None:
    rng = np.random.default_rng(1)
    rna, prot = ad.AnnData(make_counts(90, 8)), ad.AnnData(make_counts(90, 3, seed=1).toarray())
    rna.obs_names = [f"c{i}" for i in range(90)]
    prot.obs_names = rng.permutation([f"c{i}" for i in range(10, 100)])
    mdata = lazymu.MuData({"rna": rna, "prot": prot})
    short_runs(60)
    seen = []
    for values, cells in mdata.batches(16, dense=True):
        names = mdata.obs_names[cells]
        assert list(values) == ["rna", "prot"]
        np.testing.assert_array_equal(values["rna"], dense(rna[names].X))
        np.testing.assert_array_equal(values["prot"], dense(prot[names].X))
        seen.extend(names)
    assert sorted(seen) == sorted(set(rna.obs_names) & set(prot.obs_names))
    (values, _), *_ = mdata.batches(16, mods=["prot"])
    assert list(values) == ["prot"]


def test_batches__a_dense_step(mod: lazymu.Modality) -> None:
    pp.scale(mod)
    values = mod.X.toarray()
    for X, cells in mod.batches(64):
        np.testing.assert_allclose(X.toarray(), values[cells], rtol=1e-5)


def test_batches__an_iteration_may_be_left(
    mod: lazymu.Modality, short_runs: Callable[[int], None]
) -> None:
    short_runs(30)
    batches = mod.batches(16)
    for _ in batches:
        break
    assert sorted(cells_of(batches)) == list(range(N_OBS))


def test_batches__plan_keeps_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    X = sp.random(5000, 1000, 0.2, format="csr", dtype=np.float32)
    mod = lazymu.Modality(X)
    for limit in (10**6, 10**7):
        with lazymu.settings.override(memory_limit=limit):
            plan = mod.batches(16).plan
        assert limit // 8 < plan.projected_bytes <= limit // 2
    with (
        lazymu.settings.override(memory_limit=10**6),
        pytest.raises(MemoryLimitError, match="memory_limit"),
    ):
        mod.batches(128, dense=True)


def test_batches__errors(mod: lazymu.Modality) -> None:
    for size in (0, 2.5, True):
        with pytest.raises(ArgumentError, match="it must be a whole number above 0"):
            mod.batches(size)  # type: ignore[arg-type]
    for dtype in ("int32", "float16", "none", None):
        with pytest.raises(ArgumentError, match="values are float32 or float64"):
            mod.batches(dtype=dtype)
    with pytest.raises(ArgumentError, match="modalities of a MuData"):
        mod.batches(mods=["rna"])
    with pytest.raises(ArgumentError, match="the layers of the modality are: none"):
        mod.batches(layer="log")
    with pytest.raises(ArgumentError, match="AnnData"):
        lazymu.batches(ad.AnnData(np.eye(2)))  # type: ignore[arg-type]
    other = ad.AnnData(np.eye(2))
    other.obs_names = ["x", "y"]
    with pytest.raises(NoCommonCellsError, match="by name"):
        lazymu.MuData({"a": ad.AnnData(np.eye(2)), "b": other}).batches()


def test_batches__of_real_cells(data_dir: Path) -> None:
    mdata = lazymu.read(data_dir / "citeseq_pbmc1k_10x" / "filtered_feature_bc_matrix.h5")
    mdata["rna"].var_names_make_unique()
    whole = {name: mdata[name].to_anndata().X for name in ("rna", "prot")}
    with recorded_passes() as read:
        epoch = list(mdata.batches(100))
    assert len(read) == 1
    assert sorted(np.concatenate([cells for _, cells in epoch])) == list(range(892))
    for values, cells in epoch:
        for name, X in whole.items():
            np.testing.assert_array_equal(dense(values[name]), dense(X[cells]))


@pytest.mark.slow
def test_batches__keep_the_memory_limit(tmp_path: Path) -> None:
    """80 million values, 0.64 GB as float32 CSR, under a limit of 0.7 GB for the whole process."""
    path, limit = str(tmp_path / "data.zarr"), 700 * 10**6
    lazymu.Modality(even_counts(40_000)).write(path)
    code = f"""
seen = sum(len(cells) for _, cells in lazymu.read({path!r}).batches(128, dense=True))
assert seen == 40_000
"""
    assert peak_bytes(code, limit) < limit
