"""Filters of cells and features against scanpy and muon; intersections and samples."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import anndata as ad
import mudata as md
import muon
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp

from lazymu.containers import Modality, MuData
from lazymu.errors import (
    ArgumentError,
    DuplicateNamesError,
    EmptyResultError,
    MissingResultError,
    NoCommonCellsError,
    NotCountsError,
)
from lazymu.pp import (
    filter_cells,
    filter_genes,
    filter_obs,
    filter_var,
    intersect_obs,
    log1p,
    sample_obs,
)
from tests.counting import counting_scheduler, raise_if_dask_computes
from tests.rna_data import made_counts, small_blocks

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*pull_on_update.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*var_names are not unique.*:UserWarning"),
]
CELL_LIMITS = [
    {"min_counts": 55},
    {"max_counts": 55},
    {"min_genes": 17},
    {"max_genes": 17},
]
GENE_LIMITS = [{"min_counts": 90}, {"max_counts": 90}, {"min_cells": 27}, {"max_cells": 27}]


# --- filter_cells, filter_genes ------------------------------------------------------------------


@pytest.mark.parametrize("limits", CELL_LIMITS, ids=str)
def test_filter_cells__equals_scanpy(limits: dict[str, int]) -> None:
    adata = made_counts()
    modality = Modality(adata)
    with small_blocks(3, 60, state_bytes=16 * 60):
        filter_cells(modality, **limits)  # type: ignore[arg-type]
    sc.pp.filter_cells(adata, **limits)
    assert 0 < adata.n_obs < 90
    pd.testing.assert_frame_equal(
        modality.obs, adata.obs, check_dtype=False, check_index_type=False
    )
    np.testing.assert_array_equal(modality.X.toarray(), adata.X.toarray())


@pytest.mark.parametrize("limits", GENE_LIMITS, ids=str)
def test_filter_genes__equals_scanpy(limits: dict[str, int]) -> None:
    adata = made_counts()
    modality = Modality(adata)
    with small_blocks(3, 60, state_bytes=16 * 60):
        filter_genes(modality, **limits)  # type: ignore[arg-type]
    sc.pp.filter_genes(adata, **limits)
    assert 0 < adata.n_vars < 60
    pd.testing.assert_frame_equal(
        modality.var, adata.var, check_dtype=False, check_index_type=False
    )
    np.testing.assert_array_equal(modality.X.toarray(), adata.X.toarray())


def test_filter_cells__several_limits_equal_one_after_the_other() -> None:
    one, several = made_counts(), Modality(made_counts())
    sc.pp.filter_cells(one, min_genes=16)
    sc.pp.filter_cells(one, max_counts=75)
    filter_cells(several, min_genes=16, max_counts=75)
    assert several.obs_names.tolist() == one.obs_names.tolist()
    pd.testing.assert_frame_equal(several.obs, one.obs, check_dtype=False, check_index_type=False)


def test_filter_genes__several_limits_equal_one_after_the_other() -> None:
    one, several = made_counts(), Modality(made_counts())
    sc.pp.filter_genes(one, min_cells=20)
    sc.pp.filter_genes(one, max_counts=150)
    filter_genes(several, min_cells=20, max_counts=150)
    assert several.var_names.tolist() == one.var_names.tolist()
    pd.testing.assert_frame_equal(several.var, one.var, check_dtype=False, check_index_type=False)


@pytest.mark.parametrize("limits", CELL_LIMITS, ids=str)
def test_filter_cells__not_in_place_returns_scanpys_arrays(limits: dict[str, int]) -> None:
    adata = made_counts()
    modality = Modality(adata)
    found = filter_cells(modality, **limits, inplace=False)  # type: ignore[arg-type]
    expected = sc.pp.filter_cells(adata, **limits, inplace=False)
    assert isinstance(found, tuple)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert modality.n_obs == 90
    assert modality.obs_keys() == ["batch"]


def test_filter_genes__not_in_place_leaves_the_modality() -> None:
    adata = made_counts()
    modality = Modality(adata)
    found = filter_genes(modality, min_cells=27, max_counts=150, inplace=False)
    assert isinstance(found, tuple)
    np.testing.assert_array_equal(found[1], np.asarray((adata.X > 0).sum(axis=0)).ravel())
    assert modality.n_vars == 60
    assert modality.var_keys() == ["mt", "ribo"]


@pytest.mark.parametrize("function", [filter_cells, filter_genes])
def test_filter__copy_leaves_the_modality(function: Callable[..., Any]) -> None:
    modality = Modality(made_counts())
    copy = function(modality, min_counts=60, copy=True)
    assert modality.shape == (90, 60)
    assert copy.shape != (90, 60)
    assert "n_counts" not in modality.obs
    assert "n_counts" not in modality.var


def test_filter__limits_transformed_values() -> None:
    adata, modality = made_counts(), Modality(made_counts())
    log1p(modality)
    sc.pp.log1p(adata)
    filter_cells(modality, min_counts=25)
    sc.pp.filter_cells(adata, min_counts=25)
    filter_genes(modality, max_counts=30)
    sc.pp.filter_genes(adata, max_counts=30)
    assert modality.shape == adata.shape
    np.testing.assert_allclose(modality.var["n_counts"], adata.var["n_counts"], rtol=1e-5)


def test_filter__passes_are_as_documented() -> None:
    modality = Modality(made_counts())
    with counting_scheduler() as scheduler:
        filter_cells(modality, min_genes=1)
        assert scheduler.n_computes == 1
        filter_cells(modality, min_counts=20, max_genes=59)
        assert scheduler.n_computes == 1, "the cells that stay have known sums"
        filter_genes(modality, min_cells=1)
        assert scheduler.n_computes == 2, "features have new sums after cells are gone"
        filter_genes(modality, max_cells=89)
        assert scheduler.n_computes == 2


def test_filter_cells__logs_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="lazymu"):
        filter_cells(Modality(made_counts()), min_genes=1)
    assert caplog.messages == ["filtered out 1 cells (min_genes=1)"]


def test_filter_genes__logs_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="lazymu"):
        filter_genes(Modality(made_counts()), min_cells=1, max_counts=1e6)
    assert caplog.messages == ["filtered out 1 genes (min_cells=1, max_counts=1e+06)"]


def test_filter_cells__that_leaves_nothing() -> None:
    modality = Modality(made_counts())
    message = (
        r"`min_genes` is 61, but none of the 90 cells would be left: they have 0 to \d+ genes; "
    )
    with pytest.raises(EmptyResultError, match=message):
        filter_cells(modality, min_genes=61)
    assert modality.n_obs == 90
    assert "n_genes" not in modality.obs


def test_filter_genes__that_leaves_nothing_names_every_limit() -> None:
    message = r"`min_counts, max_cells` is 1, 0, .* of the 60 genes .* 0 to \d+ counts and 0 to \d+"
    with pytest.raises(EmptyResultError, match=message):
        filter_genes(Modality(made_counts()), min_counts=1, max_cells=0)


def test_filter_cells__of_no_cells() -> None:
    with pytest.raises(EmptyResultError, match=r"none of the 0 cells would be left: they have no"):
        filter_cells(Modality(sp.csr_matrix((0, 3))), min_genes=1)


@pytest.mark.parametrize("function", [filter_cells, filter_genes])
def test_filter__without_a_limit(function: Callable[..., Any]) -> None:
    with pytest.raises(ArgumentError, match=r"is None, but at least one must be set; pass e.g."):
        function(Modality(made_counts()))


@pytest.mark.parametrize("function", [filter_cells, filter_genes])
def test_filter__negative_values(function: Callable[..., Any]) -> None:
    with pytest.raises(NotCountsError, match=rf"down to -2, but {function.__name__} needs a count"):
        function(Modality(np.array([[1.0, -2.0], [0.0, 1.0]])), min_counts=0)


def test_filter_cells__of_an_anndata() -> None:
    with pytest.raises(ArgumentError, match=r"`data` is a AnnData, but it must be a lazymu modal"):
        filter_cells(made_counts(), min_genes=1)  # type: ignore[arg-type]


# --- filter_obs, filter_var ----------------------------------------------------------------------


def two_modalities() -> tuple[md.MuData, MuData]:
    """Return the same data for muon and for lazymu: cells in another order, some in one alone."""
    rna = made_counts()
    prot = ad.AnnData(
        np.random.default_rng(1).poisson(20.0, (80, 6)).astype(np.float32),
        obs=pd.DataFrame(index=rna.obs_names[10:][::-1].to_numpy()),
        var=pd.DataFrame(index=[f"prot{j}" for j in range(6)]),
    )
    rna.obsm["X_pca"] = np.arange(180.0).reshape(90, 2)
    theirs = md.MuData({"rna": rna.copy(), "prot": prot.copy()})
    ours = MuData({"rna": rna, "prot": prot})
    depth = np.arange(90)
    theirs.obs["depth"] = pd.Series(depth, index=rna.obs_names).reindex(theirs.obs_names)
    ours.obs["depth"] = pd.Series(depth, index=rna.obs_names).reindex(ours.obs_names)
    return theirs, ours


AXIS_FILTERS = {"obs": (filter_obs, muon.pp.filter_obs), "var": (filter_var, muon.pp.filter_var)}


@pytest.mark.parametrize(
    ("axis", "args"),
    [
        ("var", ("mt",)),
        ("var", ("mt", lambda x: ~x)),
        ("obs", ("batch", lambda x: x == "b")),
        ("obs", (np.arange(90) % 4 == 0,)),
        ("obs", (["cell7", "cell3", "nowhere"],)),
        ("var", (pd.Index(["gene50", "gene2"]),)),
    ],
)
def test_filter_axis__equals_muon(axis: str, args: tuple[Any, ...]) -> None:
    adata = made_counts()
    modality = Modality(adata)
    ours, theirs = AXIS_FILTERS[axis]
    with raise_if_dask_computes():
        ours(modality, *args)
    theirs(adata, *args)
    assert modality.obs_names.tolist() == adata.obs_names.tolist()
    assert modality.var_names.tolist() == adata.var_names.tolist()
    np.testing.assert_array_equal(modality.X.toarray(), adata.X.toarray())


def test_filter_obs__by_a_feature_equals_muon() -> None:
    adata = made_counts()
    adata.X = adata.X.toarray()  # muon takes features of dense matrices alone
    modality = Modality(adata)
    filter_obs(modality, "gene3", lambda x: x > 0)
    muon.pp.filter_obs(adata, "gene3", lambda x: x > 0)
    assert 0 < modality.n_obs < 90
    assert modality.obs_names.tolist() == adata.obs_names.tolist()


def test_filter_var__by_a_cell_reads_its_row() -> None:
    adata = made_counts()
    modality = Modality(adata)
    filter_var(modality, "cell12", lambda x: x > 0)
    expected = adata.var_names[adata.X[12].toarray().ravel() > 0]
    assert modality.var_names.tolist() == expected.tolist()


def test_filter_obs__of_a_mudata_equals_muon() -> None:
    theirs, ours = two_modalities()
    filter_obs(ours, "depth", lambda x: x % 3 == 0)
    muon.pp.filter_obs(theirs, "depth", lambda x: x % 3 == 0)
    assert ours.obs_names.tolist() == theirs.obs_names.tolist()
    for name in ("rna", "prot"):
        assert ours[name].obs_names.tolist() == theirs[name].obs_names.tolist()
        np.testing.assert_array_equal(
            ours[name].X.toarray(), sp.csr_matrix(theirs[name].X).toarray()
        )
    np.testing.assert_array_equal(ours["rna"].obsm["X_pca"], theirs["rna"].obsm["X_pca"])
    assert ours.obs["depth"].tolist() == theirs.obs["depth"].tolist()


def test_filter_var__of_a_mudata_keeps_features_of_each_modality() -> None:
    _, mdata = two_modalities()
    filter_var(mdata, ["prot4", "gene1", "gene30"])
    assert mdata.var_names.tolist() == ["gene1", "gene30", "prot4"]
    assert mdata["rna"].shape == (90, 2)
    assert mdata["prot"].shape == (80, 1)


def test_filter_obs__series_is_aligned_by_name() -> None:
    modality = Modality(made_counts())
    mask = pd.Series(np.arange(90) < 3, index=modality.obs_names)[::-1]
    filter_obs(modality, mask)
    assert modality.obs_names.tolist() == ["cell0", "cell1", "cell2"]


def test_filter_obs__logs_one_line(caplog: pytest.LogCaptureFixture) -> None:
    modality = Modality(made_counts())
    with caplog.at_level(logging.INFO, logger="lazymu"):
        filter_obs(modality, "batch", lambda x: x == "a")
    assert caplog.messages == ["filtered out 60 cells ('batch')"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("batch",), r"`var` is 'batch', .* type category, not boolean; pass a func"),
        ((["cell1"], lambda x: x), r"`func` is .* holds obs_names or is a mask already; leave it"),
        (("batch", lambda x: x == "a" if False else x[:4]), r"`func` is an array \(4,\)"),
        (("batch", lambda x: np.arange(90)), r"`func` is .* come to 90 values of True or False"),
        ((np.ones(89, dtype=bool),), r"`var` is an array \(89,\) of bool"),
        (([1, 2],), r"`var` is \[1, 2\], .* hold names"),
    ],
)
def test_filter_obs__argument_that_is_no_filter(args: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        filter_obs(Modality(made_counts()), *args)


def test_filter_obs__missing_values_are_no_mask() -> None:
    modality = Modality(made_counts())
    modality.obs["kept"] = pd.array([True, None, False] * 30, dtype="boolean")
    with pytest.raises(ArgumentError, match=r"`var` is .*; fill the missing values"):
        filter_obs(modality, "kept")


def test_filter_obs__unknown_column() -> None:
    with pytest.raises(MissingResultError, match=r"obs are: batch, and var_names has it not"):
        filter_obs(Modality(made_counts()), "leiden", lambda x: x == 1)


def test_filter_obs__feature_of_a_mudata() -> None:
    _, mdata = two_modalities()
    with pytest.raises(MissingResultError, match=r"`var` is 'gene3', but columns of obs are: dep"):
        filter_obs(mdata, "gene3", lambda x: x > 0)


def test_filter_obs__that_leaves_nothing() -> None:
    with pytest.raises(EmptyResultError, match=r"`var` is 1 names .* none of the 90 cells"):
        filter_obs(Modality(made_counts()), ["nowhere"])


# --- intersect_obs -------------------------------------------------------------------------------


def test_intersect_obs__equals_muon_in_each_modalitys_own_order() -> None:
    theirs, ours = two_modalities()
    ours.obsm["X_joint"] = np.arange(90.0)[:, None]
    joint = pd.Series(np.arange(90.0), index=ours.obs_names)
    with raise_if_dask_computes():
        intersect_obs(ours)
    muon.pp.intersect_obs(theirs)
    assert ours.n_obs == theirs.n_obs == 80
    for name in ("rna", "prot"):
        assert ours[name].obs_names.tolist() == theirs[name].obs_names.tolist()
        np.testing.assert_array_equal(
            ours[name].X.toarray(), sp.csr_matrix(theirs[name].X).toarray()
        )
    assert ours["rna"].obs_names[0] != ours["prot"].obs_names[0]
    np.testing.assert_array_equal(ours.obsm["X_joint"][:, 0], joint[ours.obs_names])
    np.testing.assert_array_equal(ours.obs["depth"], joint[ours.obs_names])


def test_intersect_obs__logs_one_line(caplog: pytest.LogCaptureFixture) -> None:
    _, mdata = two_modalities()
    with caplog.at_level(logging.INFO, logger="lazymu"):
        intersect_obs(mdata)
    assert caplog.messages == [
        "kept the 80 cells common to all modalities (filtered out 10 of rna, 0 of prot)"
    ]


def test_intersect_obs__nothing_common() -> None:
    _, mdata = two_modalities()
    mdata["prot"].obs_names = [f"{name}-1" for name in mdata["prot"].obs_names]
    with pytest.raises(NoCommonCellsError, match=r"rna: cell0, cell1, ...; prot: cell89-1"):
        intersect_obs(mdata)


def test_intersect_obs__of_a_modality() -> None:
    with pytest.raises(ArgumentError, match=r"`mdata` is a Modality, .* pass a lazymu.MuData"):
        intersect_obs(Modality(made_counts()))  # type: ignore[arg-type]


def test_intersect_obs__modalities_with_cells_of_their_own() -> None:
    mdata = MuData({"a": made_counts(), "b": made_counts()}, axis=1)
    with pytest.raises(ArgumentError, match=r"`mdata` is a MuData of axis 1"):
        intersect_obs(mdata)


def test_intersect_obs__repeated_names() -> None:
    mdata = MuData({"rna": made_counts(), "prot": made_counts()})
    mdata["prot"].obs_names = ["cell0", "cell0", *mdata["prot"].obs_names[2:]]
    with pytest.raises(DuplicateNamesError, match=r"prot: with 'cell0' more than once"):
        intersect_obs(mdata)


# --- sample_obs ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("frac", "min_n"), [(0.1, None), (0.25, 5), (0.01, 40), (1.0, None)])
def test_sample_obs__draws_as_many_as_muon(frac: float, min_n: int | None) -> None:
    adata = made_counts()
    with raise_if_dask_computes():
        sample = sample_obs(Modality(adata), frac, min_n=min_n)
    assert sample.n_obs == muon.pp.sample_obs(adata, frac, min_n=min_n).n_obs
    assert sample.obs_names.is_unique
    positions = adata.obs_names.get_indexer(sample.obs_names)
    assert np.all(np.diff(positions) > 0)
    np.testing.assert_array_equal(sample.X.toarray(), adata.X[positions].toarray())


def test_sample_obs__draws_from_each_group_as_muon() -> None:
    adata = made_counts()
    expected = muon.pp.sample_obs(adata, 0.11, groupby="batch", min_n=5)
    sample = sample_obs(Modality(adata), 0.11, groupby="batch", min_n=5)
    assert (
        sample.obs["batch"].value_counts().to_dict()
        == expected.obs["batch"].value_counts().to_dict()
    )


def test_sample_obs__seed_decides() -> None:
    modality = Modality(made_counts())
    drawn = [sample_obs(modality, 0.2, random_state=seed).obs_names.tolist() for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]


def test_sample_obs__never_more_than_there_are() -> None:
    modality = Modality(made_counts())
    assert sample_obs(modality, 0.1, min_n=1000).n_obs == 90
    modality.obs["some"] = ["x"] * 4 + [None] * 86
    assert sample_obs(modality, 0.5, "some", min_n=9).n_obs == 4


def test_sample_obs__of_a_mudata() -> None:
    _, mdata = two_modalities()
    sample = sample_obs(mdata, 0.5)
    assert isinstance(sample, MuData)
    assert sample.n_obs == 45
    assert set(sample["prot"].obs_names) <= set(sample.obs_names)
    assert sample.obs["depth"].tolist() == mdata.obs.loc[sample.obs_names, "depth"].tolist()


@pytest.mark.parametrize("frac", [-0.1, 1.5, np.nan])
def test_sample_obs__share_out_of_range(frac: float) -> None:
    with pytest.raises(ArgumentError, match=r"`frac` is .* share of the cells"):
        sample_obs(Modality(made_counts()), frac)


def test_sample_obs__unknown_group() -> None:
    with pytest.raises(MissingResultError, match=r"`groupby` is 'x', but columns of obs are: bat"):
        sample_obs(Modality(made_counts()), groupby="x")
