"""Small sound files of every kind that is read, and what reading one of them to its end is."""

from __future__ import annotations

import gzip
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import zarr

from lazymu.atac.peak_tables import long_table, read_table
from lazymu.genomics.read_genes import as_genes
from lazymu.io import StoreElements, open_elements, write_elements
from lazymu.io.fragments import FragmentFile, check_fragments
from lazymu.pipeline.joint import labels_in_file
from lazymu.pipeline.params import RunParams
from lazymu.stream.passes import iterate_blocks
from tests.fragment_files import bgzf, random_fragments, text_of
from tests.store_samples import make_anndata, make_mudata, random_counts, value_of

GTF = "".join(
    f"chr{n % 3}\tX\t{kind}\t{100 * n + 1}\t{100 * n + 90}\t.\t{'+-'[n % 2]}\t.\t"
    f'gene_id "G{n}"; gene_name "N{n}"; tag "basic";\n'
    for n in range(12)
    for kind in ("gene", "transcript", "exon")
).encode()
BED = "".join(f"chr1\t{100 * n}\t{100 * n + 50}\tG{n}\t0\t+\n" for n in range(20)).encode()
PEAKS = b"chrom\tstart\tend\tgene\tdistance\tpeak_type\n" + b"".join(
    b"chr1\t%d\t%d\tA;B\t-10;0\tdistal;promoter\n" % (n, n + 9) for n in range(0, 200, 10)
)
TOML = b'[rna]\nmin_genes = 20\nflavor = "seurat_v3"\n[joint]\nresolution = [0.5, 1.0]\nseed = 3\n'
TRUTH = b"cell,label\n" + b"".join(b"cell%d,T%d\n" % (n, n % 3) for n in range(30))


def read_elements(path: Path) -> None:
    """Read everything that a file holds, and check that it fits together."""
    elements = open_elements(path)
    joint = isinstance(elements, StoreElements)
    parts = [elements, *elements.mod.values()] if joint else [elements]
    for part in parts:
        for slot in ("obsm", "varm", "obsp", "varp", "uns"):
            for value in getattr(part, slot).values():
                value_of(value)
        if isinstance(part, StoreElements):
            continue
        shape = (len(part.obs), len(part.var))
        matrices = [part.X, *part.layers.values(), part.raw and part.raw.X]
        for matrix in matrices:
            if matrix is None:
                continue
            assert matrix.shape[0] == shape[0]
            n_rows = 0
            for block in iterate_blocks(matrix, label="fuzz"):
                X, n_rows = block.X, n_rows + block.X.shape[0]
                assert not len(X.indices) or 0 <= X.indices.min() <= X.indices.max() < X.shape[1]
                assert X.indptr[0] == 0
                assert X.indptr[-1] == X.nnz == len(X.data)
            assert n_rows == shape[0]
        if part.raw is not None:
            for value in part.raw.varm.values():
                value_of(value)


def read_fragments(path: Path) -> None:
    check_fragments(path)
    file = FragmentFile(path, [f"bc{n}" for n in range(8)], ["chr1", "chr2", "chr10"])
    for block in file.blocks(label="fuzz"):
        assert block.cell.max(initial=-1) < 8


def read_peaks(path: Path) -> None:
    long_table(read_table(path, "\t"), str(path))


@dataclass(frozen=True)
class Kind:
    """A kind of input: its name as a file, how a sound one is made, how it is read."""

    file: str
    make: Callable[[Path], Any]
    read: Callable[[Path], Any] = read_elements


def _bytes(data: bytes) -> Callable[[Path], Any]:
    return lambda path: path.write_bytes(data)


def _tenx(path: Path) -> None:
    X = random_counts(20, 8)
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        group["shape"] = np.array([8, 20], "int32")
        for part in ("data", "indices", "indptr"):
            group.create_dataset(part, data=getattr(X, part).astype(int), compression="gzip")
        group["barcodes"] = np.array([f"b{n}" for n in range(20)], "S")
        group["features/id"] = np.array([f"E{n}" for n in range(8)], "S")
        group["features/name"] = np.array([f"N{n}" for n in range(8)], "S")
        group["features/feature_type"] = np.array(["Gene Expression"] * 5 + ["Peaks"] * 3, "S")
        group["features/genome"] = np.array(["hg"] * 8, "S")


def _mtx(path: Path, pack: Callable[[bytes], bytes], suffix: str) -> None:
    X = random_counts(20, 8).tocoo()
    lines = [f"{j + 1} {i + 1} {int(v)}" for i, j, v in zip(X.row, X.col, X.data, strict=True)]
    head = f"%%MatrixMarket matrix coordinate integer general\n%x\n8 20 {X.nnz}\n"
    texts = {
        "matrix.mtx": head + "\n".join(lines) + "\n",
        "barcodes.tsv": "".join(f"b{n}\n" for n in range(20)),
        "features.tsv": "".join(f"E{n}\tN{n}\tGene Expression\tchr1\t1\t2\n" for n in range(8)),
    }
    path.mkdir()
    for name, text in texts.items():
        (path / f"{name}{suffix}").write_bytes(pack(text.encode()))


def _packed(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def _own(path: Path, **options: Any) -> None:
    source = path.with_name("own.h5ad")
    if not source.exists():
        make_anndata(12, 5).write_h5ad(source)
    write_elements(open_elements(source), path, **options)


def _zipped(path: Path) -> None:
    with zarr.storage.ZipStore(str(path), mode="w") as store:
        make_anndata(12, 5).write_zarr(store)


KINDS = {
    "h5mu": Kind("a.h5mu", lambda path: make_mudata().write(path)),
    "h5ad": Kind("a.h5ad", lambda path: make_anndata().write_h5ad(path, compression="gzip")),
    "h5ad-own": Kind("b.h5ad", _own),
    "tenx": Kind("a.h5", _tenx),
    "zarr": Kind("a.zarr", _own),
    "zarr2": Kind("b.zarr", lambda path: _own(path, zarr_format=2)),
    "zarr-shards": Kind("c.zarr", lambda path: _own(path, chunk_values=16, shards=128)),
    "zarr-anndata": Kind("d.zarr", lambda path: make_anndata(12, 5).write_zarr(path)),
    "zip": Kind("e.zarr.zip", _zipped),
    "mtx": Kind("mtx", lambda path: _mtx(path, bytes, "")),
    "mtx-gz": Kind("mtx-gz", lambda path: _mtx(path, _packed, ".gz")),
    "gtf": Kind("a.gtf", _bytes(GTF), lambda path: as_genes(path, exons=True)),
    "gtf-gz": Kind("a.gtf.gz", _bytes(_packed(GTF)), lambda path: as_genes(path, exons=True)),
    "bed": Kind("a.bed", _bytes(BED), as_genes),
    "peaks": Kind("peaks.tsv", _bytes(PEAKS), read_peaks),
    "peaks-gz": Kind("peaks.tsv.gz", _bytes(_packed(PEAKS)), read_peaks),
    "fragments": Kind(
        "a.tsv", _bytes(text_of(random_fragments(np.random.default_rng(0), 60))), read_fragments
    ),
    "fragments-bgzip": Kind(
        "a.tsv.gz",
        _bytes(bgzf(text_of(random_fragments(np.random.default_rng(0), 60)))),
        read_fragments,
    ),
    "toml": Kind("a.toml", _bytes(TOML), RunParams.from_toml),
    "truth": Kind("a.csv", _bytes(TRUTH), lambda path: labels_in_file(str(path))),
}


def make_seeds(folder: Path, names: list[str]) -> None:
    """Write a sound file of each kind."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            KINDS[name].make(folder / KINDS[name].file)


def copied(source: Path, target: Path) -> None:
    """Copy a file or folder in the place of another."""
    if target.is_dir():
        shutil.rmtree(target)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)
