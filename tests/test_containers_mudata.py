"""`MuData`: everything joint goes by name, whatever the modalities' orders and cells."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import mudata as md
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import lazymu
from lazymu.containers import Modality, MuData
from lazymu.errors import (
    ArgumentError,
    DuplicateNamesError,
    MissingResultError,
    ModalityNotFoundError,
)
from lazymu.pp import filter_cells, log1p
from tests.conftest import make_counts
from tests.counting import raise_if_dask_computes

pytestmark = pytest.mark.filterwarnings("ignore:.*pull_on_update.*:FutureWarning")


def modality_of(names: list[str], n_vars: int = 5, prefix: str = "g") -> Modality:
    """Return a modality whose values tell the cell: the row of "cell7" is 8 everywhere."""
    numbers = np.array([int(name.removeprefix("cell")) for name in names], dtype=float)
    return Modality(
        sp.csr_matrix(np.tile(numbers[:, None] + 1, (1, n_vars))),
        obs=pd.DataFrame({"number": numbers}, index=pd.Index(names, dtype=object)),
        var=pd.DataFrame(index=[f"{prefix}{j}" for j in range(n_vars)]),
    )


def cells(numbers: Any) -> list[str]:
    return [f"cell{n}" for n in numbers]


def make_mudata() -> MuData:
    """Return two modalities in different orders, each with cells that the other has not."""
    mdata = MuData(
        {
            "rna": modality_of(cells(range(8))),
            "atac": modality_of(cells([9, 5, 3, 7, 1, 8]), 3, "peak"),
        }
    )
    mdata.obs["number"] = numbers_of(mdata.obs_names)
    mdata.obsm["X_joint"] = np.array(numbers_of(mdata.obs_names), dtype=float)[:, None]
    pairs = np.add.outer(numbers_of(mdata.obs_names), [0] * mdata.n_obs).astype(float)
    mdata.obsp["pairs"] = sp.csr_matrix(pairs)
    mdata.var["length"] = [len(name) for name in mdata.var_names]
    mdata.varm["V"] = np.arange(8.0)[:, None]
    mdata.uns["note"] = {"deep": [1]}
    return mdata


def numbers_of(names: pd.Index) -> list[int]:
    return [int(name.removeprefix("cell")) for name in names]


def assert_in_line(mdata: MuData) -> None:
    """Check that everything joint and everything of each modality belongs to the right cell."""
    numbers = np.array(numbers_of(mdata.obs_names), dtype=float)
    assert mdata.obs_names.is_unique
    assert set(mdata.obs_names) == set().union(*(m.obs_names for m in mdata.mod.values()))
    np.testing.assert_array_equal(mdata.obs["number"], numbers)
    np.testing.assert_array_equal(mdata.obsm["X_joint"][:, 0], numbers)
    pairs = mdata.obsp["pairs"].toarray()
    np.testing.assert_array_equal(pairs, np.tile(numbers[:, None], (1, len(numbers))))
    for name, modality in mdata.mod.items():
        own = np.array(numbers_of(modality.obs_names), dtype=float)
        np.testing.assert_array_equal(modality.obs["number"], own)
        np.testing.assert_array_equal(modality.X.toarray()[:, 0], own + 1)
        positions = mdata.obs_positions(name)
        assert positions.dtype == np.int64
        has = positions >= 0
        np.testing.assert_array_equal(own[positions[has]], numbers[has])
        assert set(mdata.obs_names[has]) == set(modality.obs_names)


# --- alignment -----------------------------------------------------------------------------------


def test_mudata__joint_cells_are_the_union_in_order_of_appearance() -> None:
    mdata = make_mudata()
    assert mdata.obs_names.tolist() == cells([0, 1, 2, 3, 4, 5, 6, 7, 9, 8])
    assert mdata.var_names.tolist() == [
        *(f"g{j}" for j in range(5)),
        *(f"peak{j}" for j in range(3)),
    ]
    assert (mdata.n_obs, mdata.n_vars, mdata.n_mod, mdata.shape) == (10, 8, 2, (10, 8))
    assert mdata.obs_positions("atac").tolist() == [-1, 4, -1, 2, -1, 1, -1, 3, 0, 5]
    assert mdata.var_positions("atac").tolist() == [-1] * 5 + [0, 1, 2]
    assert_in_line(mdata)


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_mudata__stays_in_line_under_filters_and_permutations(data: st.DataObject) -> None:
    mdata = make_mudata()
    for _ in range(data.draw(st.integers(1, 5))):
        action = data.draw(st.sampled_from(["mod_subset", "mod_replace", "select", "copy", "step"]))
        if action in ("mod_subset", "mod_replace"):
            name = data.draw(st.sampled_from(["rna", "atac"]))
            n = mdata[name].n_obs
            order = data.draw(st.permutations(range(n)))
            kept = np.array(order[: data.draw(st.integers(0, n))], dtype=int)
            if action == "mod_subset":
                mdata[name].subset_obs(kept)
            else:
                mdata.mod[name] = mdata[name][kept]
        elif action == "select":
            order = data.draw(st.permutations(range(mdata.n_obs)))
            mdata = mdata[np.array(order[: data.draw(st.integers(0, mdata.n_obs))], dtype=int)]
        elif action == "copy":
            mdata = mdata.copy()
        else:
            mdata.update()
        assert_in_line(mdata)


def test_mudata__follows_a_filter_of_one_modality() -> None:
    mdata = make_mudata()
    with raise_if_dask_computes(1):
        filter_cells(mdata["rna"], max_counts=15)
    assert numbers_of(mdata["rna"].obs_names) == [0, 1, 2]
    assert_in_line(mdata)
    assert numbers_of(mdata.obs_names) == [0, 1, 2, 3, 5, 7, 9, 8]


def test_mudata__follows_new_names() -> None:
    mdata = make_mudata()
    rna = mdata["rna"]
    rna.obs_names = [*rna.obs_names[:-1], "cell77"]
    rna.obs["number"] = np.array(numbers_of(rna.obs_names), dtype=float)
    assert mdata.obs_names.tolist()[-1] == "cell77"
    assert mdata.obs["number"].isna().tolist() == [False] * 10 + [True]
    assert np.isnan(mdata.obsm["X_joint"][-1, 0])
    assert mdata.obsp["pairs"].toarray()[-1].tolist() == [0] * 11
    assert "cell7" in mdata.obs_names, "atac still has it"


def test_mudata__sparse_arrays_of_new_cells_are_empty() -> None:
    mdata = make_mudata()
    mdata.obsm["sparse"] = sp.csr_matrix(mdata.obsm["X_joint"] + 1)
    mdata.obsm["whole"] = mdata.obsm["X_joint"].astype(int)
    mdata.obsm["table"] = mdata.obs[["number"]]
    mdata.mod["prot"] = modality_of(["cell20"])
    assert mdata.obs_names.tolist()[-1] == "cell20"
    assert mdata.obsm["sparse"].toarray()[-1].tolist() == [0]
    assert mdata.obsm["sparse"].toarray()[0].tolist() == [1]
    assert mdata.obsm["whole"][-1].tolist() == [0]
    assert mdata.obsm["table"]["number"].isna().tolist() == [False] * 10 + [True]


def test_mudata__keys_are_set_and_deleted() -> None:
    mdata = make_mudata()
    mdata.varp["pairs"] = np.eye(8)
    del mdata.obsm["X_joint"], mdata.uns["note"]
    assert (list(mdata.obsm), list(mdata.uns), list(mdata.varp)) == ([], [], ["pairs"])
    mdata.uns = {"a": 1}
    mdata["rna"].uns = {"b": 2}
    assert (mdata.uns.copy(), mdata["rna"].uns.copy()) == ({"a": 1}, {"b": 2})


def test_mudata__modalities_come_and_go() -> None:
    mdata = make_mudata()
    mdata.mod["prot"] = ad.AnnData(np.ones((2, 2)), obs=pd.DataFrame(index=["cell5", "cell40"]))
    assert isinstance(mdata["prot"], Modality)
    assert mdata.obs_names.tolist()[-1] == "cell40"
    assert mdata.obs["number"].iloc[:10].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 9, 8]
    del mdata.mod["prot"]
    assert_in_line(mdata)
    assert repr(mdata.mod) == "MuData modalities: rna (8, 5), atac (6, 3)"


def test_mudata__changes_of_joint_tables_stay() -> None:
    mdata = make_mudata()
    mdata.obs["new"] = mdata.obs["number"] * 2
    mdata["atac"].subset_obs(["cell9", "cell1"])
    assert (mdata.obs["new"] == 2 * mdata.obs["number"]).all()
    mdata.obs = mdata.obs[["number"]]
    assert list(mdata.obs) == ["number"]


@pytest.mark.parametrize("axis", [0, 1])
def test_mudata__repeated_names_cannot_be_joined(axis: int) -> None:
    mdata = make_mudata()
    if axis == 0:
        mdata["rna"].obs_names = ["cell1"] * 8
        with pytest.raises(
            DuplicateNamesError, match=r"`obs_names` is rna: with 'cell1' more than"
        ):
            _ = mdata.obs
    else:
        mdata["rna"].var_names = ["g1"] * 5
        with pytest.warns(UserWarning, match=r"values of 1 names \('g1'\) are now missing"):
            assert mdata.n_vars == 8
        with pytest.raises(
            DuplicateNamesError, match=r"`var_names` is a: with 'g1' more than once"
        ):
            MuData({"a": mdata["rna"]}, axis=1)


def test_mudata__the_same_feature_name_in_two_modalities() -> None:
    """As with CD4 as a gene and an antibody: the joint features are one after the other."""
    mdata = MuData({"rna": modality_of(cells(range(3))), "prot": modality_of(cells(range(3)))})
    assert mdata.n_vars == 10
    assert mdata.var_positions("prot").tolist() == [-1] * 5 + list(range(5))
    mdata.var["of"] = ["rna"] * 5 + ["prot"] * 5
    selected = mdata[:, mdata.var["of"].to_numpy() == "prot"]
    assert (selected["rna"].n_vars, selected["prot"].n_vars) == (0, 5)
    mdata["rna"].subset_obs([2, 0])
    assert mdata.var["of"].tolist() == ["rna"] * 5 + ["prot"] * 5


def with_ids(mdata: MuData) -> MuData:
    """Write into the joint slots, and each modality's `var`, which feature an entry belongs to."""
    for name, modality in mdata.mod.items():
        modality.var["id"] = [f"{name}/{n}/{j}" for j, n in enumerate(modality.var_names)]
    mdata.var["id"] = [i for modality in mdata.mod.values() for i in modality.var["id"]]
    mdata.varm["n"] = np.arange(mdata.n_vars, dtype=float)[:, None]
    mdata.varm["table"] = pd.DataFrame({"id": mdata.var["id"]}, index=mdata.var_names)
    mdata.varp["pairs"] = np.subtract.outer(*2 * [np.arange(mdata.n_vars) ** 2.0])
    mdata.uns["ids"] = mdata.var["id"].tolist()
    return mdata


def assert_features_in_line(mdata: MuData) -> None:
    """Check that joint values of features are those of the same modality's feature."""
    own = [i for modality in mdata.mod.values() for i in modality.var["id"]]
    names = [n for modality in mdata.mod.values() for n in modality.var_names]
    assert mdata.var_names.tolist() == names
    assert mdata.var["id"].tolist() == own
    numbers = np.array([mdata.uns["ids"].index(i) for i in own], dtype=float)
    np.testing.assert_array_equal(mdata.varm["n"][:, 0], numbers)
    assert mdata.varm["table"]["id"].tolist() == own
    assert mdata.varm["table"].index.tolist() == names
    pairs = np.asarray(mdata.varp["pairs"])
    np.testing.assert_array_equal(pairs, np.subtract.outer(numbers**2, numbers**2))
    for name, modality in mdata.mod.items():
        positions = mdata.var_positions(name)
        assert positions[positions >= 0].tolist() == list(range(modality.n_vars))
        assert mdata.var["id"][positions >= 0].tolist() == modality.var["id"].tolist()


def make_proteins() -> MuData:
    """Return a MuData whose modalities share the feature names g0 to g2, as genes and proteins."""
    return with_ids(
        MuData(
            {
                "rna": modality_of(cells(range(4)), 5),
                "prot": modality_of(cells([3, 1]), 3),
                "atac": modality_of(cells(range(4)), 4, "peak"),
            }
        )
    )


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_mudata__joint_features_stay_with_their_modality(data: st.DataObject) -> None:
    mdata = make_proteins()
    for _ in range(data.draw(st.integers(1, 5))):
        action = data.draw(st.sampled_from(["subset", "replace", "select", "copy", "rename"]))
        if action in ("subset", "replace"):
            name = data.draw(st.sampled_from([*mdata.mod]))
            order = data.draw(st.permutations(range(mdata[name].n_vars)))
            kept = np.array(order[: data.draw(st.integers(0, len(order)))], dtype=int)
            if action == "subset":
                mdata[name].subset_var(kept)
            else:
                mdata.mod[name] = mdata[name][:, kept]
        elif action == "select":
            order = data.draw(st.permutations(range(mdata.n_vars)))
            kept = np.array(order[: data.draw(st.integers(0, mdata.n_vars))], dtype=int)
            mdata = mdata[:, kept]
        elif action == "rename" and "protein" not in mdata.mod:
            mdata.mod["protein"] = mdata.mod.pop("prot")
        else:
            mdata = mdata.copy()
        assert_features_in_line(mdata)


def test_mudata__a_name_of_another_modality_brings_no_values() -> None:
    """The gene CD4 goes, an antibody CD4 comes: it does not inherit the gene's values."""
    mdata = with_ids(MuData({"rna": modality_of(cells(range(3)), 2)}))
    mdata["rna"].subset_var(["g1"])
    mdata.mod["prot"] = modality_of(cells(range(3)), 1)
    assert mdata.var_names.tolist() == ["g1", "g0"]
    assert mdata.var["id"].tolist()[0] == "rna/g1/1"
    assert mdata.var["id"].isna().tolist() == [False, True]
    assert np.isnan(mdata.varm["n"][:, 0]).tolist() == [False, True]


def test_mudata__new_features_stand_with_their_modality() -> None:
    mdata = make_proteins()
    mdata.mod["rna"] = modality_of(cells(range(4)), 7)
    assert mdata.var["id"].isna().tolist() == [False] * 5 + [True] * 2 + [False] * 7
    assert mdata.var_positions("prot").tolist() == [-1] * 7 + [0, 1, 2] + [-1] * 4
    assert mdata.var["id"].tolist()[7:10] == ["prot/g0/0", "prot/g1/1", "prot/g2/2"]


def test_mudata__names_repeated_in_a_modality_are_not_guessed() -> None:
    """Which of two g1 was kept is unknown: their joint values are missing, others are there."""
    mdata = make_proteins()
    rna = mdata["rna"]
    rna.var_names = ["g0", "g1", "g1", "g3", "g4"]
    with pytest.warns(UserWarning, match="values of 1 names"):
        mdata.var["id"] = [i for modality in mdata.mod.values() for i in modality.var["id"]]
    rna.subset_var([0, 2, 3])
    with pytest.warns(
        UserWarning, match=r"joint var: .* \('g1'\) are now missing.*var_names_make_unique"
    ):
        assert mdata.var["id"].isna().tolist() == [False, True, False] + [False] * 7
    assert mdata.var["id"].tolist()[2:4] == ["rna/g3/3", "prot/g0/0"]


def test_mudata__making_names_unique_keeps_joint_values() -> None:
    mdata = MuData({"rna": modality_of(cells(range(3)), 4), "prot": modality_of(cells([1]), 2)})
    mdata["rna"].var_names = ["g1", "g0", "g1", "g1"]
    mdata = with_ids(mdata)
    mdata["rna"].var_names_make_unique()
    assert mdata.var_names.tolist() == ["g1", "g0", "g1-1", "g1-2", "g0", "g1"]
    assert_features_in_line(mdata)


def test_mudata__joint_var_of_a_file_in_another_order(tmp_path: Any) -> None:
    """mudata keeps the joint order where a modality's has changed: values go by name."""
    source = md.MuData({name: mod.to_anndata() for name, mod in make_mudata().mod.items()})
    source.var["length"] = [f"of {name}" for name in source.var_names]
    source.write(tmp_path / "a.h5mu")
    with h5py.File(tmp_path / "a.h5mu", "r+") as file:
        del file["var"]
        ad.io.write_elem(file, "var", source.var.iloc[[7, 0, 2, 1, 3, 4, 6, 5]])
    mdata = lazymu.read(tmp_path / "a.h5mu")
    assert isinstance(mdata, MuData)
    assert mdata.var_names.tolist() == source.var_names.tolist()
    assert mdata.var["length"].tolist() == [f"of {name}" for name in mdata.var_names]


# --- selections ----------------------------------------------------------------------------------

SELECTIONS: dict[str, Any] = {
    "mask": np.arange(10) % 3 == 0,
    "list_mask": [True, False] * 5,
    "slice": slice(7, 1, -2),
    "positions": np.array([9, 0, 5]),
    "names": ["cell8", "cell2", "cell3"],
    "index": pd.Index(["cell9"]),
    "series": pd.Series([True, True, False], index=["cell3", "cell9", "cell1"]),
}


@pytest.mark.parametrize("key", SELECTIONS)
def test_mudata__selection_goes_by_name(key: str) -> None:
    mdata = make_mudata()
    with raise_if_dask_computes():
        selected = mdata[SELECTIONS[key]]
    names = pd.Series(range(10), index=mdata.obs_names)
    chosen = {
        "series": ["cell3", "cell9"],
        "names": SELECTIONS["names"],
        "index": ["cell9"],
    }.get(key)
    if chosen is None:
        chosen = names.iloc[SELECTIONS[key]].index.tolist()
    assert selected.obs_names.tolist() == chosen
    assert_in_line(selected)
    for name in selected.mod:
        wanted = [cell for cell in chosen if cell in mdata[name].obs_names]
        assert selected[name].obs_names.tolist() == wanted


def test_mudata__selection_of_cells_and_features() -> None:
    mdata = make_mudata()
    selected = mdata[["cell5", "cell0"], ["peak2", "g4", "g0"]]
    assert selected.var_names.tolist() == ["g4", "g0", "peak2"] or (
        set(selected.var_names) == {"g4", "g0", "peak2"}
    )
    assert selected["rna"].var_names.tolist() == ["g4", "g0"]
    assert selected["atac"].shape == (1, 1)
    by_name = dict(zip(selected.var_names, selected.varm["V"][:, 0].tolist(), strict=True))
    assert by_name == {"g4": 4.0, "g0": 0.0, "peak2": 7.0}
    assert selected.var["length"].to_dict() == {"g4": 2, "g0": 2, "peak2": 5}


def test_mudata__selection_is_independent() -> None:
    mdata = make_mudata()
    for other in (mdata[mdata.obs["number"] > 2], mdata.copy()):
        other.obs["new"] = 1
        other.uns["note"]["deep"].append(2)
        other["rna"].obs["new"] = 1
        log1p(other["rna"])
        other.mod.clear()
    assert_in_line(mdata)
    assert mdata.uns["note"] == {"deep": [1]}
    assert "new" not in mdata.obs
    assert "new" not in mdata["rna"].obs
    assert mdata["rna"].X.steps == ()


def test_mudata__selection_and_export_share_no_arrays() -> None:
    mdata = make_mudata()
    for other in (mdata.copy(), mdata[:, ["g1"]], mdata[["cell1"]], mdata.to_mudata()):
        for slot in ("obsm", "varm", "obsp"):
            for value in getattr(other, slot).values():
                (value.data if sp.issparse(value) else value)[...] = 0
        other.uns["note"]["deep"].append(2)
        other.obs["number"] = 0
    assert_in_line(mdata)
    assert mdata.varm["V"][:, 0].tolist() == list(range(8))
    assert mdata.uns["note"] == {"deep": [1]}


def test_mudata__tutorials_filter() -> None:
    mdata = make_mudata()
    mask = (mdata.obs["number"] >= 2) & (mdata.obs["number"] <= 8)
    filtered = mdata[mask].copy()
    assert sorted(numbers_of(filtered.obs_names)) == list(range(2, 9))
    rna = mdata["rna"]
    mdata.mod["rna"] = rna[rna.obs["number"] > 3].copy()
    mdata.update()
    assert_in_line(mdata)


def test_mudata__name_of_a_modality_or_of_a_cell() -> None:
    mdata = make_mudata()
    assert mdata["rna"] is mdata.mod["rna"]
    assert mdata["cell3"].n_obs == 1
    with pytest.raises(
        ModalityNotFoundError, match=r"`modality` is 'prot', but this MuData has: rn"
    ):
        mdata["prot"]
    with pytest.raises(
        MissingResultError, match=r"`index` is 'cell99', but obs_names has 1 of the"
    ):
        mdata[["cell1", "cell99"]]
    with pytest.raises(
        ArgumentError, match=r"`index` is 3 long, but a mask of axis 0 must have 10"
    ):
        mdata[np.ones(3, dtype=bool)]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.mod.__setitem__("a/b", m["rna"]), r"`modality` is 'a/b', .* name without '/'"),
        (lambda m: MuData(m), r"`mod` is a MuData, .* modalities by name; pass a dict.* \.mod\."),
        (lambda m: MuData(dict(m.mod), axis=2), r"`axis` is 2, but modalities share cells \(0\)"),
        (lambda m: m.obsm.__setitem__("a", np.ones((3, 1))), r"`obsm\['a'\]` is of shape \(3, 1\)"),
        (lambda m: m.obsp.__setitem__("a", np.ones((10, 3))), r"`obsp\['a'\]` is .*\(10, 10\)"),
        (lambda m: setattr(m, "obs", m.obs.iloc[:3]), r"`obs` is 3 rows, .* 10 entries"),
    ],
)
def test_mudata__argument_that_does_not_fit(call: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        call(make_mudata())


def test_mudata__tables_that_are_assigned_go_by_name() -> None:
    mdata = make_mudata()
    obs, var = mdata.obs.copy(), mdata.var.copy()
    var["n"] = range(8)
    mdata.obs, mdata.var = obs.iloc[::-1], var.iloc[::-1]
    mdata.obsm["table"] = obs.iloc[::-1]
    assert_in_line(mdata)
    assert mdata.var["n"].tolist() == list(range(8))
    assert mdata.obsm["table"].equals(obs)


@pytest.mark.parametrize("slot", ["obs", "var"])
def test_mudata__tables_of_other_names_are_refused(slot: str) -> None:
    mdata = make_mudata()
    n = len(getattr(mdata, slot))
    with pytest.raises(ArgumentError, match=rf"`{slot}` is a table of 0, 1, .* set its index to"):
        setattr(mdata, slot, pd.DataFrame({"a": range(n)}))
    with pytest.raises(ArgumentError, match=rf"`{slot}m\['t'\]` is a table of 0, 1, \.\.\., but"):
        getattr(mdata, f"{slot}m")["t"] = pd.DataFrame({"a": range(n)})


# --- columns between the tables ------------------------------------------------------------------


def test_pull_obs__goes_by_name() -> None:
    mdata = make_mudata()
    mdata["rna"].obs["batch"] = pd.Categorical(["a", "b"] * 4)
    mdata.pull_obs()
    assert {"rna:number", "rna:batch", "atac:number"} <= set(mdata.obs)
    for name in ("rna", "atac"):
        pulled = mdata.obs[f"{name}:number"]
        has = mdata.obs_names.isin(mdata[name].obs_names)
        np.testing.assert_array_equal(pulled[has], mdata.obs["number"][has])
        assert pulled[~has].isna().all()
    assert mdata.obs["rna:batch"].dtype == "category"


def test_pull_obs__of_some_columns_and_modalities() -> None:
    mdata = make_mudata()
    mdata["rna"].obs["other"] = 1
    mdata.pull_obs(columns=["number"], mods=["atac"])
    assert list(mdata.obs) == ["number", "atac:number"]


def test_push_obs__goes_by_name() -> None:
    mdata = make_mudata()
    mdata.obs["cluster"] = [f"c{n % 3}" for n in numbers_of(mdata.obs_names)]
    mdata.obs["rna:score"] = np.array(numbers_of(mdata.obs_names)) * 10.0
    mdata.push_obs(["cluster", "rna:score"])
    for name in ("rna", "atac"):
        own = mdata[name]
        assert own.obs["cluster"].tolist() == [f"c{n % 3}" for n in numbers_of(own.obs_names)]
    assert mdata["rna"].obs["score"].tolist() == [10.0 * n for n in range(8)]
    assert "score" not in mdata["atac"].obs
    mdata.push_obs(["cluster"], mods=["rna"])
    assert "rna:score" not in mdata["rna"].obs


# --- axis 1 --------------------------------------------------------------------------------------


def test_mudata__axis_1_shares_features() -> None:
    """Two samples: the same genes, partly, and cells whose names coincide."""
    a, b = modality_of(cells(range(4)), 5), modality_of(cells(range(3)), 7)
    mdata = MuData({"a": a, "b": b}, axis=1)
    assert mdata.shape == (7, 7)
    assert mdata.var_names.tolist() == [f"g{j}" for j in range(7)]
    assert mdata.obs_positions("b").tolist() == [-1] * 4 + [0, 1, 2]
    assert mdata.var_positions("a").tolist() == [0, 1, 2, 3, 4, -1, -1]
    mdata.var["j"] = range(7)
    selected = mdata[np.array([6, 0]), ["g6", "g1"]]
    assert selected["a"].shape == (1, 1)
    assert selected["b"].shape == (1, 2)
    assert selected["b"].obs_names.tolist() == ["cell2"]
    assert selected.var["j"].to_dict() == {"g6": 6, "g1": 1}
    b.subset_var([6, 2, 0])
    assert mdata.var["j"].to_dict() == {"g0": 0, "g1": 1, "g2": 2, "g3": 3, "g4": 4, "g6": 6}


def test_mudata__axis_of_both() -> None:
    mdata = MuData(
        {"raw": modality_of(cells(range(4))), "norm": modality_of(cells([3, 1]), 6)}, axis=-1
    )
    assert mdata.shape == (4, 6)
    assert mdata.obs_positions("norm").tolist() == [-1, 1, -1, 0]


def test_mudata__names_are_held_as_anndata_holds_them(tmp_path: Any) -> None:
    """Whether made in memory, read, renamed or selected: ``object``, or ``str`` with pandas 3."""
    expected = ad.AnnData(np.ones((1, 1)), obs=pd.DataFrame(index=["a"])).obs_names.dtype
    mdata = make_mudata()
    mdata.write(tmp_path / "a.zarr")
    mdata.write(tmp_path / "a.h5mu")
    renamed = mdata.copy()
    renamed["rna"].obs_names = [f"x{i}" for i in range(8)]
    renamed["rna"].var_names_make_unique()
    made: dict[str, Any] = {
        "memory": mdata,
        "anndata": MuData({"rna": mdata["rna"].to_anndata(), "atac": Modality(np.eye(2))}),
        "renamed": renamed,
        "selected": mdata[["cell3"]],
        "empty": mdata[[], []],
        "none": MuData({}),
        "zarr": lazymu.read(tmp_path / "a.zarr"),
        "h5mu": lazymu.read(tmp_path / "a.h5mu"),
    }
    for name, one in made.items():
        for container in (one, *one.mod.values()):
            assert container.obs_names.dtype == expected, name
            assert container.var_names.dtype == expected, name


# --- to others -----------------------------------------------------------------------------------


def test_to_mudata__brings_everything_back_by_name() -> None:
    mdata = make_mudata()
    log1p(mdata["rna"])
    mdata = mdata[["cell9", "cell4", "cell5", "cell8"]]
    found = mdata.to_mudata()
    assert isinstance(found, md.MuData)
    assert set(found.obs_names) == set(mdata.obs_names)
    numbers = [float(n) for n in numbers_of(found.obs_names)]
    assert found.obs["number"].tolist() == numbers
    assert found.obsm["X_joint"][:, 0].tolist() == numbers
    np.testing.assert_array_equal(
        found.obsp["pairs"].toarray(), np.tile(np.array(numbers)[:, None], (1, 4))
    )
    assert found.var["length"].tolist() == [len(name) for name in found.var_names]
    assert found.varm["V"][:, 0].tolist() == list(range(8))
    assert found.uns["note"] == {"deep": [1]}
    rna = found["rna"]
    assert rna.obs_names.tolist() == ["cell4", "cell5"]
    np.testing.assert_allclose(rna.X.toarray()[:, 0], np.log1p([5, 6]), rtol=1e-6)


def test_to_mudata__and_back_is_the_same() -> None:
    mdata = make_mudata()
    found = mdata.to_mudata()
    again = MuData(dict(found.mod))
    assert again.obs_names.tolist() == mdata.obs_names.tolist()
    for name in mdata.mod:
        np.testing.assert_array_equal(again[name].X.toarray(), mdata[name].X.toarray())


def test_to_mudata__of_axis_1() -> None:
    mdata = MuData({"a": modality_of(cells(range(4)), 5)}, axis=1)
    found = mdata.to_mudata()
    assert found.axis == 1
    assert found.shape == (4, 5)


def test_mudata__of_a_mudata_in_memory() -> None:
    X = make_counts(6, 4)
    prot = ad.AnnData(X.toarray(), var=pd.DataFrame(index=list("abcd")))
    source = md.MuData({"rna": ad.AnnData(X), "prot": prot})
    mdata = MuData(source.mod)
    assert (mdata["rna"].X.is_dense, mdata["prot"].X.is_dense) == (False, True)
    np.testing.assert_array_equal(mdata["prot"].X.toarray(), X.toarray())


def test_mudata__repr_lists_what_is_there() -> None:
    assert repr(make_mudata()).splitlines() == [
        "MuData object with n_obs × n_vars = 10 × 8",
        "  obs: 'number'",
        "  var: 'length'",
        "  uns: 'note'",
        "  obsm: 'X_joint'",
        "  varm: 'V'",
        "  obsp: 'pairs'",
        "  2 modalities",
        "    rna: 8 × 5",
        "      obs: 'number'",
        "    atac: 6 × 3",
        "      obs: 'number'",
    ]
    assert "1 modality" in repr(MuData({"rna": modality_of(cells([1]))}))


# --- memory ---------------------------------------------------------------------------------------


def test_containers__are_freed_without_waiting_for_garbage_to_be_collected(tmp_path: Path) -> None:
    """Else chunks that reading has left at hand, and what callers hold, would pile up."""
    MuData({"a": ad.AnnData(np.eye(3)), "b": ad.AnnData(np.eye(3))}).write(tmp_path / "m.zarr")
    gc.collect()
    gc.disable()
    try:
        mdata = lazymu.read(tmp_path / "m.zarr")
        mdata.obsm["X"] = mdata["a"].X.toarray()
        freed = [weakref.ref(one) for one in (mdata, mdata["a"], mdata["a"].X.source)]
        del mdata
        assert [one() for one in freed] == [None, None, None]
    finally:
        gc.enable()
