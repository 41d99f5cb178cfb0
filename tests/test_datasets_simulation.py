"""The simulation against its own formulas and against the profiles of real data."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.stats import norm
from sklearn.metrics import adjusted_rand_score

from lazymu.datasets import profiles
from lazymu.datasets.assay import SimulatedAssay
from lazymu.datasets.cells import CHUNK_CELLS, Cells, barcodes, simulate_cells
from lazymu.datasets.celltypes import cell_types, proportions
from lazymu.datasets.designs import simulate_atac, simulate_protein, simulate_rna
from lazymu.datasets.profiles import CITESEQ_PROTEIN, CITESEQ_RNA, MULTIOME_ATAC, MULTIOME_RNA
from lazymu.errors import ArgumentError
from lazymu.settings import settings

SOURCES = {
    "MULTIOME_RNA": "multiome_pbmc40_10x/pbmc_multiome_rna270.h5ad",
    "MULTIOME_ATAC": "multiome_pbmc40_10x/atac",
    "CITESEQ_RNA": "citeseq_pbmc1k_10x/rna",
    "CITESEQ_PROTEIN": "citeseq_pbmc1k_10x/prot",
}
LEVELS = [5, 25, 50, 75, 95]


def counts_of(assay: SimulatedAssay) -> sp.csr_matrix:
    return assay.read(0, assay.shape[0])


def totals(matrix: sp.csr_matrix, axis: int) -> np.ndarray:
    return np.asarray(matrix.sum(axis=axis), dtype=np.float64).ravel()


def same_cells(n_cells: int, n_genes: int, depth: float) -> SimulatedAssay:
    """Return genes of cells of one depth and state."""
    one_state = simulate_cells(n_cells, n_clusters=1, n_batches=1, seed=1)
    same_depth = dataclasses.replace(
        one_state,
        depth_levels=np.full((n_cells, 3), 0.5),
        mitochondrial=np.ones(n_cells),
    )
    return simulate_rna(same_depth, n_genes, MULTIOME_RNA, depth=depth)


@pytest.fixture(scope="module")
def many_cells() -> Cells:
    return simulate_cells(1500, n_clusters=12, n_batches=2, seed=0)


@pytest.mark.data
@pytest.mark.parametrize("name", SOURCES)
def test_profile__figures_are_those_of_the_real_data(name: str, data_dir: Path) -> None:
    real = json.loads((data_dir / "profiles.json").read_text())[SOURCES[name]]
    profile = getattr(profiles, name)
    assert (profile.n_cells, profile.n_features) == (real["cells"], real["features"])
    assert profile.n_empty_features == real["empty_features"]
    for field, key in (
        ("library_size", "lib_size_q"),
        ("nonzeros_per_cell", "nnz_per_cell_q"),
        ("feature_mean", "feature_mean_q"),
        ("detection", "detection_q"),
    ):
        np.testing.assert_allclose(getattr(profile, field), list(real[key].values()), rtol=1e-9)
    assert profile.density == pytest.approx(real["density"])
    assert profile.ones == pytest.approx(real["frac_nonzero_equal_1"])


@pytest.mark.parametrize("profile", [MULTIOME_RNA, MULTIOME_ATAC, CITESEQ_RNA])
def test_feature_means__quantiles_empties_and_sum_are_the_profiles(
    profile: profiles.Profile,
) -> None:
    means = profile.feature_means(profile.n_features)
    quantiles = [q for q in profile.feature_mean[:-1] if q > 0]
    found = np.percentile(means, [0, *LEVELS])[-len(quantiles) :]
    np.testing.assert_allclose(found, quantiles, rtol=0.02)
    assert means[-1] == pytest.approx(profile.feature_mean[-1], rel=1e-6)
    assert (means == 0).sum() == pytest.approx(profile.n_empty_features, abs=1)
    assert means.sum() == pytest.approx(profile.mean_library_size, rel=0.01)
    assert (np.diff(means) >= 0).all()


def test_library_sizes__pass_through_the_quantiles() -> None:
    sizes = MULTIOME_RNA.library_sizes(np.array([0, 0.05, 0.25, 0.5, 0.75, 0.95, 1]))
    np.testing.assert_allclose(sizes, MULTIOME_RNA.library_size, rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "tolerance"), [("MULTIOME_RNA", 0.12), ("MULTIOME_ATAC", 0.12), ("CITESEQ_RNA", 0.17)]
)
def test_counts__marginals_are_the_profiles(name: str, tolerance: float, many_cells: Cells) -> None:
    """Library size, nonzeros a cell, detection, density within 12 to 17 %, both ways."""
    profile: profiles.Profile = getattr(profiles, name)
    if name == "MULTIOME_ATAC":
        assay = simulate_atac(many_cells, profile.n_features)
    else:
        assay = simulate_rna(many_cells, profile.n_features, profile)
    matrix = counts_of(assay)
    np.testing.assert_allclose(
        np.percentile(totals(matrix, 1), LEVELS), profile.library_size[1:-1], rtol=tolerance
    )
    np.testing.assert_allclose(
        np.percentile(np.diff(matrix.indptr), LEVELS[1:]),
        profile.nonzeros_per_cell[2:-1],
        rtol=tolerance,
    )
    detection = totals((matrix > 0).astype(np.int8), 0) / matrix.shape[0]
    np.testing.assert_allclose(
        np.percentile(detection, [75, 95]), profile.detection[4:6], rtol=tolerance
    )
    assert matrix.nnz / np.prod(matrix.shape) == pytest.approx(profile.density, rel=tolerance)
    assert (matrix.data == 1).mean() == pytest.approx(profile.ones, rel=tolerance)
    empty = (totals(matrix, 0) == 0).mean()
    assert empty == pytest.approx(profile.n_empty_features / profile.n_features, abs=0.03)


def test_counts__proteins_are_dense_and_the_control_is_background(many_cells: Cells) -> None:
    assay = simulate_protein(many_cells, 10)
    matrix = counts_of(assay)
    np.testing.assert_allclose(
        np.percentile(totals(matrix, 1), LEVELS), CITESEQ_PROTEIN.library_size[1:-1], rtol=0.25
    )
    assert matrix.nnz / np.prod(matrix.shape) == pytest.approx(CITESEQ_PROTEIN.density, rel=0.05)
    means = totals(matrix, 0) / matrix.shape[0]
    assert assay.var.index[means.argmin()] == "IgG1_control_TotalSeqB"
    assert 0 < means.min() < 0.1


def test_counts__cut_sites_come_in_pairs(many_cells: Cells) -> None:
    values = counts_of(simulate_atac(many_cells, 2000)).data
    assert (values == 2).sum() > 5 * (values == 1).sum()
    assert (values == 4).sum() > 2 * (values == 3).sum()


def test_counts__mean_and_variance_are_those_of_the_formula() -> None:
    """In cells of one depth and state: mean L p, variance mean (1 + theta)."""
    n_cells = 6000
    assay = same_cells(n_cells, 400, depth=20.0)
    matrix = counts_of(assay)[:, assay.features].toarray().astype(np.float64)
    events = np.diff(np.concatenate([[0.0], assay.cumulative[0]]))
    theta = assay.log_series / (1 - assay.log_series)
    shares = events * theta / np.log1p(theta)
    mean = assay.library_sizes[0] * shares / shares.sum()
    strong = mean > 1
    assert strong.sum() > 50
    np.testing.assert_allclose(matrix.mean(axis=0)[strong], mean[strong], rtol=0.15)
    variance = mean * (1 + theta)
    np.testing.assert_allclose(matrix.var(axis=0)[strong], variance[strong], rtol=0.25)
    assert np.median(matrix.var(axis=0)[strong] / variance[strong]) == pytest.approx(1, abs=0.03)


def test_counts__canonical_csr(many_cells: Cells) -> None:
    block = simulate_rna(many_cells, 500, MULTIOME_RNA).read(100, 300)
    assert block.data.dtype == block.indices.dtype == np.int32
    assert block.data.min() >= 1
    inner = np.ones(block.nnz - 1, dtype=bool)
    inner[block.indptr[1:-1] - 1] = False
    assert (np.diff(block.indices)[inner] > 0).all()


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_counts__same_for_any_number_of_threads_and_any_blocks(
    n_threads: int, many_cells: Cells
) -> None:
    assay = simulate_atac(many_cells, 1000, seed=3)
    with settings.override(n_threads=1):
        expected = counts_of(assay)
    with settings.override(n_threads=n_threads):
        for start, stop in ((0, 1500), (0, 1), (7, 9), (1200, 1500), (40, 40)):
            found = assay.read(start, stop)
            np.testing.assert_array_equal(found.indptr[1:], np.cumsum(np.diff(found.indptr)))
            assert found.shape == (stop - start, 1000)
            assert (found != expected[start:stop]).nnz == 0


def test_counts__rows_are_no_longer_than_planned(many_cells: Cells) -> None:
    """The estimate by which memory and room in the file are planned is above, but close."""
    for make, largest in (
        (lambda: simulate_rna(many_cells, 20_000, MULTIOME_RNA), 1.25),
        (lambda: simulate_atac(many_cells, 30_000), 1.2),
        (lambda: simulate_protein(many_cells, 20), 1.2),
    ):
        assay = make()
        drawn = np.diff(counts_of(assay).indptr)
        planned = np.diff(assay.indptr)
        assert (drawn <= planned).all()
        assert 1 < planned.sum() / drawn.sum() < largest


def test_counts__same_where_the_room_planned_is_too_small(many_cells: Cells) -> None:
    assay = simulate_atac(many_cells, 1000, seed=3)
    tight = dataclasses.replace(assay)
    tight.__dict__["indptr"] = np.arange(many_cells.n_cells + 1)
    assert (counts_of(tight) != counts_of(assay)).nnz == 0


def test_counts__distribution_is_numpys_negative_binomial() -> None:
    """Mean, variance, detection and tail against draws of NumPy with the same parameters."""
    n_cells = 6000
    assay = same_cells(n_cells, 300, depth=30.0)
    events = np.diff(assay.cumulative[0], prepend=0.0)
    theta = assay.log_series / (1 - assay.log_series)
    rates = assay.events[0].sum() * events / events.sum()
    n = rates / np.log1p(theta)  # negative binomial: n log(1 + theta) events on average
    oracle = np.random.default_rng(8).negative_binomial(n, 1 / (1 + theta), (n_cells, len(n)))
    found = counts_of(assay)[:, assay.features].toarray()
    mean = n * theta
    error = np.sqrt(mean * (1 + theta) / n_cells)
    for statistic, width in (
        (lambda X: X.mean(axis=0), error),
        (lambda X: (X > 0).mean(axis=0), 0.5 / np.sqrt(n_cells)),
        (lambda X: (X - 2 * mean > 1).mean(axis=0), 0.5 / np.sqrt(n_cells)),
    ):
        difference = (statistic(found) - statistic(oracle)) / (np.sqrt(2) * width)
        assert np.abs(difference).max() < 4.5
        assert abs(difference.mean()) < 0.25
    strong = mean > 1
    ratio = found.var(axis=0)[strong] / oracle.var(axis=0)[strong]
    assert np.median(ratio) == pytest.approx(1, abs=0.02)
    np.testing.assert_allclose(ratio, 1, atol=0.3)


def test_counts__features_of_a_cell_are_independent() -> None:
    """Neighbours on the line of features share no gap: their counts do not go together."""
    assay = same_cells(6000, 300, depth=30.0)
    X = counts_of(assay)[:, assay.features].toarray().astype(np.float64)
    z = (X - X.mean(axis=0)) / X.std(axis=0)
    neighbours = (z[:, 1:] * z[:, :-1]).mean(axis=0)
    assert abs(neighbours.mean()) < 4 / np.sqrt(neighbours.size * 6000)
    following = (z[1:] * z[:-1]).mean(axis=0)
    assert abs(following.mean()) < 4 / np.sqrt(following.size * 6000)


def test_counts__first_cells_do_not_depend_on_how_many_follow() -> None:
    n_few = CHUNK_CELLS + 44
    few, more = (simulate_cells(n, n_clusters=8, n_batches=2, seed=5) for n in (n_few, 1000))
    np.testing.assert_array_equal(few.labels, more.labels[:n_few])
    for make in (simulate_atac, simulate_protein):
        first = counts_of(make(few, 200, seed=5))
        assert (first != counts_of(make(more, 200, seed=5))[:n_few]).nnz == 0


def test_counts__another_seed_gives_other_counts() -> None:
    def first_block(seed: int) -> sp.csr_matrix:
        return simulate_atac(simulate_cells(50, 3, 1, seed), 300, seed=seed).read(0, 50)

    assert (first_block(0) != first_block(1)).nnz > 100


def test_cells__types_come_in_their_proportions(many_cells: Cells) -> None:
    found = np.bincount(many_cells.labels, minlength=12) / many_cells.n_cells
    np.testing.assert_allclose(found, proportions(12), atol=0.03)
    assert many_cells.obs().index.is_unique


def test_cells__depths_of_modalities_go_together() -> None:
    levels = simulate_cells(20_000, n_clusters=2, n_batches=1, seed=2).depth_levels
    found = np.corrcoef(norm.ppf(levels).T)
    expected = [[1, 0.5, 0.5], [0.5, 1, 0.25], [0.5, 0.25, 1]]
    np.testing.assert_allclose(found, expected, atol=0.03)


def test_barcodes__are_distinct_and_end_in_the_batch() -> None:
    batches = np.arange(30_000) % 12
    names = barcodes(batches)
    assert len(set(names)) == 30_000
    assert all(set(name.split("-")[0]) <= set("ACGT") for name in names[:50])
    assert {len(name.split("-")[0]) for name in names} == {16}
    assert [int(name.split("-")[1]) for name in names] == (batches + 1).tolist()


def nearest_profile(matrix: sp.csr_matrix, labels: np.ndarray) -> np.ndarray:
    """Return for each cell of the second half the nearest mean profile of the first."""
    X = np.log1p(matrix.toarray() / totals(matrix, 1)[:, None] * 1e4)
    half = len(labels) // 2
    centres = np.array([X[:half][labels[:half] == c].mean(axis=0) for c in range(labels.max() + 1)])
    return np.asarray([np.linalg.norm(centres - x, axis=1).argmin() for x in X[half:]])


def test_types__some_are_told_apart_by_one_modality_alone() -> None:
    cells = simulate_cells(1200, n_clusters=6, n_batches=1, seed=0)
    types = [cell_type.name for cell_type in cell_types(6)]
    half = cells.n_cells // 2
    truth = cells.labels[half:]

    def score(assay: SimulatedAssay, pair: tuple[str, str]) -> float:
        found = nearest_profile(counts_of(assay), cells.labels)
        inside = np.isin(truth, [types.index(name) for name in pair])
        return float(adjusted_rand_score(truth[inside], found[inside]))

    rna = simulate_rna(cells, 3000, MULTIOME_RNA, depth=6.0)
    for second in (simulate_atac(cells, 4000, depth=6.0), simulate_protein(cells, 15)):
        assert score(rna, ("B Naive", "B Memory")) > 0.9
        assert abs(score(second, ("B Naive", "B Memory"))) < 0.1
        assert score(second, ("CD4 Naive", "CD4 Memory")) > 0.9
        assert abs(score(rna, ("CD4 Naive", "CD4 Memory"))) < 0.1


def test_types__known_markers_are_high_in_their_type_alone(many_cells: Cells) -> None:
    assay = simulate_rna(many_cells, 5000, MULTIOME_RNA, depth=5.0)
    matrix = counts_of(assay)
    names = [cell_type.name for cell_type in cell_types(12)]
    for gene, owners in (
        ("CD14", {"CD14 Mono"}),
        ("CD19", {"B Naive", "B Memory"}),
        ("CD3E", {"CD4 Naive", "CD4 Memory", "CD8 TEM", "CD8 Naive", "Treg"}),
    ):
        column = matrix[:, assay.var.index.get_loc(gene)].toarray().ravel()
        owned = np.isin(many_cells.labels, [names.index(owner) for owner in owners])
        assert column[owned].mean() > 10 * column[~owned].mean()


def test_mitochondrial_share__like_pbmc_with_some_damaged_cells(many_cells: Cells) -> None:
    assay = simulate_rna(many_cells, 36_601, MULTIOME_RNA)
    matrix = counts_of(assay)
    assert [name.startswith("MT-") for name in assay.var.index].count(True) == 13
    share = totals(matrix[:, -13:], 1) / totals(matrix, 1)
    assert np.median(share) == pytest.approx(0.1, abs=0.03)
    assert 0.02 < (share > 0.2).mean() < 0.08


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda cells: simulate_rna(cells, 10, MULTIOME_RNA), "n_genes"),
        (lambda cells: simulate_atac(cells, 10), "n_peaks"),
        (lambda cells: simulate_protein(cells, 2), "n_antibodies"),
    ],
)
def test_simulate__too_few_features_raise(make, argument: str, many_cells: Cells) -> None:
    with pytest.raises(ArgumentError, match=rf"`{argument}` is \d+, but .* needs at least"):
        make(many_cells)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 3, 1), "`n_cells` is 0, but it must be 1 or more"),
        ((10, 0, 1), "`n_clusters` is 0, but there must be at least one cell type"),
        ((10, 3, 0), "`n_batches` is 0, but it must be 1 or more"),
    ],
)
def test_simulate_cells__empty_designs_raise(arguments: tuple[int, int, int], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        simulate_cells(*arguments, seed=0)
