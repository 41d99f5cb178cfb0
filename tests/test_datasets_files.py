"""The simulated files as other tools read them."""

from __future__ import annotations

from pathlib import Path

import h5py
import mudata
import numpy as np
import pandas as pd
import pytest
import scanpy as sc

from lazymu.datasets import citeseq_10x, multiome
from lazymu.datasets.cells import simulate_cells
from lazymu.datasets.designs import simulate_atac, simulate_protein, simulate_rna
from lazymu.datasets.hdf5 import counts_in_order
from lazymu.datasets.profiles import CITESEQ_RNA, MULTIOME_RNA
from lazymu.errors import StoreExistsError

pytestmark = [
    # anndata 0.13 and mudata 0.4 use what pandas 3 has deprecated.
    pytest.mark.filterwarnings("ignore:The 'future.infer_string' option is deprecated"),
    pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame.drop is deprecated"),
    # mudata 0.3 announces a change of its own default at every read.
    pytest.mark.filterwarnings("ignore:From 0.4 .update:FutureWarning"),
]

N_CELLS, N_GENES, N_PEAKS = 300, 400, 600


@pytest.fixture(scope="module")
def h5mu(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("multiome")
    return multiome(folder / "m.h5mu", N_CELLS, N_GENES, N_PEAKS, n_clusters=5, depth=10.0, seed=4)


@pytest.fixture(scope="module")
def tenx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("citeseq")
    return citeseq_10x(folder / "c.h5", N_CELLS, N_GENES, n_antibodies=12, n_clusters=5, seed=4)


def test_multiome__mudata_reads_it(h5mu: Path) -> None:
    found = mudata.read_h5mu(h5mu)
    cells = simulate_cells(N_CELLS, n_clusters=5, n_batches=2, seed=4)
    expected = {
        "rna": simulate_rna(cells, N_GENES, MULTIOME_RNA, depth=10.0, seed=4),
        "atac": simulate_atac(cells, N_PEAKS, depth=10.0, seed=4),
    }
    assert list(found.mod) == ["rna", "atac"]
    for name, assay in expected.items():
        matrix = found.mod[name].X
        assert matrix.dtype == np.int32
        stacked = np.concatenate([block.toarray() for block in counts_in_order(assay)])
        np.testing.assert_array_equal(matrix.toarray(), stacked)
        assert list(found.mod[name].var_names) == list(assay.var.index)
    obs = cells.obs()
    assert list(found.obs_names) == list(obs.index)
    assert list(found.obs["cell_type"]) == list(obs["cell_type"])
    assert set(found.obs["batch"]) == {"batch1", "batch2"}
    assert found.mod["atac"].var["interval"].str.fullmatch(r"chr[0-9X]+:\d+-\d+").all()


def test_multiome__header_and_indexes_are_plain(h5mu: Path) -> None:
    """The userblock by which mudata knows its files; string arrays that old readers take."""
    assert h5mu.read_bytes()[:32] == b"MuData (format-version=0.1.0;cre"
    with h5py.File(h5mu) as file:
        for name in ("obs/_index", "mod/rna/var/_index", "mod/atac/var/interval"):
            assert file[name].attrs["encoding-type"] == "string-array"
        assert file["obs/cell_type"].attrs["encoding-type"] == "categorical"
        X = file["mod/rna/X"]
        assert X["indices"].dtype == X["indptr"].dtype == np.int32
        np.testing.assert_array_equal(file["obsmap/atac"][:], np.arange(1, N_CELLS + 1))
        np.testing.assert_array_equal(file["varmap/atac"][:N_GENES], 0)
        np.testing.assert_array_equal(file["varmap/atac"][N_GENES:], np.arange(1, N_PEAKS + 1))


def test_citeseq_10x__scanpy_reads_it(tenx: Path) -> None:
    found = sc.read_10x_h5(tenx, gex_only=False)
    cells = simulate_cells(N_CELLS, n_clusters=5, n_batches=2, seed=4)
    assays = (
        simulate_rna(cells, N_GENES, CITESEQ_RNA, seed=4),
        simulate_protein(cells, 12, seed=4),
    )
    expected = np.concatenate(
        [np.concatenate([b.toarray() for b in counts_in_order(a)]) for a in assays], axis=1
    )
    np.testing.assert_array_equal(found.X.toarray(), expected)
    types = found.var["feature_types"].to_numpy()
    assert (types[:N_GENES] == "Gene Expression").all()
    assert (types[N_GENES:] == "Antibody Capture").all()
    assert found.var_names[-1] == "IgG1_control_TotalSeqB"
    assert {"genome", "pattern", "read", "sequence"} <= set(found.var.columns)


def test_citeseq_10x__truth_stands_beside_it(tenx: Path) -> None:
    truth = pd.read_csv(tenx.with_name("c.truth.csv"), index_col="barcode")
    obs = simulate_cells(N_CELLS, n_clusters=5, n_batches=2, seed=4).obs()
    assert list(truth.index) == list(obs.index)
    assert list(truth["cell_type"]) == list(obs["cell_type"])


@pytest.mark.parametrize("write", [multiome, citeseq_10x])
def test_files__existing_ones_are_kept_unless_told(write, tmp_path: Path) -> None:
    path = tmp_path / "there.h5"
    path.write_text("precious")
    with pytest.raises(StoreExistsError, match="exists and overwriting was not asked for"):
        write(path, 20, 200, 120)
    assert path.read_text() == "precious"
    write(path, 20, 200, 120, overwrite=True)
    assert h5py.is_hdf5(path)
    assert {p.suffix for p in tmp_path.iterdir()} <= {".h5", ".csv"}


def test_files__a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch) -> None:
    def fail(*_: object) -> None:
        message = "disk full"
        raise OSError(message)

    monkeypatch.setattr("lazymu.datasets.h5mu.append_csr", fail)
    with pytest.raises(OSError, match="disk full"):
        multiome(tmp_path / "m.h5mu", 20, 200, 120)
    assert list(tmp_path.iterdir()) == []
