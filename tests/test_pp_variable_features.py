"""`pp.highly_variable_genes` of all flavours against scanpy, in any blocks."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp

from lazymu.containers import Modality
from lazymu.errors import ArgumentError, MissingResultError, NotCountsError
from lazymu.pp import filter_cells, highly_variable_genes, log1p, normalize_total
from lazymu.pp.dispersion import Cutoffs, choose, known_mean, mean_bins, normalized_dispersions
from lazymu.pp.loess_variance import exact_means, expected_deviation
from lazymu.pp.ties import without_noise
from lazymu.stream import matrix_sums
from tests.counting import counting_scheduler
from tests.rna_data import made_counts, real_counts, small_blocks

DISPERSION = ("seurat", "cell_ranger")
VARIANCE = ("seurat_v3", "seurat_v3_paper")
NOISY_BATCHES = sys.version_info >= (3, 12)
"""scanpy 1.12 sums up means of batches as floats, which moves its loess by 1e-3 (see below)."""

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*expects raw count data.*:UserWarning"),
    pytest.mark.filterwarnings("ignore::pandas.errors.PerformanceWarning"),
]


@pytest.fixture(autouse=True)
def _quiet_scanpy() -> Iterator[None]:
    """Let scanpy divide by the standard deviation 0 of empty bins, as it does."""
    with np.errstate(divide="ignore", invalid="ignore"):
        yield


def dense(adata: ad.AnnData) -> ad.AnnData:
    """Return the data as scanpy is given it: dense, as it compiles its sparse loops anew."""
    return ad.AnnData(adata.X.toarray(), adata.obs.copy(), adata.var.copy())


def logged(adata: ad.AnnData, *, base: float | None = None) -> tuple[ad.AnnData, Modality]:
    """Return the data normalised and logged by scanpy (dense) and by lazymu."""
    theirs, ours = dense(adata), Modality(adata.copy())
    sc.pp.normalize_total(theirs, target_sum=1e4)
    sc.pp.log1p(theirs, base=base)
    normalize_total(ours, target_sum=1e4)
    log1p(ours, base=base)
    return theirs, ours


def batches_made(n_obs: int = 240, n_vars: int = 150) -> ad.AnnData:
    """Return counts of three batches with some genes that vary."""
    adata = made_counts(n_obs, n_vars, density=0.25)
    generator = np.random.default_rng(3)
    X = adata.X.toarray() * generator.choice([0, 1, 4], adata.shape, p=[0.2, 0.7, 0.1])
    X[:, 20] = 0
    X[adata.obs["batch"] == "b", 30] = 0
    X[4, 0] = 1
    adata.X = sp.csr_matrix(X, dtype=np.float32)
    labels = generator.choice(["x", "y", "z"], n_obs, p=[0.5, 0.3, 0.2])
    adata.obs["batch"] = pd.Categorical(labels)
    return adata


def assert_same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Compare the columns that scanpy gives."""
    assert list(found) == [column for column in expected if column != "batch"]
    expected = expected.loc[found.index]
    if "gene_name" in found:
        assert found["gene_name"].tolist() == expected["gene_name"].tolist()
    if "mean_bin" in found:
        assert_same_bins(found["mean_bin"], expected["mean_bin"])
    for column in found.columns.difference(["gene_name", "mean_bin"]):
        ours, theirs = found[column].to_numpy(), expected[column].to_numpy()
        if ours.dtype == bool:
            np.testing.assert_array_equal(ours, theirs.astype(bool), err_msg=str(column))
        else:
            # Values near 0 are differences of float32 logarithms in scanpy.
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=3e-6, err_msg=str(column))


def assert_same_bins(found: pd.Series[Any], expected: pd.Series[Any]) -> None:
    """Compare intervals of means; scanpy has 0 where a feature took no part, 1.12 has text."""
    nowhere = (expected.astype(str) == "0.0").to_numpy()
    assert found.isna().tolist() == nowhere.tolist()
    ours = [[bin.left, bin.right] for bin in found[~nowhere]]
    theirs = [str(bin).strip("(]").split(", ") for bin in expected[~nowhere]]
    np.testing.assert_allclose(ours, np.array(theirs, dtype=float), rtol=1e-5, atol=1e-3)


# --- parity --------------------------------------------------------------------------------------


@pytest.mark.data
@pytest.mark.parametrize(
    ("flavor", "n_top"),
    [("seurat", None), ("seurat", 1500), ("cell_ranger", 1500), ("seurat_v3", None)],
)
@pytest.mark.parametrize("name", ["stimulated", "cite_seq"])
def test_highly_variable_genes__equals_scanpy_on_real_data(
    name: str, flavor: str, n_top: int | None, data_dir: Path
) -> None:
    adata = real_counts(name, data_dir)
    if name == "cite_seq":  # scanpy's cell_ranger fails where many genes are empty
        adata = adata[:, np.asarray(adata.X.sum(axis=0)).ravel() > 0]
    theirs, ours = logged(adata)
    source = dense(adata) if flavor in VARIANCE else theirs
    expected = sc.pp.highly_variable_genes(source, flavor=flavor, n_top_genes=n_top, inplace=False)
    found = highly_variable_genes(ours, flavor=flavor, n_top_genes=n_top, inplace=False)  # type: ignore[arg-type]
    assert found is not None
    assert_same(found, expected)


@pytest.mark.data
@pytest.mark.parametrize(
    ("flavor", "n_top"),
    [("seurat", None), ("cell_ranger", 1500), ("seurat_v3", None), ("seurat_v3_paper", 1500)],
)
def test_highly_variable_genes__equals_scanpy_on_real_batches(
    flavor: str, n_top: int | None, data_dir: Path
) -> None:
    adata = real_counts("stimulated", data_dir)
    theirs, ours = logged(adata)
    source = dense(adata) if flavor in VARIANCE else theirs
    options: dict[str, Any] = {"flavor": flavor, "n_top_genes": n_top, "batch_key": "batch"}
    expected = sc.pp.highly_variable_genes(source, **options, inplace=False)
    found = highly_variable_genes(ours, **options, inplace=False)
    assert found is not None
    if flavor in VARIANCE and NOISY_BATCHES:
        expected = expected.loc[found.index]
        np.testing.assert_allclose(found["variances_norm"], expected["variances_norm"], rtol=5e-3)
        differing = int((found["highly_variable"] != expected["highly_variable"]).sum())
        assert differing <= 0.005 * len(found)
    else:
        assert_same(found, expected)


@pytest.mark.data
def test_highly_variable_genes__v3_batches_are_scanpys_of_each_batch(data_dir: Path) -> None:
    adata = real_counts("stimulated", data_dir)
    of_each = [
        sc.pp.highly_variable_genes(dense(part), flavor="seurat_v3", inplace=False)
        for part in (adata[adata.obs["batch"] == name] for name in ("ctrl", "stim"))
    ]
    found = highly_variable_genes(
        Modality(adata), flavor="seurat_v3", batch_key="batch", inplace=False
    )
    assert found is not None
    mean = np.mean([table["variances_norm"] for table in of_each], axis=0)
    np.testing.assert_allclose(found["variances_norm"], mean, rtol=1e-9)
    n_batches = np.sum([table["highly_variable"] for table in of_each], axis=0)
    np.testing.assert_array_equal(found["highly_variable_nbatches"], n_batches)


@pytest.mark.parametrize("batch_key", [None, "batch"])
@pytest.mark.parametrize(
    "options",
    [
        {"flavor": "seurat"},
        {"flavor": "seurat", "n_top_genes": 25},
        {"flavor": "seurat", "n_bins": 60, "min_disp": 0.1, "max_mean": 6.0},
        {"flavor": "cell_ranger"},
        {"flavor": "cell_ranger", "n_top_genes": 25},
        {"flavor": "cell_ranger", "min_mean": 0.5, "max_disp": 3.0},
    ],
    ids=str,
)
def test_highly_variable_genes__dispersion_equals_scanpy_in_blocks(
    options: dict[str, Any], batch_key: str | None
) -> None:
    theirs, ours = logged(batches_made())
    expected = sc.pp.highly_variable_genes(theirs, batch_key=batch_key, inplace=False, **options)
    with small_blocks(5, 150, state_bytes=40 * 3 * 150):
        found = highly_variable_genes(ours, batch_key=batch_key, inplace=False, **options)
    assert found is not None
    assert_same(found, expected)


@pytest.mark.parametrize("flavor", VARIANCE)
@pytest.mark.parametrize("n_top", [1, 40, 150, 400])
@pytest.mark.parametrize("span", [0.3, 0.6])
def test_highly_variable_genes__variance_equals_scanpy_in_blocks(
    flavor: str, n_top: int, span: float
) -> None:
    adata = batches_made()
    options: dict[str, Any] = {"flavor": flavor, "n_top_genes": n_top, "span": span}
    expected = sc.pp.highly_variable_genes(dense(adata), inplace=False, **options)
    with small_blocks(5, 150, state_bytes=64 * 150, operand_bytes=8 * 150):
        found = highly_variable_genes(Modality(adata), inplace=False, **options)
    assert found is not None
    assert_same(found, expected)


@pytest.mark.skipif(NOISY_BATCHES, reason="scanpy 1.12 sums up means of batches as floats")
@pytest.mark.parametrize("flavor", VARIANCE)
@pytest.mark.parametrize("n_top", [10, 40, 149])
def test_highly_variable_genes__variance_of_batches_equals_scanpy(flavor: str, n_top: int) -> None:
    adata = batches_made()
    options: dict[str, Any] = {"flavor": flavor, "n_top_genes": n_top, "batch_key": "batch"}
    expected = sc.pp.highly_variable_genes(dense(adata), inplace=False, **options)
    with small_blocks(5, 150, state_bytes=54 * 3 * 150, operand_bytes=24 * 150):
        found = highly_variable_genes(Modality(adata), inplace=False, **options)
    assert found is not None
    assert_same(found, expected)


@pytest.mark.parametrize("base", [2, 10])
def test_highly_variable_genes__base_of_the_logarithm(base: float) -> None:
    theirs, ours = logged(batches_made(), base=base)
    expected = sc.pp.highly_variable_genes(theirs, inplace=False)
    for modality in (ours, Modality(theirs)):
        found = highly_variable_genes(modality, inplace=False)
        assert found is not None
        assert_same(found, expected)


@pytest.mark.skipif(not NOISY_BATCHES, reason="scanpy has the argument since 1.12")
def test_highly_variable_genes__filter_unexpressed_genes_equals_scanpy() -> None:
    theirs, ours = logged(batches_made())
    expected = sc.pp.highly_variable_genes(theirs, filter_unexpressed_genes=True, inplace=False)
    found = highly_variable_genes(ours, filter_unexpressed_genes=True, inplace=False)
    assert found is not None
    assert_same(found, expected)


@pytest.mark.parametrize("subset", [False, True])
@pytest.mark.parametrize("batch_key", [None, "batch"])
@pytest.mark.parametrize("flavor", ["seurat", "seurat_v3"])
def test_highly_variable_genes__writes_what_scanpy_writes(
    flavor: Any, batch_key: str | None, subset: bool
) -> None:
    theirs, ours = logged(batches_made())
    if flavor in VARIANCE:
        theirs = dense(batches_made())
    options: dict[str, Any] = {"flavor": flavor, "batch_key": batch_key, "subset": subset}
    sc.pp.highly_variable_genes(theirs, n_top_genes=30, **options)
    assert highly_variable_genes(ours, n_top_genes=30, **options) is None
    assert set(ours.var) == set(theirs.var)
    assert ours.var.dtypes.to_dict() == theirs.var[ours.var.columns].dtypes.to_dict()
    assert ours.uns["hvg"] == theirs.uns["hvg"] == {"flavor": flavor}
    if not (flavor in VARIANCE and batch_key and NOISY_BATCHES):
        assert ours.var_names.tolist() == theirs.var_names.tolist()


# --- blocks, passes ------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_key", [None, "batch"])
@pytest.mark.parametrize("flavor", [*DISPERSION, *VARIANCE])
@pytest.mark.parametrize("fractions", [False, True])
def test_highly_variable_genes__does_not_depend_on_blocks_or_order(
    flavor: Any, batch_key: str | None, fractions: bool
) -> None:
    adata = batches_made()
    if fractions:
        adata.X = adata.X * np.float32(0.37)
    options: dict[str, Any] = {"flavor": flavor, "batch_key": batch_key, "check_values": False}
    expected = highly_variable_genes(Modality(adata), n_top_genes=40, inplace=False, **options)
    shuffled = Modality(adata)[np.random.default_rng(0).permutation(adata.n_obs)]
    one_by_one = Modality(adata[np.argsort(adata.obs["batch"].cat.codes)].copy())
    for modality in (Modality(adata), shuffled, one_by_one):
        with small_blocks(5, 150, state_bytes=54 * 3 * 150, operand_bytes=24 * 150):
            found = highly_variable_genes(modality, n_top_genes=40, inplace=False, **options)
        assert found is not None
        assert expected is not None
        pd.testing.assert_frame_equal(found, expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("flavor", "n_passes"),
    [("seurat", 1), ("cell_ranger", 1), ("seurat_v3", 2), ("seurat_v3_paper", 2)],
)
def test_highly_variable_genes__passes(flavor: Any, n_passes: int) -> None:
    adata = batches_made()
    adata.obs["many"] = pd.Categorical([f"b{i % 40}" for i in range(adata.n_obs)])
    for batch_key in (None, "batch", "many"):
        modality = Modality(adata)
        with counting_scheduler() as scheduler:
            highly_variable_genes(
                modality, flavor=flavor, batch_key=batch_key, n_top_genes=20, span=0.8
            )
        assert scheduler.n_computes == n_passes


# --- which values --------------------------------------------------------------------------------


@pytest.mark.parametrize("flavor", VARIANCE)
def test_highly_variable_genes__v3_of_normalized_values_takes_their_counts(
    flavor: Any, caplog: pytest.LogCaptureFixture
) -> None:
    _, ours = logged(batches_made())
    expected = highly_variable_genes(Modality(batches_made()), flavor=flavor, inplace=False)
    with caplog.at_level(logging.INFO, logger="lazymu"):
        found = highly_variable_genes(ours, flavor=flavor, inplace=False)
    assert found is not None
    assert expected is not None
    pd.testing.assert_frame_equal(found, expected)
    assert "takes the counts that the transformed values were made of" in caplog.text


def test_highly_variable_genes__v3_follows_filters_after_the_logarithm() -> None:
    adata = batches_made()
    _, ours = logged(adata)
    filter_cells(ours, min_genes=20)
    kept = dense(adata[ours.obs_names])
    expected = sc.pp.highly_variable_genes(kept, flavor="seurat_v3", inplace=False)
    found = highly_variable_genes(ours, flavor="seurat_v3", inplace=False)
    assert found is not None
    assert_same(found, expected)


def test_highly_variable_genes__v3_of_stored_logarithms_takes_the_layer_of_counts() -> None:
    theirs, _ = logged(batches_made())
    modality = Modality(theirs)
    modality.layers["counts"] = batches_made().X
    expected = highly_variable_genes(Modality(batches_made()), flavor="seurat_v3", inplace=False)
    for layer in (None, "counts"):
        found = highly_variable_genes(modality, flavor="seurat_v3", layer=layer, inplace=False)
        assert found is not None
        assert expected is not None
        pd.testing.assert_frame_equal(found, expected)


def test_highly_variable_genes__v3_on_logarithms_without_counts() -> None:
    theirs, _ = logged(batches_made())
    message = r"seurat_v3 on logged data; pass layer=\"counts\" with raw counts, or check_values"
    with pytest.raises(NotCountsError, match=message):
        highly_variable_genes(Modality(theirs), flavor="seurat_v3")
    modality = Modality(theirs)
    highly_variable_genes(modality, flavor="seurat_v3", check_values=False, n_top_genes=20)
    assert modality.var["highly_variable"].sum() == 20


def test_highly_variable_genes__of_a_layer() -> None:
    theirs, ours = logged(batches_made())
    modality = Modality(batches_made())
    modality.layers["logged"] = ours.X
    found = highly_variable_genes(modality, layer="logged", inplace=False)
    assert found is not None
    assert_same(found, sc.pp.highly_variable_genes(theirs, inplace=False))


def test_highly_variable_genes__cells_without_a_batch_take_no_part() -> None:
    adata = batches_made()
    adata.obs["batch"] = adata.obs["batch"].where(adata.obs["batch"] != "z")
    labelled = adata[adata.obs["batch"].notna()].copy()
    for flavor in ("cell_ranger", "seurat_v3"):
        found, expected = (
            highly_variable_genes(
                Modality(data), flavor=flavor, batch_key="batch", n_top_genes=30, inplace=False
            )
            for data in (adata, labelled)
        )
        assert found is not None
        assert expected is not None
        of_batches = [c for c in found if c not in ("means", "variances") or flavor != "seurat_v3"]
        pd.testing.assert_frame_equal(found[of_batches], expected[of_batches])
    X = adata.X.toarray().astype(np.float64)
    np.testing.assert_allclose(found["means"], X.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(found["variances"], X.var(axis=0, ddof=1), rtol=1e-6)


# --- warnings and errors -------------------------------------------------------------------------


def test_highly_variable_genes__cutoffs_beside_a_number_are_ignored() -> None:
    _, ours = logged(batches_made())
    with pytest.warns(UserWarning, match=r"If you pass `n_top_genes`, all cutoffs are ignored"):
        highly_variable_genes(ours, n_top_genes=10, min_disp=0.1)
    assert ours.var["highly_variable"].sum() == 10


def test_highly_variable_genes__more_than_have_a_dispersion() -> None:
    theirs, ours = logged(batches_made())
    with pytest.warns(UserWarning, match=r"`n_top_genes` is 150, but only 14\d features have a"):
        highly_variable_genes(ours, n_top_genes=1000)
    with pytest.warns(UserWarning, match=r"n_top_genes"):
        sc.pp.highly_variable_genes(theirs, n_top_genes=1000)
    assert ours.var["highly_variable"].tolist() == theirs.var["highly_variable"].tolist()


def test_highly_variable_genes__unexpressed_genes_within_batches() -> None:
    _, ours = logged(batches_made())
    with pytest.warns(UserWarning, match=r"filter_unexpressed_genes=False has no effect within"):
        highly_variable_genes(ours, batch_key="batch", filter_unexpressed_genes=False)


def test_highly_variable_genes__seurat_on_counts() -> None:
    X = batches_made().X * 1000
    with pytest.raises(ArgumentError, match=r"`X` is without pp.log1p, .*\(flavor='seurat' takes"):
        highly_variable_genes(Modality(X))


@pytest.mark.parametrize("flavor", ["cell_ranger", "seurat_v3"])
def test_highly_variable_genes__values_that_are_no_counts(flavor: Any) -> None:
    X = batches_made().X.copy()
    X.data[3] = np.nan
    with pytest.raises(NotCountsError, match=r"NaN or inf, but highly_variable_genes needs a coun"):
        highly_variable_genes(Modality(X), flavor=flavor)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flavor": "vst"}, r"`flavor` is 'vst', but known are seurat, cell_ranger, seurat_v3, "),
        ({"n_top_genes": 0}, r"`n_top_genes` is 0, but at least one feature must be marked"),
        ({"batch_key": "alone"}, r"`batch_key` is one \(1 cells\), rest \(239 cells\), but a var"),
        ({"batch_key": "none"}, r"`batch_key` is empty, but a variance needs two cells"),
        ({"flavor": "seurat_v3", "span": 0.001}, r"`span` is 0.001, but the curve through \d+ fea"),
    ],
)
def test_highly_variable_genes__argument_out_of_range(
    options: dict[str, Any], message: str
) -> None:
    modality = Modality(batches_made())
    modality.obs["alone"] = ["one"] + ["rest"] * 239
    modality.obs["none"] = None
    with pytest.raises(ArgumentError, match=message):
        highly_variable_genes(modality, **options)


def test_highly_variable_genes__unknown_batch_key() -> None:
    with pytest.raises(MissingResultError, match=r"`batch_key` is 'lane', but columns of obs are"):
        highly_variable_genes(Modality(batches_made()), batch_key="lane")


# --- arrays alone --------------------------------------------------------------------------------


def test_exact_means__ties_survive_sums_in_any_order() -> None:
    generator = np.random.default_rng(0)
    values = generator.random(1000)
    totals = np.array([sum(generator.permutation(values)) for _ in range(50)])
    assert len(np.unique(totals)) > 1
    assert len(np.unique(exact_means(totals, np.float64(1000), whole=False))) == 1
    np.testing.assert_allclose(exact_means(totals, np.float64(1000), whole=False), totals / 1000)


@pytest.mark.parametrize("size", [1e-12, 1e-3, 1.0, 7e5, -40.0])
def test_without_noise__differs_in_the_eleventh_digit_alone(size: float) -> None:
    values = size * np.random.default_rng(0).uniform(1, 9, 200)
    np.testing.assert_allclose(without_noise(values), values, rtol=1e-9)
    np.testing.assert_array_equal(without_noise(values * (1 + 1e-15)), without_noise(values))
    assert np.all(without_noise(values * (1 + 1e-8)) != without_noise(values))


def test_without_noise__leaves_what_has_no_digits() -> None:
    values = np.array([0.0, np.nan, np.inf, -np.inf])
    np.testing.assert_array_equal(without_noise(values), values)


def test_expected_deviation__of_constant_features_is_one() -> None:
    generator = np.random.default_rng(0)
    mean = generator.random(80) + 0.1
    variance = np.where(np.arange(80) % 10 == 0, 0.0, mean * 2)
    found = expected_deviation(mean, variance, 0.5)
    np.testing.assert_array_equal(found[::10], 1.0)
    varying = np.arange(80) % 10 > 0
    np.testing.assert_allclose(found[varying] ** 2, variance[varying], rtol=1e-6)


def test_expected_deviation__of_constant_features_alone() -> None:
    np.testing.assert_array_equal(expected_deviation(np.ones(4), np.zeros(4), 0.3), np.ones(4))


def test_normalized_dispersions__bin_of_one_feature_gets_one() -> None:
    means = np.array([0.0, 0.01, 0.02, 10.0])
    found = normalized_dispersions(
        np.array([1.0, 2.0, 3.0, 9.0]), mean_bins(means, "seurat", 5), "seurat"
    )
    np.testing.assert_allclose(found, [-1, 0, 1, 1])


def test_normalized_dispersions__many_empty_features() -> None:
    """Where scanpy fails: percentiles of the means coincide."""
    means = np.r_[np.full(60, 1e-12), np.linspace(1, 5, 40)]
    dispersions = np.r_[np.zeros(60), np.random.default_rng(0).random(40)]
    with np.errstate(invalid="ignore"):
        found = normalized_dispersions(
            dispersions, mean_bins(means, "cell_ranger", 20), "cell_ranger"
        )
    assert np.isfinite(found[61:]).all()
    assert np.isnan(found[:60]).all()


def test_choose__cutoffs_are_open_intervals() -> None:
    means, dispersions = np.array([1.0, 2.0, 2.0, 2.0]), np.array([2.0, 1.0, 2.0, np.nan])
    kept = choose(means, dispersions, Cutoffs(min_disp=1.0, max_disp=9, min_mean=1.0, max_mean=3))
    assert kept.tolist() == [False, False, True, False]


def test_choose__nothing_has_a_dispersion() -> None:
    with pytest.warns(UserWarning, match=r"only 0 features have a normalized dispersion"):
        assert not choose(np.ones(3), np.full(3, np.nan), 2).any()


def test_known_mean__leaves_out_what_is_missing() -> None:
    values = np.array([[1.0, np.nan, np.nan], [3.0, 5.0, np.nan]])
    np.testing.assert_array_equal(known_mean(values), [2.0, 5.0, np.nan])


def test_highly_variable_genes__v3_makes_the_sums_known() -> None:
    modality = Modality(batches_made())
    highly_variable_genes(modality, flavor="seurat_v3")
    with counting_scheduler() as scheduler:
        matrix_sums(modality.X)
    assert scheduler.n_computes == 0
