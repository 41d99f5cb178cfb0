"""`atac.tl.gene_activity` against a dense product in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal

import lazymu
from lazymu.atac.pp import tfidf
from lazymu.atac.tl import gene_activity
from lazymu.errors import ArgumentError, MemoryLimitError, NotCountsError
from lazymu.settings import settings
from tests.counting import raise_if_dask_computes
from tests.matrix_cases import quiet, small_blocks

__all__ = ["small_blocks"]  # a fixture

N_PEAKS = 120


@pytest.fixture
def genes() -> pd.DataFrame:
    """Nested, overlapping, on both strands, one too wide, one without peaks, one name twice."""
    return pd.DataFrame(
        {
            "chrom": ["1", "1", "1", "2", "2", "3"],
            "start": [5_000, 6_000, 21_000, 3_000, 0, 10],
            "end": [20_000, 7_000, 30_000, 9_000, 900_000, 20],
            "strand": ["+", "-", "-", "+", "+", "+"],
            "gene_name": ["A", "B", "C", "A", "WIDE", "NONE"],
        }
    )


@pytest.fixture
def peaks() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    start = np.sort(rng.choice(34_000, N_PEAKS, replace=False))
    end = start + rng.integers(1, 900, N_PEAKS)
    chrom = np.where(np.arange(N_PEAKS) % 3, "1", "2")
    names = [f"{c}:{s}-{e}" for c, s, e in zip(chrom, start, end, strict=True)]
    return pd.DataFrame({"chrom": chrom, "start": start, "end": end}, index=names)


def counts_of(dtype: str) -> sp.csr_matrix:
    rng = np.random.default_rng(0)
    values = rng.poisson(0.4, (70, N_PEAKS))
    values[3] = 0
    values[:, 7] = 250
    return sp.csr_matrix(values.astype(dtype))


def expected(counts: sp.csr_matrix, peaks: pd.DataFrame, genes: pd.DataFrame, **by: int) -> list:
    """Sums by a loop over genes."""
    columns = []
    for gene in genes.itertuples():
        before, after = by["upstream"], by["downstream"]
        if gene.strand == "-":
            before, after = after, before
        within = (peaks["chrom"] == gene.chrom) & (peaks["start"] < gene.end + after)
        within &= peaks["end"] > gene.start - before
        columns.append(counts.toarray().astype(np.int64)[:, within].sum(axis=1))
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("dtype", ["uint8", "float32", "int64"])
@pytest.mark.parametrize("by", [(2000, 0), (0, 0), (500, 3000)])
def test_gene_activity__equals_sums_in_memory(
    peaks: pd.DataFrame,
    genes: pd.DataFrame,
    small_blocks: Callable[[], None],
    dtype: str,
    by: tuple[int, int],
) -> None:
    small_blocks()
    counts = counts_of(dtype)
    atac = lazymu.Modality(counts, var=peaks, obs=pd.DataFrame({"batch": ["x"] * 70}))
    found = gene_activity(atac, genes, *by)
    kept = genes[genes["gene_name"] != "WIDE"]
    sums = expected(counts, peaks, kept, upstream=by[0], downstream=by[1])
    assert_array_equal(found.X.toarray(), sums)
    assert found.X.dtype == np.int32
    assert found.var_names.tolist() == ["A", "B", "C", "A-1", "NONE"]
    assert found.var["interval"].iloc[0] == "1:5000-20000"
    assert found.var["n_peaks"].iloc[-1] == 0
    assert found.obs["batch"].tolist() == ["x"] * 70
    every = gene_activity(atac, genes, *by, max_width=None)
    assert_array_equal(
        every.X.toarray(), expected(counts, peaks, genes, upstream=by[0], downstream=by[1])
    )


def test_gene_activity__of_stored_counts_in_one_pass(
    tmp_path: Path, peaks: pd.DataFrame, genes: pd.DataFrame
) -> None:
    """Whatever was done to X; sums of a fresh store are known."""
    counts = counts_of("float32")
    lazymu.Modality(counts, var=peaks).write(tmp_path / "atac.zarr")
    atac = lazymu.read(tmp_path / "atac.zarr")
    with quiet():
        tfidf(atac)
    with raise_if_dask_computes(max_computes=1):
        found = gene_activity(atac, genes, max_width=None)
    sums = expected(counts, peaks, genes, upstream=2000, downstream=0)
    assert_array_equal(found.X.toarray(), sums)
    mdata = lazymu.MuData({"atac": atac})
    mdata.mod["gene_activity"] = gene_activity(mdata, genes)
    mdata.write(tmp_path / "both.zarr")
    back = lazymu.read(tmp_path / "both.zarr")["gene_activity"]
    assert_array_equal(back.X.toarray(), found[:, np.array([0, 1, 2, 3, 5])].X.toarray())


def test_gene_activity__layer_of_counts(peaks: pd.DataFrame, genes: pd.DataFrame) -> None:
    counts = counts_of("float32")
    sums = expected(counts, peaks, genes, upstream=2000, downstream=0)
    atac = lazymu.Modality(counts * 0.5, var=peaks, layers={"counts": counts, "twice": counts * 2})
    assert_array_equal(gene_activity(atac, genes, max_width=None).X.toarray(), sums)
    found = gene_activity(atac, genes, max_width=None, layer="twice")
    assert_array_equal(found.X.toarray(), 2 * sums)
    del atac.layers["counts"]
    with pytest.raises(NotCountsError, match=r"put them into layers\['counts'\]"):
        gene_activity(atac, genes)


def test_gene_activity__selected_cells_in_another_order(
    peaks: pd.DataFrame, genes: pd.DataFrame
) -> None:
    atac = lazymu.Modality(counts_of("uint16"), var=peaks)
    whole = gene_activity(atac, genes).X.toarray()
    rows = np.array([60, 2, 33, 3])
    assert_array_equal(gene_activity(atac[rows], genes).X.toarray(), whole[rows])
    assert gene_activity(atac[rows[:0]], genes).shape == (0, 5)


def test_gene_activity__sums_beyond_int32(genes: pd.DataFrame) -> None:
    big = np.array([[2_000_000_000, 2_000_000_000]], dtype=np.int64)
    atac = lazymu.Modality(big, var=pd.DataFrame(index=["1:6000-6100", "1:6200-6300"]))
    assert gene_activity(atac, genes).X.toarray()[0, 0] == 4_000_000_000


def test_gene_activity__memory_limit(peaks: pd.DataFrame, genes: pd.DataFrame) -> None:
    atac = lazymu.Modality(counts_of("uint8"), var=peaks)
    n_values = gene_activity(atac, genes).X.to_memory().nnz  # the sums of counts are known now
    with settings.override(memory_limit=16 * n_values - 1):
        with raise_if_dask_computes():
            with pytest.raises(
                MemoryLimitError, match=r"70 cells × 5 genes.*may take [\d,]+ bytes"
            ):
                gene_activity(atac, genes)


def test_gene_activity__errors(peaks: pd.DataFrame, genes: pd.DataFrame) -> None:
    atac = lazymu.Modality(counts_of("uint8"), var=peaks)
    with pytest.raises(ArgumentError, match="`upstream` is -1"):
        gene_activity(atac, genes, upstream=-1)
    with pytest.raises(ArgumentError, match=r"`downstream` is 0\.5"):
        gene_activity(atac, genes, downstream=0.5)
    with pytest.raises(ArgumentError, match="no chromosome is in common"):
        gene_activity(atac, genes.assign(chrom="chr1"))


@pytest.mark.data
def test_gene_activity__real_counts(data_dir: Path) -> None:
    mdata = lazymu.read(data_dir / "multiome_pbmc40_10x" / "pbmc40_multiome.h5mu")
    path = data_dir / "annotation_hg38" / "abc_CollapsedGeneBounds.hg38.bed"
    found = gene_activity(mdata, path)
    assert found.shape[0] == 40
    table = pd.read_csv(path, sep="\t")
    table = table[table["end"] - table["start"] <= 500_000].reset_index(drop=True)
    peaks = mdata["atac"].var["interval"].str.extract(r"(.*):(\d+)-(\d+)")
    start, end = peaks[1].astype(int).to_numpy(), peaks[2].astype(int).to_numpy()
    counts = mdata["atac"].X.to_memory().tocsc()
    for at in np.random.default_rng(0).choice(len(table), 25, replace=False):
        gene = table.iloc[at]
        first = gene["start"] - (2000 if gene["strand"] == "+" else 0)
        last = gene["end"] + (2000 if gene["strand"] == "-" else 0)
        within = (peaks[0].to_numpy() == gene["#chr"]) & (start < last) & (end > first)
        sums = np.asarray(counts[:, np.flatnonzero(within)].sum(axis=1)).ravel()
        assert_array_equal(found.X[:, [int(at)]].toarray()[:, 0], sums)
