"""AnnData and MuData with something in every slot, and their comparison with lazymu's elements."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import scipy.sparse as sp

from lazymu.io import Deferred, ModalityElements, StoreElements
from lazymu.stream import LazyMatrix
from tests.conftest import REPOSITORY


@contextmanager
def peers() -> Iterator[None]:
    """Let other packages' own warnings pass while they write or read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def files_of(store: Path) -> dict[str, bytes]:
    """Return what each file of a store holds."""
    return {
        str(path.relative_to(store)): path.read_bytes()
        for path in store.rglob("*")
        if path.is_file()
    }


def random_counts(n_obs: int, n_vars: int, *, density: float = 0.2, seed: int = 0) -> sp.csr_matrix:
    rng = np.random.default_rng(seed)
    kept = rng.random((n_obs, n_vars)) < density
    values = 1 + rng.poisson(2.0, (n_obs, n_vars))
    return sp.csr_matrix(np.where(kept, values, 0).astype(np.float32))


def even_counts(n_obs: int, n_vars: int = 20_000, per_cell: int = 2_000) -> sp.csr_matrix:
    """Return counts with equally many values in each row, as quickly as large ones can be made."""
    rng = np.random.default_rng(0)
    cols = np.sort(rng.integers(0, n_vars // per_cell, (n_obs, per_cell), dtype=np.int32))
    cols += np.arange(per_cell, dtype=np.int32) * (n_vars // per_cell)
    values = rng.geometric(0.5, cols.size).astype(np.float32)
    indptr = np.arange(n_obs + 1) * per_cell
    return sp.csr_matrix((values, cols.ravel(), indptr), shape=(n_obs, n_vars))


PEAK = """
import sys
import lazymu

lazymu.settings.memory_limit, lazymu.settings.n_threads = int(sys.argv[2]), 2
exec(sys.argv[1])
status = open("/proc/self/status").read()  # what getrusage says begins with the parent's
print(int(status.split("VmHWM:")[1].split()[0]) * 1024)
"""


def peak_bytes(code: str, limit: int) -> int:
    """Return the peak memory of a new process that runs ``code`` under a memory limit."""
    command = [sys.executable, "-c", PEAK, code, str(limit)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=REPOSITORY)
    return int(done.stdout)


def make_anndata(n_obs: int = 30, n_vars: int = 12, *, seed: int = 0, prefix: str = "g") -> Any:
    """Return an AnnData with raw, layers of several encodings, and awkward annotation."""
    rng = np.random.default_rng(seed)
    counts = random_counts(n_obs, n_vars, seed=seed)
    obs = pd.DataFrame(
        {
            "group": pd.Categorical(rng.choice(["a", "b"], n_obs), categories=["b", "a"]),
            "depth": rng.random(n_obs),
            "note": [f"note {i}" for i in range(n_obs)],
            "flag": rng.random(n_obs) < 0.5,
            "maybe": pd.array([None, *range(1, n_obs)], dtype="Int64"),
        },
        index=[f"cell{i}" for i in range(n_obs)],
    )
    var = pd.DataFrame(
        {"gene_ids": [f"{prefix.upper()}{i}" for i in range(n_vars)]},
        index=[f"{prefix}{i}" for i in range(n_vars)],
    )
    adata = ad.AnnData(counts.copy(), obs, var)
    adata.layers["dense"] = rng.random((n_obs, n_vars))
    adata.layers["columns"] = sp.csc_matrix(counts.astype(np.float64) * 0.5)
    adata.obsm["X_pca"] = rng.random((n_obs, 3)).astype(np.float32)
    adata.varm["PCs"] = rng.random((n_vars, 3))
    adata.obsp["distances"] = sp.csr_matrix(np.eye(n_obs))
    adata.uns["pca"] = {"variance": np.arange(3.0), "params": {"zero_center": True}}
    adata.uns["colors"] = np.array(["#ff0000", "#00ff00"], dtype=object)
    with peers():
        adata.raw = ad.AnnData(random_counts(n_obs, n_vars + 3, seed=seed + 1))
    return adata


def make_mudata() -> Any:
    """Return a MuData whose modalities have different cells."""
    rna, prot = make_anndata(30, 12), make_anndata(25, 4, seed=5, prefix="p")
    prot.obs_names = [f"cell{i}" for i in range(5, 30)]
    with peers():
        mdata = md.MuData({"rna": rna, "prot": prot})
        mdata.obsm["X_umap"] = np.random.default_rng(0).random((mdata.n_obs, 2))
        mdata.uns["joint"] = {"k": 20}
    return mdata


def elements_of(X: Any, **slots: Any) -> ModalityElements:
    """Return elements with a matrix and plain names."""
    matrix = X if isinstance(X, LazyMatrix) else LazyMatrix(X)
    obs = pd.DataFrame(index=[f"cell{i}" for i in range(matrix.shape[0])])
    var = pd.DataFrame(index=[f"g{i}" for i in range(matrix.shape[1])])
    return ModalityElements(matrix, obs, var, **slots)


def dense(X: Any) -> Any:
    """Return any matrix as an array."""
    X = X.to_memory() if isinstance(X, LazyMatrix) else X
    return X.toarray() if sp.issparse(X) else np.asarray(X)


def value_of(value: Any) -> Any:
    return value.read() if isinstance(value, Deferred) else value


def assert_tables_equal(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Compare tables; texts may be objects or pandas' string type."""
    assert list(found.columns) == list(expected.columns)
    assert list(found.index) == list(expected.index)
    assert found.index.name == expected.index.name
    for name in expected:
        a, b = found[name], expected[name]
        if isinstance(b.dtype, pd.CategoricalDtype):
            assert list(a.cat.categories) == list(b.cat.categories)
            assert a.cat.ordered == b.cat.ordered
            np.testing.assert_array_equal(a.cat.codes, b.cat.codes)
        elif pd.api.types.is_string_dtype(b.dtype):
            assert a.tolist() == b.tolist()
        else:
            pd.testing.assert_series_equal(a, b, check_names=False)


def assert_values_equal(found: Any, expected: Any) -> None:
    """Compare values of `obsm`, `uns` and the like, also nested ones."""
    found = value_of(found)
    if isinstance(expected, pd.DataFrame):
        assert_tables_equal(found, expected)
    elif hasattr(expected, "keys"):
        assert set(found) == set(expected)
        for key in expected:
            assert_values_equal(found[key], expected[key])
    elif sp.issparse(expected):
        assert found.format == expected.format
        np.testing.assert_array_equal(found.toarray(), expected.toarray())
    elif getattr(getattr(expected, "dtype", None), "names", None):
        for name in expected.dtype.names:
            np.testing.assert_array_equal(found[name], expected[name])
    else:
        np.testing.assert_array_equal(found, expected)


def assert_same(elements: ModalityElements, adata: Any) -> None:
    """Assert that elements hold what an AnnData holds, in type, value and order."""
    assert_tables_equal(elements.obs, adata.obs)
    assert_tables_equal(elements.var, adata.var)
    assert_matrix(elements.X, adata.X)
    layers = {key: layer for key, layer in adata.layers.items() if key is not None}
    assert set(elements.layers) == set(layers)
    for key, layer in layers.items():
        assert_matrix(elements.layers[key], layer)
    for slot in ("obsm", "varm", "obsp", "varp", "uns"):
        assert_values_equal(getattr(elements, slot), dict(getattr(adata, slot)))
    assert (elements.raw is None) == (adata.raw is None)
    if elements.raw is not None:
        assert_matrix(elements.raw.X, adata.raw.X)
        assert_tables_equal(elements.raw.var, adata.raw.var)
        assert_values_equal(elements.raw.varm, dict(adata.raw.varm))


def assert_matrix(found: LazyMatrix | None, expected: Any) -> None:
    if expected is None:
        assert found is None
        return
    assert found is not None
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(dense(found), dense(expected))


def assert_same_store(elements: Any, mdata: Any) -> None:
    """Assert that elements hold what a MuData holds."""
    assert isinstance(elements, StoreElements)
    assert list(elements.mod) == list(mdata.mod)
    for name, adata in mdata.mod.items():
        assert_same(elements.mod[name], adata)
    assert elements.obs is not None
    assert list(elements.obs.index) == list(mdata.obs_names)
    assert elements.axis == mdata.axis
    for slot in ("obsp", "varp", "uns"):
        assert_values_equal(getattr(elements, slot), dict(getattr(mdata, slot)))
    for slot in ("obsm", "varm"):
        own = {k: v for k, v in getattr(mdata, slot).items() if k not in mdata.mod}
        assert_values_equal(getattr(elements, slot), own)


def assert_same_anndata(found: Any, expected: Any) -> None:
    """Compare two AnnData: values, types and encodings of matrices, tables, everything else."""
    assert type(found.X) is type(expected.X)
    for key, layer in expected.layers.items():
        assert type(found.layers[key]) is type(layer)
    if expected.raw is not None:
        assert type(found.raw.X) is type(expected.raw.X)
    raw = None
    if found.raw is not None:
        from lazymu.io import RawElements

        raw = RawElements(LazyMatrix(found.raw.X), found.raw.var, dict(found.raw.varm))
    elements = ModalityElements(
        LazyMatrix(found.X),
        found.obs,
        found.var,
        layers={k: LazyMatrix(v) for k, v in found.layers.items() if k is not None},
        obsm=dict(found.obsm),
        varm=dict(found.varm),
        obsp=dict(found.obsp),
        varp=dict(found.varp),
        uns=dict(found.uns),
        raw=raw,
    )
    assert found.X.dtype == expected.X.dtype
    assert_same(elements, expected)
