"""What is lazy stays lazy: chunks of X read from a store, and computations, are counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from zarr.storage import LocalStore

import lazymu
from lazymu import pp
from lazymu.containers import Modality, MuData
from lazymu.stream import LazyMatrix, iterate_blocks, matrix_sums, run_pass
from lazymu.stream.passes import pass_plan
from tests.conftest import make_counts
from tests.counting import CountingStore, counting_scheduler, raise_if_dask_computes
from tests.rna_data import made_counts, small_blocks

N_OBS, N_VARS = 240, 60
CHUNK = 200
RNA = "mod/rna/X"

pytestmark = pytest.mark.filterwarnings("ignore:Some cells have zero counts:UserWarning")


@pytest.fixture(scope="module")
def store_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two modalities in a store of many small chunks, cells of the second in another order."""
    path = tmp_path_factory.mktemp("laziness") / "two.zarr"
    rna = made_counts(N_OBS, N_VARS)
    rna.layers["logged"] = rna.X.log1p()
    prot = ad.AnnData(
        make_counts(N_OBS, 7, density=0.9).toarray(),
        obs=pd.DataFrame(index=rna.obs_names[::-1].to_numpy()),
        var=pd.DataFrame(index=[f"prot{j}" for j in range(7)]),
    )
    MuData({"rna": rna, "prot": prot}).write(path, chunk_values=CHUNK)
    return path


@pytest.fixture
def store(store_path: Path) -> CountingStore:
    return CountingStore(LocalStore(store_path, read_only=True))


@pytest.fixture
def mdata(store: CountingStore) -> Iterator[MuData]:
    with raise_if_dask_computes():
        opened = lazymu.read(store)
    assert isinstance(opened, MuData)
    return opened


def value_reads(store: CountingStore, matrix: str = RNA) -> dict[str, int]:
    """Return how often each chunk of a sparse matrix's column indices was read.

    A pass reads them beside the values; the row offsets and the ends of the values are also read
    to see whether a matrix is still the one that was written.
    """
    return store.chunk_reads(f"{matrix}/indices")


def n_chunks(store_path: Path, matrix: str = RNA) -> int:
    return len(list((store_path / matrix / "indices" / "c").iterdir()))


# --- nothing is read -----------------------------------------------------------------------------


def test_read__reads_no_chunk_of_a_matrix(store: CountingStore, mdata: MuData) -> None:
    repr(mdata)
    assert mdata.shape == (N_OBS, N_VARS + 7)
    assert mdata["rna"].X.dtype == np.float32
    assert not store.chunk_reads(RNA)
    assert not store.chunk_reads("mod/prot/X")
    assert not store.chunk_reads("mod/rna/layers")


@pytest.mark.parametrize(
    "build",
    [
        lambda m: m[::-1].copy(),
        lambda m: m[:, m.var_names[::2]],
        lambda m: m["rna"][m["rna"].obs["batch"] == "b", :20].X[::2],
        lambda m: pp.intersect_obs(m),
        lambda m: pp.sample_obs(m, 0.5),
        lambda m: pp.filter_obs(m["rna"], "batch", lambda x: x == "a"),
        lambda m: pp.filter_var(m["rna"], "mt"),
        lambda m: pp.log1p(m["rna"]),
        lambda m: m["rna"].to_xarray(),
        lambda m: setattr(m["rna"], "raw", m["rna"]),
        lambda m: m["rna"].layers.__setitem__("counts", m["rna"].X.copy()),
    ],
)
def test_building__reads_no_chunk_and_computes_nothing(
    build: Callable[[MuData], Any], store: CountingStore, mdata: MuData
) -> None:
    with raise_if_dask_computes():
        build(mdata)
    assert not value_reads(store)
    assert not store.chunk_reads("mod/prot/X")


def test_quality_filters_and_normalisation__of_a_fresh_store_read_nothing(
    store: CountingStore, mdata: MuData
) -> None:
    rna = mdata["rna"]
    with raise_if_dask_computes():
        pp.calculate_qc_metrics(rna, percent_top=None, inplace=True)
        pp.filter_cells(rna, min_genes=10, max_counts=90)
        pp.normalize_total(rna, target_sum=1e4)
        pp.log1p(rna)
    assert not value_reads(store)
    assert rna.n_obs < N_OBS
    adata = made_counts(N_OBS, N_VARS)
    totals = np.asarray(adata[rna.obs_names].X.sum(axis=1)).ravel()
    np.testing.assert_array_equal(rna.obs["total_counts"], totals)
    np.testing.assert_array_equal(rna.obs["n_counts"], totals)


def test_filter_genes__of_a_fresh_store_reads_nothing(store: CountingStore, mdata: MuData) -> None:
    with raise_if_dask_computes():
        pp.filter_genes(mdata["rna"], min_cells=60)
        pp.filter_genes(mdata["rna"], min_counts=150)
    assert 0 < mdata["rna"].n_vars < N_VARS
    assert not value_reads(store)


# --- each chunk once a pass ----------------------------------------------------------------------

PASSES: dict[str, tuple[int, Callable[[Modality], Any]]] = {
    "sums": (1, lambda m: m.X.sum(axis=1)),
    "quality": (1, lambda m: pp.calculate_qc_metrics(m, qc_vars="mt", percent_top=[5])),
    "seurat": (1, lambda m: pp.highly_variable_genes(m, n_top_genes=9)),
    "seurat_batches": (1, lambda m: pp.highly_variable_genes(m, n_top_genes=9, batch_key="batch")),
    "seurat_v3": (2, lambda m: pp.highly_variable_genes(m, flavor="seurat_v3", n_top_genes=9)),
    "seurat_v3_batches": (
        2,
        lambda m: pp.highly_variable_genes(
            m, flavor="seurat_v3", n_top_genes=9, batch_key="batch", span=0.6
        ),
    ),
    "excluding": (
        2,
        lambda m: pp.normalize_total(m, exclude_highly_expressed=True, max_fraction=0.2),
    ),
    "to_anndata": (1, lambda m: m.X.to_memory()),
}


@pytest.mark.parametrize("name", PASSES)
def test_pass__reads_each_chunk_once(
    name: str, store: CountingStore, mdata: MuData, store_path: Path
) -> None:
    n_passes, function = PASSES[name]
    with counting_scheduler() as scheduler:
        function(mdata["rna"])
    assert scheduler.n_computes == n_passes
    reads = value_reads(store)
    assert len(reads) == n_chunks(store_path) > 10
    assert set(reads.values()) == {n_passes}
    assert not store.chunk_reads("mod/prot/X")
    assert not store.chunk_reads("mod/rna/layers")


def test_pass__in_several_blocks_reads_again_only_chunks_on_their_borders(
    store: CountingStore, mdata: MuData, store_path: Path
) -> None:
    with small_blocks(20, N_VARS, state_bytes=16 * N_VARS):
        n_blocks = pass_plan(mdata["rna"].X).n_blocks
        mdata["rna"].X.sum(axis=0)
    assert 2 <= n_blocks <= 6
    reads = value_reads(store)
    assert len(reads) == n_chunks(store_path)
    assert sum(reads.values()) <= len(reads) + n_blocks - 1


@pytest.mark.parametrize("kept", ["most", "few", "reversed"])
def test_pass__of_selected_cells_reads_each_chunk_once(
    kept: str, store: CountingStore, mdata: MuData, store_path: Path
) -> None:
    rng = np.random.default_rng(0)
    mask = {
        "most": rng.random(N_OBS) < 0.8,
        "few": rng.random(N_OBS) < 0.1,
        "reversed": np.arange(N_OBS)[::-1],
    }[kept]
    selected = mdata["rna"][mask]
    sums = selected.X.sum(axis=1)
    np.testing.assert_array_equal(sums, made_counts(N_OBS, N_VARS)[mask].X.sum(axis=1).A1)
    reads = value_reads(store)
    assert set(reads.values()) == {1}
    if kept != "few":
        assert len(reads) > 0.8 * n_chunks(store_path)


def test_pass__of_a_run_of_cells_reads_only_their_chunks(
    store: CountingStore, mdata: MuData, store_path: Path
) -> None:
    selected = mdata["rna"][100:110]
    n_values = selected.X.to_memory().nnz
    assert 0 < len(value_reads(store)) <= n_values // CHUNK + 2


def test_iterate_blocks__reads_each_chunk_once(
    store: CountingStore, mdata: MuData, store_path: Path
) -> None:
    blocks = list(iterate_blocks(mdata["rna"].X, label="test"))
    X = sp.vstack([block.X for block in blocks])
    np.testing.assert_array_equal(X.toarray(), made_counts(N_OBS, N_VARS).X.toarray())
    assert set(value_reads(store).values()) == {1}


def test_workflow__reads_what_its_functions_say(
    store: CountingStore, mdata: MuData, store_path: Path
) -> None:
    """QC, filters of cells and features, normalisation, variable features: two passes in all."""
    rna = mdata["rna"]
    with counting_scheduler() as scheduler:
        pp.calculate_qc_metrics(rna, percent_top=None, inplace=True)
        pp.filter_cells(rna, min_genes=8)
        pp.filter_genes(rna, min_cells=5)  # one, as cells are gone
        pp.normalize_total(rna, target_sum=1e4)  # none, as those that are gone were rare
        pp.log1p(rna)
        pp.highly_variable_genes(rna, n_top_genes=20)  # one
    assert scheduler.n_computes == 2
    assert max(value_reads(store).values()) == 2
    adata = made_counts(N_OBS, N_VARS)
    adata = adata[(adata.X > 0).sum(axis=1).A1 >= 8].copy()
    adata = adata[:, (adata.X > 0).sum(axis=0).A1 >= 5].copy()
    assert rna.obs_names.tolist() == adata.obs_names.tolist()
    totals = adata.X.sum(axis=1).A1[:, None]
    np.testing.assert_allclose(
        rna.X.toarray(), np.log1p(adata.X.toarray() / totals * 1e4), rtol=1e-5
    )


# --- the witness sees ----------------------------------------------------------------------------


def test_store_and_memory__give_the_same(store: CountingStore, mdata: MuData) -> None:
    in_memory = Modality(made_counts(N_OBS, N_VARS))
    for modality in (in_memory, mdata["rna"]):
        pp.normalize_total(modality, target_sum=100)
        pp.log1p(modality)
        pp.highly_variable_genes(modality, n_top_genes=12, batch_key="batch")
    pd.testing.assert_frame_equal(
        mdata["rna"].var, in_memory.var, check_index_type=False, check_column_type=False
    )
    assert max(value_reads(store).values()) == 1


def test_known_sums__are_those_of_a_pass(store: CountingStore, mdata: MuData) -> None:
    known = matrix_sums(mdata["rna"].X)
    assert not value_reads(store)
    found = matrix_sums(LazyMatrix(made_counts(N_OBS, N_VARS).X))
    for ours, theirs in zip(
        known.cells + known.features, found.cells + found.features, strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    assert known.extremes.are_counts
    assert known.extremes.all_integer


def test_run_pass__without_reducers_reads_too(store: CountingStore, mdata: MuData) -> None:
    """A pass reads, whatever it feeds: the counting store would see a needless one."""
    run_pass(mdata["rna"].X, label="nothing")
    assert set(value_reads(store).values()) == {1}
