"""`tl.peak_gene_links`: planted links are found, a plain formula gives the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from numpy.testing import assert_allclose, assert_array_equal

import lazymu
from lazymu.errors import (
    ArgumentError,
    MemoryLimitError,
    MissingResultError,
    ModalityNotFoundError,
    NotCountsError,
)
from lazymu.genomics.links import background_peaks, unit_rows
from lazymu.settings import settings
from lazymu.tl import peak_gene_links
from lazymu.tl.metacells import k_means
from tests.counting import raise_if_dask_computes
from tests.matrix_cases import quiet, small_blocks

__all__ = ["small_blocks"]  # a fixture

N_CELLS, N_GROUPS, N_GENES = 400, 40, 60
GENE_STEP, PEAKS_A_GENE = 20_000, 10


def simulated(seed: int = 0, *, linked: bool = True) -> tuple[lazymu.MuData, pd.DataFrame]:
    """Genes on three chromosomes, ten peaks near each; the first follows its gene where linked."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(N_GROUPS), N_CELLS // N_GROUPS)
    level = rng.gamma(2.0, 1.0, (N_GROUPS, N_GENES))
    noise = rng.gamma(4.0, 0.4, (N_GROUPS, N_GENES, PEAKS_A_GENE))
    if linked:
        noise[:, :, 0] = level
    depth = rng.gamma(5.0, 0.2, (N_CELLS, 1))
    rna = rng.poisson(depth * 3 * level[group])
    atac = rng.poisson(depth * noise[group].reshape(N_CELLS, -1))
    genes = pd.DataFrame(
        {
            "chrom": [f"chr{g % 3}" for g in range(N_GENES)],
            "start": [10_000 + GENE_STEP * (g // 3) for g in range(N_GENES)],
            "strand": ["+", "-"] * (N_GENES // 2),
            "gene_name": [f"G{g}" for g in range(N_GENES)],
        }
    )
    genes["end"] = genes["start"] + 3_000
    names = []
    for gene in genes.itertuples():
        for at in range(PEAKS_A_GENE):
            start = gene.start - 4_000 + 1_000 * at
            names.append(f"{gene.chrom}:{start}-{start + int(rng.integers(200, 900))}")
    mdata = lazymu.MuData(
        {
            "rna": lazymu.Modality(
                rna.astype(np.uint16), var=pd.DataFrame(index=genes["gene_name"].tolist())
            ),
            "atac": lazymu.Modality(atac.astype(np.uint16), var=pd.DataFrame(index=names)),
        }
    )
    mdata.obs["group"] = group
    return mdata, genes


def means(counts: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Means of normalised counts by group, (features, groups)."""
    counts = counts.astype(np.float64)
    y = np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True))
    return np.stack([y[group == g].mean(axis=0) for g in np.unique(group)], axis=1)


def links_of(mdata: lazymu.MuData) -> pd.DataFrame:
    return mdata.uns["peak_gene_links"]


def test_peak_gene_links__finds_planted_links() -> None:
    mdata, genes = simulated()
    peak_gene_links(mdata, genes, groupby="group", window=9_000)
    links = links_of(mdata)
    first = set(mdata["atac"].var_names[::PEAKS_A_GENE])
    own = mdata["atac"].var_names.to_numpy().reshape(N_GENES, PEAKS_A_GENE)
    gene_of = {peak: f"G{g}" for g in range(N_GENES) for peak in own[g]}
    planted = links["peak"].isin(first) & (links["peak"].map(gene_of) == links["gene"])
    assert planted.sum() == N_GENES
    assert links.loc[planted, "score"].median() > 0.8
    assert links.loc[planted, "zscore"].min() > 3
    assert links.loc[planted, "pvalue"].max() < 0.005
    # By rank, the planted ones come first.
    assert set(links.nlargest(N_GENES, "zscore").index) == set(links.index[planted])
    rest = links.loc[~planted, "pvalue"]
    assert 0.01 < (rest < 0.05).mean() < 0.09


def test_peak_gene_links__p_values_are_uniform_without_links() -> None:
    mdata, genes = simulated(3, linked=False)
    peak_gene_links(mdata, genes, groupby="group")
    pvalue = links_of(mdata)["pvalue"]
    assert len(pvalue) > 3_000
    assert_allclose(np.quantile(pvalue, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.04)


def test_peak_gene_links__equals_a_plain_formula(small_blocks: Callable[[], None]) -> None:
    mdata, genes = simulated()
    small_blocks()
    peak_gene_links(
        mdata, genes, groupby="group", window=9_000, n_background=30, min_cells=5, random_state=4
    )
    links = links_of(mdata)
    atac, rna = mdata["atac"], mdata["rna"]
    counts = atac.X.toarray()
    group = mdata.obs["group"].to_numpy()
    access, expression = means(counts, group), means(rna.X.toarray(), group)
    table = pd.Series(atac.var_names).str.extract(r"(.*):(\d+)-(\d+)")
    start, end = table[1].astype(int), table[2].astype(int)
    pairs = []
    for g, gene in enumerate(genes.itertuples()):
        tss = gene.start if gene.strand == "+" else gene.end - 1
        sign = 1 if gene.strand == "+" else -1
        for p in range(len(start)):
            d = max(start[p] - tss, 0) - max(tss - end[p] + 1, 0)
            if table[0][p] == gene.chrom and abs(d) <= 9_000:
                pairs.append((gene.gene_name, atac.var_names[p], sign * d, g, p))
    expected = pd.DataFrame(pairs, columns=["gene", "peak", "distance", "g", "p"])
    key = ["gene", "peak"]
    both = links.merge(expected, on=key, suffixes=("", "_expected"))
    assert len(both) == len(links) == len(expected)
    assert links["gene"].drop_duplicates().tolist() == rna.var_names.tolist()
    assert_array_equal(both["distance"], both["distance_expected"])

    looks = np.log(np.stack([counts.mean(axis=0), (end - start).to_numpy()], axis=1))
    tested = np.unique(expected["p"])
    rng = np.random.default_rng(4)
    background = background_peaks(tested, table[0].to_numpy(dtype=object), looks, 30, rng)
    for row in both.iloc[::7].itertuples():
        r = np.corrcoef(access[row.p], expression[row.g])[0, 1]
        others = background[np.searchsorted(tested, row.p)]
        r_b = [np.corrcoef(access[b], expression[row.g])[0, 1] for b in others]
        z = (r - np.mean(r_b)) / np.std(r_b, ddof=1)
        # Values are normalised in float32.
        assert_allclose(row.score, r, atol=1e-6)
        assert_allclose(row.zscore, z, atol=1e-4)
        assert_allclose(row.pvalue, 2 * scipy.stats.norm.sf(abs(z)), atol=1e-4)


def test_peak_gene_links__of_real_cells_equal_the_formula(data_dir: Path) -> None:
    mdata = lazymu.read(data_dir / "multiome_pbmc40_10x" / "pbmc40_multiome.h5mu")
    table = pd.read_csv(data_dir / "annotation_hg38" / "abc_CollapsedGeneBounds.hg38.bed", sep="\t")
    genes = table.rename(columns={"#chr": "chrom", "name": "gene_name"})
    genes = genes[genes["chrom"].isin(["chr1", "chr22"])]
    mdata.obs["group"] = np.arange(40) % 12
    peak_gene_links(mdata, genes, groupby="group", window=100_000, n_background=40, min_cells=8)
    links = links_of(mdata)
    assert 1_000 < len(links) < 100_000

    counts, group = mdata["atac"].X.toarray(), mdata.obs["group"].to_numpy()
    access = pd.DataFrame(means(counts, group), mdata["atac"].var_names)
    expression = pd.DataFrame(means(mdata["rna"].X.toarray(), group), mdata["rna"].var_names)
    where = mdata["atac"].var["interval"].str.extract(r"(.*):(\d+)-(\d+)")
    start, end = where[1].astype(int), where[2].astype(int)
    usable = ((counts > 0).sum(axis=0) >= 8) & (access.std(axis=1) > 0)
    expected = 0
    for gene in genes[genes["gene_name"].isin(links["gene"].iloc[::400])].itertuples():
        tss = gene.start if gene.strand == "+" else gene.end - 1
        distance = np.maximum(start - tss, 0) - np.maximum(tss - end + 1, 0)
        near = usable & (where[0] == gene.chrom) & (distance.abs() <= 100_000)
        own = links[links["gene"] == gene.gene_name].set_index("peak")
        assert set(own.index) == set(near.index[near])
        sign = 1 if gene.strand == "+" else -1
        assert_array_equal(own["distance"], sign * distance[own.index])
        expected += len(own)
    assert expected > 10
    peaks = np.flatnonzero(usable)
    looks = np.log(np.stack([counts[:, peaks].mean(axis=0), (end - start).iloc[peaks]], axis=1))
    place = pd.Series(np.arange(len(peaks)), where.index[peaks])
    tested = np.unique(place[links["peak"]])
    background = background_peaks(
        tested, where[0].iloc[peaks].to_numpy(dtype=object), looks, 40, np.random.default_rng(0)
    )
    for row in links.iloc[::200].itertuples():
        others = access.iloc[peaks[background[np.searchsorted(tested, place[row.peak])]]]
        r_b = [np.corrcoef(other, expression.loc[row.gene])[0, 1] for other in others.to_numpy()]
        r = np.corrcoef(access.loc[row.peak], expression.loc[row.gene])[0, 1]
        z = (r - np.mean(r_b)) / np.std(r_b, ddof=1)
        assert_allclose([row.score, row.zscore], [r, z], atol=1e-5)
        assert_allclose(row.pvalue, 2 * scipy.stats.norm.sf(abs(z)), atol=1e-5)


def test_background_peaks__are_elsewhere_alike_and_distinct(rng: np.random.Generator) -> None:
    chrom = rng.choice(["a", "b", "c"], 900).astype(object)
    features = rng.normal(size=(900, 2)) * [1, 50]
    wanted = np.arange(0, 900, 3)
    found = background_peaks(wanted, chrom, features, 40, rng)
    assert found.shape == (300, 40)
    scaled = features / features.std(axis=0)
    for row, peak in zip(found, wanted, strict=True):
        assert len(set(row)) == 40
        assert np.all(chrom[row] != chrom[peak])
        away = np.linalg.norm(scaled - scaled[peak], axis=1)
        others = np.sort(away[chrom != chrom[peak]])
        assert away[row].max() <= others[79]
        assert away[row].max() > others[39]  # drawn, not the nearest alone
    again = background_peaks(wanted, chrom, features, 40, np.random.default_rng(9))
    same = background_peaks(wanted, chrom, features, 40, np.random.default_rng(9))
    assert_array_equal(again, same)
    assert np.any(again != found)


def test_unit_rows__products_are_correlations(rng: np.random.Generator) -> None:
    values = rng.normal(3, 2, (5, 20))
    values[2] = 1 / 3
    rows, varies = unit_rows(values)
    assert varies.tolist() == [True, True, False, True, True]
    expected = np.corrcoef(values[varies])
    assert_allclose(rows[varies] @ rows[varies].T, expected, atol=1e-12)


# --- groups of cells -----------------------------------------------------------------------------


def embedded(mdata: lazymu.MuData) -> np.ndarray:
    """An embedding in which groups are apart, split between the modalities."""
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 10, (N_GROUPS, 6))
    X = centres[mdata.obs["group"].to_numpy()] + rng.normal(0, 0.01, (N_CELLS, 6))
    mdata["rna"].obsm["X_pca"], mdata["atac"].obsm["X_lsi"] = X[:, :3], 100 * X[:, 3:]
    mdata.obsm["X_mofa"] = X
    return X


@pytest.mark.parametrize("use_rep", [None, "X_mofa"])
def test_peak_gene_links__metacells_of_an_embedding(use_rep: str | None) -> None:
    mdata, genes = simulated()
    embedded(mdata)
    peak_gene_links(mdata, genes, use_rep=use_rep, n_metacells=60, window=9_000)
    links = links_of(mdata)
    planted = [(f"G{g}", mdata["atac"].var_names[g * PEAKS_A_GENE]) for g in range(N_GENES)]
    found = links.set_index(["gene", "peak"]).loc[planted]
    assert (found["zscore"] > 3).mean() > 0.95
    peak_gene_links(mdata, genes, use_rep=use_rep, n_metacells=60, window=9_000)
    pd.testing.assert_frame_equal(links_of(mdata), links)
    peak_gene_links(mdata, genes, use_rep=use_rep)  # sqrt(400) metacells
    assert np.isfinite(links_of(mdata)["zscore"]).all()


def test_k_means__leaves_out_what_is_not_finite() -> None:
    X = np.array([[0.0], [0.1], [np.nan], [9.0], [9.1]])
    codes = k_means(X, 2, 0)
    assert codes[2] == -1
    assert codes[0] == codes[1] != codes[3] == codes[4]


def test_peak_gene_links__cells_go_by_name() -> None:
    """Cells of one modality in another order, and some that the other lacks."""
    mdata, genes = simulated()
    whole = mdata["rna"].obs_names
    rows = np.random.default_rng(0).permutation(N_CELLS)
    other = lazymu.MuData({"rna": mdata["rna"], "atac": mdata["atac"][rows[:-3]]})
    other.obs["group"] = mdata.obs["group"].reindex(other.obs_names)
    other.obs.loc[whole[5], "group"] = np.nan
    peak_gene_links(other, genes, groupby="group", window=9_000)
    left = np.setdiff1d(np.arange(N_CELLS), [*rows[-3:], 5])
    same = lazymu.MuData({"rna": mdata["rna"][left], "atac": mdata["atac"][left]})
    same.obs["group"] = mdata.obs["group"].to_numpy()[left]
    peak_gene_links(same, genes, groupby="group", window=9_000)
    ours, theirs = links_of(other), links_of(same)
    assert_array_equal(ours["peak"], theirs["peak"])
    assert_allclose(ours["score"], theirs["score"], atol=1e-9)


# --- passes, what is found and stored ------------------------------------------------------------


def test_peak_gene_links__one_pass_a_modality(tmp_path: Path) -> None:
    mdata, genes = simulated()
    mdata.write(tmp_path / "x.zarr")
    mdata = lazymu.read(tmp_path / "x.zarr")
    with quiet():
        lazymu.pp.log1p(mdata["rna"])
    with raise_if_dask_computes(max_computes=2):
        peak_gene_links(mdata, genes, groupby="group", window=9_000)
    links = links_of(mdata)
    mdata.write(tmp_path / "y.zarr")
    back = links_of(lazymu.read(tmp_path / "y.zarr"))
    assert list(back.columns) == ["gene", "peak", "distance", "score", "zscore", "pvalue"]
    assert_allclose(back["score"], links["score"])
    mdata.to_mudata().write(tmp_path / "z.h5mu")


def test_peak_gene_links__genes_by_identifier_without_version() -> None:
    mdata, genes = simulated()
    peak_gene_links(mdata, genes, groupby="group", window=9_000)
    by_name = links_of(mdata)
    ids = [f"ENSG{g:04}" for g in range(N_GENES)]
    mdata["rna"].var["gene_ids"] = ids
    genes = genes.assign(gene_name="other", gene_id=[f"{i}.{g}" for g, i in enumerate(ids)])
    peak_gene_links(mdata, genes, groupby="group", window=9_000)
    pd.testing.assert_frame_equal(links_of(mdata), by_name)


def test_peak_gene_links__leaves_out_what_is_rare_or_constant() -> None:
    mdata, genes = simulated()
    counts = mdata["atac"].X.toarray()
    counts[:, 0] = 0
    counts[:9, 0] = 1
    counts[:, 1] = 0
    mdata.mod["atac"] = lazymu.Modality(counts, var=mdata["atac"].var)
    names = mdata["atac"].var_names
    peak_gene_links(mdata, genes, groupby="group", window=9_000)
    assert not set(names[:2]) & set(links_of(mdata)["peak"])
    peak_gene_links(mdata, genes, groupby="group", window=9_000, min_cells=9)
    assert names[0] in set(links_of(mdata)["peak"])
    far = genes.assign(start=10**8, end=10**8 + 1)
    peak_gene_links(mdata, far, groupby="group")
    assert len(links_of(mdata)) == 0


def test_peak_gene_links__errors() -> None:
    mdata, genes = simulated()
    for wrong, message in (
        ({"window": -1}, "`window` is -1"),
        ({"n_background": 1}, "`n_background` is 1"),
        ({"min_cells": 0}, "`min_cells` is 0"),
        ({"groupby": "group", "use_rep": "X"}, "excludes use_rep"),
        ({"groupby": "group", "n_metacells": 5}, "excludes n_metacells"),
        ({"groupby": "group", "n_background": 500}, "there are 4.. usable peaks beside"),
    ):
        with pytest.raises(ArgumentError, match=message):
            peak_gene_links(mdata, genes, **wrong)
    with pytest.raises(MissingResultError, match="columns of obs are: group"):
        peak_gene_links(mdata, genes, groupby="leiden")
    with pytest.raises(MissingResultError, match="obsm has no 'X_pca'"):
        peak_gene_links(mdata, genes)
    with pytest.raises(MissingResultError, match="X_mofa"):
        peak_gene_links(mdata, genes, use_rep="X_mofa")
    embedded(mdata)
    with pytest.raises(ArgumentError, match=r"`n_metacells` is 500.*400 cells"):
        peak_gene_links(mdata, genes, n_metacells=500)
    with pytest.raises(ArgumentError, match="with 2 groups of cells"):
        peak_gene_links(mdata, genes, n_metacells=2)
    with pytest.raises(ArgumentError, match=r"`genes` is 60 genes \(X, X, X"):
        peak_gene_links(mdata, genes.assign(gene_name="X"), groupby="group")
    with pytest.raises(ArgumentError, match="a Modality"):
        peak_gene_links(mdata["atac"], genes)
    with pytest.raises(ModalityNotFoundError, match="atac"):
        peak_gene_links(lazymu.MuData({"rna": mdata["rna"]}), genes)
    mdata.mod["rna"] = lazymu.Modality(mdata["rna"].X.toarray() / 3, var=mdata["rna"].var)
    with pytest.raises(NotCountsError, match="whole numbers"):
        peak_gene_links(mdata, genes, groupby="group")


def test_peak_gene_links__memory_limit() -> None:
    mdata, genes = simulated()
    peak_gene_links(mdata, genes, groupby="group")
    with settings.override(memory_limit=300_000):
        with pytest.raises(MemoryLimitError, match="operands and partial results"):
            peak_gene_links(mdata, genes, groupby="group")
