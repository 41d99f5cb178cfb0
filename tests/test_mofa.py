"""`tl.mofa` against muon on the same data."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import muon
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from mudata import MuData

import lazymu
from lazymu.errors import (
    ArgumentError,
    EmptyResultError,
    MemoryLimitError,
    MissingPackageError,
    MissingResultError,
)
from lazymu.stream.ledger import recorded_passes
from lazymu.tl import mofa

pytestmark = [
    # mofapy2 divides by the variance of factors that explain nothing
    pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:divide by zero encountered:RuntimeWarning"),
    # muon 0.2 centres a selection of cells in place
    pytest.mark.filterwarnings("ignore:Trying to modify attribute:UserWarning"),
]


def make_adatas(n_obs: int = 60) -> dict[str, ad.AnnData]:
    """Two views of two factors. Named in alphabetical order, as muon 0.2 stacks loadings so."""
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(n_obs, 2))
    adatas = {}
    for name, n_vars in (("atac", 12), ("rna", 9)):
        X = Z @ rng.normal(size=(2, n_vars)) + 0.1 * rng.normal(size=(n_obs, n_vars))
        obs = pd.DataFrame(
            {"batch": np.where(np.arange(n_obs) % 3 == 0, "b", "a")},
            index=[f"cell{i:02d}" for i in range(n_obs)],
        )
        var = pd.DataFrame(
            {"highly_variable": np.arange(n_vars) != 4},
            index=[f"{name}{j}" for j in range(n_vars)],
        )
        adatas[name] = ad.AnnData(X.astype(np.float32), obs=obs, var=var)
    return adatas


def run_muon(
    adatas: dict[str, ad.AnnData],
    path: Path,
    *,
    use_var: str | None = "highly_variable",
    **kwargs: Any,
) -> MuData:
    """Return muon's model of the features that are used: muon 0.2 fails on ``use_var``."""
    used = {
        name: adata[:, adata.var[use_var]].copy() if use_var else adata.copy()
        for name, adata in adatas.items()
    }
    mdata = MuData(used)
    mdata.obs["batch"] = adatas["atac"].obs["batch"].reindex(mdata.obs_names)
    muon.tl.mofa(mdata, n_factors=3, use_var=None, outfile=str(path / "muon.hdf5"), **kwargs)
    return mdata


def run_lazymu(adatas: dict[str, ad.AnnData], **kwargs: Any) -> lazymu.MuData:
    mdata = lazymu.MuData(adatas)
    mdata.obs["batch"] = adatas["atac"].obs["batch"].reindex(mdata.obs_names)
    mofa(mdata, n_factors=3, engine="mofapy2", **kwargs)
    return mdata


def assert_same_model(ours: lazymu.MuData, theirs: MuData) -> None:
    factors = pd.DataFrame(theirs.obsm["X_mofa"], index=theirs.obs_names)
    np.testing.assert_allclose(
        ours.obsm["X_mofa"], factors.reindex(ours.obs_names), rtol=1e-4, atol=1e-4
    )
    used = ours.var_names.isin(theirs.var_names)
    np.testing.assert_allclose(ours.varm["LFs"][used], theirs.varm["LFs"], rtol=1e-4, atol=1e-4)
    assert np.all(ours.varm["LFs"][~used] == 0)
    for name, variance in theirs.uns["mofa"]["variance"].items():
        own = ours.uns["mofa"]["variance"][str(name)]
        if isinstance(variance, dict):
            assert set(own) == set(map(str, variance))
            own = np.stack([own[str(g)] for g in variance])
            variance = np.stack(list(variance.values()))
        np.testing.assert_allclose(own, variance, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_var": None, "scale_views": True, "ard_factors": False},
        {"groups_label": "batch", "scale_groups": True},
        {"likelihoods": "gaussian", "spikeslab_factors": True, "use_float32": True},
    ],
)
def test_mofa__equals_muon(options: dict[str, Any], tmp_path: Path) -> None:
    adatas = make_adatas()
    ours = run_lazymu(adatas, **options)
    theirs = run_muon(adatas, tmp_path, **options)
    assert_same_model(ours, theirs)
    own, other = ours.uns["mofa"]["params"], theirs.uns["mofa"]["params"]
    assert own["data"].pop("features_subset") == options.get("use_var", "highly_variable")
    del other["data"]["features_subset"]
    assert list(own["data"].pop("likelihoods")) == list(other["data"].pop("likelihoods"))
    assert own.pop("engine") == "mofapy2"
    assert own == other


@pytest.fixture
def cite_seq(data_dir: Path) -> dict[str, ad.AnnData]:
    """Real cells: variable genes, and antibodies; log-normalised."""
    mdata = lazymu.read(data_dir / "citeseq_pbmc1k_10x" / "filtered_feature_bc_matrix.h5")
    adatas = {}
    for name, n_top in (("prot", 10), ("rna", 150)):
        lazymu.pp.normalize_total(mdata[name], target_sum=1e4)
        lazymu.pp.log1p(mdata[name])
        mdata[name].var_names_make_unique()
        adata = mdata[name].to_anndata()
        X = adata.X.toarray() if sp.issparse(adata.X) else np.asarray(adata.X)
        used = np.zeros(adata.n_vars, dtype=bool)
        used[np.argsort(-X.var(axis=0))[:n_top]] = True
        adata = ad.AnnData(X, adata.obs[[]], pd.DataFrame(index=adata.var_names))
        adata.var_names = f"{name} " + adata.var_names
        adatas[name] = adata[:, used].copy()
        adatas[name].var["highly_variable"] = True
        adatas[name].obs["batch"] = "a"
    adatas["atac"] = adatas["prot"]
    return adatas


def test_mofa__of_real_cells_equals_muon(cite_seq: dict[str, ad.AnnData], tmp_path: Path) -> None:
    options: dict[str, Any] = {"n_iterations": 20, "likelihoods": "gaussian"}
    adatas = {name: cite_seq[name] for name in ("atac", "rna")}
    ours = run_lazymu(adatas, **options)
    assert_same_model(ours, run_muon(adatas, tmp_path, **options))


def test_mofa__own_engine_finds_mofapy2s_factors_of_real_cells(
    cite_seq: dict[str, ad.AnnData],
) -> None:
    ours, theirs = (lazymu.MuData({k: cite_seq[k] for k in ("rna", "prot")}) for _ in range(2))
    options: dict[str, Any] = {"n_factors": 5, "use_var": None, "likelihoods": "gaussian"}
    mofa(ours, convergence_mode="slow", **options)
    mofa(theirs, engine="mofapy2", convergence_mode="slow", n_iterations=40, **options)
    own, other = ours.uns["mofa"]["variance"], theirs.uns["mofa"]["variance"]
    strong = sum(other.values()) > 5
    assert strong.sum() >= 2
    assert np.all(matched(ours.obsm["X_mofa"], theirs.obsm["X_mofa"][:, strong]) > 0.9)
    for name in own:
        assert own[name].sum() == pytest.approx(other[name].sum(), rel=0.05)


def test_mofa__union_equals_muon(tmp_path: Path) -> None:
    adatas = make_adatas()
    adatas["rna"] = adatas["rna"][5:].copy()
    ours = run_lazymu(adatas, use_obs="union")
    assert_same_model(ours, run_muon(adatas, tmp_path, use_obs="union"))
    assert ours.uns["mofa"]["params"]["data"]["use_obs"] == "union"


def test_mofa__intersection_equals_muon_on_the_common_cells(tmp_path: Path) -> None:
    adatas = make_adatas()
    common = {name: adata[5:].copy() for name, adata in adatas.items()}
    adatas["rna"] = common["rna"]
    ours = run_lazymu(adatas, use_obs="intersection")
    assert_same_model(ours, run_muon(common, tmp_path))
    assert np.isnan(ours.obsm["X_mofa"][:5]).all()


def test_mofa__all_is_union_and_rows_go_by_name() -> None:
    adatas = make_adatas()
    adatas["rna"] = adatas["rna"][5:].copy()
    expected = run_lazymu(adatas, use_obs="union")
    shuffled = dict(adatas)
    shuffled["rna"] = adatas["rna"][np.random.default_rng(0).permutation(55)].copy()
    found = run_lazymu(shuffled, use_obs="all")
    np.testing.assert_allclose(found.obsm["X_mofa"], expected.obsm["X_mofa"], atol=1e-6)
    assert found.uns["mofa"]["params"]["data"]["use_obs"] == "union"


def test_mofa__sparse_layer_raw_equal_x() -> None:
    adatas = make_adatas()
    expected = run_lazymu(adatas, use_var=None).obsm["X_mofa"]
    for adata in adatas.values():
        adata.raw = adata
        adata.layers["values"] = sp.csr_matrix(adata.X)
        adata.X = np.zeros_like(adata.X)
    for options in ({"use_layer": "values"}, {"use_raw": True}):
        found = run_lazymu(adatas, use_var=None, **options)
        np.testing.assert_allclose(found.obsm["X_mofa"], expected, atol=1e-5)


def test_mofa__modality_is_one_view() -> None:
    mod = lazymu.Modality(make_adatas()["rna"])
    copied = mofa(mod, n_factors=2, copy=True)
    assert copied.obsm["X_mofa"].shape == (60, 2)
    assert copied.varm["LFs"].shape == (9, 2)
    assert np.all(copied.varm["LFs"][4] == 0)
    assert "X_mofa" not in mod.obsm


def test_mofa__features_of_one_name_in_two_views(tmp_path: Path) -> None:
    adatas = make_adatas()
    for adata in adatas.values():
        adata.var_names = [f"CD{j}" for j in range(adata.n_vars)]
    mdata = lazymu.MuData(adatas)
    mofa(mdata, n_factors=2, use_var=None, outfile=tmp_path / "model.hdf5")
    with h5py.File(tmp_path / "model.hdf5") as file:
        assert file["features/rna"][0].decode() == "rna:CD0"
        assert file["expectations/Z/group1"].shape == (2, 60)
        assert "samples_metadata" not in file or "group1" in file["samples_metadata"]


def test_mofa__leaves_random_state_and_output_alone(capsys: pytest.CaptureFixture[str]) -> None:
    np.random.seed(3)
    expected = np.random.random(3)
    np.random.seed(3)
    mofa(lazymu.MuData(make_adatas()), n_factors=2, n_iterations=3, svi_mode=True)
    np.testing.assert_array_equal(np.random.random(3), expected)
    assert capsys.readouterr().out == ""


def test_mofa__seed_repeats() -> None:
    first, again = (run_lazymu(make_adatas(), seed=4).obsm["X_mofa"] for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_mofa__memory_limit_is_checked_before_reading() -> None:
    mdata = lazymu.MuData(make_adatas())
    message = r"`memory_limit` is 10,000 bytes.*dense views.*the largest being 'atac' with 47,520"
    with (
        lazymu.settings.override(memory_limit=10_000),
        pytest.raises(MemoryLimitError, match=message),
    ):
        mofa(mdata, engine="mofapy2")


def test_mofa__package_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mofapy2", None)
    mdata = lazymu.MuData(make_adatas())
    with pytest.raises(MissingPackageError, match=r"pip install 'lazymu\[mofa\]'"):
        mofa(mdata, engine="mofapy2")
    with pytest.raises(ImportError):
        mofa(mdata, engine="mofapy2")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"use_obs": "some"}, ArgumentError, "'union', 'intersection' or 'all'"),
        ({"likelihoods": ["gaussian"]}, ArgumentError, "one for each of 2 views"),
        ({"likelihoods": "normal"}, ArgumentError, "gaussian, bernoulli, poisson"),
        ({"groups_label": "x"}, MissingResultError, "columns of obs are: batch"),
        ({"use_raw": True}, MissingResultError, "'atac' has no raw"),
        ({"use_layer": "x"}, MissingResultError, "layers"),
    ],
)
def test_mofa__errors(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        run_lazymu(make_adatas(), **options)


def test_mofa__cells_differ_and_nobody_says_what_to_do() -> None:
    adatas = make_adatas()
    adatas["rna"] = adatas["rna"][5:].copy()
    with pytest.raises(ArgumentError, match="5 of 60 cells are not in every modality"):
        run_lazymu(adatas)
    adatas["rna"].obs_names = [f"other{i}" for i in range(55)]
    with pytest.raises(EmptyResultError, match="no cell is in every modality"):
        run_lazymu(adatas, use_obs="intersection")


def test_mofa__group_missing_for_some_cells() -> None:
    mdata = lazymu.MuData(make_adatas())
    mdata.obs["batch"] = ["a"] * 59 + [None]
    with pytest.raises(ArgumentError, match="missing for 1 cells"):
        mofa(mdata, groups_label="batch")


def test_mofa__no_feature_marked() -> None:
    adatas = make_adatas()
    adatas["rna"].var["highly_variable"] = False
    with pytest.raises(EmptyResultError, match="no feature of 'rna' is marked"):
        run_lazymu(adatas)


def test_mofa__raw_lacks_features() -> None:
    adatas = make_adatas()
    for adata in adatas.values():
        adata.raw = adata[:, :5].copy()
    with pytest.raises(MissingResultError, match="raw lacks 7 features of 'atac'"):
        run_lazymu(adatas, use_raw=True)


def test_mofa__anndata_is_refused() -> None:
    with pytest.raises(ArgumentError, match="wrap AnnData objects"):
        mofa(make_adatas()["rna"])


# --- lazymu's own engine ----------------------------------------------------------------------


def planted(n: int, *, sparse: bool = False) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return factors, and views of them: one of both views, two of each alone."""
    rng = np.random.default_rng(1)
    Z = rng.normal(size=(n, 5))
    views = {}
    for name, n_vars, active in (("rna", 120, [0, 1, 2]), ("atac", 90, [0, 3, 4])):
        W = np.zeros((5, n_vars))
        for factor in active:
            W[factor] = rng.normal(size=n_vars) * (rng.random(n_vars) < 0.4)
        noise = rng.normal(size=(n, n_vars))
        X = 2.5 + Z @ W + noise
        views[name] = np.where(rng.random(X.shape) < 0.5, X, 0) if sparse else X
    return Z, views


def modalities(views: dict[str, np.ndarray]) -> lazymu.MuData:
    names = {name: [f"c{i}" for i in range(len(X))] for name, X in views.items()}
    return lazymu.MuData(
        {
            name: lazymu.Modality(sp.csr_matrix(X), obs=pd.DataFrame(index=names[name]))
            for name, X in views.items()
        }
    )


def matched(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """Return, of each column of ``B``, the correlation with the best of ``A``."""
    with np.errstate(invalid="ignore"):
        r = np.corrcoef(A.T, B.T)[: A.shape[1], A.shape[1] :]
    return np.nan_to_num(np.abs(r)).max(axis=0)


def test_mofa__own_engine_finds_mofapy2s_factors() -> None:
    _, views = planted(3000)
    ours, theirs = modalities(views), modalities(views)
    mofa(ours, n_factors=6, use_var=None)
    mofa(theirs, n_factors=6, use_var=None, engine="mofapy2", convergence_mode="slow")
    assert ours.uns["mofa"]["params"]["engine"] == "lazymu"
    own, other = ours.uns["mofa"]["variance"], theirs.uns["mofa"]["variance"]
    explained = sum(other[name] for name in views)
    strong = explained > 1
    assert strong.sum() == 5
    r = matched(ours.obsm["X_mofa"], theirs.obsm["X_mofa"][:, strong])
    assert np.all((r > 0.95) & (r <= 1 + 1e-12))
    for name in views:
        assert own[name].sum() == pytest.approx(other[name].sum(), rel=1e-2)
    weights = matched(ours.varm["LFs"], theirs.varm["LFs"][:, strong])
    assert np.all(weights > 0.95)


@pytest.mark.parametrize("spikeslab", [True, False])
@pytest.mark.parametrize("ard", [True, False])
def test_mofa__bound_rises(spikeslab: bool, ard: bool) -> None:
    _, views = planted(400, sparse=True)
    mdata = modalities(views)
    options = {"spikeslab_weights": spikeslab, "ard_weights": ard, "ard_factors": ard}
    mofa(mdata, n_factors=4, use_var=None, convergence_mode="slow", **options)
    elbo = mdata.uns["mofa"]["elbo"]
    assert len(elbo) > 3
    assert np.diff(elbo).min() > -1e-6 * abs(elbo[0])


def test_mofa__planted_factors_without_a_tenth_of_the_cells() -> None:
    Z, views = planted(1500)
    views["atac"] = views["atac"][150:]
    mdata = lazymu.MuData(
        {
            "rna": lazymu.Modality(
                views["rna"], obs=pd.DataFrame(index=[f"c{i}" for i in range(1500)])
            ),
            "atac": lazymu.Modality(
                views["atac"][::-1].copy(),
                obs=pd.DataFrame(index=[f"c{i}" for i in range(1499, 149, -1)]),
            ),
        }
    )
    mofa(mdata, n_factors=7, use_var=None, use_obs="union")
    order = mdata.obs_names.get_indexer([f"c{i}" for i in range(1500)])
    scores = mdata.obsm["X_mofa"][order]
    assert np.isfinite(scores).all()
    assert np.all(matched(scores[150:], Z[150:]) > 0.95)
    # Cells without peaks have what RNA says of its factors, and 0 of the others.
    assert np.all(matched(scores[:150], Z[:150, :3]) > 0.9)
    of_peaks = [np.abs(np.corrcoef(scores[150:].T, z)[-1, :-1]).argmax() for z in Z[150:, 3:].T]
    assert np.abs(scores[:150, of_peaks]).max() < 0.5 * np.abs(scores[150:, of_peaks]).max()


def test_mofa__variance_is_that_of_the_residuals() -> None:
    """Variance explained as of dense residuals; factors that explain most come first."""
    _, views = planted(300)
    mdata = modalities(views)
    mofa(mdata, n_factors=5, use_var=None, convergence_mode="slow", n_iterations=300)
    Z, W = mdata.obsm["X_mofa"], mdata.varm["LFs"]
    ends = {"rna": slice(0, 120), "atac": slice(120, 210)}
    for name, X in views.items():
        Y, own = X - X.mean(axis=0), W[ends[name]]
        gain = [
            1 - ((Y - np.outer(z, w)) ** 2).sum() / (Y**2).sum()
            for z, w in zip(Z.T, own.T, strict=True)
        ]
        np.testing.assert_allclose(
            mdata.uns["mofa"]["variance"][name], 100 * np.array(gain), atol=1e-3
        )
    total = sum(mdata.uns["mofa"]["variance"].values())
    assert np.all(np.diff(total) <= 1e-9)


def test_mofa__blocks_and_threads_do_not_matter() -> None:
    _, views = planted(600, sparse=True)
    found = []
    for limit, n_threads in (("1GB", 1), ("1GB", 3), ("220MB", 2)):
        mdata = modalities(views)
        with lazymu.settings.override(memory_limit=limit, n_threads=n_threads):
            mofa(mdata, n_factors=5, use_var=None, n_iterations=12)
        found.append(mdata.obsm["X_mofa"])
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=1e-3, atol=1e-4)


def test_mofa__one_pass_a_view_where_blocks_are_kept() -> None:
    _, views = planted(500)
    mdata = modalities(views)
    with recorded_passes() as passes:
        mofa(mdata, n_factors=3, use_var=None, likelihoods="gaussian")
    assert len(passes) == 2


def test_mofa__passes_where_blocks_are_not_kept() -> None:
    """Two an iteration and ten before, of each view; likelihoods are not given, so 256 cells."""
    _, views = planted(6000)
    mdata = modalities(views)
    with lazymu.settings.override(memory_limit="6MB", n_threads=1), recorded_passes() as passes:
        mofa(mdata, n_factors=3, use_var=None, n_iterations=8, convergence_mode="slow")
    looked_at = [entry for entry in passes if entry.label == "read"]
    assert len(looked_at) == 2
    assert {entry.n_values for entry in looked_at} == {256 * X.shape[1] for X in views.values()}
    n_iterations = len(mdata.uns["mofa"]["elbo"])
    assert n_iterations == 8
    assert 2 * (2 * n_iterations + 8) <= len(passes) - 2 <= 2 * (2 * n_iterations + 12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "mofa"}, "'auto', 'lazymu' or 'mofapy2'"),
        ({"engine": "lazymu", "spikeslab_factors": True}, "not for spikeslab_factors"),
        ({"engine": "lazymu", "likelihoods": "poisson"}, "not for likelihoods"),
        ({"engine": "lazymu", "outfile": "model.hdf5"}, "not for outfile"),
    ],
)
def test_mofa__what_the_own_engine_does_not_do(options: dict[str, Any], message: str) -> None:
    _, views = planted(50)
    with pytest.raises(ArgumentError, match=message):
        mofa(modalities(views), n_factors=2, use_var=None, **options)


def test_mofa__counts_go_to_mofapy2() -> None:
    _, views = planted(60)
    counts = {name: np.abs(np.rint(X)) for name, X in views.items()}
    with pytest.raises(ArgumentError, match="whole numbers in rna, atac"):
        mofa(modalities(counts), n_factors=2, use_var=None, engine="lazymu")
    mdata = modalities(counts)
    mofa(mdata, n_factors=2, use_var=None, n_iterations=3)
    assert mdata.uns["mofa"]["params"]["engine"] == "mofapy2"
