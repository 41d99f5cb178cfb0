"""Samples joined, against `anndata.concat` and `mudata.concat` in memory."""

from __future__ import annotations

import pickle
from functools import partial
from pathlib import Path
from typing import Any

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import lazymu
from lazymu import pp
from lazymu.errors import (
    ArgumentError,
    DuplicateNamesError,
    LazyMuError,
    ModalityNotFoundError,
    StoreExistsError,
)
from lazymu.store.sources import MemorySource
from lazymu.stream import LazyMatrix, matrix_sums, passes, recorded_passes
from lazymu.stream.plan import plan_blocks
from lazymu.stream.stacked import StackedSource
from tests.store_samples import assert_tables_equal, dense, even_counts, peak_bytes, peers

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:anndata", "ignore::FutureWarning:mu")


def sample(
    n_obs: int, genes: list[str], *, seed: int = 0, kind: str = "csr", start: int = 0
) -> ad.AnnData:
    """Return counts with annotation; features of a name have the same annotation in all samples."""
    rng = np.random.default_rng(seed)
    X: Any = rng.poisson(1.0, (n_obs, len(genes))).astype(np.float32)
    X = {"csr": sp.csr_matrix, "csc": sp.csc_matrix, "dense": np.asarray}[kind](X)
    obs = pd.DataFrame(
        {
            "depth": rng.random(n_obs),
            "group": pd.Categorical(rng.choice(["a", "b"], n_obs), categories=["a", "b"]),
            "note": [f"note {i}" for i in range(n_obs)],
        },
        index=[f"cell{i}" for i in range(start, start + n_obs)],
    )
    var = pd.DataFrame(
        {"gene_ids": [f"ENS{g}" for g in genes], "mean": rng.random(len(genes))}, index=genes
    )
    with peers():
        adata = ad.AnnData(X, obs, var)
    adata.layers["counts"] = adata.X.copy()
    adata.obsm["X_pca"] = rng.random((n_obs, 3)).astype(np.float32)
    adata.obsp["distances"] = sp.csr_matrix((n_obs, n_obs))
    return adata


def two(**options: Any) -> list[ad.AnnData]:
    """Return samples with features of their own and shuffled common ones, and other cells."""
    a = sample(7, ["g1", "g2", "g3", "g4"], seed=1, **options)
    b = sample(5, ["g5", "g4", "g2", "g1"], seed=2, start=20, **options)
    return [a, b]


def lazy(adatas: list[ad.AnnData]) -> list[lazymu.Modality]:
    return [lazymu.Modality(adata) for adata in adatas]


def in_memory(adatas: Any, **options: Any) -> ad.AnnData:
    with peers():
        return ad.concat(adatas, **options)


def assert_joined(found: lazymu.Modality, expected: ad.AnnData) -> None:
    """Compare what both have: `obs` of ours has the columns of all samples."""
    assert list(found.obs_names) == list(expected.obs_names)
    assert list(found.var_names) == list(expected.var_names)
    np.testing.assert_array_equal(dense(found.X), np.nan_to_num(dense(expected.X)))
    assert_tables_equal(found.obs[list(expected.obs.columns)], expected.obs)
    assert_tables_equal(found.var[list(expected.var.columns)], expected.var)


# --- against anndata ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csr", "csc", "dense"])
@pytest.mark.parametrize("join", ["inner", "outer"])
def test_concat__is_anndatas(join: Any, kind: str) -> None:
    adatas = two(kind=kind)
    joined = lazymu.concat(lazy(adatas), join=join)
    expected = in_memory(adatas, join=join, label="sample", merge="same")
    assert_joined(joined, expected)
    assert joined.X.dtype == adatas[0].X.dtype  # anndata 0.13 widens where it fills with NaN
    np.testing.assert_array_equal(joined.obsm["X_pca"], expected.obsm["X_pca"])
    np.testing.assert_array_equal(
        dense(joined.layers["counts"]), np.nan_to_num(dense(expected.layers["counts"]))
    )
    assert list(joined.obsp) == list(joined.varm) == []
    assert list(joined.uns) == ["lazymu"]  # the samples' history


def genes_of() -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from([f"g{i}" for i in range(8)]), unique=True, max_size=8)


@st.composite
def samples(draw: Any) -> list[ad.AnnData]:
    """Draw samples with any features in any order, perhaps without cells or features."""
    adatas = []
    for n in range(draw(st.integers(1, 4))):
        n_obs, kind = draw(st.integers(0, 9)), draw(st.sampled_from(["csr", "csc", "dense"]))
        adatas.append(sample(n_obs, draw(genes_of()), seed=draw(st.integers(0, 99)), kind=kind))
        adatas[-1].obs_names = [f"s{n}c{i}" for i in range(n_obs)]
    return adatas


@given(adatas=samples(), join=st.sampled_from(["inner", "outer"]), data=st.data())
@hypothesis_settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_concat__values_are_anndatas_of_any_samples(
    adatas: list[ad.AnnData], join: Any, data: Any
) -> None:
    matrices = [dense(adata.X) for adata in adatas]
    joined = lazymu.concat(lazy(adatas), join=join)
    expected = pd.concat(
        [pd.DataFrame(X, a.obs_names, a.var_names) for X, a in zip(matrices, adatas, strict=True)],
        join=join,
    ).fillna(0)
    assert set(joined.var_names) == set(expected.columns)
    expected = expected[list(joined.var_names)]
    np.testing.assert_array_equal(joined.X.toarray(), expected.to_numpy())
    rows = data.draw(st.lists(st.integers(0, max(len(expected) - 1, 0)), max_size=12))
    cols = data.draw(st.permutations(range(expected.shape[1])))[:4]
    if len(expected):
        picked = joined[rows, cols]
        np.testing.assert_array_equal(picked.X.toarray(), expected.to_numpy()[rows][:, cols])
    start, stop = sorted(data.draw(st.tuples(*[st.integers(0, len(expected))] * 2)))
    block = joined.X.load(start, stop)
    assert block.has_sorted_indices
    assert (block.data != 0).all()
    np.testing.assert_array_equal(block.toarray(), expected.to_numpy()[start:stop])


@given(adatas=samples().filter(lambda adatas: all(a.n_vars for a in adatas)))
@hypothesis_settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
def test_concat__names_and_columns_are_anndatas_of_any_samples(adatas: list[ad.AnnData]) -> None:
    for join in ("inner", "outer"):
        joined = lazymu.concat(lazy(adatas), join=join)  # type: ignore[arg-type]
        expected = in_memory(adatas, join=join, label="sample")
        assert list(joined.obs_names) == list(expected.obs_names)
        assert list(joined.var_names) == list(expected.var_names)
        np.testing.assert_array_equal(joined.obs["depth"], expected.obs["depth"])
        assert joined.obs["sample"].tolist() == expected.obs["sample"].tolist()
        assert joined.obs["note"].tolist() == expected.obs["note"].tolist()


def test_concat__keys_and_index_unique_are_anndatas() -> None:
    adatas = [sample(4, ["g1", "g2"]), sample(3, ["g1", "g2"], seed=1)]
    options: dict[str, Any] = {"label": "batch", "index_unique": "_"}
    named = dict(zip(["x", "y"], adatas, strict=True))
    expected = in_memory(named, **options)
    assert_joined(lazymu.concat(lazy(adatas), keys=["x", "y"], **options), expected)
    as_mapping = {key: lazymu.Modality(adata) for key, adata in named.items()}
    assert_joined(lazymu.concat(as_mapping, **options), expected)


def test_concat__obs_has_the_columns_of_all_samples() -> None:
    a, b = two()
    a.obs["flag"] = True
    a.obs["count"] = np.arange(7)
    b.obs["group"] = pd.Categorical(["c"] * 5, categories=["c"])
    b.obs["maybe"] = pd.array([1, None, 2, 3, 4], dtype="Int64")
    joined = lazymu.concat(lazy([a, b]), join="outer")
    expected = in_memory([a, b], join="outer", label="sample")
    assert_tables_equal(joined.obs[list(expected.obs)], expected.obs)
    inner = lazymu.concat(lazy([a, b]), join="inner")
    assert set(inner.obs) == set(expected.obs)


def test_concat__categories_keep_their_order() -> None:
    a, b = two()
    ordered = pd.CategoricalDtype(["late", "early"], ordered=True)
    for adata in (a, b):
        adata.obs["time"] = pd.Categorical(["early"] * adata.n_obs, dtype=ordered)
    b.obs["group"] = pd.Categorical(["z"] * 5, categories=["z", "b"])
    joined = lazymu.concat(lazy([a, b]))
    assert joined.obs["time"].dtype == ordered
    assert list(joined.obs["group"].cat.categories) == ["a", "b", "z"]


def test_concat__var_keeps_what_samples_agree_on() -> None:
    a, b = two()
    joined = lazymu.concat(lazy([a, b]), join="outer")
    assert list(joined.var.columns) == ["gene_ids"]  # anndata's merge loses it in an outer join
    assert joined.var["gene_ids"].tolist() == [f"ENS{name}" for name in joined.var_names]
    a.var.loc["g1", "gene_ids"] = b.var.loc["g1", "gene_ids"] = np.nan
    assert list(lazymu.concat(lazy([a, b])).var) == ["gene_ids"]


def test_concat__equal_features_may_repeat() -> None:
    """Symbols of 10x's references do."""
    adatas = [sample(4, ["g1", "g1"], seed=0), sample(3, ["g1", "g1"], seed=1, start=10)]
    joined = lazymu.concat(lazy(adatas))
    assert list(joined.var_names) == ["g1", "g1"]
    np.testing.assert_array_equal(joined.X.toarray(), np.vstack([dense(a.X) for a in adatas]))


def test_concat__obsm_needs_one_width() -> None:
    a, b = two()
    a.obsm["X_umap"] = np.zeros((7, 2))
    b.obsm["X_pca"] = np.zeros((5, 4))
    a.obsm["table"] = pd.DataFrame({"x": np.arange(7.0)}, index=a.obs_names)
    b.obsm["table"] = pd.DataFrame({"x": np.arange(5.0)}, index=b.obs_names)
    a.obsm["sparse"], b.obsm["sparse"] = sp.eye(7, 5, format="csr"), sp.eye(5, format="csr")
    joined = lazymu.concat(lazy([a, b]))
    assert list(joined.obsm) == ["table", "sparse"]
    assert joined.obsm["table"]["x"].tolist() == [*range(7), *range(5)]
    assert list(joined.obsm["table"].index) == list(joined.obs_names)
    expected = sp.vstack([a.obsm["sparse"], b.obsm["sparse"]]).toarray()
    np.testing.assert_array_equal(joined.obsm["sparse"].toarray(), expected)


def test_concat__raw_is_joined_where_all_have_it() -> None:
    a, b = two()
    a.raw, b.raw = a.copy(), b[:, ["g5", "g4"]].copy()
    with pytest.warns(UserWarning, match="not all samples have it"):
        assert lazymu.concat(lazy([a, two()[1]])).raw is None
    joined = lazymu.concat(lazy([a, b]), join="outer")
    expected = in_memory([a, b], join="outer")
    assert joined.raw is not None
    assert list(joined.raw.var_names) == list(expected.raw.var_names)
    np.testing.assert_array_equal(dense(joined.raw.X), dense(expected.raw.X))


# --- MuData ---------------------------------------------------------------------------------------


def mdatas() -> list[md.MuData]:
    """Return samples of two modalities, the second of other cells; one sample has a third."""
    parts = []
    for n, (rna, genes) in enumerate(zip(two(), (["p1", "p2"], ["p2", "p1", "p3"]), strict=True)):
        prot = sample(rna.n_obs - 1, genes, seed=n + 7)
        prot.obs_names = rna.obs_names[1:]
        with peers():
            parts.append(md.MuData({"rna": rna, "prot": prot}))
        parts[-1].obs = pd.DataFrame({"donor": f"d{n}"}, index=parts[-1].obs_names)
        parts[-1].obsm["X_wnn"] = np.full((parts[-1].n_obs, 2), float(n))
        parts[-1].var["seen"] = True
    return parts


@pytest.mark.parametrize("join", ["inner", "outer"])
def test_concat__is_mudatas(join: Any) -> None:
    parts = mdatas()
    joined = lazymu.concat([as_lazy(part) for part in parts], join=join)
    with peers():
        expected = md.concat(parts, join=join, label="sample")
    assert list(joined.mod) == ["rna", "prot"]
    assert list(joined.obs_names) == [name for part in parts for name in part.obs_names]
    for name in joined.mod:
        assert_joined(joined[name], expected[name])
    obs = expected.obs.loc[joined.obs_names]  # mudata's order begins with the modality "prot"
    assert joined.obs["sample"].tolist() == obs["sample"].tolist()
    assert joined.obs["donor"].tolist() == obs["donor"].tolist()
    assert joined.var["seen"].tolist() == [True] * joined.n_vars
    order = expected.obs_names.get_indexer(joined.obs_names)
    np.testing.assert_array_equal(joined.obsm["X_wnn"], expected.obsm["X_wnn"][order])


def as_lazy(mdata: md.MuData) -> lazymu.MuData:
    """Return a lazymu MuData with the joint parts of mudata's."""
    out = lazymu.MuData(dict(mdata.mod))
    out.obs, out.var = mdata.obs.copy(), mdata.var.copy()
    out.obsm["X_wnn"] = mdata.obsm["X_wnn"]
    for modality in out.mod.values():
        modality.layers["counts"] = modality.X
    return out


def test_concat__modality_of_one_sample() -> None:
    a, b = map(as_lazy, mdatas())
    a.mod["atac"] = lazymu.Modality(sample(7, ["p1", "p2"], seed=3))
    inner, outer = lazymu.concat([b, a]), lazymu.concat([b, a], join="outer")
    assert list(inner.mod) == ["rna", "prot"]
    assert list(outer.mod) == ["rna", "prot", "atac"]
    np.testing.assert_array_equal(outer["atac"].X.toarray(), a["atac"].X.toarray())
    assert set(outer["atac"].obs["sample"]) == {"1"}
    assert outer.n_obs == a.n_obs + b.n_obs
    assert len(outer["atac"].obs["sample"].cat.categories) == 2


def test_concat__cells_of_a_left_out_modality_go() -> None:
    a, b = map(as_lazy, mdatas())
    a.mod["atac"] = lazymu.Modality(sample(3, ["p1"], seed=3, start=90))
    assert lazymu.concat([a, b]).n_obs == 12


def test_concat__modalities_of_two_samples_are_not_one_cells() -> None:
    """A name in the RNA of one sample and the protein of another is not one cell."""
    rna, prot = sample(3, ["g1"]), sample(3, ["p1"])
    parts = [lazymu.MuData({"rna": rna}), lazymu.MuData({"prot": prot})]
    with pytest.raises(DuplicateNamesError, match="index_unique"):
        lazymu.concat(parts, join="outer")
    assert lazymu.concat(parts, join="outer", index_unique="-").n_obs == 6


# --- virtual and on disk --------------------------------------------------------------------------


@pytest.fixture
def stores(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{n}.zarr" for n in range(2)]
    for path, mdata in zip(paths, mdatas(), strict=True):
        as_lazy(mdata).write(path)
    return paths


def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    small = partial(plan_blocks, max_values=6)
    monkeypatch.setattr("lazymu.stream.plan.FEW_VALUES", 6)
    monkeypatch.setattr(passes, "plan_blocks", small)


def test_concat__virtual_reads_nothing(stores: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LazyMatrix, "load", None)
    with recorded_passes() as read:
        joined = lazymu.concat(stores, join="outer")
        assert joined["rna"][::2, :2].shape == (6, 2)
    assert read == []


def test_concat__knows_the_sums_that_the_stores_know(stores: list[Path]) -> None:
    joined = lazymu.concat(stores, join="outer")
    with recorded_passes() as read:
        sums = matrix_sums(joined["rna"].X)
    assert read == []
    X = joined["rna"].X.toarray()
    np.testing.assert_array_equal(sums.cells.total, X.sum(1))
    np.testing.assert_array_equal(sums.cells.nnz, (X != 0).sum(1))
    np.testing.assert_array_equal(sums.features.total, X.sum(0))
    np.testing.assert_array_equal(sums.features.nnz, (X != 0).sum(0))
    assert sums.extremes.all_integer
    inner = lazymu.concat(stores)["rna"]
    np.testing.assert_array_equal(matrix_sums(inner.X).cells.total, inner.X.toarray().sum(1))


def test_concat__passes_and_functions_over_block_borders(
    stores: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    small_blocks(monkeypatch)
    joined = lazymu.concat(stores, join="outer")["rna"]
    expected = in_memory(two(), join="outer")
    with recorded_passes() as read:
        np.testing.assert_allclose(joined.X.sum(axis=0), expected.X.sum(axis=0).A1)
    assert len(read) == 1
    pp.filter_genes(joined, min_cells=3)
    pp.normalize_total(joined, target_sum=10)
    pp.log1p(joined)
    kept = expected[:, list(joined.var_names)]
    X = dense(kept.X)
    want = np.log1p(X / X.sum(1, keepdims=True) * 10)
    np.testing.assert_allclose(joined.X.toarray(), np.nan_to_num(want), rtol=1e-6)


@pytest.mark.parametrize("join", ["inner", "outer"])
@pytest.mark.parametrize("suffix", [".zarr", ".h5mu"])
def test_concat__on_disk_is_the_virtual_one(
    stores: list[Path], tmp_path: Path, join: Any, suffix: str
) -> None:
    out = tmp_path / f"all{suffix}"
    virtual = lazymu.concat(stores, join=join, index_unique="-")
    with recorded_passes() as read:
        written = lazymu.concat(stores, join=join, index_unique="-", out=out)
    assert len(read) == (4 if suffix == ".h5mu" else 2)  # a layer of X's counts is not read again
    assert list(written.mod) == list(virtual.mod)
    assert_tables_equal(written.obs, virtual.obs)
    for name, modality in virtual.mod.items():
        assert_tables_equal(written[name].obs, modality.obs)
        assert_tables_equal(written[name].var, modality.var)
        np.testing.assert_array_equal(written[name].X.toarray(), modality.X.toarray())
        assert written[name].X.dtype == modality.X.dtype
        np.testing.assert_array_equal(written[name].obsm["X_pca"], modality.obsm["X_pca"])
    with peers():
        foreign = md.read(out) if suffix == ".h5mu" else md.read_zarr(out)
    np.testing.assert_array_equal(dense(foreign["rna"].X), virtual["rna"].X.toarray())


def test_concat__of_a_concat(stores: list[Path]) -> None:
    once = lazymu.concat(stores, join="outer", label="batch")
    twice = lazymu.concat([once, once[[2, 0]]], index_unique="-")
    X = once["rna"].X.toarray()
    assert twice["rna"].X.shape[0] == len(X) + 2
    np.testing.assert_array_equal(twice["rna"].X.toarray()[: len(X)], X)


def test_concat__matrix_can_be_sent_to_other_processes(stores: list[Path]) -> None:
    X = lazymu.concat(stores, join="outer")["rna"].X[1:]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(X)).toarray(), X.toarray())


def test_concat__existing_target_stays(stores: list[Path]) -> None:
    with pytest.raises(StoreExistsError):
        lazymu.concat(stores, out=stores[0])
    joined = lazymu.concat(stores, out=stores[0], overwrite=True)
    assert lazymu.read(stores[0]).n_obs == joined.n_obs == 12


def test_stacked_source__alike_parts_share_their_columns() -> None:
    X = sp.random(3, 4, 0.5, format="csr")
    parts, cols = [LazyMatrix(X)] * 3, [np.array([2, 0, -1])] * 3
    pickers = StackedSource(parts, cols, 3)._pick
    assert pickers[0] is pickers[1] is pickers[2] is not None


def test_stacked_source__widens_the_values_of_parts() -> None:
    small, large = np.array([[1, 0]], "uint8"), np.array([[0, 70_000]], "uint32")
    source = StackedSource([LazyMatrix(MemorySource(x)) for x in (small, large)], [None, None], 2)
    assert source.dtype == np.uint32
    assert source.is_dense
    assert source.read(0, 1).dtype == np.uint32
    np.testing.assert_array_equal(source.read(0, 2).toarray(), [[1, 0], [0, 70_000]])


# --- transforms -----------------------------------------------------------------------------------


def normalized(adata: ad.AnnData, *, target_sum: float = 10.0) -> lazymu.Modality:
    mod = lazymu.Modality(adata)
    pp.normalize_total(mod, target_sum=target_sum)
    pp.log1p(mod)
    return mod


@pytest.mark.parametrize("join", ["inner", "outer"])
def test_concat__keeps_a_transform_that_samples_share(join: Any) -> None:
    adatas = two()
    parts = [normalized(adata, target_sum=t) for adata, t in zip(adatas, (10.0, 30.0), strict=True)]
    joined = lazymu.concat(parts, join=join)
    for adata, part in zip(adatas, parts, strict=True):
        adata.X = sp.csr_matrix(part.X.toarray())
    expected = in_memory(adatas, join=join)
    np.testing.assert_allclose(joined.X.toarray(), dense(expected.X), rtol=1e-6)
    counts = in_memory(two(), join=join)
    np.testing.assert_array_equal(joined.X.counts.toarray(), dense(counts.X))
    np.testing.assert_array_equal(joined.layers["counts"].toarray(), dense(counts.X))


def test_concat__refuses_transforms_that_differ() -> None:
    a, b = two()
    with pytest.raises(ArgumentError, match=r"mod.X = mod.X.counts"):
        lazymu.concat([normalized(a), lazymu.Modality(b)])
    scaled = [normalized(adata) for adata in (a, b)]
    for mod in scaled:
        pp.scale(mod)
    with pytest.raises(ArgumentError, match="not the same in all samples"):
        lazymu.concat(scaled)


def test_concat__factors_of_features_must_agree() -> None:
    from lazymu.stream.steps import ScaleCols

    a, b = lazy(two())
    for mod in (a, b):
        factor = np.array([float(name[1:]) for name in mod.var_names], dtype=np.float32)
        mod.X = mod.X.with_steps(ScaleCols(factor))
    joined = lazymu.concat([a, b])
    raw = in_memory(two())
    np.testing.assert_allclose(
        joined.X.toarray(), dense(raw.X) * [float(name[1:]) for name in raw.var_names]
    )
    with pytest.raises(ArgumentError, match="not the same in all samples"):
        lazymu.concat([a, b], join="outer")


def test_concat__empty_sample_has_no_say_in_transforms() -> None:
    a, b = two()
    joined = lazymu.concat([normalized(a), lazymu.Modality(b[:0].copy())])
    assert joined.n_obs == 7
    assert joined.obs["sample"].cat.categories.tolist() == ["0", "1"]


# --- errors ---------------------------------------------------------------------------------------


def mudata_of_axis_1() -> lazymu.MuData:
    return lazymu.MuData({"a": sample(2, ["g1"]), "b": sample(2, ["g1"])}, axis=1)


ERRORS: list[tuple[dict[str, Any], type[LazyMuError], str]] = [
    ({"join": "left"}, ArgumentError, '`join` is \'left\', but it is "inner" or "outer"'),
    ({"stores": []}, ArgumentError, "there must be a sample"),
    ({"stores": "a.zarr"}, ArgumentError, "pass a list"),
    ({"stores": [sample(2, ["g1"])]}, ArgumentError, r"lazymu.Modality\(adata\)"),
    ({"keys": ["a"]}, ArgumentError, "pass as many different keys"),
    ({"keys": ["a", "a"]}, ArgumentError, "pass as many different keys"),
    ({"stores": {"a": 1}, "keys": ["a"]}, ArgumentError, "leave one of the two out"),
    ({"label": "group"}, ArgumentError, "pass another label, or label=None"),
    ({"chunk_values": 5}, ArgumentError, "pass out="),
    ({"stores": [mudata_of_axis_1()]}, ArgumentError, "one by one"),
    (
        {"stores": [lazymu.MuData({"rna": sample(2, ["g1"])}), lazymu.Modality(sample(2, ["g"]))]},
        ArgumentError,
        "samples must be of one kind",
    ),
    (
        {"stores": [lazymu.MuData({m: sample(2, ["g1"])}) for m in ("rna", "prot")]},
        ModalityNotFoundError,
        'pass join="outer"',
    ),
    ({"stores": lazy([sample(2, ["g1"])] * 2)}, DuplicateNamesError, 'index_unique="-"'),
    (
        {"stores": lazy([sample(2, ["g1", "g1"]), sample(2, ["g1"], start=5)])},
        DuplicateNamesError,
        "var_names_make_unique",
    ),
]


@pytest.mark.parametrize(("arguments", "error", "message"), ERRORS)
def test_concat__errors(arguments: Any, error: type[LazyMuError], message: str) -> None:
    given = {"stores": lazy(two()), **arguments}
    with pytest.raises(error, match=message):
        lazymu.concat(given.pop("stores"), **given)


def test_concat__names_that_repeat_within_a_sample() -> None:
    adata = sample(2, ["g1"])
    adata.obs_names = ["same", "same"]
    with pytest.raises(DuplicateNamesError, match="obs_names_make_unique"):
        lazymu.concat(lazy([adata, sample(2, ["g1"], start=5)]), index_unique="-")


def test_concat__X_of_some_samples_only() -> None:
    a, b = lazy(two())
    a.X = None
    del a.layers["counts"], b.layers["counts"]
    with pytest.raises(ArgumentError, match="absent in 1 of 2 samples"):
        lazymu.concat([a, b])
    b.X = None
    assert lazymu.concat([a, b]).shape == (12, 3)


# --- real data and memory -------------------------------------------------------------------------


def test_concat__real_batches(data_dir: Path, tmp_path: Path) -> None:
    paths = [data_dir / "rna_pbmc_stim2000" / f"pbmc_{name}.h5ad" for name in ("ctrl", "stim")]
    adatas = {name: ad.read_h5ad(p) for name, p in zip(("ctrl", "stim"), paths, strict=True)}
    adatas["stim"] = adatas["stim"][:, ::-2].copy()
    paths[1] = tmp_path / "stim.h5ad"
    adatas["stim"].write_h5ad(paths[1])
    for join in ("inner", "outer"):
        options: dict[str, Any] = {"join": join, "index_unique": "-"}
        expected = in_memory(adatas, **options)
        joined = lazymu.concat(paths, keys=list(adatas), out=tmp_path / f"{join}.zarr", **options)
        assert list(joined.var_names) == list(expected.var_names)
        assert list(joined.obs_names) == list(expected.obs_names)
        assert (joined.X.to_memory() != sp.csr_matrix(expected.X)).nnz == 0


@pytest.mark.slow
def test_concat__on_disk_keeps_the_memory_limit(tmp_path: Path) -> None:
    """Eight samples of 16 million values, 1 GB as float32 CSR, under a limit of 0.7 GB."""
    rng, X = np.random.default_rng(0), even_counts(8_000)
    genes = np.array([f"g{i}" for i in range(X.shape[1])])
    paths = [str(tmp_path / f"{k}.zarr") for k in range(8)]
    for path in paths:
        lazymu.Modality(X, var=pd.DataFrame(index=rng.permutation(genes))).write(path)
    limit, out = 700 * 10**6, str(tmp_path / "all.zarr")
    code = f"lazymu.concat({paths}, index_unique='-', out={out!r})"
    assert peak_bytes(code, limit) < limit
    assert lazymu.read(out).shape == (8 * X.shape[0], X.shape[1])
