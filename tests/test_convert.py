from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import anndata as ad
import mudata as md
import numpy as np
import pytest
import scipy.sparse as sp

from lazymu.errors import ArgumentError, MissingFileError, StoreExistsError
from lazymu.io import convert, export, open_elements
from lazymu.stream import progress
from tests.store_samples import (
    assert_same_anndata,
    assert_tables_equal,
    assert_values_equal,
    dense,
    make_anndata,
    make_mudata,
    peers,
)


def assert_same_mudata(found: Any, expected: Any) -> None:
    assert list(found.mod) == list(expected.mod)
    for name in expected.mod:
        assert_same_anndata(found[name], expected[name])
    assert_tables_equal(found.obs, expected.obs)
    for slot in ("obsm", "varm", "obsp", "uns", "obsmap", "varmap"):
        assert_values_equal(dict(getattr(found, slot)), dict(getattr(expected, slot)))


def test_convert__h5mu_comes_back_exactly(tmp_path: Path) -> None:
    with peers():
        make_mudata().write(tmp_path / "a.h5mu")
        expected = md.read_h5mu(tmp_path / "a.h5mu")
    convert(tmp_path / "a.h5mu", tmp_path / "b.zarr")
    export(tmp_path / "b.zarr", tmp_path / "c.h5mu")
    with peers():
        assert_same_mudata(md.read_h5mu(tmp_path / "c.h5mu"), expected)
    export(tmp_path / "b.zarr/mod/prot", tmp_path / "d.h5ad")
    assert_same_anndata(ad.read_h5ad(tmp_path / "d.h5ad"), expected["prot"])
    with pytest.raises(ArgumentError, match="this is a MuData of rna, prot"):
        export(tmp_path / "b.zarr", tmp_path / "e.h5ad")


def test_convert__h5ad_comes_back_exactly_through_format_2(tmp_path: Path) -> None:
    adata = make_anndata()
    adata.X = sp.csc_matrix(adata.X)
    adata.write_h5ad(tmp_path / "a.h5ad")
    convert(tmp_path / "a.h5ad", tmp_path / "b.zarr", zarr_format=2)
    export(tmp_path / "b.zarr", tmp_path / "c.h5ad")
    assert_same_anndata(ad.read_h5ad(tmp_path / "c.h5ad"), ad.read_h5ad(tmp_path / "a.h5ad"))


@pytest.mark.data
def test_convert__real_multiome_comes_back_exactly(data_dir: Path, tmp_path: Path) -> None:
    source = data_dir / "multiome_pbmc40_10x" / "pbmc40_multiome.h5mu"
    convert(source, tmp_path / "b.zarr")
    export(tmp_path / "b.zarr", tmp_path / "c.h5mu")
    with peers():
        assert_same_mudata(md.read_h5mu(tmp_path / "c.h5mu"), md.read_h5mu(source))


@pytest.mark.data
def test_convert__tenx_file_in_one_pass(data_dir: Path, tmp_path: Path) -> None:
    source = data_dir / "citeseq_pbmc1k_10x" / "filtered_feature_bc_matrix.h5"
    labels: set[str] = set()
    with progress.watching(lambda tick: labels.add(tick.label)):
        convert(source, tmp_path / "b.zarr")
    assert labels == {"write rna and write prot"}
    found, expected = open_elements(tmp_path / "b.zarr"), open_elements(source)
    for name in ("rna", "prot"):
        np.testing.assert_array_equal(dense(found.mod[name].X), dense(expected.mod[name].X))
        assert_tables_equal(found.mod[name].var, expected.mod[name].var)
    assert found.mod["prot"].X.source.is_dense
    assert found.mod["rna"].X.dtype == np.float32


def test_convert__raises_as_opening_and_writing_do(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="there is no such file"):
        convert(tmp_path / "a.h5ad", tmp_path / "b.zarr")
    ad.AnnData(np.eye(3)).write_h5ad(tmp_path / "a.h5ad")
    convert(tmp_path / "a.h5ad", tmp_path / "b.zarr")
    with pytest.raises(StoreExistsError, match="pass overwrite=True"):
        convert(tmp_path / "a.h5ad", tmp_path / "b.zarr")
    convert(tmp_path / "a.h5ad", tmp_path / "b.zarr", overwrite=True)


# --- memory ---------------------------------------------------------------------------------------

MEASURE = """
import sys
from pathlib import Path
from lazymu.io import convert, open_elements
from lazymu.settings import settings

def memory(field):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024

small, source, target, limit = sys.argv[1:]
settings.memory_limit, settings.n_threads = int(limit), 2
convert(small, target)  # compiles the kernels
Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
before = memory("VmRSS")
convert(source, target, overwrite=True)
print(memory("VmHWM") - before)
"""


def write_large(path: Path, encode: Any, n_obs: int, per_cell: int = 400) -> int:
    """Write a matrix of 4,000 features and return its bytes in memory."""
    rng = np.random.default_rng(0)
    cols = rng.integers(0, 10, (n_obs, per_cell), dtype=np.int32)
    cols += np.arange(per_cell, dtype=np.int32) * 10
    values = rng.integers(1, 9, n_obs * per_cell).astype(np.float32)
    offsets = np.arange(n_obs + 1, dtype=np.int32) * per_cell
    X = sp.csr_matrix((values, cols.ravel(), offsets), shape=(n_obs, 10 * per_cell))
    ad.AnnData(encode(X)).write_h5ad(path)
    return X.data.nbytes + X.indices.nbytes


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux measures the peak")
@pytest.mark.slow
@pytest.mark.parametrize("encode", [sp.csr_matrix, sp.csc_matrix])
def test_convert__memory_is_bounded(encode: Any, tmp_path: Path) -> None:
    """A matrix of four times the limit; what is measured is the peak over the start."""
    size = write_large(tmp_path / "large.h5ad", encode, 100_000)
    write_large(tmp_path / "small.h5ad", encode, 300)
    limit = size // 4
    done = subprocess.run(
        [
            *(sys.executable, "-c", MEASURE),
            *(tmp_path / name for name in ("small.h5ad", "large.h5ad", "b.zarr")),
            str(limit),
        ],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    peak = int(done.stdout)
    # Chunks being compressed, and what the allocator keeps for each of zarr's threads.
    apart = 128 << 20
    assert peak < limit + apart < 0.7 * size, f"{peak:,} bytes with {limit:,}"
