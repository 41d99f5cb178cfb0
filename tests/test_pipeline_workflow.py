"""The whole workflow on simulated and real files."""

from __future__ import annotations

from pathlib import Path

import anndata
import mudata
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp

import lazymu
from lazymu.datasets import citeseq_10x, multiome
from lazymu.datasets.tenx import truth_path
from lazymu.errors import (
    ArgumentError,
    EmptyResultError,
    MissingFileError,
    MissingResultError,
    ModalityNotFoundError,
    StoreExistsError,
)
from lazymu.pipeline import RunParams, RunSummary, run_workflow
from lazymu.pipeline.joint import agreement
from lazymu.pipeline.source import as_mudata, kind_of
from lazymu.pipeline.workflow import figures_folder
from lazymu.stream.paged import set_aside

N_CELLS = 400
# Few features, deep: quick, and every cell type can be told whatever the seed.
SMALL = {"n_genes": 1500, "depth": 8.0, "n_clusters": 6}
NARROW = RunParams().updated(
    {"rna": {"min_genes": 20, "n_comps": 15}, "atac": {"min_features": 50, "n_comps": 15}}
)
PARAMS = NARROW.updated({"joint": {"truth": "cell_type"}})

pytestmark = [
    # anndata 0.13 and mudata 0.4 use what pandas 3 has deprecated.
    pytest.mark.filterwarnings("ignore:The 'future.infer_string' option is deprecated"),
    pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame.drop is deprecated"),
    # mudata 0.3 announces a change of its own default at every read.
    pytest.mark.filterwarnings("ignore:From 0.4 .update:FutureWarning"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workflow")


@pytest.fixture(scope="module")
def h5mu(folder: Path) -> Path:
    return multiome(folder / "multi.h5mu", N_CELLS, n_peaks=4000, **SMALL)


@pytest.fixture(scope="module")
def tenx(folder: Path) -> Path:
    return citeseq_10x(folder / "cite.h5", N_CELLS, n_antibodies=15, **SMALL)


@pytest.fixture(scope="module")
def joint(h5mu: Path, folder: Path) -> RunSummary:
    return run_workflow(h5mu, folder / "multi.zarr", PARAMS)


@pytest.fixture(scope="module")
def heard() -> list[tuple[str, int, int]]:
    """What the watcher of the CITE-seq run was told."""
    return []


@pytest.fixture(scope="module")
def cite(tenx: Path, folder: Path, heard: list[tuple[str, int, int]]) -> RunSummary:
    def watch(label: str, number: int, total: int) -> None:
        heard.append((label, number, total))

    params = NARROW.updated({"joint": {"truth": str(truth_path(tenx)), "resolution": [1, 0.3]}})
    return run_workflow(tenx, folder / "cite.zarr", params, watch=watch)


def test_run_workflow__multiome_finds_the_cell_types(joint: RunSummary) -> None:
    (found,) = joint.clusterings
    assert (found.key, found.resolution) == ("leiden_wnn", 1.0)
    assert found.n_clusters == 6
    assert found.ari is not None
    assert found.ari > 0.95
    assert joint.truth == "cell_type"


def test_run_workflow__citeseq_with_labels_of_a_csv_file(cite: RunSummary) -> None:
    assert [found.key for found in cite.clusterings] == ["leiden_wnn", "leiden_wnn_0.3"]
    assert cite.clusterings[0].ari is not None
    assert cite.clusterings[0].ari > 0.95
    assert cite.clusterings[1].n_clusters <= cite.clusterings[0].n_clusters
    stored = lazymu.read(cite.store)
    truth = pd.read_csv(cite.source.replace(".h5", ".truth.csv"), index_col=0)["cell_type"]
    assert list(stored.obs["cell_type"]) == list(truth.reindex(stored.obs_names))


def test_run_workflow__store_holds_every_result(joint: RunSummary) -> None:
    stored = lazymu.read(joint.store)
    assert {"leiden_wnn", "cell_type"} <= set(stored.obs)
    assert stored.obsm["X_umap"].shape == (joint.n_cells, 2)
    assert np.isfinite(stored.obsm["X_umap"]).all()
    assert {"wnn_distances", "wnn_connectivities"} <= set(stored.obsp)
    assert "X_pca" in stored["rna"].obsm
    assert "X_lsi" in stored["atac"].obsm
    assert "rank_genes_groups" in stored["rna"].uns
    run = stored.uns["lazymu"]["run"]
    assert run["source"] == joint.source
    assert RunParams().updated(run["params"]) == PARAMS


def test_run_workflow__mudata_reads_the_store(joint: RunSummary) -> None:
    found = mudata.read_zarr(joint.store)
    assert list(found.mod) == ["rna", "atac"]
    assert found.n_obs == joint.n_cells
    assert found.obs["leiden_wnn"].nunique() == 6
    counts = found["rna"].X
    assert counts.max() == int(counts.max()) > 10


def test_run_workflow__embedding_is_scanpys(joint: RunSummary, h5mu: Path) -> None:
    """The RNA part by scanpy, from the same file with the same parameters."""
    rna = mudata.read_h5mu(h5mu)["rna"]
    rna.X = rna.X.astype(np.float32)
    rna.var["mt"] = rna.var_names.str.startswith("MT-")
    sc.pp.calculate_qc_metrics(rna, qc_vars=["mt"], percent_top=None, inplace=True)
    sc.pp.filter_cells(rna, min_genes=20)
    rna = rna[rna.obs["pct_counts_mt"] <= 20].copy()
    sc.pp.filter_genes(rna, min_cells=3)
    stored = lazymu.read(joint.store)["rna"]
    assert list(rna.obs_names) == list(stored.obs_names)
    assert list(rna.var_names) == list(stored.var_names)
    sc.pp.normalize_total(rna, target_sum=1e4)
    sc.pp.log1p(rna)
    sc.pp.highly_variable_genes(rna, n_top_genes=rna.n_vars)
    sc.pp.pca(rna, n_comps=15, svd_solver="arpack")
    for component in range(5):
        mine, theirs = (x.obsm["X_pca"][:, component] for x in (stored, rna))
        np.testing.assert_allclose(np.abs(mine), np.abs(theirs), rtol=1e-2, atol=2e-3)


def test_run_workflow__sizes_before_and_after(joint: RunSummary, h5mu: Path) -> None:
    source = lazymu.read(h5mu)
    stored = lazymu.read(joint.store)
    for part in joint.modalities:
        assert part.before == source[part.name].shape
        assert part.after == stored[part.name].shape
    assert 0.85 * N_CELLS < joint.n_cells < N_CELLS


def test_run_workflow__pictures_are_beside_the_store(joint: RunSummary) -> None:
    assert figures_folder(joint.store) == joint.store.with_name("multi_figures")
    names = {path.name for path in joint.figures}
    assert names == {
        "quality_rna.png",
        "quality_atac.png",
        "umap_clusters.png",
        "umap_quality.png",
        "modality_weights.png",
        "markers.png",
    }
    for path in joint.figures:
        assert path.parent == figures_folder(joint.store)
        assert path.read_bytes().startswith(b"\x89PNG")


def test_run_workflow__nothing_of_the_work_is_left(joint: RunSummary) -> None:
    beside = {path.name for path in joint.store.parent.glob("multi*")}
    assert beside == {"multi.h5mu", "multi.zarr", "multi_figures", "multi_report.html"}


def test_run_workflow__stages_have_time_and_memory(joint: RunSummary) -> None:
    labels = [stage.label for stage in joint.stages]
    assert labels[0] == "Open"
    assert labels[-2:] == ["Write", "Report"]
    assert "ATAC embedding" in labels
    assert "Protein embedding" not in labels
    assert all(stage.seconds >= 0 for stage in joint.stages)
    assert all(stage.peak_bytes > 50e6 for stage in joint.stages)
    assert joint.peak_bytes == max(stage.peak_bytes for stage in joint.stages)


def test_run_workflow__watcher_hears_of_every_stage(
    cite: RunSummary, heard: list[tuple[str, int, int]]
) -> None:
    assert [label for label, _, _ in heard] == [stage.label for stage in cite.stages]
    assert [number for _, number, _ in heard] == list(range(1, len(heard) + 1))
    assert {total for _, _, total in heard[1:]} == {len(heard)}


def test_run_workflow__one_modality_has_a_plain_graph(h5mu: Path, folder: Path) -> None:
    rna = folder / "rna.h5ad"
    anndata.AnnData(
        mudata.read_h5mu(h5mu)["rna"].X.astype(np.float32),
        var=pd.DataFrame(index=[f"g{j}" for j in range(1500)]),
    ).write_h5ad(rna)
    summary = run_workflow(rna, folder / "rna.zarr", NARROW)
    stored = lazymu.read(summary.store)
    assert list(stored.mod) == ["rna"]
    assert {"leiden"} <= set(stored["rna"].obs)
    assert "X_umap" in stored["rna"].obsm
    assert [found.key for found in summary.clusterings] == ["leiden"]
    assert summary.clusterings[0].ari is None
    assert any("no gene is named MT-" in note for note in summary.notes)


def test_run_workflow__few_cells_get_fewer_components_and_neighbours(tmp_path: Path) -> None:
    path = multiome(tmp_path / "few.h5mu", 40, 400, 600, n_clusters=2, depth=30.0)
    summary = run_workflow(path, tmp_path / "few.zarr", NARROW)
    stored = lazymu.read(summary.store)
    assert stored["rna"].obsm["X_pca"].shape[1] == stored["rna"].n_obs // 10
    notes = " ".join(summary.notes)
    expected = f"rna: {stored['rna'].n_obs // 10} components instead of 15, as there are only"
    assert expected in notes
    assert "neighbours instead of 20, as there are only" in notes


def test_run_workflow__store_that_exists_is_kept(joint: RunSummary, h5mu: Path) -> None:
    with pytest.raises(StoreExistsError, match=r"multi.zarr', but it exists"):
        run_workflow(h5mu, joint.store)
    assert lazymu.read(joint.store).n_obs == joint.n_cells


def test_run_workflow__result_over_its_source_raises(joint: RunSummary) -> None:
    with pytest.raises(ArgumentError, match="it is the source, whose dropped cells would be lost"):
        run_workflow(joint.store, joint.store, overwrite=True)


def test_run_workflow__on_its_own_result_starts_from_the_counts(
    joint: RunSummary, folder: Path
) -> None:
    again = run_workflow(joint.store, folder / "again.zarr", PARAMS)
    assert "rna: X is transformed (ScaleRows, Log1p); this run starts from" in again.notes[0]
    assert "atac: X is transformed" in again.notes[1]
    first, second = lazymu.read(joint.store), lazymu.read(again.store)
    np.testing.assert_allclose(
        np.abs(second["rna"].obsm["X_pca"]), np.abs(first["rna"].obsm["X_pca"]), atol=1e-3
    )
    assert second.obs["leiden_wnn"].equals(first.obs["leiden_wnn"])


def test_run_workflow__fractions_are_noted(tmp_path: Path) -> None:
    counts = np.random.default_rng(0).poisson(3.0, (60, 40)).astype(np.float32)
    source = tmp_path / "logs.h5ad"
    anndata.AnnData(sp.csr_matrix(np.log1p(counts))).write_h5ad(source)
    params = RunParams().updated({"rna": {"min_genes": 5}})
    summary = run_workflow(source, tmp_path / "out.zarr", params)
    assert "rna: X has fractions, but the workflow is made for raw counts" in summary.notes


@pytest.mark.parametrize(
    ("shape", "left"), [((1, 40), "1 cells and "), ((60, 1), "60 cells and 1 ")]
)
def test_run_workflow__too_little_for_an_embedding_raises(
    shape: tuple[int, int], left: str, tmp_path: Path
) -> None:
    source = tmp_path / "tiny.h5ad"
    anndata.AnnData(sp.csr_matrix(np.ones(shape, dtype=np.float32))).write_h5ad(source)
    params = RunParams().updated({"rna": {"min_genes": 1, "min_cells": 1}})
    with pytest.raises(EmptyResultError, match=f"`rna` is down to {left}.* at least 3 cells and 2"):
        run_workflow(source, tmp_path / "out.zarr", params)


def test_run_workflow__result_over_its_source_by_another_path_raises(joint: RunSummary) -> None:
    other = joint.store.parent / ".." / joint.store.parent.name / joint.store.name
    with pytest.raises(ArgumentError, match="it is the source"):
        run_workflow(joint.store, other, PARAMS, overwrite=True)


def test_run_workflow__result_must_be_a_zarr_store(h5mu: Path, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"the result is a Zarr store; name it .*out.zarr"):
        run_workflow(h5mu, tmp_path / "out.h5mu")


@pytest.mark.parametrize(
    ("truth", "error", "message"),
    [
        ("nope", MissingResultError, r"`joint.truth` is 'nope', but no obs table has that column"),
        ("nope.csv", MissingFileError, "`joint.truth` is 'nope.csv', but there is no such file"),
    ],
)
def test_run_workflow__unknown_labels_raise_before_the_work(
    truth: str, error: type[Exception], message: str, h5mu: Path, tmp_path: Path
) -> None:
    heard: list[str] = []
    params = NARROW.updated({"joint": {"truth": truth}})
    with pytest.raises(error, match=message):
        run_workflow(h5mu, tmp_path / "o.zarr", params, watch=lambda label, *_: heard.append(label))
    assert heard == ["Open", "Known labels"]
    # What was converted is kept, so that a run with other labels may go on with it.
    assert [path.name for path in tmp_path.iterdir()] == ["o.zarr.lazymu"]


def test_run_workflow__labels_without_a_column_raise(h5mu: Path, tmp_path: Path) -> None:
    path = tmp_path / "names.csv"
    path.write_text("barcode\nAAAC-1\n")
    params = NARROW.updated({"joint": {"truth": str(path)}})
    with pytest.raises(ArgumentError, match="its first column must be cell names"):
        run_workflow(h5mu, tmp_path / "o.zarr", params)


def test_run_workflow__no_cell_left_raises_and_leaves_no_store(h5mu: Path, tmp_path: Path) -> None:
    params = NARROW.updated({"rna": {"max_pct_mt": 0.0}})
    with pytest.raises(EmptyResultError, match=r"`rna.max_pct_mt` is 0.0, but the smallest"):
        run_workflow(h5mu, tmp_path / "none.zarr", params)
    assert not (tmp_path / "none.zarr").exists()


def test_run_workflow__source_that_cannot_be_opened_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError):
        run_workflow(tmp_path / "absent.h5mu", tmp_path / "none.zarr")
    assert list(tmp_path.iterdir()) == []


def test_run_workflow__limit_above_all_cells_names_the_parameter(
    h5mu: Path, tmp_path: Path
) -> None:
    params = NARROW.updated({"atac": {"min_features": 10**6}})
    with pytest.raises(
        EmptyResultError, match=r"`atac.min_features` is 1000000, but the richest of"
    ):
        run_workflow(h5mu, tmp_path / "none.zarr", params)


def test_run_workflow__unknown_modalities_raise(tmp_path: Path) -> None:
    hashes = lazymu.Modality(sp.csr_matrix(np.eye(5, dtype=np.float32)))
    lazymu.MuData({"hash": hashes}).write(tmp_path / "hash.zarr")
    with pytest.raises(ModalityNotFoundError, match="the workflow knows modalities named rna"):
        run_workflow(tmp_path / "hash.zarr", tmp_path / "o.zarr")


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize(
    "source",
    [
        "multiome_pbmc40_10x/pbmc40_multiome.h5mu",
        "multiome_pbmc40_10x/derived_arc_filtered_feature_bc_matrix.h5",
        "citeseq_pbmc1k_10x/filtered_feature_bc_matrix.h5",
    ],
)
def test_run_workflow__real_files(source: str, data_dir: Path, tmp_path: Path) -> None:
    summary = run_workflow(data_dir / source, tmp_path / "real.zarr")
    stored = lazymu.read(summary.store)
    assert stored.n_obs == summary.n_cells >= 30
    assert np.isfinite(stored.obsm["X_umap"]).all()
    assert summary.clusterings[0].n_clusters >= 1


@pytest.mark.parametrize(
    ("feature_type", "kind"),
    [
        ("Peaks", "atac"),
        ("Antibody Capture", "prot"),
        ("Gene Expression", "rna"),
        ("CRISPR", "rna"),
    ],
)
def test_kind_of__a_single_modality_is_named_after_its_features(
    feature_type: str, kind: str
) -> None:
    modality = lazymu.Modality(np.eye(3), var={"feature_types": [feature_type] * 3})
    assert kind_of(modality) == kind


def test_as_mudata__repeated_feature_names_are_told_apart() -> None:
    repeated = lazymu.Modality(np.eye(3), var=pd.DataFrame(index=["a", "b", "a"]))
    assert list(as_mudata(repeated)["rna"].var_names) == ["a", "b", "a-1"]


def test_agreement__is_over_cells_with_both_labels() -> None:
    names = [f"c{i}" for i in range(6)]
    clusters = pd.Series(list("001122"), index=names)
    labels = pd.Series(["x", "x", "y", "y", None, None], index=names)
    assert agreement(clusters, labels) == 1.0
    assert agreement(clusters, pd.Series(list("xyxyxy"), index=names)) < 0


def test_workflow__results_set_aside_are_the_same(
    h5mu: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, aside = tmp_path / "held.zarr", tmp_path / "aside.zarr"
    run_workflow(h5mu, held, PARAMS)
    put: list[Path | None] = []

    def counting(values: np.ndarray, folder: Path | None) -> np.ndarray:
        put.append(folder)
        return set_aside(values, folder)

    monkeypatch.setattr("lazymu.pipeline.joint.SET_ASIDE_BYTES", 0)
    monkeypatch.setattr("lazymu.pipeline.joint.set_aside", counting)
    run_workflow(h5mu, aside, PARAMS)
    # Embeddings and loadings, the joint weights, the distances' values and columns.
    assert len(put) >= 7
    assert {folder.parent for folder in put if folder} == {tmp_path / "aside.zarr.lazymu"}
    a, b = mudata.read_zarr(held), mudata.read_zarr(aside)
    for name, key in (("rna", "X_pca"), ("atac", "X_lsi")):
        np.testing.assert_array_equal(a[name].obsm[key], b[name].obsm[key])
    np.testing.assert_array_equal(a.obsm["X_umap"], b.obsm["X_umap"])
    assert (a.obsp["wnn_distances"] != b.obsp["wnn_distances"]).nnz == 0
