"""The notebooks run from top to bottom, and what they show was written by a run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import pyplot

import lazymu
from lazymu.settings import settings
from tests.conftest import REPOSITORY

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
MOST_BYTES = 600_000
PICTURES = {
    "citeseq": 4,
    "cluster": 0,
    "convert": 0,
    "from_muon": 1,
    "million": 2,
    "mofa": 1,
    "quickstart": 4,
}
"""How many each notebook shows at least."""

pytestmark = [
    # mudata and anndata announce changes of their own defaults, and deprecate their own parts.
    pytest.mark.filterwarnings("ignore:From 0.4 .update:FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:anndata"),
    pytest.mark.filterwarnings("ignore::FutureWarning:anndata"),
]


def code_cells(path: Path) -> list[dict[str, Any]]:
    cells = json.loads(path.read_text())["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def run(name: str) -> dict[str, Any]:
    """Run the cells of a notebook in the current folder and return its names."""
    namespace: dict[str, Any] = {}
    pyplot.switch_backend("agg")
    with settings.override(memory_limit="2GB"):
        for number, cell in enumerate(code_cells(REPOSITORY / "notebooks" / name), start=1):
            exec(compile("".join(cell["source"]), f"{name}, cell {number}", "exec"), namespace)
    pyplot.close("all")
    return namespace


def test_quickstart__finds_the_cell_types_and_writes_a_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    found = run("quickstart.ipynb")
    assert 0.9 < found["ari"] <= 1.0
    assert f"adjusted Rand index {found['ari']:.2f}" in capsys.readouterr().out
    assert 600 < found["mdata"].n_obs < 800
    assert found["best"].is_unique
    written = lazymu.read(tmp_path / "clustered.zarr")
    np.testing.assert_array_equal(written.obsm["X_umap"], found["mdata"].obsm["X_umap"])


def test_citeseq__proteins_mark_the_clusters_of_their_cell_types(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mdata, best = (run("citeseq.ipynb")[name] for name in ("mdata", "best"))
    obs, weights = mdata.obs, mdata.obsm["wnn_weights"]
    np.testing.assert_allclose(np.asarray(weights).sum(axis=1), 1, atol=1e-6)
    # Nearly all cells of a cluster have one type, but for B cells, which proteins cannot tell.
    types = obs["cell_type"].astype(str).replace({"B Naive": "B", "B Memory": "B"})
    shares = types.groupby(obs["leiden_wnn"], observed=True).agg(
        lambda group: group.value_counts(normalize=True).iloc[0]
    )
    assert shares.min() > 0.8
    assert {"CD19_TotalSeqB", "CD14_TotalSeqB"} <= set(best["names"])
    # DSB: where a protein is not, its level is near that of empty droplets.
    prot = mdata["prot"]
    names = list(prot.var_names)
    dsb = prot.layers["dsb"].toarray()[:, names.index("CD19_TotalSeqB")]
    is_b = (types == "B").to_numpy()
    assert np.median(dsb[is_b]) > 3 * np.median(dsb[~is_b])
    assert lazymu.read(tmp_path / "citeseq.h5mu").shape == mdata.shape


def test_mofa__factors_tell_the_cell_types_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = run("mofa.ipynb")
    assert found["mdata"].uns["mofa"]["params"]["engine"] == "lazymu"
    assert 0.8 < found["ari"] <= 1
    assert found["variance"].to_numpy().max() > 1


def test_convert__the_same_counts_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = run("convert.ipynb")
    assert found["same"]
    assert found["joined"].n_obs == 2 * found["eager"].n_obs
    assert (tmp_path / "normalised.h5mu").exists()


@pytest.mark.slow
def test_cluster__clusters_are_those_of_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = run("cluster.ipynb")
    assert found["ari"] > 0.99
    assert found["pca"] < 1e-3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # of scanpy's plots
def test_from_muon__both_find_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("muon")
    monkeypatch.chdir(tmp_path)
    found = run("from_muon.ipynb")
    assert found["theirs"].shape == found["ours"].shape
    assert found["qc"].max() < 1e-10
    assert found["normalised"] < 1e-5
    assert found["tfidf"] < 1e-5
    assert found["shared_genes"] == 1000
    assert found["pca"] > 0.9999
    assert found["lsi"] > 0.9999
    # muon's bandwidths are approximate, Seurat's method is another one.
    assert 0.85 < found["neighbours"]["as_muon"] < 1
    assert 0.5 < found["neighbours"]["wnn"] < found["neighbours"]["as_muon"]
    assert found["ari"] > 0.95
    assert found["same_top"] > 0.98
    assert found["markers"]["logfoldchanges"] < 1e-4
    assert found["same"]
    assert found["back"].shape == found["theirs"].shape


@pytest.mark.slow
def test_million__passes_are_few_and_a_rare_type_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = run("million.ipynb")
    n_passes = {record.label: record.n_passes for record in found["stages"]}
    assert n_passes["RNA"] == n_passes["ATAC"] == 2  # variable genes, PCA; sums, LSI
    assert n_passes["Neighbours"] == n_passes["Clusters"] == n_passes["UMAP"] == 0
    assert n_passes["Markers"] == 1
    assert "set lazymu.settings.memory_limit to at least" in found["refused"]
    assert found["ari"] > 0.9
    of_pdc, size = found["of_pdc"], found["size"]
    assert 20 < of_pdc.sum() < 60
    assert of_pdc.iloc[0] > 0.9 * max(size, of_pdc.sum())
    assert found["accuracy"] > 0.8
    written = lazymu.read(tmp_path / "million_result.zarr")
    np.testing.assert_array_equal(written.obsm["X_umap"], found["mdata"].obsm["X_umap"])


def test_million__figures_of_a_million_cells_were_measured() -> None:
    rows = re.compile(r"^\| ([A-Za-z ]+) \| ([\d.]+) \|(?: [\d.]+ \|)? ([\d.]+) \|$", re.MULTILINE)
    page = (REPOSITORY / "benchmarks" / "results" / "run-1000000.md").read_text()
    cells = json.loads((REPOSITORY / "notebooks" / "million.ipynb").read_text())["cells"]
    told = rows.findall("".join(cells[0]["source"]))
    assert len(told) == 10
    assert set(told) <= set(rows.findall(page))


def test_million__kept_its_limit_when_it_was_run() -> None:
    text = "".join(
        "".join(output.get("text", ""))
        for cell in code_cells(REPOSITORY / "notebooks" / "million.ipynb")
        for output in cell["outputs"]
    )
    (told,) = re.findall(r"peak of the process ([\d.]+) GB, limit ([\d.]+) GB", text)
    assert 0 < float(told[0]) <= float(told[1])


def test_notebooks__are_found() -> None:
    assert [path.stem for path in NOTEBOOKS] == list(PICTURES)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks__outputs_are_of_one_run_and_small(path: Path) -> None:
    cells = code_cells(path)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    kinds = {output["output_type"] for output in outputs}
    assert kinds <= {"stream", "display_data", "execute_result"}
    assert {output["name"] for output in outputs if "name" in output} <= {"stdout"}
    pictures = sum("image/png" in output.get("data", {}) for output in outputs)
    assert pictures >= PICTURES[path.stem]
    text = path.read_text()
    assert len(text) < MOST_BYTES
    for place in ("/home/", "/tmp/", "/work/", "site-packages"):
        assert place not in text
