"""What results say of how they were made, and the script that makes them again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp
from typer.testing import CliRunner

import lazymu as mu
from lazymu.cli.main import app
from lazymu.containers.arguments import to_json
from lazymu.containers.history import entries_of, recorded, unrecorded
from lazymu.datasets import multiome
from lazymu.errors import ArgumentError, MissingResultError
from lazymu.pipeline import RunParams, run_workflow, script_of
from tests.conftest import make_counts

pytestmark = [
    # anndata 0.13 uses what pandas 3 has deprecated.
    pytest.mark.filterwarnings("ignore:The 'future.infer_string' option is deprecated"),
]
EMBEDDINGS = {"rna": "X_pca", "atac": "X_lsi"}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("history")
    h5mu = multiome(folder / "pbmc.h5mu", 250, 1500, 3000, n_clusters=4, depth=4.0)
    mu.convert(h5mu, folder / "pbmc.zarr")
    return folder / "pbmc.zarr"


@pytest.fixture(scope="module")
def made(source: Path) -> Path:
    """A store made in Python: quality, filters, normalisation, embeddings, graph, clusters."""
    mdata = mu.read(source)
    rna, atac = mdata["rna"], mdata["atac"]
    rna.var["even"] = np.arange(rna.n_vars) % 2 == 0
    mu.pp.calculate_qc_metrics(rna, qc_vars=["even"], percent_top=(50, 100), inplace=True)
    mu.pp.filter_cells(rna, min_genes=20)
    mu.pp.filter_obs(rna, "total_counts", lambda x: x < np.quantile(x, 0.95))
    mu.pp.filter_genes(atac, min_cells=5)
    mu.pp.intersect_obs(mdata)
    rna.layers["counts"] = rna.X
    mu.pp.normalize_total(rna, target_sum=1e4)
    mu.pp.log1p(rna)
    mu.pp.highly_variable_genes(rna, n_top_genes=300)
    mu.pp.pca(rna, n_comps=10)
    mu.atac.pp.tfidf(atac)
    mu.atac.tl.lsi(atac, n_comps=10)
    mu.pp.neighbors(mdata, use_rep=EMBEDDINGS, key_added="wnn", n_neighbors=10)
    mu.tl.umap(mdata, neighbors_key="wnn", random_state=3)
    mu.tl.leiden(mdata, neighbors_key="wnn", key_added="leiden_wnn")
    mu.tl.rank_genes_groups(rna, mdata.obs["leiden_wnn"], method="wilcoxon")
    path = source.with_name("made.zarr")
    mdata.write(path)
    return path


def calls(container: Any) -> list[str]:
    return [entry["call"] for entry in entries_of(container)]


def execute(script: str, **given: Any) -> dict[str, Any]:
    """Run a script; what it asks for at its head is given."""
    for name in given:
        assert f"\n{name} = ..." in script
        script = script.replace(f"\n{name} = ...", f"\n{name} = given[{name!r}]")
    space: dict[str, Any] = {"given": given}
    exec(compile(script, "history.py", "exec"), space)
    return space


def assert_same_results(found: mu.MuData, expected: mu.MuData) -> None:
    """Compare tables, embeddings and graphs of all modalities and jointly."""
    for name in ("", *expected.mod):
        one, other = (data[name] if name else data for data in (found, expected))
        for slot in ("obs", "var"):
            tables = getattr(one, slot), getattr(other, slot)
            # what is read holds text as pandas does by default
            pd.testing.assert_frame_equal(*tables, check_dtype=False, check_categorical=False)
        for slot in ("obsm", "varm", "obsp"):
            assert set(getattr(one, slot)) == set(getattr(other, slot))
            for key, values in getattr(other, slot).items():
                again = getattr(one, slot)[key]
                dense = [np.asarray(v.toarray() if sp.issparse(v) else v) for v in (again, values)]
                np.testing.assert_array_equal(*dense)


def test_recorded__says_call_arguments_seed_version_time_and_input() -> None:
    rna = mu.Modality(make_counts(60, 30))
    mu.pp.normalize_total(rna, target_sum=np.float32(100), key_added=None)
    mu.pp.log1p(rna)
    mu.pp.pca(rna, n_comps=5)
    first, _, last = entries_of(rna)
    assert first["call"] == "pp.normalize_total"
    assert first["arguments"] == {"target_sum": 100.0}
    assert first["lazymu"] == mu.__version__
    assert first["time"] < last["time"]
    assert (first["input"][""]["obs"][0], first["input"][""]["var"][0]) == (60, 30)
    assert first["opened"][""]["counts"]["crc"] != 0
    assert (first["input"][""]["steps"], first["output"][""]["steps"]) == ([], ["ScaleRows"])
    assert last["input"][""]["steps"] == ["ScaleRows", "Log1p"]
    assert (last["arguments"], last["seed"]) == ({"n_comps": 5}, 0)
    assert "seed" not in first


def test_recorded__fingerprint_is_that_of_the_values() -> None:
    counts = make_counts(60, 30)
    other = counts.copy()
    other.data[-1] += 1
    crc = []
    for matrix in (counts, counts.copy(), other):
        rna = mu.Modality(matrix)
        mu.pp.log1p(rna)
        crc.append(entries_of(rna)[0]["opened"][""]["counts"]["crc"])
    assert crc[0] == crc[1] != crc[2]


def test_recorded__of_a_store_the_fingerprint_is_the_one_written(source: Path) -> None:
    mdata = mu.read(source)
    mu.pp.log1p(mdata["rna"])
    opened = entries_of(mdata["rna"])[0]["opened"][""]
    assert opened["counts"]["shape"] == [250, 1500]
    assert opened["counts"]["crc"] > 0
    assert opened["source"] == f"{source}/rna"


def test_recorded__calls_of_a_call_and_calls_that_write_nothing_are_not() -> None:
    rna = mu.Modality(make_counts(60, 30))
    mu.pp.normalize_total(rna, inplace=False)
    mu.pp.calculate_qc_metrics(rna, percent_top=None)
    mu.pp.highly_variable_genes(mu.pp.log1p(rna, copy=True), inplace=False, n_top_genes=5)
    assert "lazymu" not in rna.uns
    with unrecorded():
        mu.pp.log1p(rna)
    assert calls(rna) == []

    @recorded
    def normalize(data: mu.Modality) -> None:
        mu.pp.normalize_total(data)

    normalize(rna)
    assert [call.rpartition(".")[2] for call in calls(rna)] == ["normalize"]


def test_recorded__a_call_that_fails_is_not() -> None:
    rna = mu.Modality(make_counts(20, 10))
    with pytest.raises(ArgumentError):
        mu.pp.normalize_total(rna, target_sum=-1)
    assert calls(rna) == []
    mu.pp.log1p(rna)
    assert calls(rna) == ["pp.log1p"]


def test_history__of_copies_slices_and_selections() -> None:
    rna = mu.Modality(make_counts(60, 30))
    mu.pp.log1p(rna)
    copied, part = rna.copy(), rna[:10, 5:]
    assert calls(copied) == calls(part) == ["pp.log1p"]
    mu.pp.normalize_total(copied)
    scaled = mu.pp.normalize_total(part, copy=True)
    assert calls(rna) == calls(part) == ["pp.log1p"]
    assert calls(copied) == calls(scaled) == ["pp.log1p", "pp.normalize_total"]
    rna.subset_obs(np.arange(5))
    assert calls(rna) == ["pp.log1p"]


def test_history__survives_files_and_is_read_by_other_tools(made: Path, tmp_path: Path) -> None:
    expected = calls(mu.read(made)["rna"])
    assert expected[0] == "pp.calculate_qc_metrics"
    assert expected[-1] == "tl.rank_genes_groups"
    lines = md.read_zarr(made)["rna"].uns["lazymu"]["history"]
    assert [json.loads(str(line))["call"] for line in lines] == expected
    lines = ad.io.read_zarr(made / "mod" / "rna").uns["lazymu"]["history"]
    assert [json.loads(str(line))["call"] for line in lines] == expected
    mu.read(made).write(tmp_path / "again.h5mu")
    again = mu.read(tmp_path / "again.h5mu")
    assert calls(again["rna"]) == expected
    assert calls(again) == ["pp.intersect_obs", "pp.neighbors", "tl.umap", "tl.leiden"]
    adata = again["rna"].to_anndata()
    assert [json.loads(line)["call"] for line in adata.uns["lazymu"]["history"]] == expected
    assert calls(mu.Modality(adata)) == expected
    adata.write_h5ad(tmp_path / "theirs.h5ad")
    assert calls(mu.read(tmp_path / "theirs.h5ad")) == expected


def test_history__scanpy_works_on_what_has_one(made: Path) -> None:
    adata = mu.read(made)["rna"].to_anndata()
    sc.pp.neighbors(adata, use_rep="X_pca")
    sc.tl.umap(adata)
    assert sc.get.rank_genes_groups_df(adata, "0").shape[0] == adata.n_vars


def test_script__of_a_store_made_in_python_makes_it_again(made: Path, tmp_path: Path) -> None:
    script = script_of(made)
    assert script == CliRunner().invoke(app, ["history", str(made)]).stdout
    assert " = ..." not in script
    target = tmp_path / "again.zarr"
    space = execute(script.replace(str(made.with_name("made-again.zarr")), str(target)))
    assert_same_results(space["mdata"], mu.read(made))
    assert_same_results(mu.read(target), mu.read(made))


def test_script__lines(made: Path) -> None:
    lines = script_of(made).splitlines()
    assert lines[0].startswith(f"# {made}: made by lazymu {mu.__version__}, ")
    assert f"mdata = mu.read({str(made.with_name('pbmc.zarr'))!r})" in lines
    assert "mdata['rna'].var['even'] = made['rna'].var['even']" in lines
    assert "mdata['rna'].layers['counts'] = mdata['rna'].X" in lines
    assert "mu.pp.normalize_total(mdata['rna'], target_sum=10000.0)" in lines
    assert any("func=lambda x: x < np.quantile(x, 0.95))  # keeps " in line for line in lines)
    assert any("groupby=mdata.obs['leiden_wnn']" in line for line in lines)
    assert lines[-1] == "mdata.write(RESULT)"


def test_script__of_a_run_makes_it_again(source: Path, tmp_path: Path) -> None:
    params = RunParams().updated(
        {"rna": {"min_genes": 20, "n_comps": 12, "n_top_genes": 300}, "joint": {"seed": 4}}
    )
    out = tmp_path / "run.zarr"
    run_workflow(source, out, params)
    mdata = mu.read(out)
    assert calls(mdata) == ["pipeline.run_workflow"]
    assert calls(mdata["rna"]) == calls(mdata["atac"]) == []
    script = script_of(out)
    assert "n_comps': 12" in script
    execute(script)
    assert_same_results(mu.read(tmp_path / "run-again.zarr"), mdata)


@pytest.mark.slow
def test_script__goes_on_after_a_run(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "run.zarr"
    run_workflow(source, out, RunParams().updated({"rna": {"min_genes": 20, "n_top_genes": 300}}))
    mdata = mu.read(out)
    mu.tl.leiden(mdata, resolution=0.3, neighbors_key="wnn", key_added="coarse")
    mdata.write(out)
    script = script_of(out)
    assert "mdata = mu.read(RESULT)\nmu.tl.leiden(mdata, " in script
    execute(script)
    assert_same_results(mu.read(tmp_path / "run-again.zarr"), mdata)


def test_script__slices_are_asked_for_or_taken_from_the_store(source: Path, tmp_path: Path) -> None:
    mdata = mu.read(source)
    few = np.arange(250) % 3 > 0
    mdata = mdata[few]
    mu.pp.normalize_total(mdata["rna"])
    mdata.mod["rna"] = mdata["rna"][:, 100:]
    mu.pp.log1p(mdata["rna"])
    mdata = mdata[mdata.obs_names[:100]]
    mdata.write(tmp_path / "part.zarr")
    script = script_of(tmp_path / "part.zarr")
    assert "cells_1 = ...  # 166 of 250 cells of rna: a mask or names (CRC-32 " in script
    assert "mdata['rna'].subset_var(made['rna'].var_names)" in script
    assert "mdata['rna'].subset_obs(made['rna'].obs_names)" in script
    space = execute(script, cells_1=few)
    expected = mu.read(tmp_path / "part.zarr")
    assert_same_results(space["mdata"], expected)
    np.testing.assert_array_equal(space["mdata"]["rna"].X.toarray(), expected["rna"].X.toarray())


def test_script__of_data_from_memory_and_arrays_asks_for_them(tmp_path: Path) -> None:
    adata = ad.AnnData(make_counts(60, 30))
    rna = mu.Modality(adata)
    mask = np.arange(60) < 50
    mu.pp.filter_obs(rna, mask)
    mu.pp.filter_var(rna, [*rna.var_names[:20]])
    limit = 1
    mu.pp.filter_obs(rna, "0", lambda x: x >= limit)
    rna.write(tmp_path / "rna.h5ad")
    script = script_of(tmp_path / "rna.h5ad")
    assert "\ndata_1 = ...  # the data, which were in memory\n" in script
    assert "# the function <lambda>\n" in script
    given = {"data_1": adata, "func_1": lambda x: x >= 1}
    space = execute(script, **given)
    found, expected = space["mod"], mu.read(tmp_path / "rna.h5ad")
    assert list(found.obs_names) == list(expected.obs_names)
    assert list(found.var_names) == list(expected.var_names)


def test_script__of_joined_samples_tells_each(source: Path, tmp_path: Path) -> None:
    samples = {}
    for key in ("a", "b"):
        sample = mu.read(source)
        mu.pp.filter_cells(sample["rna"], min_genes=20)
        mu.pp.intersect_obs(sample)
        samples[key] = sample
    joined = mu.concat(samples, index_unique="-", label="sample", out=tmp_path / "all.zarr")
    mu.pp.normalize_total(joined["rna"])
    mu.pp.log1p(joined["rna"])
    joined.write(tmp_path / "all.zarr")
    script = script_of(tmp_path / "all.zarr")
    assert "mu.pp.filter_cells(sample_1['rna'], min_genes=20)" in script
    assert "{'a': sample_0, 'b': sample_1}" in script
    space = execute(script)
    assert_same_results(space["mdata"], mu.read(tmp_path / "all.zarr"))


def test_script__of_modalities_from_several_files_and_of_made_ones(
    source: Path, tmp_path: Path
) -> None:
    mdata = mu.read(source)
    for name in mdata.mod:
        mdata[name].write(tmp_path / f"{name}.h5ad")
    parts = mu.MuData({name: mu.read(tmp_path / f"{name}.h5ad") for name in ("rna", "atac")})
    mu.pp.log1p(parts["rna"])
    mu.atac.pp.tfidf(parts["atac"])
    parts.write(tmp_path / "both.zarr")
    script = script_of(tmp_path / "both.zarr")
    assert f"'rna': mu.read({str(tmp_path / 'rna.h5ad')!r})" in script
    space = execute(script)
    for name in ("rna", "atac"):
        np.testing.assert_array_equal(space["mdata"][name].X.toarray(), parts[name].X.toarray())


def test_script__of_a_store_without_history_says_so(source: Path) -> None:
    with pytest.raises(MissingResultError, match="nothing is recorded in it"):
        script_of(source)
    result = CliRunner().invoke(app, ["history", str(source)])
    assert result.exit_code == 1
    assert result.stderr.startswith("lazymu: `history` is that of ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (np.int32(3), 3),
        (float("inf"), {"kind": "float", "text": "inf"}),
        ((1, "a", [2.5]), [1, "a", [2.5]]),
        ({"rna": ("X_pca", 3)}, {"rna": ["X_pca", 3]}),
        (Path("a/b"), "a/b"),
        ("https://me:secret@host/x.zarr?sig=1", "https://host/x.zarr"),
        (lambda x: x + 1, {"kind": "function", "name": "<lambda>", "source": "lambda x: x + 1"}),
        (len, {"kind": "function", "name": "len"}),
        (object(), {"kind": "other", "type": "object"}),
    ],
)
def test_to_json__plain_values(value: Any, expected: Any) -> None:
    if not (callable(value) and value is not len):
        assert to_json(value) == expected
    assert json.loads(json.dumps(to_json(value))) == to_json(value)


def test_to_json__arrays_by_their_checksum() -> None:
    long = np.arange(1000) % 2 == 0
    found = to_json(pd.Series(long, name="kept"))
    assert found["shape"] == [1000]
    assert (found["type"], found["dtype"], found["name"]) == ("Series", "bool", "kept")
    assert found["crc32"] == to_json(long)["crc32"] != to_json(~long)["crc32"]
    assert to_json(np.array([1, 2]))["values"] == [1, 2]
    assert to_json(sp.eye(3, format="csc"))["shape"] == [3, 3]
    assert "values" not in to_json(long)
    assert to_json(mu.Modality(np.eye(3))) == {"kind": "data", "type": "Modality", "shape": [3, 3]}


def test_history__costs_little(tmp_path: Path) -> None:
    """A line for each call: some kilobytes of text, and names are hashed once."""
    rna = mu.Modality(make_counts(60, 30))
    for _ in range(20):
        mu.pp.log1p(rna)
    assert sum(map(len, rna.uns["lazymu"]["history"])) < 20 * 2000


def test_history__in_a_new_process(made: Path) -> None:
    command = [sys.executable, "-m", "lazymu", "history", str(made)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert printed == script_of(made)
