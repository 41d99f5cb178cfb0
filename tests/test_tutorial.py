"""The tutorial of muon's multimodal workflow runs after changing its two import lines.

Each of its Python blocks is a test. A block that begins where another one ended gets a copy of
what that one left behind, so that each test can run alone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import lazymu
from tests.conftest import REPOSITORY

FOLDER = Path(os.environ.get("LAZYMU_TUTORIAL") or REPOSITORY.parent / "shared" / "tutorial")
FILE = FOLDER / "muon-multiomics-singlecell.md"
N_BLOCKS = 18
IMPORTS = {
    "import muon as mu": "import lazymu as mu",
    "import scanpy as sc": "import lazymu as sc",
}
Namespace = dict[str, Any]

pytestmark = [
    pytest.mark.skipif(not FILE.is_file(), reason=f"tutorial absent: no file {FILE}"),
    pytest.mark.data,
    # Lines of the tutorial: groupby on a categorical, and a concatenation of names that repeat.
    pytest.mark.filterwarnings("ignore:The default of observed=False:FutureWarning"),
]


class Block(NamedTuple):
    """One Python block."""

    name: str
    code: str


def read_blocks() -> list[Block]:
    """Return the blocks, named by the heading above them and their number below it."""
    if not FILE.is_file():
        return []
    pattern = r"^#+ ([^\n]*)$|^ *```(\w+)\n(.*?)^ *```"
    blocks: list[Block] = []
    heading, number = "", 0
    for match in re.finditer(pattern, FILE.read_text(), re.MULTILINE | re.DOTALL):
        if match[1]:
            heading, number = match[1].removeprefix("Recipe: ").split(":")[0], 0
        elif match[2] == "python":
            number += 1
            blocks.append(Block(f"{heading} {number}", dedented(match[3])))
    return blocks


def dedented(code: str) -> str:
    """Return code without the indentation of the list that it stands in, imports changed."""
    margin = len(code) - len(code.lstrip(" "))
    lines = [line[margin:] if line.startswith(" " * margin) else line for line in code.splitlines()]
    return "\n".join(IMPORTS.get(line, line) for line in lines)


BLOCKS = {block.name: block.code for block in read_blocks()}


def run(name: str, namespace: Namespace) -> Namespace:
    """Execute a block as its reader would."""
    exec(compile(BLOCKS[name], name, "exec"), namespace)
    return namespace


@pytest.fixture(autouse=True)
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks write files where they run."""
    monkeypatch.chdir(tmp_path)
    matplotlib.use("Agg")


def names_in_use(**more: Any) -> Namespace:
    return {"mu": lazymu, "sc": lazymu, "np": np, "pd": pd, **more}


def multiome(n_cells: int = 300) -> lazymu.MuData:
    """Raw counts of two cell types, with the genes that the tutorial's plots name."""
    rng = np.random.default_rng(0)
    first = np.arange(n_cells) < n_cells // 2
    rna = rng.negative_binomial(1, 0.5, (n_cells, 3500))
    rna[np.ix_(first, np.arange(150))] += 6
    rna[np.ix_(~first, np.arange(150, 300))] += 6
    atac = rng.binomial(2, 0.1, (n_cells, 4000))
    atac[np.ix_(first, np.arange(400))] += 1
    atac[np.ix_(~first, np.arange(400, 800))] += 1
    genes = ["CD3E", "CD19", "CD14", "MT-ND1", "MT-CO1"]
    genes += [f"gene_{j}" for j in range(len(genes), 3500)]
    obs = pd.DataFrame(index=[f"cell_{i}" for i in range(n_cells)])
    peaks = pd.DataFrame(index=[f"chr1:{1000 * j}-{1000 * j + 500}" for j in range(4000)])
    return lazymu.MuData(
        {
            "rna": lazymu.Modality(
                sp.csr_matrix(rna.astype(float)), obs=obs, var=pd.DataFrame(index=genes)
            ),
            "atac": lazymu.Modality(sp.csr_matrix(atac.astype(float)), obs=obs, var=peaks),
        }
    )


@pytest.fixture(scope="module")
def preprocessed() -> lazymu.MuData:
    """What modules 2 and 3 leave behind."""
    namespace = names_in_use(mdata=multiome())
    run("Module 2 1", namespace)
    run("Module 3 1", namespace)
    return namespace["mdata"]


@pytest.fixture(scope="module")
def clustered(preprocessed: lazymu.MuData) -> lazymu.MuData:
    """What module 4 leaves behind."""
    return run("Module 4 1", names_in_use(mdata=preprocessed.copy()))["mdata"]


def test_blocks__are_all_there() -> None:
    assert len(BLOCKS) == N_BLOCKS
    assert sum("lazymu" in code for code in BLOCKS.values()) == 5


def test_quick_start() -> None:
    mdata = run("Quick Start 1", {})["mdata"]
    assert mdata.obsm["X_umap"].shape == (200, 2)
    assert mdata.obs["leiden_wnn"].nunique() >= 1
    assert mdata["rna"].var["highly_variable"].sum() == 500
    assert set(mdata.obsp) >= {"wnn_connectivities", "wnn_distances"}


def test_module_1__creation_and_files() -> None:
    namespace = run("Module 1 1", {})
    assert namespace["mdata2"].n_obs == 300
    assert namespace["mdata2"].n_mod == 2
    expected = np.asarray(namespace["rna"].X)
    np.testing.assert_array_equal(np.asarray(namespace["mdata2"]["rna"].X), expected)
    namespace = run("Module 1 2", namespace)
    assert namespace["mdata_filtered"].n_obs == 300


def test_module_2__rna() -> None:
    namespace = run("Module 2 1", names_in_use(mdata=multiome()))
    rna = namespace["mdata"]["rna"]
    assert rna is namespace["rna"]
    assert rna.obsm["X_pca"].shape == (rna.n_obs, 50)
    assert rna.var["highly_variable"].sum() == 3000
    assert rna.obs["pct_counts_mt"].max() < 20


def test_module_3__atac(preprocessed: lazymu.MuData) -> None:
    atac = preprocessed["atac"]
    assert atac.obsm["X_lsi"].shape == (atac.n_obs, 50)
    np.testing.assert_allclose(atac.obsm["X_lsi"].std(axis=0), 1, rtol=1e-3)


def test_module_4__wnn(clustered: lazymu.MuData) -> None:
    assert clustered.obsm["X_umap"].shape == (clustered.n_obs, 2)
    assert {"wnn_connectivities", "wnn_distances"} <= set(clustered.obsp)
    assert "neighbors" in clustered["rna"].uns
    labels = clustered.obs["leiden_wnn"]
    cell_type = np.arange(300)[[int(n.split("_")[1]) for n in clustered.obs_names]] < 150
    majority = pd.crosstab(labels, cell_type).max(axis=1).sum() / len(labels)
    assert majority > 0.95


def test_module_5__embeddings(clustered: lazymu.MuData, tmp_path: Path) -> None:
    run("Module 5 1", names_in_use(mdata=clustered.copy()))
    for name in ("wnn_umap_clusters.png", "wnn_umap_markers.png"):
        assert (tmp_path / name).stat().st_size > 5000


def test_module_5__embedding_and_violin(clustered: lazymu.MuData, tmp_path: Path) -> None:
    import matplotlib.pyplot as plt

    run("Module 5 2", names_in_use(mdata=clustered.copy(), plt=plt))
    for name in ("embedding_clusters.png", "rna_qc_by_cluster.png"):
        assert (tmp_path / name).stat().st_size > 5000


def test_module_6__differential_peaks(clustered: lazymu.MuData) -> None:
    top = run("Module 6 1", names_in_use(mdata=clustered.copy()))["top_peaks"]
    assert len(top) == 5
    assert top["pvals_adj"].max() < 1e-10


# mofapy2 takes the logarithm of the precision of factors that explain nothing.
@pytest.mark.filterwarnings("ignore:divide by zero encountered in log:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_module_6__mofa(clustered: lazymu.MuData, tmp_path: Path) -> None:
    """On few features, since mofapy2 takes long."""
    few = lazymu.MuData({name: mod[:, 100:180] for name, mod in clustered.mod.items()})
    mdata = run("Module 6 2", names_in_use(mdata=few))["mdata"]
    assert mdata.obsm["X_mofa"].shape == (mdata.n_obs, 10)
    assert (tmp_path / "mofa_model.hdf5").is_file()


def test_workflow_1__multiome(tmp_path: Path) -> None:
    namespace = run("Workflow 1 1", {})
    mdata, labels = namespace["mdata"], namespace["labels"]
    assert mdata["atac"].obsm["X_lsi"].shape == (400, 30)
    cell_type = pd.Series(labels, index=namespace["cell_ids"]).reindex(mdata.obs_names)
    table = pd.crosstab(mdata.obs["leiden_wnn"], cell_type)
    assert table.max(axis=1).sum() / len(cell_type) > 0.95
    markers = {f"gene_{j}" for j in range(200)}
    assert set(namespace["top_markers"]["names"]) <= markers
    assert (tmp_path / "multiome_wnn_pipeline.png").stat().st_size > 5000


def test_workflow_2__citeseq(tmp_path: Path) -> None:
    namespace = run("Workflow 2 1", {})
    means = namespace["cluster_means"]
    assert means["CD3"].max() - means["CD3"].min() > 0.5
    table = pd.crosstab(namespace["mdata"].obs["leiden_wnn"].to_numpy(), namespace["labels"])
    assert table.max(axis=1).sum() / len(namespace["labels"]) > 0.95
    for name in ("citeseq_joint_umap.png", "citeseq_protein_dotplot.png"):
        assert (tmp_path / name).stat().st_size > 5000


def shared_cells(namespace: Namespace) -> bool:
    mods = namespace["mdata"].mod.values()
    return all(mod.n_obs == namespace["mdata"].n_obs for mod in mods)


@pytest.mark.parametrize(
    ("name", "check"),
    [
        ("Best Practices 1", shared_cells),
        ("Best Practices 2", lambda n: np.isfinite(n["corr"])),
        ("Best Practices 3", lambda n: n["mdata"]["rna"].raw.shape == n["mdata"]["rna"].shape),
    ],
)
def test_best_practices(
    name: str, check: Callable[[Namespace], bool], preprocessed: lazymu.MuData
) -> None:
    assert check(run(name, names_in_use(mdata=preprocessed.copy())))


def test_recipe__modality_weights(clustered: lazymu.MuData) -> None:
    name = "Compute Per-Cluster Modality Weights from WNN 1"
    namespace = run(name, names_in_use(mdata=clustered.copy()))
    weights = namespace["weights_df"][["rna_weight", "atac_weight"]]
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)


def test_recipe__labels_to_modalities(clustered: lazymu.MuData) -> None:
    name = "Export Cluster Labels Back to Per-Modality AnnData 1"
    mdata = run(name, names_in_use(mdata=clustered.copy()))["mdata"]
    for mod in mdata.mod.values():
        assert mod.obs["leiden_wnn"].nunique() == mdata.obs["leiden_wnn"].nunique()
        assert "rank_genes_groups" in mod.uns


def test_recipe__one_anndata(clustered: lazymu.MuData) -> None:
    name = "Convert MuData to Concatenated AnnData for scvi-tools 1"
    combined = run(name, names_in_use(mdata=clustered.copy()))["combined"]
    assert combined.n_vars == sum(mod.n_vars for mod in clustered.mod.values())
    assert list(combined.var["modality"].unique()) == ["Gene Expression", "Peaks"]
