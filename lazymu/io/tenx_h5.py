"""HDF5 files of Cell Ranger: every generation from 1 on, RNA, ARC, ATAC, antibodies, probes.

Cell Ranger stores features by barcodes in CSC, which is barcodes by features in CSR: rows are
read as they stand, and nothing is transposed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from lazymu.errors import ArgumentError, DamagedFileError, explain
from lazymu.io.elements import StoreElements
from lazymu.io.tenx_features import split_by_feature_type
from lazymu.keys import FEATURE_TYPES, GENE_IDS, GENOME
from lazymu.store.roots import Root, StoredArray
from lazymu.store.side_by_side import SideBySide
from lazymu.store.sources import CSRSource, MatrixSource
from lazymu.typing import Array

NAMED_OTHERWISE = ("name", "feature_type", "id", "gene_id", "_all_tag_keys")


def is_tenx(root: Root) -> bool:
    """Return whether an HDF5 file has the layout of Cell Ranger."""
    top = root.node()
    return "matrix" in top or bool(_genomes(root))


def read_tenx_h5(root: Root, *, genome: str | None = None) -> StoreElements:
    """Return one modality for each feature type of a Cell Ranger file."""
    if "matrix" in root.node():
        return _read_feature_matrix(root, genome)
    return _read_legacy(root, genome)


# --- Cell Ranger 3 and later: one matrix with a table of features ---------------------------------


def _read_feature_matrix(root: Root, genome: str | None) -> StoreElements:
    group = root.node("matrix")
    if "features" not in group:
        rule = "a Cell Ranger matrix has a table of features"
        raise DamagedFileError(
            explain("matrix/features", f"absent from {root}", rule, "download the file again")
        )
    source = _source(root, "matrix")
    var = _feature_table(group["features"])
    obs = pd.DataFrame(index=pd.Index(texts(group["barcodes"])))
    if "filtered_barcodes" in group:
        obs["filtered_barcodes"] = group["filtered_barcodes"][()].astype(bool)
    check_lengths(source, obs, var, root)
    keep = None
    if genome is not None:
        _check_genome(genome, var[GENOME].unique().tolist() if GENOME in var else [])
        keep = np.flatnonzero(var[GENOME] == genome)
    return split_by_feature_type(source, obs, var, keep=keep)


def _feature_table(features: Any) -> pd.DataFrame:
    """Return the columns that scanpy's reader gives, in its order."""
    ids = texts(features["id"])
    columns = {GENE_IDS: ids}
    if "gene_id" in features:  # a row is a probe
        columns = {GENE_IDS: texts(features["gene_id"]), "probe_ids": ids}
    columns[FEATURE_TYPES] = texts(features["feature_type"])
    for name, node in features.items():
        if hasattr(node, "dtype") and name not in NAMED_OTHERWISE:
            columns[name] = node[()] if node.dtype.kind == "b" else texts(node)
    return pd.DataFrame(columns, index=pd.Index(texts(features["name"])))


# --- Cell Ranger 1 and 2: one matrix for each genome ----------------------------------------------


def _genomes(root: Root) -> list[str]:
    top = root.node()
    return [
        name
        for name, group in top.items()
        if not hasattr(group, "dtype") and "genes" in group and "barcodes" in group
    ]


def _read_legacy(root: Root, genome: str | None) -> StoreElements:
    """Return genes of one genome, or of all genomes side by side over the union of barcodes."""
    genomes = _genomes(root)
    if genome is not None:
        _check_genome(genome, genomes)
        genomes = [genome]
    tables = [_legacy_tables(root, name) for name in genomes]
    sources = [_source(root, name) for name in genomes]
    for source, (obs, var) in zip(sources, tables, strict=True):
        check_lengths(source, obs, var, root)
    if len(genomes) == 1:
        return split_by_feature_type(sources[0], *tables[0])
    barcodes = pd.Index(pd.unique(np.concatenate([obs.index for obs, _ in tables])))
    rows = [obs.index.get_indexer(barcodes).astype(np.int64) for obs, _ in tables]
    var = pd.concat(
        [var.assign(**{GENOME: name}) for name, (_, var) in zip(genomes, tables, strict=True)]
    )
    return split_by_feature_type(SideBySide(sources, rows), pd.DataFrame(index=barcodes), var)


def _legacy_tables(root: Root, genome: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    group = root.node(genome)
    var = pd.DataFrame(
        {GENE_IDS: texts(group["genes"])}, index=pd.Index(texts(group["gene_names"]))
    )
    return pd.DataFrame(index=pd.Index(texts(group["barcodes"]))), var


# --- both -----------------------------------------------------------------------------------------


def _source(root: Root, name: str) -> CSRSource:
    group = root.node(name)
    absent = [part for part in ("data", "indices", "indptr", "shape") if part not in group]
    if absent:
        got = f"without {', '.join(absent)} in {root}"
        rule = "a Cell Ranger matrix has them"
        raise DamagedFileError(explain(name, got, rule, "download the file again"))
    sizes = np.asarray(group["shape"][()])
    if sizes.shape != (2,) or sizes.dtype.kind not in "iu" or np.any(sizes < 0):
        rule = "it holds the numbers of features and of barcodes"
        raise DamagedFileError(
            explain(f"{name}/shape", f"{sizes} in {root}", rule, "download the file again")
        )
    n_vars, n_obs = sizes.tolist()
    data, indices, indptr = (
        StoredArray(root, f"{name}/{part}") for part in ("data", "indices", "indptr")
    )
    return CSRSource(data, indices, indptr, (n_obs, n_vars))


def texts(node: Any) -> Array:
    """Return an HDF5 array as text, numbers included, as scanpy gives them."""
    if node.dtype.kind in "SO":
        return np.asarray(node.asstr("utf-8")[()], dtype=str)
    return np.asarray(node[()]).astype(str)


def check_lengths(
    source: MatrixSource, obs: pd.DataFrame, var: pd.DataFrame, origin: object
) -> None:
    """Raise where the tables do not have the matrix's lengths."""
    if source.shape != (len(obs), len(var)):
        got = f"{source.shape[0]} barcodes × {source.shape[1]} features in {origin}"
        rule = f"there are {len(obs)} barcodes and {len(var)} features in its tables"
        raise DamagedFileError(explain("matrix", got, rule, "download the file again"))


def _check_genome(genome: str, known: list[str]) -> None:
    if genome not in known:
        rule = f"the file holds {', '.join(map(repr, known)) or 'none'}"
        raise ArgumentError(explain("genome", repr(genome), rule, "pass one of them"))
