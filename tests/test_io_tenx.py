from __future__ import annotations

import gzip
import tarfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse as sp

from lazymu.errors import (
    ArgumentError,
    DamagedFileError,
    ModalityNotFoundError,
    UnknownFormatError,
)
from lazymu.io import StoreElements, open_elements
from lazymu.settings import settings
from tests.store_samples import dense, peers, random_counts

H5_FILES = [
    "tiny_10x/scanpy_cr1_filtered_gene_bc_matrices.h5",
    "tiny_10x/scanpy_cr3_filtered_feature_bc_matrix.h5",
    "tiny_10x/scanpy_raw_probe_bc_matrix.h5",
    "tiny_10x/seurat_visium_filtered_feature_bc_matrix.h5",
    "tiny_10x/tenxio_10k_pbmc_ATACv2_f_bc_ex.h5",
    "tiny_10x/tenxio_pbmc_granulocyte_ff_bc_ex.h5",
    "citeseq_pbmc1k_10x/filtered_feature_bc_matrix.h5",
    "multiome_pbmc40_10x/derived_arc_filtered_feature_bc_matrix.h5",
]
MODALITIES = {"Gene Expression": "rna", "Peaks": "atac", "Antibody Capture": "prot"}


def assert_split(elements: Any, adata: Any) -> None:
    """Assert that the modalities are scanpy's matrix, split by feature type."""
    assert isinstance(elements, StoreElements)
    if "feature_types" not in adata.var:
        parts = {"rna": adata}
    else:
        kinds = pd.unique(adata.var["feature_types"])
        parts = {MODALITIES.get(k, k): adata[:, adata.var["feature_types"] == k] for k in kinds}
    assert list(elements.mod) == list(parts)
    for name, part in parts.items():
        modality = elements.mod[name]
        np.testing.assert_array_equal(dense(modality.X), dense(part.X))
        assert modality.X.dtype == np.float32
        assert modality.obs.index.tolist() == part.obs_names.tolist()
        assert modality.var.index.tolist() == part.var_names.tolist()
        assert modality.var.columns.tolist() == part.var.columns.tolist()
        for table, expected in ((modality.obs, part.obs), (modality.var, part.var)):
            for column in expected:
                assert table[column].tolist() == expected[column].tolist()


@pytest.mark.data
@pytest.mark.parametrize("name", H5_FILES)
def test_tenx_h5__as_scanpy_reads_it(name: str, data_dir: Path) -> None:
    import scanpy as sc

    with peers():
        expected = sc.read_10x_h5(data_dir / name, gex_only=False)
    assert_split(open_elements(data_dir / name), expected)


@pytest.mark.data
def test_tenx_h5__interval_as_muon_reads_it(data_dir: Path) -> None:
    import muon as mu

    path = data_dir / "multiome_pbmc40_10x/derived_arc_filtered_feature_bc_matrix.h5"
    with peers():
        expected = mu.read_10x_h5(path)
    elements = open_elements(path)
    for name in ("rna", "atac"):
        assert elements.mod[name].var["interval"].tolist() == expected[name].var.interval.tolist()


@pytest.mark.data
def test_tenx_h5__modality_of_a_path(data_dir: Path) -> None:
    elements = open_elements(data_dir / "citeseq_pbmc1k_10x/filtered_feature_bc_matrix.h5/prot")
    assert elements.X.shape == (892, 10)


def write_feature_matrix(path: Path, X: sp.csr_matrix, **features: list[str]) -> None:
    """Write a file of Cell Ranger's layout, cells by features given."""
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        group["data"], group["indices"] = X.data.astype("int32"), X.indices.astype("int64")
        group["indptr"], group["shape"] = X.indptr.astype("int64"), np.array(X.shape[::-1], "int32")
        group["barcodes"] = [f"AAAC{i}-1".encode() for i in range(X.shape[0])]
        for name, values in features.items():
            group[f"features/{name}"] = [value.encode() for value in values]


KINDS = ["Gene Expression", "Custom", "Gene Expression", "Peaks", "Custom"]


def custom_file(folder: Path) -> tuple[Path, sp.csr_matrix]:
    X = random_counts(6, 5, density=0.5)
    path = folder / "a.h5"
    write_feature_matrix(
        path,
        X,
        id=["E1", "c1", "E2", "chr1:1-9", "c2"],
        name=["same", "β c1 (x)", "same", "chr1:1-9", "c2"],
        feature_type=KINDS,
        genome=["hg", "", "mm", "hg", ""],
    )
    return path, X


def test_tenx_h5__other_types_keep_their_names_and_names_may_repeat(tmp_path: Path) -> None:
    path, X = custom_file(tmp_path)
    elements = open_elements(path)
    assert list(elements.mod) == ["rna", "Custom", "atac"]
    for name, cols in {"rna": [0, 2], "Custom": [1, 4], "atac": [3]}.items():
        np.testing.assert_array_equal(dense(elements.mod[name].X), dense(X[:, cols]))
    assert elements.mod["rna"].var.index.tolist() == ["same", "same"]
    assert elements.mod["rna"].var["gene_ids"].tolist() == ["E1", "E2"]
    assert elements.mod["Custom"].var.index[0] == "β c1 (x)"


def test_tenx_h5__genome(tmp_path: Path) -> None:
    path, X = custom_file(tmp_path)
    elements = open_elements(path, genome="mm")
    assert list(elements.mod) == ["rna"]
    np.testing.assert_array_equal(dense(elements.mod["rna"].X), dense(X[:, [2]]))
    with pytest.raises(ArgumentError, match="`genome` is 'rn', but the file holds 'hg', '', 'mm'"):
        open_elements(path, genome="rn")


def test_tenx_h5__raises_without_features_or_data(tmp_path: Path) -> None:
    path, _ = custom_file(tmp_path)
    with h5py.File(path, "a") as file:
        del file["matrix/data"]
    with pytest.raises(DamagedFileError, match="without data in"):
        open_elements(path)
    with h5py.File(path, "a") as file:
        del file["matrix/features"]
    with pytest.raises(DamagedFileError, match="has a table of features"):
        open_elements(path)


def test_tenx_h5__raises_on_lengths_that_differ(tmp_path: Path) -> None:
    path, _ = custom_file(tmp_path)
    with h5py.File(path, "a") as file:
        file["matrix/shape"][0] = 7
    with pytest.raises(DamagedFileError, match=r"6 barcodes × 7 features .* 5 features in its"):
        open_elements(path)


# --- legacy files: a matrix for each genome -------------------------------------------------------


def legacy_file(path: Path) -> dict[str, sp.csr_matrix]:
    """Write two genomes whose barcodes overlap in part."""
    matrices = {"hg19": random_counts(4, 3, density=0.6), "mm10": random_counts(3, 2, density=0.6)}
    barcodes = {"hg19": [b"A", b"B", b"C", b"D"], "mm10": [b"E", b"C", b"A"]}
    with h5py.File(path, "w") as file:
        for genome, X in matrices.items():
            group = file.create_group(genome)
            group["data"], group["indices"], group["indptr"] = X.data, X.indices, X.indptr
            group["shape"], group["barcodes"] = X.shape[::-1], barcodes[genome]
            group["genes"] = [f"{genome}_E{i}".encode() for i in range(X.shape[1])]
            group["gene_names"] = [f"{genome}_G{i}".encode() for i in range(X.shape[1])]
    return matrices


def test_tenx_legacy__genomes_side_by_side(tmp_path: Path) -> None:
    matrices = legacy_file(tmp_path / "a.h5")
    rna = open_elements(tmp_path / "a.h5").mod["rna"]
    expected = np.zeros((5, 5))
    expected[:4, :3] = matrices["hg19"].toarray()
    expected[[4, 2, 0], 3:] = matrices["mm10"].toarray()
    np.testing.assert_array_equal(dense(rna.X), expected)
    assert rna.obs.index.tolist() == ["A", "B", "C", "D", "E"]
    assert rna.var["genome"].tolist() == ["hg19"] * 3 + ["mm10"] * 2
    assert rna.var["gene_ids"].tolist()[3:] == ["mm10_E0", "mm10_E1"]
    for start, stop in ((0, 2), (1, 5), (3, 4), (4, 4)):  # as blocks read it
        block = rna.X.source.read(start, stop)
        np.testing.assert_array_equal(block.toarray(), expected[start:stop])
        assert block.nnz <= np.diff(rna.X.source.indptr)[start:stop].sum()


def test_tenx_legacy__one_genome(tmp_path: Path) -> None:
    matrices = legacy_file(tmp_path / "a.h5")
    rna = open_elements(tmp_path / "a.h5", genome="mm10").mod["rna"]
    np.testing.assert_array_equal(dense(rna.X), matrices["mm10"].toarray())
    assert rna.var.columns.tolist() == ["gene_ids"]
    with pytest.raises(ArgumentError, match="the file holds 'hg19', 'mm10'"):
        open_elements(tmp_path / "a.h5", genome="rn")


@pytest.mark.data
@pytest.mark.parametrize("genome", ["hg19_chr21", "another_genome"])
def test_tenx_legacy__as_scanpy_reads_a_genome(genome: str, data_dir: Path) -> None:
    import scanpy as sc

    path = data_dir / "tiny_10x/scanpy_cr1_multiple_genomes.h5"
    with peers():
        expected = sc.read_10x_h5(path, genome=genome)
    assert_split(open_elements(path, genome=genome), expected)


# --- folders of text ------------------------------------------------------------------------------


@pytest.mark.data
@pytest.mark.parametrize("name", ["scanpy_cr1_mtx", "scanpy_cr3_mtx"])
def test_tenx_mtx__as_scanpy_reads_it(name: str, data_dir: Path) -> None:
    import scanpy as sc

    with peers():
        expected = sc.read_10x_mtx(data_dir / "tiny_10x" / name, gex_only=False, make_unique=False)
    assert_split(open_elements(data_dir / "tiny_10x" / name), expected)


@pytest.mark.data
def test_tenx_mtx__archives_of_other_tools(data_dir: Path, tmp_path: Path) -> None:
    found = {}
    for archive in sorted((data_dir / "tiny_10x").glob("*.tar.gz")):
        with tarfile.open(archive) as file:
            file.extractall(tmp_path / archive.name, filter="data")
        (matrix,) = (tmp_path / archive.name).rglob("matrix.mtx*")
        elements = open_elements(matrix.parent)
        found[archive.name] = {m: v.X.shape for m, v in elements.mod.items()}
        for modality in elements.mod.values():
            assert dense(modality.X).shape == modality.X.shape
    assert found["toy_cr_dir.tar.gz"] == {
        "rna": (3, 4),
        "prot": (3, 3),
        "Antibody Capture2": (3, 1),
    }
    assert found["toy_cr_dir_empty.tar.gz"] == {"rna": (0, 2), "prot": (0, 2)}


def write_mtx(folder: Path, X: Any, *, order: str = "cells", zipped: bool = False) -> Path:
    """Write a matrix, cells by features, as Cell Ranger's text."""
    folder.mkdir(exist_ok=True)
    entries = sp.coo_matrix(sp.csr_matrix(X))
    picked = {
        "cells": np.lexsort((entries.col, entries.row)),
        "features": np.lexsort((entries.row, entries.col)),
        "random": np.random.default_rng(0).permutation(entries.nnz),
    }[order]
    lines = ["%%MatrixMarket matrix coordinate integer general", "% made by a test"]
    lines.append(f"{X.shape[1]} {X.shape[0]} {entries.nnz}")
    for k in picked:
        lines.append(f"{entries.col[k] + 1} {entries.row[k] + 1} {int(entries.data[k])}")
    files = {
        "matrix.mtx": "\n".join(lines) + "\n",
        "barcodes.tsv": "".join(f"cell{i}\n" for i in range(X.shape[0])),
        "features.tsv": "".join(
            f"E{j}\tNA\tGene Expression\tchr1\t{j}\t{j + 9}\n" for j in range(X.shape[1])
        ),
    }
    for name, text in files.items():
        if zipped:
            (folder / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
        else:
            (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("order", ["cells", "features", "random"])
@pytest.mark.parametrize("zipped", [True, False])
def test_tenx_mtx__entries_in_any_order(order: str, zipped: bool, tmp_path: Path) -> None:
    X = random_counts(40, 30)
    rna = open_elements(write_mtx(tmp_path / "x", X, order=order, zipped=zipped)).mod["rna"]
    with settings.override(memory_limit=20_000, n_threads=1):  # rows come in several runs
        np.testing.assert_array_equal(rna.X.source.prepare().read(0, 40).toarray(), X.toarray())
    assert rna.var.index.tolist() == ["NA"] * 30
    assert rna.var["interval"].tolist()[:2] == ["chr1:0-9", "chr1:1-10"]


def test_tenx_mtx__is_not_parsed_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_mtx(tmp_path / "x", random_counts(4, 3))
    made: list[str] = []
    monkeypatch.setattr("tempfile.mkdtemp", lambda **_: made.append("x") or str(tmp_path / "t"))
    elements = open_elements(folder)
    assert made == []
    assert elements.mod["rna"].X.sum() > 0
    assert made == ["x"]


def test_tenx_mtx__file_with_a_prefix(tmp_path: Path) -> None:
    folder = write_mtx(tmp_path / "x", random_counts(4, 3))
    for path in list(folder.iterdir()):
        path.rename(folder / f"sample1_{path.name}")
    assert open_elements(folder / "sample1_matrix.mtx").mod["rna"].X.shape == (4, 3)


@pytest.mark.parametrize(("kind", "values"), [("real", [0.5, 2.0]), ("pattern", [1, 1])])
def test_tenx_mtx__real_and_pattern(kind: str, values: list[float], tmp_path: Path) -> None:
    folder = write_mtx(tmp_path / "x", np.zeros((2, 3)))
    X = sp.coo_matrix((values, ([0, 2], [0, 1])), shape=(3, 2))
    scipy.io.mmwrite(folder / "matrix.mtx", X, field=kind)
    found = open_elements(folder).mod["rna"].X
    np.testing.assert_array_equal(dense(found), X.toarray().T)


def test_tenx_mtx__peaks_of_cell_ranger_atac(tmp_path: Path) -> None:
    folder = write_mtx(tmp_path / "x", random_counts(4, 3))
    (folder / "features.tsv").unlink()
    (folder / "peaks.bed").write_text("chr1\t1\t9\nchr1\t20\t30\nchrX\t5\t6\n")
    atac = open_elements(folder).mod["atac"]
    assert atac.var.index.tolist() == ["chr1:1-9", "chr1:20-30", "chrX:5-6"]


@pytest.mark.parametrize("what", ["barcodes.tsv", "features.tsv"])
def test_tenx_mtx__raises_without_a_table(what: str, tmp_path: Path) -> None:
    folder = write_mtx(tmp_path / "x", random_counts(4, 3))
    (folder / what).unlink()
    with pytest.raises(DamagedFileError, match=f"matrix.mtx needs {what}.* beside it"):
        open_elements(folder)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("1 2 3\n", UnknownFormatError, "does not begin with '%%MatrixMarket"),
        ("%%MatrixMarket matrix array real general\n", UnknownFormatError, "does not begin with"),
        (
            "%%MatrixMarket matrix coordinate complex general\n3 4 0\n",
            UnknownFormatError,
            "its values are complex; known are integer, pattern, real",
        ),
        (
            "%%MatrixMarket matrix coordinate integer general\n3 x 0\n",
            DamagedFileError,
            "its line of sizes holds three whole numbers",
        ),
        (
            "%%MatrixMarket matrix coordinate integer general\n3 5 0\n",
            DamagedFileError,
            "there are 4 barcodes and 3 features",
        ),
    ],
)
def test_tenx_mtx__raises_on_header(text: str, error: Any, message: str, tmp_path: Path) -> None:
    folder = write_mtx(tmp_path / "x", random_counts(4, 3))
    (folder / "matrix.mtx").write_text(text)
    with pytest.raises(error, match=message):
        open_elements(folder)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("1 1 2\n", "`entries` is 1 in .* its header says 2"),
        ("1 1 2\n4 1 2\n", "`features` is 1 to 4 .* its header says 1 to 3"),
        ("1 1 2\n1 0 2\n", "`barcodes` is 0 to 1 .* its header says 1 to 4"),
        ("1 1 2\n1 b 2\n", "not two positions and a value"),
    ],
)
def test_tenx_mtx__raises_on_entries(lines: str, message: str, tmp_path: Path) -> None:
    folder = write_mtx(tmp_path / "x", random_counts(4, 3))
    head = "%%MatrixMarket matrix coordinate integer general\n3 4 2\n"
    (folder / "matrix.mtx").write_text(head + lines)
    matrix = open_elements(folder).mod["rna"].X
    with pytest.raises(DamagedFileError, match=message):
        matrix.to_memory()


def test_tenx_h5__raises_on_unknown_modality(tmp_path: Path) -> None:
    path, _ = custom_file(tmp_path)
    with pytest.raises(ModalityNotFoundError, match=r"'prot'.* holds rna, Custom, atac"):
        open_elements(f"{path}/prot")
