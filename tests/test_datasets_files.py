"""The simulated files as other tools read them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import mudata
import numpy as np
import pandas as pd
import pytest
import scanpy as sc

import lazymu
from lazymu.datasets import citeseq_10x, multiome, simulate
from lazymu.datasets.cells import simulate_cells
from lazymu.datasets.designs import simulate_atac, simulate_protein, simulate_rna
from lazymu.datasets.profiles import CITESEQ_RNA, MULTIOME_RNA
from lazymu.errors import ArgumentError, StoreExistsError, UnknownFormatError
from lazymu.settings import settings
from lazymu.store.replace import remove
from lazymu.stream.plan import plan_blocks
from tests.store_samples import files_of

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
        np.testing.assert_array_equal(matrix.toarray(), assay.read(0, N_CELLS).toarray())
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
    expected = np.concatenate([assay.read(0, N_CELLS).toarray() for assay in assays], axis=1)
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


@pytest.mark.parametrize(
    ("write", "name"), [(multiome, "there.h5mu"), (multiome, "there.zarr"), (citeseq_10x, "a.h5")]
)
def test_files__existing_ones_are_kept_unless_told(write, name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text("precious")
    with pytest.raises(StoreExistsError, match="but it exists"):
        write(path, 20, 200, 120)
    assert path.read_text() == "precious"
    write(path, 20, 200, 120, overwrite=True)
    assert lazymu.read(path).n_obs == 20
    assert {p.suffix for p in tmp_path.iterdir()} <= {path.suffix, ".csv"}


@pytest.mark.parametrize("write", [multiome, citeseq_10x])
def test_files__a_failed_write_leaves_nothing(write, tmp_path: Path, monkeypatch) -> None:
    def fail(*_: object) -> None:
        message = "disk full"
        raise OSError(message)

    monkeypatch.setattr("lazymu.store.arrays.Appender.append", fail)
    with pytest.raises(OSError, match="disk full"):
        write(tmp_path / ("m.h5mu" if write is multiome else "c.h5"), 20, 200, 120)
    assert list(tmp_path.iterdir()) == []


def test_simulate__store_holds_what_the_file_holds(h5mu: Path, tmp_path: Path) -> None:
    path = multiome(
        tmp_path / "m.zarr", N_CELLS, N_GENES, N_PEAKS, n_clusters=5, depth=10.0, seed=4
    )
    store, file = lazymu.read(path), lazymu.read(h5mu)
    assert list(store.mod) == ["rna", "atac"]
    for name, modality in store.mod.items():
        found, expected = modality.X.to_memory(), file[name].X.to_memory()
        assert (found != expected).nnz == 0
        assert modality.X.source.dtype.kind == "u"
        # With pandas 3 anndata gives strings of Zarr as objects, those of HDF5 as `str`.
        pd.testing.assert_frame_equal(modality.var, file[name].var, check_dtype=False)
        sums = modality.X.cache.cells()
        assert sums is not None
        np.testing.assert_array_equal(sums.total, np.asarray(expected.sum(axis=1)).ravel())
    pd.testing.assert_frame_equal(store.obs, file.obs)
    assert {"cell_type", "batch"} <= set(store.obs)


@pytest.mark.parametrize("suffix", [".zarr", ".h5mu", ".h5"])
def test_simulate__same_bytes_for_any_threads_and_blocks(suffix: str, tmp_path: Path) -> None:
    kinds = []
    for n_threads, max_values in ((1, 20_000), (2, 1 << 22), (3, 70_000)):
        path = tmp_path / f"{n_threads}{suffix}"
        with pytest.MonkeyPatch.context() as patch, settings.override(n_threads=n_threads):
            patch.setattr("lazymu.stream.plan.plan_blocks.__kwdefaults__", plan(max_values))
            simulate(path, 700, 300, None if suffix == ".h5" else 500, depth=20.0)
        kinds.append(files_of(path) if path.is_dir() else read_h5(path))
    assert kinds[0] == kinds[1] == kinds[2]


def plan(max_values: int) -> dict[str, int]:
    """Return the defaults of `plan_blocks` with another largest block."""
    return {**(plan_blocks.__kwdefaults__ or {}), "max_values": max_values}


def read_h5(path: Path) -> dict[str, bytes]:
    """Return the values of an HDF5 file; its bytes hold the time of writing."""
    found: dict[str, bytes] = {}

    def visit(name: str, node: h5py.Group | h5py.Dataset) -> None:
        if isinstance(node, h5py.Dataset):
            values = np.asarray(node[()])
            found[name] = repr(
                values.tolist() if values.dtype == object else values.tobytes()
            ).encode()

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


@pytest.mark.parametrize(
    ("widths", "modalities"),
    [
        ((300, 500, 12), ["rna", "atac", "prot"]),
        ((300, 0, 12), ["rna", "prot"]),
        ((300, 0, 0), ["rna"]),
        ((0, 500, 0), ["atac"]),
    ],
)
def test_simulate__modalities_are_those_with_features(
    widths: tuple[int, int, int], modalities: list[str], tmp_path: Path
) -> None:
    store = lazymu.read(simulate(tmp_path / "m.zarr", 50, *widths))
    assert list(store.mod) == modalities
    assert [modality.n_vars for modality in store.mod.values()] == [w for w in widths if w]


def test_simulate__first_cells_are_those_of_a_smaller_file(tmp_path: Path) -> None:
    few, more = (
        lazymu.read(simulate(tmp_path / f"{n}.zarr", n, 300, 400, 10, seed=7)) for n in (90, 400)
    )
    assert list(few.obs_names) == list(more.obs_names[:90])
    assert list(few.obs["cell_type"]) == list(more.obs["cell_type"][:90])
    for name in few.mod:
        np.testing.assert_array_equal(few[name].X.toarray(), more[name].X[:90].toarray())


@pytest.mark.parametrize(
    ("name", "widths", "error", "message"),
    [
        ("m.zarr", (0, 0, 0), ArgumentError, "`n_genes` is 0, but there are no peaks"),
        ("m.zarr", (300, 500, 2), ArgumentError, "`n_antibodies` is 2, but the simulation needs"),
        ("m.h5", (300, 500, 20), ArgumentError, "`n_peaks` is 500, but a 10x .h5 file is written"),
        ("m.h5ad", (300, 0, 0), UnknownFormatError, "what can be simulated is .zarr, .h5mu, .h5"),
    ],
)
def test_simulate__wrong_arguments_raise(
    name: str, widths: tuple[int, int, int], error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        simulate(tmp_path / name, 20, *widths)
    assert list(tmp_path.iterdir()) == []


PEAK = """
import sys
import lazymu
lazymu.settings.memory_limit = "900MB"
lazymu.datasets.simulate(sys.argv[1], int(sys.argv[2]), 2000, 30_000)
status = open("/proc/self/status").read()  # what getrusage says begins with the parent's
print(status.split("VmHWM:")[1].split()[0])
"""


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".zarr", ".h5mu"])
def test_simulate__memory_does_not_grow_with_cells(suffix: str, tmp_path: Path) -> None:
    """Three times the cells, 100 million more values (0.8 GB): only the tables of cells grow."""
    peaks = []
    for n_cells in (20_000, 60_000):
        arguments = [sys.executable, "-c", PEAK, str(tmp_path / f"m{suffix}"), str(n_cells)]
        process = subprocess.run(arguments, check=True, capture_output=True, text=True)
        peaks.append(int(process.stdout) * 1024)
        remove(tmp_path / f"m{suffix}")
    assert peaks[1] - peaks[0] < 60e6
    assert peaks[1] < 900e6
