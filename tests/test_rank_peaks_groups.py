"""`atac.tl.rank_peaks_groups` and `add_genes_peaks_groups` against muon."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import lazymu
from lazymu.atac.tl import add_genes_peaks_groups, rank_peaks_groups
from lazymu.errors import ArgumentError, MissingResultError, ModalityNotFoundError
from lazymu.stream import recorded_passes
from lazymu.tl import rank_genes_groups
from tests.conftest import make_counts
from tests.matrix_cases import quiet

with quiet():
    mu = pytest.importorskip("muon")

KEY = "rank_genes_groups"


def peak_annotation(peaks: Any, *, name: str = "gene") -> pd.DataFrame:
    """Return muon's table: peaks with one gene, with two, and with none."""
    rows = []
    for number, peak in enumerate(peaks):
        if number % 3 == 0:
            rows.append(("", peak, -1, "intergenic"))
        for gene in range(number % 3):
            rows.append((f"G{number}.{gene}", peak, 100 * number - 1000 * gene, "distal"))
    table = pd.DataFrame(rows, columns=[name, "peak", "distance", "peak_type"])
    return table.sample(frac=1, random_state=0).set_index(name)


def make_atac(n_obs: int = 90, n_vars: int = 24) -> ad.AnnData:
    X = sp.csr_matrix(make_counts(n_obs, n_vars, density=0.4)).log1p()
    groups = np.random.default_rng(0).choice(["a", "b", "c"], n_obs)
    obs = pd.DataFrame(
        {"cluster": pd.Categorical(groups)}, index=[f"cell{i}" for i in range(n_obs)]
    )
    peaks = [f"chr1:{1000 * j}-{1000 * j + 500}" for j in range(n_vars)]
    adata = ad.AnnData(X, obs=obs, var=pd.DataFrame(index=peaks))
    adata.uns["atac"] = {"peak_annotation": peak_annotation(peaks)}
    return adata


def muon_result(adata: ad.AnnData, groupby: str, **options: Any) -> dict[str, Any]:
    adata = adata.copy()
    with quiet():
        mu.atac.tl.rank_peaks_groups(adata, groupby, method="t-test", **options)
    return dict(adata.uns[KEY])


def assert_same_genes(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Compare by peak, as peaks of equal score may stand in any order."""
    assert set(ours) == set(theirs)
    groups = theirs["names"].dtype.names
    assert ours["genes"].dtype.names == groups
    for column in ("genes", "peak_type", "distance"):
        for group in groups if column in theirs else ():
            own = dict(zip(ours["names"][group], ours[column][group], strict=True))
            other = dict(zip(theirs["names"][group], theirs[column][group], strict=True))
            assert own == other


@pytest.mark.parametrize("name", ["gene", "gene_name"])
@pytest.mark.parametrize(
    "options", [{}, {"add_peak_type": True}, {"add_distance": True, "add_peak_type": True}]
)
def test_rank_peaks_groups__equals_muon(options: dict[str, Any], name: str) -> None:
    adata = make_atac()
    adata.uns["atac"]["peak_annotation"] = peak_annotation(adata.var_names, name=name)
    mod = lazymu.Modality(adata)
    with recorded_passes() as passes:
        rank_peaks_groups(mod, "cluster", **options)
    assert len(passes) == 1
    assert_same_genes(mod.uns[KEY], muon_result(adata, "cluster", **options))
    table = mod.uns["atac"]["peak_annotation"]
    pd.testing.assert_frame_equal(table, adata.uns["atac"]["peak_annotation"])


def test_rank_peaks_groups__of_real_peaks_equals_muon(data_dir: Path) -> None:
    with quiet():
        adata = ad.read_h5ad(data_dir / "atac_hemato600" / "atac_hemato600.h5ad")
    adata = ad.AnnData(sp.csr_matrix(adata.X, dtype=np.float32).log1p(), var=adata.var[[]])
    adata.obs["half"] = pd.Categorical(np.where(np.arange(adata.n_obs) % 2, "odd", "even"))
    adata.uns["atac"] = {"peak_annotation": peak_annotation(adata.var_names)}
    mod = lazymu.Modality(adata)
    rank_peaks_groups(mod, "half", add_distance=True)
    assert_same_genes(mod.uns[KEY], muon_result(adata, "half", add_distance=True))


def test_rank_peaks_groups__arguments_reach_the_test() -> None:
    adata = make_atac()
    mod = lazymu.Modality(adata)
    options = {"groups": ["c", "a"], "reference": "b", "n_genes": 7}
    rank_peaks_groups(mod, "cluster", **options)
    theirs = muon_result(adata, "cluster", **options)
    assert mod.uns[KEY]["genes"].dtype.names == theirs["genes"].dtype.names
    assert len(mod.uns[KEY]["genes"]) == 7
    rank_peaks_groups(mod, "cluster", method="logreg", key_added="by_regression")
    assert set(mod.uns["by_regression"]) == {"params", "names", "scores", "genes"}
    copied = rank_peaks_groups(mod, "cluster", copy=True, key_added="copied")
    assert "genes" in copied.uns["copied"]
    assert "copied" not in mod.uns


def test_rank_peaks_groups__joint_column_and_series_go_by_name() -> None:
    adata = make_atac()
    labels = adata.obs["cluster"].sample(frac=1, random_state=1)
    mdata = lazymu.MuData({"rna": adata[::-1].copy(), "atac": adata})
    del mdata["atac"].obs["cluster"]
    mdata.obs["leiden_wnn"] = labels
    rank_peaks_groups(mdata, "leiden_wnn")
    theirs = muon_result(adata, "cluster")
    assert_same_genes(mdata["atac"].uns[KEY], theirs)
    assert mdata["atac"].uns[KEY]["params"]["groupby"] == "leiden_wnn"
    assert KEY not in mdata["rna"].uns
    rank_peaks_groups(mdata, labels, key_added="by_series")
    assert_same_genes(mdata["atac"].uns["by_series"], theirs)


def test_rank_peaks_groups__without_annotation_only_ranks() -> None:
    adata = make_atac()
    del adata.uns["atac"]
    mod, expected = lazymu.Modality(adata), lazymu.Modality(adata)
    rank_peaks_groups(mod, "cluster")
    rank_genes_groups(expected, "cluster")
    assert set(mod.uns[KEY]) == set(expected.uns[KEY])
    with (
        recorded_passes() as passes,
        pytest.raises(MissingResultError, match=r"uns\['atac'\]\['peak_annotation'\]` is missing"),
    ):
        rank_peaks_groups(mod, "cluster", add_distance=True)
    assert passes == []


def test_add_genes_peaks_groups__peaks_without_an_entry_keep_their_place() -> None:
    """muon leaves them out, so that what follows stands beside other peaks' names."""
    adata = make_atac()
    table = adata.uns["atac"]["peak_annotation"]
    known = adata.var_names[:10]
    adata.uns["atac"]["peak_annotation"] = table[table["peak"].isin(known)]
    mod = lazymu.Modality(adata)
    rank_genes_groups(mod, "cluster")
    add_genes_peaks_groups(mod, add_distance=True)
    result = mod.uns[KEY]
    for group in ("a", "b", "c"):
        for peak, genes, distance in zip(
            result["names"][group], result["genes"][group], result["distance"][group], strict=True
        ):
            own = table[table["peak"] == peak]
            entries = own if peak in known else own[:0]
            assert genes == ", ".join(entries.index)
            assert distance == ", ".join(map(str, entries["distance"]))


@pytest.mark.parametrize("dtype", ["Int64", "float64", "object"])
def test_add_genes_peaks_groups__missing_distances_are_empty(dtype: str) -> None:
    adata = make_atac()
    table = adata.uns["atac"]["peak_annotation"]
    distance = table["distance"].astype("Int64").mask(table["peak_type"] == "intergenic")
    if dtype == "object":
        distance = distance.astype(object).where(distance.notna(), None)
    elif dtype == "float64":
        distance = distance.astype("float64")
    mod = lazymu.Modality(adata)
    mod.uns["atac"] = {"peak_annotation": table.assign(distance=distance)}
    rank_peaks_groups(mod, "cluster", add_distance=True)
    found = dict(zip(mod.uns[KEY]["names"]["a"], mod.uns[KEY]["distance"]["a"], strict=True))
    assert found[adata.var_names[0]] == ""
    assert found[adata.var_names[1]] == "100"


@pytest.mark.parametrize("suffix", [".zarr", ".h5mu"])
def test_rank_peaks_groups__result_is_written_and_read(tmp_path: Path, suffix: str) -> None:
    mdata = lazymu.MuData({"atac": make_atac()})
    rank_peaks_groups(mdata, "cluster", add_peak_type=True, add_distance=True)
    mdata.write(tmp_path / f"peaks{suffix}")
    read = lazymu.read(tmp_path / f"peaks{suffix}")["atac"].uns[KEY]
    result = mdata["atac"].uns[KEY]
    for group in ("a", "b", "c"):
        for column in ("genes", "peak_type", "distance"):
            assert list(read[column][group]) == list(result[column][group])


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "options", "error", "message"),
    [
        (lambda t: t.drop(columns="peak"), {}, MissingResultError, "'peak' is needed"),
        (
            lambda t: t.drop(columns="distance"),
            {"add_distance": True},
            MissingResultError,
            "'distance' is needed",
        ),
        (
            lambda t: t.assign(peak=t["peak"].str.replace(":", "-")),
            {},
            ArgumentError,
            "features are called 'chr1:0-500'",
        ),
    ],
)
def test_rank_peaks_groups__errors_of_the_annotation_come_first(
    change: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    mod = lazymu.Modality(make_atac())
    mod.uns["atac"] = {"peak_annotation": change(mod.uns["atac"]["peak_annotation"])}
    with recorded_passes() as passes, pytest.raises(error, match=message):
        rank_peaks_groups(mod, "cluster", **options)
    assert passes == []


def test_rank_peaks_groups__errors() -> None:
    mdata = lazymu.MuData({"atac": make_atac()})
    mdata.obs["joint"] = "a"
    with pytest.raises(MissingResultError, match="obs are: cluster; of the joint obs: joint"):
        rank_peaks_groups(mdata, "leiden")
    with pytest.raises(MissingResultError, match=f"without {KEY!r}.*rank the peaks first"):
        add_genes_peaks_groups(mdata)
    with pytest.raises(ModalityNotFoundError, match="only rna"):
        rank_peaks_groups(lazymu.MuData({"rna": make_atac()}), "cluster")
