"""`prot.pp.clr` and `prot.pp.dsb` against muon on the same counts."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata as ad
import mudata as md
import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.mixture import GaussianMixture

import lazymu
from lazymu import settings
from lazymu.errors import (
    ArgumentError,
    EmptyResultError,
    MissingResultError,
    ModalityNotFoundError,
    NotCountsError,
)
from lazymu.kernels.mixture import background_means
from lazymu.prot.pp import clr, dsb
from lazymu.prot.pp.background import starting_membership
from tests.counting import counting_scheduler, raise_if_dask_computes
from tests.matrix_cases import quiet, small_blocks

__all__ = ["small_blocks"]  # a fixture

with quiet():
    mu = pytest.importorskip("muon")

N_PROTEINS = 14


def antibody_counts(n_obs: int, *, seed: int, cells: bool, names: str) -> ad.AnnData:
    """Counts of cells (some proteins high in each) or of empty droplets, as float32."""
    rng = np.random.default_rng(seed)
    background = np.random.default_rng(7).gamma(2.0, 3.0, N_PROTEINS)
    mean = background * rng.lognormal(0, 0.4, (n_obs, 1))
    if cells:
        mean = mean * np.where(rng.random((n_obs, N_PROTEINS)) < 0.3, 40, 1)
    adata = ad.AnnData(rng.poisson(mean).astype(np.float32))
    adata.obs_names = [f"{names}{i}" for i in range(n_obs)]
    adata.var_names = [f"CD{j}" for j in range(N_PROTEINS - 2)] + ["IgG1", "IgG2"]
    return adata


@pytest.fixture
def cells() -> ad.AnnData:
    return antibody_counts(80, seed=0, cells=True, names="cell")


@pytest.fixture
def droplets() -> ad.AnnData:
    return antibody_counts(300, seed=1, cells=False, names="empty")


def stacked(*parts: ad.AnnData) -> ad.AnnData:
    """Return the cells of all parts (``anndata.concat`` warns with pandas 3)."""
    whole = ad.AnnData(np.vstack([part.X for part in parts]))
    whole.obs_names = [name for part in parts for name in part.obs_names]
    whole.var_names = list(parts[0].var_names)
    return whole


# --- clr -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("flavor", ["seurat", "stoeckius", "standard"])
@pytest.mark.parametrize("dtype", ["uint16", "float32", "float64"])
def test_clr__equals_muon(cells: ad.AnnData, dtype: str, flavor: Any, axis: Any) -> None:
    cells.X = cells.X.astype(dtype)
    modality = lazymu.Modality(cells.copy())
    with counting_scheduler() as scheduler:
        clr(modality, axis=axis, flavor=flavor)
    assert scheduler.n_computes == 2  # the check that they are counts, and the means
    cells.X = cells.X.astype(np.float64)
    with quiet():
        mu.prot.pp.clr(cells, axis=axis, flavor=flavor)
    assert_allclose(modality.X.toarray(), cells.X, rtol=1e-5, atol=1e-5)
    assert modality.uns["clr"]["axis"] == axis
    assert modality.uns["clr"]["flavor"] == flavor


def test_clr__sparse_counts_stay_sparse() -> None:
    X = sp.random(40, 20, 0.3, format="csr", random_state=0, dtype=np.float32)
    X.data = np.ceil(9 * X.data)
    modality, dense = lazymu.Modality(X), ad.AnnData(X.toarray())
    clr(modality, axis=1)
    mu.prot.pp.clr(dense, axis=1)
    assert not modality.X.is_dense
    assert_allclose(modality.X.toarray(), dense.X, rtol=1e-5)


@pytest.mark.parametrize(("alias", "axis"), [("protein", 0), ("cell", 1)])
def test_clr__axis_by_name(cells: ad.AnnData, alias: Any, axis: Any) -> None:
    named, numbered = lazymu.Modality(cells.copy()), lazymu.Modality(cells.copy())
    clr(named, axis=alias)
    clr(numbered, axis=axis)
    assert_array_equal(named.X.toarray(), numbered.X.toarray())


@pytest.mark.parametrize("name", ["prot", "protein", "adt"])
def test_clr__finds_the_modality_of_a_mudata(cells: ad.AnnData, name: str) -> None:
    mdata = lazymu.MuData({name: cells.copy(), "rna": cells.copy()})
    assert clr(mdata) is None
    mu.prot.pp.clr(cells)
    assert_allclose(mdata[name].X.toarray(), cells.X, rtol=1e-5, atol=1e-6)


def test_clr__not_inplace_returns_a_new_modality(cells: ad.AnnData) -> None:
    modality = lazymu.Modality(cells.copy())
    new = clr(modality, inplace=False)
    assert isinstance(new, lazymu.Modality)
    assert_array_equal(modality.X.toarray(), cells.X)
    assert "clr" not in modality.uns
    mu.prot.pp.clr(cells)
    assert_allclose(new.X.toarray(), cells.X, rtol=1e-5, atol=1e-6)


def test_clr__blocks_and_selection(cells: ad.AnnData, small_blocks: Callable[[], None]) -> None:
    whole, blocks = lazymu.Modality(cells.copy()), lazymu.Modality(cells.copy())
    clr(whole, axis=1, flavor="stoeckius")
    small_blocks()
    clr(blocks, axis=1, flavor="stoeckius")
    values = whole.X.toarray()
    assert_allclose(blocks.X.toarray(), values, atol=1e-6)
    with raise_if_dask_computes():
        part = whole[[30, 4], [2, 1, 9]]
    assert_array_equal(part.X.toarray(), values[np.ix_([30, 4], [2, 1, 9])])


def test_clr__large_panel_by_protein_warns() -> None:
    modality = lazymu.Modality(np.ones((5, 50)))
    with pytest.warns(UserWarning, match="consider axis=1"):
        clr(modality)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clr(modality, axis="protein")
        clr(modality, axis=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"axis": 2}, "`axis` is 2"), ({"flavor": "clr"}, "`flavor` is 'clr'")],
)
def test_clr__wrong_arguments(cells: ad.AnnData, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        clr(lazymu.Modality(cells), **arguments)


def test_clr__negative_values(cells: ad.AnnData) -> None:
    cells.X[0, 0] = -3
    with pytest.raises(NotCountsError, match="down to -3"):
        clr(lazymu.Modality(cells))


def test_clr__mudata_without_proteins(cells: ad.AnnData) -> None:
    with pytest.raises(ModalityNotFoundError, match="'prot' or 'protein'"):
        clr(lazymu.MuData({"rna": cells}))


# --- the mixture of a cell -----------------------------------------------------------------------


@pytest.mark.parametrize("n_values", [2, 5, 30, 200])
def test_background_means__equal_scikit_learns(n_values: int) -> None:
    rng = np.random.default_rng(n_values)
    low = rng.random((25, n_values)) < 0.6
    Z = np.where(low, rng.normal(1, 0.5, low.shape), rng.normal(6, 1.5, low.shape))
    expected = []
    for z in Z[:, :, None]:
        models = [
            GaussianMixture(2, covariance_type=kind, init_params="random", random_state=3)
            for kind in ("tied", "full")
        ]
        with quiet():
            tied, full = (model.fit(z) for model in models)
        better = tied if tied.bic(z) < full.bic(z) else full
        expected.append(better.means_.min())
    got = background_means(Z, starting_membership(n_values, 3))
    assert_allclose(got, expected, rtol=1e-8)


def test_starting_membership__seeds() -> None:
    shares = starting_membership(6, 0)
    assert_allclose(shares.sum(1), 1)
    assert_array_equal(shares, starting_membership(6, 0))
    assert not np.array_equal(shares, starting_membership(6, 1))
    of_generator = starting_membership(6, np.random.default_rng(0))
    assert_allclose(of_generator.sum(1), 1)


# --- dsb -----------------------------------------------------------------------------------------

DSB_ARGUMENTS = [
    {},
    {"isotype_controls": ["IgG1", "IgG2"]},
    {"denoise_counts": False},
    {"scale_factor": "mean_subtract", "pseudocount": 1},
    {"quantile_clipping": True, "quantile_clip": (0.05, 0.9)},
    {"random_state": 5, "denoise_counts": True},
]


def dsb_by_muon(cells: ad.AnnData, *rest: Any, **arguments: Any) -> Any:
    with quiet():
        return mu.prot.pp.dsb(cells, *rest, **{"random_state": 0} | arguments)


@pytest.mark.parametrize("arguments", DSB_ARGUMENTS, ids=str)
def test_dsb__equals_muon(
    cells: ad.AnnData, droplets: ad.AnnData, arguments: dict[str, Any]
) -> None:
    modality = lazymu.Modality(cells.copy())
    with counting_scheduler() as scheduler:
        dsb(modality, lazymu.Modality(droplets), **arguments)
    denoise, clip = arguments.get("denoise_counts", True), "quantile_clip" in arguments
    # Two checks that they are counts, the background, noise and regression, the quantiles.
    assert scheduler.n_computes == 3 + 2 * denoise + clip
    cells.X = cells.X.astype(np.float64)
    dsb_by_muon(cells, droplets, **arguments)
    assert_allclose(modality.X.toarray(), cells.X, rtol=1e-5, atol=1e-5)


@pytest.mark.data
def test_dsb__equals_muon_on_real_cells(data_dir: Path) -> None:
    with quiet():
        mdata = mu.read_10x_h5(
            data_dir / "citeseq_pbmc1k_10x" / "filtered_feature_bc_matrix.h5", extended=False
        )
    cells = ad.AnnData(mdata["prot"].X.toarray().astype(np.float64), var=mdata["prot"].var)
    empty = ad.AnnData(np.random.default_rng(0).poisson(3.0, (500, cells.n_vars)), var=cells.var)
    empty.obs_names = [f"empty{i}" for i in range(500)]
    cells = cells[:250].copy()
    modality = lazymu.Modality(cells.copy())
    dsb(modality, lazymu.Modality(empty.copy()))
    dsb_by_muon(cells, empty)
    assert_allclose(modality.X.toarray(), cells.X, rtol=1e-5, atol=1e-5)


def test_dsb__proteins_match_by_name_and_cells_are_no_background(
    cells: ad.AnnData, droplets: ad.AnnData
) -> None:
    plain, mixed = lazymu.Modality(cells.copy()), lazymu.Modality(cells.copy())
    dsb(plain, lazymu.Modality(droplets))
    unfiltered = stacked(cells, droplets)[:, ::-1].copy()
    dsb(mixed, lazymu.MuData({"protein": unfiltered}))
    assert_allclose(mixed.X.toarray(), plain.X.toarray(), atol=1e-6)


def test_dsb__raw_from_a_file(cells: ad.AnnData, droplets: ad.AnnData, tmp_path: Path) -> None:
    plain, opened = lazymu.Modality(cells.copy()), lazymu.Modality(cells.copy())
    dsb(plain, lazymu.Modality(droplets))
    path = tmp_path / "raw.zarr"
    lazymu.MuData({"prot": droplets}).write(path)
    dsb(opened, path)
    assert_allclose(opened.X.toarray(), plain.X.toarray(), atol=1e-6)


def test_dsb__layer_and_whole_numbers(cells: ad.AnnData, droplets: ad.AnnData) -> None:
    plain = lazymu.Modality(cells.copy())
    whole = lazymu.Modality(ad.AnnData(cells.X.astype(np.uint16), cells.obs, cells.var))
    dsb(plain, lazymu.Modality(droplets))
    dsb(whole, lazymu.Modality(droplets), add_layer=True)
    assert_array_equal(whole.X.toarray(), cells.X)
    assert_allclose(whole.layers["dsb"].toarray(), plain.X.toarray(), atol=1e-5)


def test_dsb__blocks_threads_and_selection(
    cells: ad.AnnData, droplets: ad.AnnData, small_blocks: Callable[[], None]
) -> None:
    whole, blocks = lazymu.Modality(cells.copy()), lazymu.Modality(cells.copy())
    dsb(whole, lazymu.Modality(droplets), isotype_controls=["IgG1"])
    small_blocks()
    with settings.override(n_threads=1):
        dsb(blocks, lazymu.Modality(droplets), isotype_controls=["IgG1"])
    values = whole.X.toarray()
    assert_allclose(blocks.X.toarray(), values, atol=1e-5)
    with raise_if_dask_computes():
        part = whole[[30, 4], [2, 1, 9]]
    assert_array_equal(part.X.toarray(), values[np.ix_([30, 4], [2, 1, 9])])


@pytest.fixture
def unfiltered(cells: ad.AnnData, droplets: ad.AnnData) -> dict[str, ad.AnnData]:
    """RNA and proteins of cells and droplets, which differ in their RNA counts."""
    prot = stacked(cells, droplets)
    rng = np.random.default_rng(0)
    depth = np.where(prot.obs_names.str.startswith("cell"), 50, 1)[:, None]
    rna = ad.AnnData(rng.poisson(depth, (prot.n_obs, 25)).astype(np.float32))
    rna.obs_names = prot.obs_names
    return {"rna": rna, "prot": prot}


RANGES = {"empty_counts_range": (0.5, 2.0), "cell_counts_range": (2.5, 4.0)}


def test_dsb__unfiltered_mudata_equals_muon(unfiltered: dict[str, ad.AnnData]) -> None:
    mdata = lazymu.MuData(unfiltered)
    result = dsb(mdata, **RANGES)
    assert result is not None
    with quiet():
        expected = dsb_by_muon(md.MuData(unfiltered), **RANGES)
    assert list(result.obs_names) == list(expected.obs_names)
    assert_array_equal(result["rna"].X.toarray(), expected["rna"].X)
    assert_allclose(result["prot"].X.toarray(), expected["prot"].X, rtol=1e-4, atol=1e-4)
    assert mdata["prot"].shape == (380, N_PROTEINS)


def test_dsb__rna_of_the_droplets_is_matched_by_name(unfiltered: dict[str, ad.AnnData]) -> None:
    other = {"rna": unfiltered["rna"][::-1].copy(), "prot": unfiltered["prot"]}
    expected, result = (dsb(lazymu.MuData(mod), **RANGES) for mod in (unfiltered, other))
    assert expected is not None
    assert result is not None
    order = [list(result["prot"].obs_names).index(name) for name in expected["prot"].obs_names]
    assert_allclose(result["prot"].X.toarray()[order], expected["prot"].X.toarray(), atol=1e-6)


def test_dsb__raw_mudata_with_a_range_of_empty_droplets(
    cells: ad.AnnData, unfiltered: dict[str, ad.AnnData]
) -> None:
    bounds = (0.5, 1.45)
    modality = lazymu.Modality(cells.copy())
    dsb(modality, lazymu.MuData(unfiltered), empty_counts_range=bounds)
    cells.X = cells.X.astype(np.float64)
    with quiet():
        dsb_by_muon(cells, md.MuData(unfiltered), empty_counts_range=bounds)
    assert_allclose(modality.X.toarray(), cells.X, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"pseudocount": 0}, ArgumentError, "`pseudocount` is 0"),
        ({"scale_factor": "std"}, ArgumentError, "`scale_factor` is 'std'"),
        ({"quantile_clip": (0, 2)}, ArgumentError, r"`quantile_clip` is \(0, 2\)"),
        ({"isotype_controls": ["IgG9"]}, MissingResultError, "no protein 'IgG9'"),
        ({"empty_counts_range": (1, 2)}, ArgumentError, "ranges of counts are of RNA counts"),
        ({"data_raw": None}, ArgumentError, "`empty_counts_range` is None"),
        ({"data_raw": None, "empty_counts_range": (1, 2)}, ArgumentError, "`cell_counts_range`"),
        (
            {"data_raw": None, "empty_counts_range": (1, 3), "cell_counts_range": (2, 4)},
            ArgumentError,
            "must lie below",
        ),
    ],
)
def test_dsb__wrong_arguments(
    cells: ad.AnnData,
    droplets: ad.AnnData,
    arguments: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    modality = lazymu.Modality(cells)
    with pytest.raises(error, match=message):
        dsb(modality, **{"data_raw": lazymu.Modality(droplets)} | arguments)


def test_dsb__no_cells_in_range(unfiltered: dict[str, ad.AnnData]) -> None:
    ranges = {"empty_counts_range": (0.5, 2.0), "cell_counts_range": (7, 8)}
    with pytest.raises(EmptyResultError, match=r"no droplet has log10 counts within \(7, 8\)"):
        dsb(lazymu.MuData(unfiltered), **ranges)


def test_dsb__background_without_spread(cells: ad.AnnData, droplets: ad.AnnData) -> None:
    flat = droplets.copy()
    flat.X[:, 1] = 3
    rule = f"`data_raw` is without spread in {flat.var_names[1]}, but DSB divides by"
    with pytest.raises(ArgumentError, match=rule):
        dsb(lazymu.Modality(cells), lazymu.Modality(flat))
    plain = lazymu.Modality(cells.copy())
    dsb(plain, lazymu.Modality(flat), scale_factor="mean_subtract")
    assert np.isfinite(plain.X.toarray()).all()


def test_dsb__no_background_left(cells: ad.AnnData) -> None:
    with pytest.raises(EmptyResultError, match="with 0 empty droplets"):
        dsb(lazymu.Modality(cells), lazymu.Modality(cells.copy()))


def test_dsb__background_lacks_proteins(cells: ad.AnnData, droplets: ad.AnnData) -> None:
    with pytest.raises(MissingResultError, match="lacks 4 of the proteins"):
        dsb(lazymu.Modality(cells), lazymu.Modality(droplets[:, 4:].copy()))
