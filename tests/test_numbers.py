"""Numbers at the edges: sums that overflow, tiny values, empty axes, identical cells.

Each function gives the same of a store's blocks as of one block in memory, NumPy's or scanpy's
result in float64 where there is one, and else an error that says what is wrong.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp

import lazymu as mu
from lazymu.errors import ArgumentError, EmptyResultError, LazyMuError, NotCountsError
from tests.conftest import PEERS_WARN
from tests.rna_data import small_blocks

pytestmark = PEERS_WARN

N_OBS, N_VARS = 40, 30


def poisson(n_obs: int = N_OBS, n_vars: int = N_VARS) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).poisson(2.0, (n_obs, n_vars))


def with_zeros() -> np.ndarray[Any, Any]:
    X = poisson().astype(np.float32)
    X[[3, 10]] = 0
    X[:, 5:7] = 0
    return X


MATRICES: dict[str, np.ndarray[Any, Any]] = {
    "int32, totals beyond 2^31": (np.minimum(poisson(), 7) << 28).astype(np.int32),
    "uint8, totals beyond 255": np.random.default_rng(0).integers(0, 256, (N_OBS, 90), np.uint8),
    "int64, totals beyond 2^53": (poisson().astype(np.int64) << 50) + 1,
    "float64, totals beyond 2^53": poisson() * 2.0**52 + 1,
    "float32, counts beyond 2^24": (poisson() * 2.0**24).astype(np.float32),
    "float64, denormal": poisson() * 5e-324,
    "float32, denormal": poisson().astype(np.float32) * np.float32(1e-45),
    "cells and features of zeros": with_zeros(),
    "zeros alone": np.zeros((N_OBS, N_VARS), np.float32),
    "one cell": 1 + poisson(1).astype(np.float32),
    "one feature": poisson(n_vars=1).astype(np.float32),
    "no cells": np.zeros((0, N_VARS), np.float32),
    "no features": np.zeros((N_OBS, 0), np.float32),
    "neither": np.zeros((0, 0), np.float32),
    "identical cells": np.tile(1 + poisson(1).astype(np.float32), (N_OBS, 1)),
    "constant": np.ones((N_OBS, N_VARS), np.float32),
}


@contextmanager
def blocks_of(modality: mu.Modality) -> Iterator[None]:
    """Cut passes into blocks of a few cells."""
    with small_blocks(
        7, max(1, modality.n_vars), state_bytes=1 << 16, operand_bytes=1 << 16, n_threads=2
    ):
        yield


def modality_of(X: Any) -> mu.Modality:
    modality = mu.Modality(X)
    modality.obs["group"] = pd.Categorical(np.where(np.arange(modality.n_obs) % 2, "b", "a"))
    return modality


def numbers(table: pd.DataFrame) -> np.ndarray[Any, Any]:
    return table.select_dtypes("number").to_numpy(np.float64)


# --- what is called, and the answer of NumPy or scanpy in float64 ---------------------------------

Function = Callable[[mu.Modality], Any]


def qc(data: mu.Modality) -> Any:
    tables = mu.pp.calculate_qc_metrics(data, percent_top=None)
    assert tables is not None
    return np.concatenate([numbers(table).ravel() for table in tables])


def total_of_cells(data: mu.Modality) -> Any:
    return np.asarray(data.X.sum(axis=1))


def total_of_features(data: mu.Modality) -> Any:
    return np.asarray(data.X.sum(axis=0))


def normalized(data: mu.Modality) -> Any:
    mu.pp.normalize_total(data)
    return data.X.toarray()


def logarithms(data: mu.Modality) -> Any:
    mu.pp.log1p(data)
    return data.X.toarray()


def scaled(data: mu.Modality) -> Any:
    mu.pp.scale(data)
    return data.X.toarray()


def binarized(data: mu.Modality) -> Any:
    mu.atac.pp.binarize(data)
    return data.X.toarray()


def tfidf(data: mu.Modality) -> Any:
    mu.atac.pp.tfidf(data)
    return data.X.toarray()


def clr(data: mu.Modality) -> Any:
    mu.prot.pp.clr(data)
    return data.X.toarray()


def clr_of_cells(data: mu.Modality) -> Any:
    mu.prot.pp.clr(data, axis=1)
    return data.X.toarray()


def variable(flavor: Any) -> Function:
    def function(data: mu.Modality) -> Any:
        if flavor != "seurat_v3":
            mu.pp.normalize_total(data)
            mu.pp.log1p(data)
        mu.pp.highly_variable_genes(data, flavor=flavor, n_top_genes=5)
        return numbers(data.var)

    return function


def pca(data: mu.Modality) -> Any:
    mu.pp.pca(data, n_comps=3)
    return data.uns["pca"]["variance"]


def lsi(data: mu.Modality) -> Any:
    mu.atac.tl.lsi(data, n_comps=3)
    return data.uns["lsi"]["stdev"]


def aggregate(function: str) -> Function:
    def aggregated(data: mu.Modality) -> Any:
        return np.asarray(mu.get.aggregate(data, "group", function).layers[function])

    return aggregated


def ranked(method: Any) -> Function:
    def function(data: mu.Modality) -> Any:
        mu.pp.log1p(data)
        mu.tl.rank_genes_groups(data, "group", method=method)
        found = data.uns["rank_genes_groups"]
        return np.sort(np.array(found["scores"].tolist(), np.float64), axis=0)

    return function


def with_embedding(data: mu.Modality) -> mu.Modality:
    data.obsm["X_pca"] = data.X.toarray().astype(np.float64)[:, :5]
    return data


def neighbors(data: mu.Modality) -> Any:
    mu.pp.neighbors(with_embedding(data), n_neighbors=5)
    return data.obsp["distances"].toarray()


def leiden(data: mu.Modality) -> Any:
    neighbors(data)
    mu.tl.leiden(data)
    return data.obs["leiden"].cat.codes.to_numpy()


def umap(data: mu.Modality) -> Any:
    neighbors(data)
    mu.tl.umap(data)
    return np.isfinite(data.obsm["X_umap"])  # of identical cells the places are not defined


def weighted(data: mu.Modality) -> Any:
    other = with_embedding(mu.Modality(data.X.toarray()[:, ::-1]))
    mdata = mu.MuData({"rna": with_embedding(data), "prot": other})
    mu.pp.neighbors(mdata, n_neighbors=5, n_multineighbors=10, n_bandwidth_neighbors=5)
    return mdata.obsp["connectivities"].toarray()


def values_of_a_feature(data: mu.Modality) -> Any:
    return mu.get.obs_df(data, [*data.var_names[:1]]).to_numpy()


def joined(data: mu.Modality) -> Any:
    return mu.concat({"a": data, "b": data}, index_unique="-").X.toarray()


def kept_cells(data: mu.Modality) -> Any:
    mu.pp.filter_cells(data, min_genes=1)
    return data.X.toarray()


def kept_features(data: mu.Modality) -> Any:
    mu.pp.filter_genes(data, min_cells=1)
    return data.X.toarray()


FUNCTIONS: dict[str, Function] = {
    one.__name__: one
    for one in (
        *(qc, total_of_cells, total_of_features, normalized, logarithms, scaled, binarized),
        *(tfidf, clr, clr_of_cells, lsi, neighbors, leiden, umap, weighted),
        *(values_of_a_feature, joined, kept_cells, kept_features),
    )
}
FUNCTIONS |= {f"hvg {flavor}": variable(flavor) for flavor in ("seurat", "cell_ranger")}
FUNCTIONS |= {f"rank {one}": ranked(one) for one in ("t-test", "t-test_overestim_var", "wilcoxon")}
FUNCTIONS |= {f"aggregate {one}": aggregate(one) for one in ("sum", "mean", "var", "count_nonzero")}
IN_MEMORY = {"pca": pca, "hvg seurat_v3": variable("seurat_v3"), "rank logreg": ranked("logreg")}
"""What needs more room than a limit of small blocks gives, or is one fit of all values."""


def outcome(function: Function, data: mu.Modality) -> Any:
    """Return the result, or the error's class and text. No other error may come."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return np.asarray(function(data), dtype=np.float64)
        except LazyMuError as error:
            return f"{type(error).__name__}: {error}"


@pytest.mark.parametrize("case", MATRICES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_edge__blocks_give_what_memory_gives(name: str, case: str) -> None:
    X = sp.csr_matrix(MATRICES[case])
    whole = outcome(FUNCTIONS[name], modality_of(X))
    data = modality_of(X)
    with blocks_of(data):
        found = outcome(FUNCTIONS[name], data)
    if isinstance(whole, str):
        assert found == whole
        return
    assert found.shape == whole.shape
    size = np.max(np.abs(whole), initial=0, where=np.isfinite(whole))
    np.testing.assert_allclose(found, whole, rtol=1e-5, atol=1e-6 * size)


@pytest.mark.parametrize("case", MATRICES)
@pytest.mark.parametrize("name", IN_MEMORY)
def test_edge__in_memory_there_is_a_result_or_an_error(name: str, case: str) -> None:
    found = outcome(IN_MEMORY[name], modality_of(MATRICES[case]))
    assert isinstance(found, str) or found.dtype == np.float64


def theirs(X: np.ndarray[Any, Any]) -> ad.AnnData:
    adata = ad.AnnData(X.astype(np.float64))
    adata.obs["group"] = pd.Categorical(np.where(np.arange(len(X)) % 2, "b", "a"))
    return adata


def normalized_in_float64(X: np.ndarray[Any, Any]) -> Any:
    totals = X.sum(axis=1)
    factor = totals / np.median(totals[totals > 0]) if totals.any() else totals
    return X / np.where(factor == 0, 1, factor)[:, None]


def clr_in_float64(X: np.ndarray[Any, Any]) -> Any:
    return np.log1p(X / np.exp(np.log1p(X).sum(axis=0) / max(1, len(X))))


def qc_of_scanpy(X: np.ndarray[Any, Any]) -> Any:
    tables = sc.pp.calculate_qc_metrics(theirs(X), percent_top=None)
    return np.concatenate([numbers(table).ravel() for table in tables])


def ranks_of_scanpy(method: Any) -> Callable[[np.ndarray[Any, Any]], Any]:
    def function(X: np.ndarray[Any, Any]) -> Any:
        adata = theirs(np.log1p(X))
        adata.uns["log1p"] = {"base": None}
        sc.tl.rank_genes_groups(adata, "group", method=method)
        return np.sort(np.array(adata.uns["rank_genes_groups"]["scores"].tolist()), axis=0)

    return function


def by_group(function: Callable[..., Any]) -> Callable[[np.ndarray[Any, Any]], Any]:
    return lambda X: np.array([function(X[first::2], axis=0) for first in range(2)])


ANSWERS: dict[str, Callable[[np.ndarray[Any, Any]], Any]] = {
    "total_of_cells": lambda X: X.sum(axis=1),
    "total_of_features": lambda X: X.sum(axis=0),
    "qc": qc_of_scanpy,
    "normalized": normalized_in_float64,
    "logarithms": np.log1p,
    "clr": clr_in_float64,
    "binarized": lambda X: X > 0,
    "aggregate sum": by_group(np.sum),
    "aggregate mean": by_group(np.mean),
    "aggregate count_nonzero": by_group(np.count_nonzero),
    "aggregate var": by_group(lambda X, axis: np.var(X, axis=axis, ddof=1)),
    "rank t-test": ranks_of_scanpy("t-test"),
    "rank wilcoxon": ranks_of_scanpy("wilcoxon"),
    "values_of_a_feature": lambda X: X[:, :1],
    "joined": lambda X: np.vstack([X, X]),
}
COMPARED = [case for case, X in MATRICES.items() if len(X) > 1 and X.shape[1]]
TINY = ("float64, denormal", "float32, denormal")


@pytest.mark.parametrize("case", COMPARED)
@pytest.mark.parametrize("name", ANSWERS)
def test_edge__blocks_give_what_float64_gives(name: str, case: str) -> None:
    X = MATRICES[case]
    if case in TINY and name not in ("logarithms", "total_of_cells", "joined", "binarized"):
        pytest.skip("quotients of denormal numbers keep no digits")
    data = modality_of(sp.csr_matrix(X))
    with blocks_of(data):
        found = outcome(FUNCTIONS[name], data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = np.asarray(ANSWERS[name](X.astype(np.float64)), np.float64)
    assert not isinstance(found, str), found
    size = np.max(np.abs(expected), initial=0, where=np.isfinite(expected))
    # What a test says of constant features is 0, missing or infinite by rounding errors alone.
    infinite = 0 if name.startswith("rank") else 1e300
    found = np.nan_to_num(found, posinf=1e300)
    expected = np.nan_to_num(expected, posinf=infinite, neginf=-infinite)
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6 * size)


# --- errors, each by what it says -----------------------------------------------------------------


@pytest.mark.parametrize("total", [5e-324 * 3, 1e-310])
def test_normalize_total__cells_of_next_to_nothing(total: float) -> None:
    X = np.array([[total, 0.0], [1.0, 2.0]])
    with pytest.raises(ArgumentError, match=r"cells that sum to .*, but no number scales"):
        mu.pp.normalize_total(mu.Modality(X), target_sum=1e4)


def test_normalize_total__cells_whose_sum_overflows() -> None:
    X = np.array([[1e308, 1e308], [1.0, 2.0]])
    with pytest.raises(ArgumentError, match="cells that sum to inf, but no number scales"):
        mu.pp.normalize_total(mu.Modality(X), target_sum=1.0)


@pytest.mark.parametrize("flavor", ["seurat", "cell_ranger"])
def test_highly_variable_genes__means_next_to_nothing(flavor: Any) -> None:
    data = modality_of(MATRICES["float64, denormal"])
    mu.pp.log1p(data)
    with pytest.raises(ArgumentError, match=r"with means up to .*beyond what numbers resolve"):
        mu.pp.highly_variable_genes(data, flavor=flavor, n_top_genes=5)


@pytest.mark.parametrize("flavor", ["seurat", "cell_ranger"])
def test_highly_variable_genes__of_no_features_is_an_empty_table(flavor: Any) -> None:
    data = modality_of(MATRICES["no features"])
    mu.pp.log1p(data)
    mu.pp.highly_variable_genes(data, flavor=flavor)
    assert data.var["highly_variable"].dtype == bool
    assert len(data.var) == 0


@pytest.mark.parametrize("method", ["t-test", "t-test_overestim_var", "wilcoxon", "logreg"])
def test_rank_genes_groups__without_features(method: Any) -> None:
    data = modality_of(MATRICES["no features"])
    with pytest.raises(ArgumentError, match="there is no feature to test"):
        mu.tl.rank_genes_groups(data, "group", method=method)


@pytest.mark.parametrize("as_matrix", [np.asarray, sp.csr_matrix])
def test_rank_genes_groups__regression_of_what_is_not_finite(as_matrix: Any) -> None:
    X = poisson().astype(np.float64)
    X[3, 4] = np.nan
    with pytest.raises(ArgumentError, match="with NaN or inf, but a regression has no place"):
        mu.tl.rank_genes_groups(modality_of(as_matrix(X)), "group", method="logreg")


@pytest.mark.parametrize("function", [pca, lsi])
def test_decomposition__squares_that_overflow(function: Function) -> None:
    with pytest.raises(ArgumentError, match="sums of squares over all cells must be finite"):
        function(modality_of(poisson() * 1e200))


def test_mofa__more_factors_than_cells() -> None:
    views = {name: mu.Modality(1 + poisson(2).astype(np.float32)) for name in ("a", "b")}
    with pytest.raises(ArgumentError, match=r"`n_factors` is 5, but 2 cells .* at most 2"):
        mu.tl.mofa(mu.MuData(views), use_var=None, n_factors=5)


def test_mofa__negative_whole_numbers_are_no_counts() -> None:
    views = {name: mu.Modality(poisson().astype(np.float32) - 2) for name in ("a", "b")}
    mdata = mu.MuData(views)
    mu.tl.mofa(mdata, use_var=None, n_factors=2, n_iterations=3)
    assert mdata.uns["mofa"]["params"]["engine"] == "lazymu"


@pytest.mark.parametrize("case", ["no cells", "no features", "neither"])
def test_filters__of_nothing_leave_nothing(case: str) -> None:
    for function in (kept_cells, kept_features):
        with pytest.raises(EmptyResultError, match="would be left"):
            function(modality_of(MATRICES[case]))


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
@pytest.mark.parametrize("function", [qc, normalized, tfidf, clr, kept_cells, kept_features])
def test_counts__are_asked_for(function: Function, value: float) -> None:
    X = poisson().astype(np.float32)
    X[7, 8] = value
    for matrix in (X, sp.csr_matrix(X)):
        with pytest.raises(NotCountsError, match="needs a counts matrix"):
            function(modality_of(matrix))


@pytest.mark.parametrize("case", MATRICES)
def test_store__keeps_values_and_totals(case: str, tmp_path: Any) -> None:
    X = MATRICES[case]
    mu.MuData({"rna": mu.Modality(sp.csr_matrix(X))}).write(tmp_path / "x.zarr")
    rna = mu.read(tmp_path / "x.zarr")["rna"]
    np.testing.assert_array_equal(rna.X.toarray(), X)
    assert rna.X.dtype == X.dtype
    if len(X) and X.shape[1]:
        mu.pp.filter_cells(rna, min_counts=0)
        expected = X.astype(np.float64).sum(axis=1)
        np.testing.assert_allclose(rna.obs["n_counts"], expected, rtol=1e-12)
