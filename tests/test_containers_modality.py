"""`Modality`: AnnData's attributes, kept in line by selections, filters and permutations."""

from __future__ import annotations

from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp
import xarray as xr

import lazymu
from lazymu.containers import Modality, MuData, as_modality
from lazymu.containers.names import make_unique
from lazymu.errors import (
    ArgumentError,
    DuplicateNamesError,
    MemoryLimitError,
    MissingResultError,
    ModalityNotFoundError,
)
from lazymu.io.elements import Deferred, ModalityElements
from lazymu.pp import log1p
from lazymu.stream import LazyMatrix
from tests.conftest import make_counts
from tests.counting import counting_scheduler, raise_if_dask_computes

N_OBS, N_VARS = 30, 12


def make_adata() -> ad.AnnData:
    """Return an AnnData whose every slot tells which cell or feature it is of."""
    X = make_counts(N_OBS, N_VARS).astype(np.float32)
    i, j = np.arange(N_OBS), np.arange(N_VARS)
    adata = ad.AnnData(
        X.copy(),
        obs=pd.DataFrame(
            {"i": i, "group": pd.Categorical(np.where(i % 3 == 0, "a", "b"))},
            index=[f"cell{n}" for n in i],
        ),
        var=pd.DataFrame({"j": j}, index=[f"gene{n}" for n in j]),
        layers={"double": X * 2},
        obsm={"X_i": np.column_stack([i, -i]).astype(float)},
        varm={"V_j": j[:, None] * 1.0},
        obsp={"pairs": sp.csr_matrix(np.subtract.outer(i, 2 * i).astype(float))},
        varp={"pairs": np.subtract.outer(j, 2 * j).astype(float)},
        uns={"note": {"deep": [1, 2]}},
    )
    adata.obsm["table"] = pd.DataFrame({"i": i}, index=adata.obs_names)
    adata.obsm["sparse"] = sp.csr_matrix(i[:, None] * 1.0)
    adata.raw = adata.copy()
    return adata[:, : N_VARS - 2].copy()


def assert_same(modality: Modality, adata: ad.AnnData) -> None:
    """Compare every slot of a modality with that of an AnnData."""
    assert modality.shape == adata.shape
    assert modality.obs_names.tolist() == adata.obs_names.tolist()
    assert modality.var_names.tolist() == adata.var_names.tolist()
    np.testing.assert_array_equal(modality.X.toarray(), sp.csr_matrix(adata.X).toarray())
    assert modality.obs["i"].tolist() == adata.obs["i"].tolist()
    assert modality.var["j"].tolist() == adata.var["j"].tolist()
    for name in filter(None, adata.layers):  # anndata 0.13 lists X among them, as None
        np.testing.assert_array_equal(modality.layers[name].toarray(), adata.layers[name].toarray())
    for slot in ("obsm", "varm", "obsp", "varp"):
        theirs, ours = getattr(adata, slot), getattr(modality, slot)
        assert set(ours) == set(theirs)
        for key in theirs:
            a, b = (
                v.toarray() if sp.issparse(v) else np.asarray(v) for v in (ours[key], theirs[key])
            )
            np.testing.assert_array_equal(a, b, err_msg=f"{slot}[{key}]")
    assert modality.raw is not None
    np.testing.assert_array_equal(modality.raw.X.toarray(), adata.raw.X.toarray())
    assert modality.raw.var_names.tolist() == adata.raw.var_names.tolist()
    assert modality.raw.shape == adata.raw.shape


KEYS: dict[str, tuple[Any, Any]] = {
    "all": (slice(None), slice(None)),
    "slice": (slice(3, 20, 2), slice(None, None, -1)),
    "mask": (np.arange(N_OBS) % 2 == 0, np.arange(N_VARS - 2) > 3),
    "positions": (np.array([5, 2, 29]), np.array([9, 0])),
    "negative": (np.array([-1, 0]), slice(-4, None)),
    "names": (["cell7", "cell3"], ["gene4", "gene0", "gene9"]),
    "index": (pd.Index(["cell1"]), pd.Index(["gene2", "gene1"])),
    "name": ("cell4", slice(None)),
    "list_mask": ([True, False] * (N_OBS // 2), slice(None)),
    "nothing": (np.zeros(N_OBS, dtype=bool), slice(None)),
}


# --- nothing is shared ---------------------------------------------------------------------------


def arrays_of(owner: Any) -> dict[str, np.ndarray[Any, Any]]:
    """Return every array that a container holds in memory, by slot; pandas guards its tables."""
    found: dict[str, np.ndarray[Any, Any]] = {}

    def add(name: str, value: Any) -> None:
        if isinstance(value, LazyMatrix):
            value = value.source._X  # type: ignore[attr-defined] # of a MemorySource
        if sp.issparse(value):
            stored: Any = value
            for part in ("data", "indices", "indptr"):
                found[f"{name}.{part}"] = getattr(stored, part)
        elif isinstance(value, pd.DataFrame):
            numbers = value.select_dtypes("number")
            found.update({f"{name}.{c}": numbers[c].to_numpy() for c in numbers})
        else:
            found[name] = np.asarray(value)

    add("X", owner.X)
    for slot in ("layers", "obsm", "varm", "obsp", "varp"):
        for key, value in dict(getattr(owner, slot)).items():
            if key:
                add(f"{slot}/{key}", value)
    add("raw", owner.raw.X)
    add("uns/array", owner.uns["array"])
    return found


def assert_nothing_shared(a: Any, b: Any, *, but: tuple[str, ...] = ()) -> None:
    ours, theirs = arrays_of(a), arrays_of(b)
    assert len(ours) > 10
    shared = {
        f"{m} and {n}"
        for m, x in ours.items()
        for n, y in theirs.items()
        if m.split(".")[0].split("/")[0] not in but and np.shares_memory(x, y)
    }
    assert not shared


@pytest.mark.parametrize("form", ["csr", "csr_array", "csc", "dense", "float64", "int64", "view"])
def test_modality__shares_no_memory_with_an_anndata(form: str) -> None:
    adata = make_adata()
    adata.uns["array"] = np.arange(3.0)
    X = sp.csr_matrix(adata.X)
    adata.X = {"dense": X.toarray(), "csc": X.tocsc(), "csr_array": sp.csr_array(X)}.get(
        form, X.astype(form) if form in ("float64", "int64") else X
    )
    if form == "view":
        adata = adata[5:20]
    modality = Modality(adata)
    assert_nothing_shared(modality, adata)
    assert_nothing_shared(modality.to_anndata(), modality)
    first = int(modality.obs["i"].iloc[0])
    for one in (adata, modality.to_anndata()) if form != "view" else (modality.to_anndata(),):
        one.obs["i"] = -1
        one.obs["new"] = 1
    assert (modality.obs["i"].iloc[0], "new" in modality.obs) == (first, False)


def test_modality__keeps_counts_that_scanpy_changes_in_place() -> None:
    """`normalize_total` and `log1p` write into dense values; ours stay the counts."""
    counts = make_counts(20, 8).toarray().astype(np.float32) + 1
    adata = ad.AnnData(counts.copy())
    mdata = MuData({"rna": adata})
    assert mdata["rna"].X.sum() == counts.sum()
    sc.pp.normalize_total(adata, target_sum=1)
    sc.pp.log1p(adata)
    assert not np.array_equal(adata.X, counts)
    np.testing.assert_array_equal(mdata["rna"].X.toarray(), counts)


def test_modality__keeps_what_it_was_given() -> None:
    """Arrays and tables given one by one are copied too."""
    X, obs = np.ones((3, 2)), pd.DataFrame({"a": [1.0, 2.0, 3.0]}, index=list("xyz"))
    unsorted = sp.csr_matrix((np.array([1.0, 2.0]), np.array([1, 0]), np.array([0, 2, 2, 2])))
    modality = Modality(X, obs=obs, layers={"sparse": unsorted})
    X[:], unsorted.data[:] = 9, 9
    obs["a"] = 9.0
    obs["new"] = 1
    modality.obs_names = list("uvw")
    assert modality.X.toarray().tolist() == [[1, 1]] * 3
    assert modality.layers["sparse"].toarray().tolist() == [[2, 1], [0, 0], [0, 0]]
    assert (modality.obs["a"].tolist(), list(modality.obs)) == ([1, 2, 3], ["a"])
    assert obs.index.tolist() == list("xyz")


@pytest.mark.parametrize(
    "select",
    [lambda m: m.copy(), lambda m: m[:20], lambda m: m[:, [2, 1]], lambda m: m[[3, 1], 2:]],
    ids=["copy", "cells", "features", "both"],
)
def test_modality__selection_shares_counts_alone(select: Any) -> None:
    modality = Modality(make_adata())
    modality.uns["array"] = np.arange(3.0)
    selected = select(modality)
    assert_nothing_shared(selected, modality, but=("X", "layers", "raw"))
    assert selected.X.source is modality.X.source
    for table in (selected.obs, selected.var, selected.raw.var):
        table["new"] = 1
        table.iloc[0, 0] = 77
    expected = Modality(make_adata())
    pd.testing.assert_frame_equal(modality.obs, expected.obs)
    pd.testing.assert_frame_equal(modality.var, expected.var)
    assert modality.raw is not None
    pd.testing.assert_frame_equal(modality.raw.var, make_adata().raw.var)


def test_modality__tables_of_obsm_follow_new_names(tmp_path: Any) -> None:
    """anndata refuses a table whose index is not `obs_names`."""
    modality = Modality(make_adata())
    modality.write(tmp_path / "a.zarr")
    for one in (modality, lazymu.read(tmp_path / "a.zarr")):
        assert isinstance(one, Modality)
        one.obs_names = [f"new{i}" for i in range(N_OBS)]
        found = one[[3, 1]].to_anndata()
        assert found.obsm["table"].index.tolist() == ["new3", "new1"]
        assert found.obsm["table"]["i"].tolist() == [3, 1]


def test_modality__anndata_backed_by_a_file(tmp_path: Any) -> None:
    ad.AnnData(make_counts(5, 4)).write_h5ad(tmp_path / "a.h5ad")
    backed = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    with pytest.raises(
        ArgumentError,
        match=r"`adata` is an AnnData backed by a file, .*lazymu\.read\('.*a\.h5ad'\)",
    ):
        Modality(backed)
    backed.file.close()


# --- selections ----------------------------------------------------------------------------------


@pytest.mark.parametrize("key", KEYS)
def test_modality__selection_equals_anndata(key: str) -> None:
    adata, (cells, features) = make_adata(), KEYS[key]
    with raise_if_dask_computes():
        selected = Modality(adata)[cells, features]
    assert_same(selected, adata[cells, features].copy())


@pytest.mark.parametrize("key", KEYS)
def test_modality__subset_in_place_equals_anndata(key: str) -> None:
    adata, (cells, features) = make_adata(), KEYS[key]
    modality = Modality(adata)
    with raise_if_dask_computes():
        modality.subset_obs(cells)
        modality.subset_var(features)
    assert_same(modality, adata[cells, features].copy())


def test_modality__selections_of_selections_and_steps() -> None:
    adata = make_adata()
    modality = Modality(adata)
    rng = np.random.default_rng(0)
    order, genes = rng.permutation(N_OBS), rng.permutation(N_VARS - 2)[:6]
    modality = modality[order]
    log1p(modality)
    modality = modality[:, genes][modality.obs["i"] % 2 == 0]
    expected = adata[order][:, genes]
    expected = expected[expected.obs["i"] % 2 == 0].copy()
    expected.X.data = np.log1p(expected.X.data)
    assert_same(modality, expected)


def test_modality__mask_as_a_series_is_aligned_by_name() -> None:
    adata = make_adata()
    mask = pd.Series(np.arange(N_OBS) < 4, index=adata.obs_names)
    shuffled = mask.sample(frac=1, random_state=0).drop("cell0")
    assert Modality(adata)[shuffled].obs_names.tolist() == ["cell1", "cell2", "cell3"]
    expression = Modality(adata)
    assert expression[expression.obs["i"] > 27].obs_names.tolist() == ["cell28", "cell29"]


def test_modality__selection_is_independent() -> None:
    modality = Modality(make_adata())
    part = modality[:10]
    part.obs["new"] = 1
    part.obs.iloc[0, 0] = 99
    part.uns["note"]["deep"].append(3)
    part.X = np.zeros(part.shape)
    part.obsm["X_new"] = np.zeros((10, 1))
    assert "new" not in modality.obs
    assert modality.obs.iloc[0, 0] == 0
    assert modality.uns["note"]["deep"] == [1, 2]
    assert modality.X.sum() > 0
    assert "X_new" not in modality.obsm


def test_modality__copy_is_independent_and_reads_nothing() -> None:
    modality = Modality(make_adata())
    with raise_if_dask_computes():
        copy = modality.copy()
    copy.obs["new"] = 1
    copy.var_names = [f"x{n}" for n in range(copy.n_vars)]
    copy.subset_obs(slice(0, 3))
    assert_same(modality, make_adata())


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        (
            ["cell1", "cel2"],
            MissingResultError,
            r"`index` is 'cel2', but obs_names has 1 of the .*",
        ),
        ("cel12", MissingResultError, r"near it are cell12"),
        (np.ones(5, dtype=bool), ArgumentError, r"`index` is 5 long, .* must have 30 entries"),
        ([30], ArgumentError, r"`index` is 30 to 30, but axis 0 has 30 entries"),
        ((slice(None), "GENE1"), MissingResultError, r"`index` is 'GENE1', but var_names has"),
        ((slice(None), [0, 0]), ArgumentError, r"with repeated features"),
    ],
)
def test_modality__selection_of_what_is_not_there(
    key: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Modality(make_adata())[key]


def test_modality__mask_by_name_needs_unique_names() -> None:
    modality = Modality(make_adata())
    modality.obs_names = ["cell0", *modality.obs_names[:-1]]
    mask = pd.Series([True], index=["cell5"])
    with pytest.raises(DuplicateNamesError, match=r"`obs_names` is with 'cell0' more than once"):
        modality[mask]


def test_modality__repeated_names_select_all_that_have_them() -> None:
    modality = Modality(make_adata())
    modality.obs_names = ["twice", "twice", *modality.obs_names[2:]]
    assert modality["twice"].obs["i"].tolist() == [0, 1]


# --- names, tables, matrices ---------------------------------------------------------------------


def test_modality__names_are_strings() -> None:
    modality = Modality(np.ones((2, 3)), obs=pd.DataFrame({"a": [1, 2]}, index=[10, 20]))
    assert modality.obs_names.tolist() == ["10", "20"]
    assert modality.var_names.tolist() == ["0", "1", "2"]
    modality.var_names = [7, 8, 9]
    assert modality.var_names.tolist() == ["7", "8", "9"]


@pytest.mark.filterwarnings("ignore:Suffix used:UserWarning")
@pytest.mark.parametrize("axis", ["obs", "var"])
def test_modality__names_made_unique_as_anndata_does(axis: str) -> None:
    adata, modality = make_adata(), Modality(make_adata())
    names = ["a", "b", "a", "a-1", "a", "b", "c", "a", "b-1", "d"]
    names += [
        f"x{n}" for n in range(getattr(modality, f"n_{axis}" + ("s" if axis == "var" else "")) - 10)
    ]
    for data in (adata, modality):
        setattr(data, f"{axis}_names", names)
        getattr(data, f"{axis}_names_make_unique")()
    found = getattr(modality, f"{axis}_names")
    assert found.is_unique
    assert found.tolist() == getattr(adata, f"{axis}_names").tolist()


def test_make_unique__never_takes_a_name_that_is_there() -> None:
    names = make_unique(pd.Index(["g", "g", "g-1", "g", "g-2"]))
    assert names.tolist() == ["g", "g-3", "g-1", "g-4", "g-2"]


def test_modality__tables_are_mutable_and_checked() -> None:
    modality = Modality(make_adata())
    modality.obs["new"] = np.arange(N_OBS)
    modality.obs = modality.obs[["new"]]
    assert modality.obs_keys() == ["new"]
    assert modality.var_keys() == ["j"]
    with pytest.raises(ArgumentError, match=r"`obs` is 3 rows, but it must have one row for each"):
        modality.obs = pd.DataFrame(index=list("abc"))
    with pytest.raises(ArgumentError, match=r"`var` is 1 rows, .* 10 entries of its axis"):
        modality.var = pd.DataFrame(index=["a"])


def test_modality__of_parts_equals_of_an_anndata() -> None:
    adata = make_adata()
    modality = Modality(
        adata.X,
        obs=adata.obs,
        var=adata.var,
        layers=dict(adata.layers),
        obsm=dict(adata.obsm),
        varm=dict(adata.varm),
        obsp=dict(adata.obsp),
        varp=dict(adata.varp),
        uns=dict(adata.uns),
        raw=Modality(adata.raw.to_adata()),
    )
    assert_same(modality, adata)
    assert modality.uns["note"] == adata.uns["note"]


def test_modality__matrix_setters_check_the_shape() -> None:
    modality = Modality(make_adata())
    with pytest.raises(
        ArgumentError, match=r"`X` is of shape \(2, 2\), but its shape must be \(30"
    ):
        modality.X = np.ones((2, 2))
    with pytest.raises(ArgumentError, match=r"`layers\['a'\]` is of shape \(30, 12\)"):
        modality.layers["a"] = make_counts(N_OBS, N_VARS)
    with pytest.raises(
        ArgumentError, match=r"`obsm\['a'\]` is of shape \(2, 2\), .* begin with \(30,"
    ):
        modality.obsm["a"] = np.ones((2, 2))
    with pytest.raises(ArgumentError, match=r"`obsp\['a'\]` is of shape \(30, 2\), .*\(30, 30\)"):
        modality.obsp["a"] = np.ones((30, 2))
    with pytest.raises(ArgumentError, match=r"`varm\['a'\]` is of shape \(\)"):
        modality.varm["a"] = 3.0


def test_modality__without_a_matrix() -> None:
    modality = Modality(obs=pd.DataFrame(index=list("abc")), var=pd.DataFrame(index=list("xy")))
    assert modality.shape == (3, 2)
    assert modality[["c", "a"]].obs_names.tolist() == ["c", "a"]
    with pytest.raises(ArgumentError, match=r"`X` is None, but this modality has annotation only"):
        _ = modality.X
    modality.X = np.ones((3, 2))
    assert modality.X.sum() == 6


@pytest.mark.parametrize(
    ("slot", "message"),
    [
        ("obsm", r"`obsm` is 'X_umap', but its keys are: X_i, table, sparse"),
        ("uns", r"`uns` is 'X_umap', but its keys are: note"),
        ("layers", r"`layers` is 'X_umap', but its keys are: double"),
        ("obsp", r"`obsp` is 'X_umap', but its keys are: pairs"),
    ],
)
def test_modality__missing_key_shows_those_that_are_there(slot: str, message: str) -> None:
    mapping = getattr(Modality(make_adata()), slot)
    with pytest.raises(MissingResultError, match=message):
        mapping["X_umap"]
    assert mapping.get("X_umap") is None
    assert "X_umap" not in mapping


def test_modality__layers_share_counts_without_a_copy() -> None:
    modality = Modality(make_adata())
    modality.layers["counts"] = modality.X.copy()
    log1p(modality)
    assert modality.layers["counts"].source is modality.X.source
    assert modality.layers["counts"].steps == ()
    del modality.layers["double"]
    assert repr(modality.layers) == "layers with keys: counts"


def test_modality__raw_keeps_features_and_follows_cells() -> None:
    adata = make_adata()
    modality = Modality(adata.X, obs=adata.obs, var=adata.var)
    assert modality.raw is None
    modality.raw = modality
    log1p(modality)
    modality.subset_var(slice(0, 3))
    modality.subset_obs(slice(None, None, -5))
    assert modality.raw is not None
    assert modality.raw.shape == (6, 10)
    np.testing.assert_array_equal(modality.raw.X.toarray(), adata.X.toarray()[::-5])
    assert modality.raw.obs_names.tolist() == modality.obs_names.tolist()
    with pytest.raises(
        ArgumentError, match=r"`raw` is 30 cells, but it must have the modality's 6"
    ):
        modality.raw = Modality(adata)
    modality.raw = None
    assert modality.raw is None


def test_modality__obs_vector() -> None:
    adata = make_adata()
    modality = Modality(adata)
    with counting_scheduler() as scheduler:
        assert modality.obs_vector("i").tolist() == list(range(N_OBS))
        assert scheduler.n_computes == 0
        np.testing.assert_array_equal(modality.obs_vector("gene3"), adata.X[:, 3].toarray().ravel())
        found = modality.obs_vector("gene3", layer="double")
        assert scheduler.n_computes == 2
    np.testing.assert_array_equal(found, adata.layers["double"][:, 3].toarray().ravel())


def test_modality__values_that_are_read_late() -> None:
    read: list[str] = []

    def late(key: str, value: Any) -> Deferred:
        return Deferred(lambda: read.append(key) or value)

    parts = ModalityElements(
        X=LazyMatrix(make_counts(N_OBS, N_VARS)),
        obs=pd.DataFrame(index=[f"c{n}" for n in range(N_OBS)]),
        var=pd.DataFrame(index=[f"g{n}" for n in range(N_VARS)]),
        obsm={"X_pca": late("X_pca", np.arange(N_OBS)[:, None])},
        obsp={"pairs": late("pairs", sp.eye(N_OBS, format="csr"))},
        uns={"big": late("big", [1])},
    )
    modality = Modality.from_elements(parts)
    selected = modality[[4, 2]][[1]]
    modality.to_elements()
    repr(selected)
    assert not read
    assert selected.obsm["X_pca"].tolist() == [[2]]
    assert selected.obsp["pairs"].toarray().tolist() == [[1.0]]
    assert selected.uns["big"] == [1]
    assert selected.uns["big"] == [1]
    assert read == ["X_pca", "pairs", "big"]


# --- to others -----------------------------------------------------------------------------------


def test_to_anndata__brings_everything_back() -> None:
    adata = make_adata()
    modality = Modality(adata)[::-2, 1:]
    assert_same(modality, modality.to_anndata())
    found = modality.to_anndata()
    assert isinstance(found.X, sp.csr_matrix)
    assert found.obs["group"].dtype == "category"
    assert found.uns["note"] == {"deep": [1, 2]}


def test_to_anndata__applies_steps_in_one_pass_for_each_matrix() -> None:
    modality = Modality(make_adata())
    log1p(modality)
    with counting_scheduler() as scheduler:
        found = modality.to_anndata()
    assert scheduler.n_computes == 3  # X, one layer, raw
    np.testing.assert_allclose(found.X.toarray(), np.log1p(make_adata().X.toarray()), rtol=1e-6)
    np.testing.assert_array_equal(found.raw.X.toarray(), make_adata().raw.X.toarray())


def test_to_anndata__that_exceeds_the_limit() -> None:
    modality = Modality(np.ones((500, 500)))
    with (
        lazymu.settings.override(memory_limit="1MB"),
        pytest.raises(
            MemoryLimitError, match=r"`X` is 500 × 500, but as a dense array it takes 2,00"
        ),
    ):
        modality.to_anndata()


def test_to_xarray__is_labelled_and_lazy() -> None:
    adata = make_adata()
    modality = Modality(adata)
    log1p(modality)
    with raise_if_dask_computes():
        dataset = modality.to_xarray()
    assert isinstance(dataset, xr.Dataset)
    assert dict(dataset.sizes) == {
        "obs": 30,
        "var": 10,
        "component": 2,
        "table_component": 1,
        "V_j_component": 1,
    }
    expected = np.log1p(adata[["cell4", "cell9"], "gene3"].X.toarray().ravel())
    found = dataset["X"].sel(obs=["cell4", "cell9"], var="gene3")
    np.testing.assert_allclose(found.compute(), expected, rtol=1e-6)
    np.testing.assert_array_equal(dataset["X_i"], adata.obsm["X_i"])
    assert dataset["obs_i"].sel(obs="cell12") == 12
    assert dataset["obs_group"].dims == ("obs",)
    assert dataset["var_j"].sel(var="gene4") == 4
    np.testing.assert_array_equal(
        dataset["layer_double"].compute(), adata.layers["double"].toarray()
    )


def test_modality__repr_lists_what_is_there() -> None:
    adata = make_adata()
    lines = repr(Modality(adata)).splitlines()
    assert lines == [
        "Modality object with n_obs × n_vars = 30 × 10",
        "    obs: 'i', 'group'",
        "    var: 'j'",
        "    uns: 'note'",
        "    obsm: 'X_i', 'table', 'sparse'",
        "    varm: 'V_j'",
        "    layers: 'double'",
        "    obsp: 'pairs'",
        "    varp: 'pairs'",
    ]
    assert repr(Modality(np.ones((1, 2)))) == "Modality object with n_obs × n_vars = 1 × 2"
    assert len(Modality(adata)) == 30


# --- as_modality ---------------------------------------------------------------------------------


def test_as_modality__finds_the_one_that_is_meant() -> None:
    mdata = MuData({"rna": make_adata(), "adt": make_adata()})
    assert as_modality(mdata["rna"]) is mdata["rna"]
    assert as_modality(mdata, kinds=("prot", "adt")) is mdata["adt"]
    assert as_modality(mdata["rna"], kinds=("prot",)) is mdata["rna"]


def test_as_modality__of_what_is_none() -> None:
    mdata = MuData({"rna": make_adata()})
    with pytest.raises(ModalityNotFoundError, match=r"no modality named 'prot' or 'adt', only rna"):
        as_modality(mdata, kinds=("prot", "adt"))
    with pytest.raises(
        ArgumentError, match=r"`data` is a MuData, .* pass one of mdata\[...\]: rna"
    ):
        as_modality(mdata)
    with pytest.raises(
        ArgumentError, match=r"`data` is a AnnData, .* lazymu modality; wrap an AnnD"
    ):
        as_modality(make_adata())
    with pytest.raises(ArgumentError, match=r"it must be a lazymu modality or MuData"):
        as_modality(None, kinds=("rna",))
