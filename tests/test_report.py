"""The report page: what is in it, that names from the data stay text, and that it works."""

from __future__ import annotations

import base64
import json
from collections import defaultdict
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import anndata as ad
import mudata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from typer.testing import CliRunner

import lazymu
from lazymu.cli.main import app
from lazymu.containers import Modality, MuData
from lazymu.datasets import multiome
from lazymu.errors import ArgumentError, MissingFileError
from lazymu.pipeline import RunSummary, run_workflow
from lazymu.report import write_report
from lazymu.report.packing import MISSING, grid_positions
from lazymu.report.records import run_record
from lazymu.stream import recorded_passes
from tests.test_pipeline_workflow import N_CELLS, PARAMS, SMALL, pytestmark  # noqa: F401 - warnings

SECTIONS = ["summary", "quality", "components", "cells", "weights", "markers", "run"]
EVIL = "<script>alert(1)</script>"
EVIL_TOO = "</script><!--<img src=x onerror=alert(2)>\"'&"
VOID = {"meta", "link", "input", "br", "img"}


class Parsed(HTMLParser):
    """The elements of a page: by name their attributes, by id the text beneath."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: dict[str, list[dict[str, str]]] = defaultdict(list)
        self.text: dict[str, list[str]] = defaultdict(list)
        self.rows: dict[str, list[list[str]]] = defaultdict(list)
        self.scripts: list[str] = []
        self._open: list[tuple[str, str]] = []
        self._cell: list[str] | None = None
        self.feed(text)
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        found = {key: value or "" for key, value in attributes}
        self.tags[name].append(found)
        if name == "script":
            self.scripts.append("")
        if name not in VOID:
            self._open.append((name, found.get("id", "")))
        if name == "tr":
            for _, key in self._open:
                if key:
                    self.rows[key].append([])
        if name in ("td", "th"):
            self._cell = []

    def handle_startendtag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags[name].append({key: value or "" for key, value in attributes})

    def handle_endtag(self, name: str) -> None:
        opened, _ = self._open.pop()
        assert opened == name, f"{opened} is closed by {name}"
        if name in ("td", "th") and self._cell is not None:
            for _, key in self._open:
                if key:
                    self.rows[key][-1].append("".join(self._cell))
            self._cell = None

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1][0] == "script":
            self.scripts[-1] += data
            return
        if self._cell is not None:
            self._cell.append(data)
        for _, key in self._open:
            if key:
                self.text[key].append(data)

    def said(self, key: str) -> str:
        return " ".join(" ".join(self.text[key]).split())

    @property
    def data(self) -> dict[str, Any]:
        """What the script reads."""
        return dict(json.loads(self.scripts[0]))


def parsed(path: Path) -> Parsed:
    return Parsed(path.read_text(encoding="utf-8"))


def unpacked(text: str, dtype: str = "u1") -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype)


def number(text: str) -> int:
    return int(text.replace(",", ""))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("report")


def run_in(folder: Path) -> RunSummary:
    """Simulate a Multiome and run the workflow on it."""
    source = multiome(folder / "multi.h5mu", N_CELLS, n_peaks=4000, **SMALL)
    return run_workflow(source, folder / "multi.zarr", PARAMS)


@pytest.fixture(scope="module")
def ran(folder: Path) -> RunSummary:
    return run_in(folder)


@pytest.fixture(scope="module")
def page(ran: RunSummary) -> Parsed:
    assert ran.report is not None
    return parsed(ran.report)


def small_mudata() -> MuData:
    """A MuData that no run made: clusters, a UMAP, names that are no names."""
    generator = np.random.default_rng(0)
    n = 60
    names = pd.Index([f"c{i}" for i in range(n)])
    counts = sp.csr_matrix(generator.poisson(1.0, (n, 6)).astype(np.float32))
    genes = pd.Index([EVIL, EVIL_TOO, "A", "B", "C", "D"])
    rna = ad.AnnData(counts, obs=pd.DataFrame(index=names), var=pd.DataFrame(index=genes))
    prot = ad.AnnData(counts[:50, :2], obs=pd.DataFrame(index=names[:50]))
    mdata = MuData({"rna": rna, "prot": prot})
    mdata.obs["leiden"] = pd.Categorical(np.where(np.arange(n) % 2, EVIL, EVIL_TOO))
    mdata.obs[EVIL] = generator.random(n)
    mdata.obs["barcode"] = [f"b{i}" for i in range(n)]
    mdata.mod["prot"].obs["depth"] = np.arange(50.0)
    mdata.obsm["X_umap"] = generator.normal(size=(n, 2)).astype(np.float32)
    return mdata


# --- a page of a run ------------------------------------------------------------------------------


def test_run_workflow__writes_the_report_beside_the_store(ran: RunSummary, page: Parsed) -> None:
    assert ran.report == ran.store.with_name("multi_report.html")
    assert [one["id"] for one in page.tags["section"]] == SECTIONS
    assert "missing" not in page.text
    assert not [one for one in page.tags["p"] if one.get("class") == "missing"][1:]  # of noscript


def test_write_report__of_the_store_alone_is_the_same(ran: RunSummary, tmp_path: Path) -> None:
    again = write_report(ran.store, tmp_path / "again.html")
    assert ran.report is not None
    assert again.read_bytes() == ran.report.read_bytes()


def test_write_report__loads_nothing(page: Parsed, ran: RunSummary) -> None:
    for name, attributes in page.tags.items():
        for found in attributes:
            assert "src" not in found, name
            assert found.get("href", "#").startswith(("#", "data:,")), name
    policy = page.tags["meta"][1]["content"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert ran.report is not None
    assert "@import" not in ran.report.read_text()


def test_write_report__summary_says_sizes_clusters_and_agreement(
    page: Parsed, ran: RunSummary
) -> None:
    said = page.said("summary")
    assert f"cells {ran.n_cells}" in said
    assert f"clusters {ran.clusterings[0].n_clusters}" in said
    assert f"ARI with cell_type {ran.clusterings[0].ari:.3f}" in said
    assert "RNA embedding → ATAC embedding → Neighbours" in said
    rows = {row[0]: row for row in page.rows["summary"]}
    for part in ran.modalities:
        sizes = [number(cell) for cell in rows[part.name][1:5]]
        assert sizes == [part.before[0], part.after[0], part.before[1], part.after[1]]


@pytest.mark.parametrize(("axis", "along"), [("cells", 0), ("features", 1)])
def test_write_report__losses_add_up(axis: str, along: int, page: Parsed, ran: RunSummary) -> None:
    rows = page.rows[f"lost-{axis}"][1:]
    for part in ran.modalities:
        own = [row for row in rows if row[0] == part.name]
        *steps, total = [[number(row[n]) for n in (2, 3, 5)] for row in own]
        assert total == [
            part.before[along],
            part.before[along] - part.after[along],
            part.after[along],
        ]
        assert sum(lost for _, lost, _ in steps) == total[1]
        for (before, lost, kept), (following, *_) in zip(
            steps, [*steps[1:], [part.after[along]]], strict=True
        ):
            assert before - lost == kept == following
    assert sum(number(row[3]) for row in rows if row[1] == "all filters") > 0


def test_run__keeps_quality_before_the_filters(ran: RunSummary, folder: Path) -> None:
    record = run_record(lazymu.read(ran.store))
    assert record is not None
    source = lazymu.read(folder / "multi.h5mu")["rna"]
    lazymu.pp.calculate_qc_metrics(source, percent_top=None, inplace=True)
    before = record.quality["rna"]["total_counts"]
    expected = source.obs["total_counts"].to_numpy(dtype=np.float64)
    np.testing.assert_allclose(before.quartiles, np.percentile(expected, [0, 25, 50, 75, 100]))
    assert before.counts.sum() == before.n_cells == N_CELLS
    assert record.quality["rna"]["pct_counts_mt"].limits[1] == 20.0
    assert record.quality["rna"]["n_genes_by_counts"].limits[0] == 20.0


def test_run__keeps_times_and_memory_also_of_writing(ran: RunSummary) -> None:
    record = run_record(lazymu.read(ran.store))
    assert record is not None
    assert record.stages is not None
    made = [stage for stage in ran.stages if stage.label != "Report"]
    assert record.stages["label"].tolist() == [stage.label for stage in made]
    for column in ("seconds", "peak_bytes", "n_passes", "n_values"):
        assert record.stages[column].tolist() == [getattr(stage, column) for stage in made]
    assert record.notes == tuple(ran.notes)
    assert record.truth == "cell_type"
    assert {"lazymu", "python", "numpy", "zarr"} <= set(record.versions)


def test_run__record_is_readable_by_mudata(ran: RunSummary) -> None:
    kept = mudata.read_zarr(ran.store).uns["lazymu"]["run"]
    assert kept["stages"]["label"].iloc[-1] == "Write"
    assert kept["filters"]["before"].iloc[0] == N_CELLS


def test_run__record_survives_an_export(ran: RunSummary, tmp_path: Path) -> None:
    lazymu.export(ran.store, tmp_path / "m.h5mu")
    found = parsed(write_report(tmp_path / "m.h5mu", tmp_path / "m.html"))
    assert "missing" not in found.text
    assert found.rows["lost-cells"]


def test_write_report__depth_of_the_component_left_out_is_shown(
    page: Parsed, ran: RunSummary
) -> None:
    lsi = lazymu.read(ran.store)["atac"].uns["lsi"]
    assert len(lsi["dropped_depth_corr"]) == len(lsi["dropped"]) >= 1
    assert np.all(np.abs(lsi["dropped_depth_corr"]) > 0.75)
    assert "Left out: component 1" in page.said("components")
    assert any(one.get("class") == "marked" for one in page.tags["rect"])


def test_write_report__values_of_cells_are_those_of_the_store(
    page: Parsed, ran: RunSummary
) -> None:
    data, stored = page.data, lazymu.read(ran.store)
    assert data["n"] == stored.n_obs
    columns = {column["name"]: column for column in data["columns"]}
    umap = stored.obsm["X_umap"].astype(np.float64)
    # Cells are in an order of their own: it is found by the coordinates.
    x, y = grid_positions(umap)
    mine = np.lexsort((unpacked(data["y"], "<u2"), unpacked(data["x"], "<u2")))
    theirs = np.lexsort((y, x))
    clusters = columns["leiden_wnn"]
    codes = unpacked(clusters["values"])[mine]
    labels = np.array(clusters["labels"])[codes]
    assert labels.tolist() == stored.obs["leiden_wnn"].astype(str).to_numpy()[theirs].tolist()
    assert clusters["counts"] == np.bincount(codes).tolist()
    assert clusters["colors"] == list(stored.uns["leiden_wnn_colors"])
    feature = next(c for c in data["columns"] if c["name"] in stored["rna"].var_names)
    expected = (
        stored["rna"].X[:, [stored["rna"].var_names.get_loc(feature["name"])]].toarray()[:, 0]
    )
    shown = feature["low"] + unpacked(feature["values"])[mine] / 254 * (
        feature["high"] - feature["low"]
    )
    clipped = np.minimum(expected[theirs], feature["high"])
    np.testing.assert_allclose(shown, clipped, atol=(feature["high"] - feature["low"]) / 250)


def test_write_report__first_pictures_are_clusters_and_known_labels(page: Parsed) -> None:
    names = [column["name"] for column in page.data["columns"]]
    chosen = [one for one in page.tags["option"] if "selected" in one]
    assert [names[int(one["value"])] for one in chosen] == ["leiden_wnn", "cell_type"]
    assert "atac:total_counts" in names
    assert not any("log1p" in name for name in names)


def test_write_report__markers_weights_parameters_and_versions(
    page: Parsed, ran: RunSummary
) -> None:
    stored = lazymu.read(ran.store)
    ranked = lazymu.get.rank_genes_groups_df(stored["rna"], "0")
    rows = [row for row in page.rows["markers-rna"][1:] if row[0] == "0"]
    assert [row[2] for row in rows] == ranked["names"].tolist()[: len(rows)]
    assert [int(row[1]) for row in rows] == list(range(1, len(rows) + 1))
    weights = {row[0]: row for row in page.rows["weights"][1:]}
    members = stored.obs["leiden_wnn"] == "1"
    assert number(weights["1"][1]) == members.sum()
    median = stored.obs.loc[members, "rna:mod_weight"].median()
    assert float(weights["1"][3]) == pytest.approx(median, abs=0.005)
    assert ["rna", "min_genes", "20"] in page.rows["run"]
    assert any(row[:1] == ["numpy"] and row[1] == np.__version__ for row in page.rows["run"])
    stages = {row[0]: row for row in page.rows["stages"]}
    assert number(stages["RNA embedding"][5]) == 3
    assert stages["Write"][1].endswith("s")


def test_write_report__reads_x_once_for_each_modality_with_features(tmp_path: Path) -> None:
    with recorded_passes() as passes:
        write_report(small_mudata(), tmp_path / "r.html")
    assert len(passes) == 2


# --- a store that no run made ---------------------------------------------------------------------


def test_write_report__without_a_run_shows_what_there_is_and_says_what_is_missing(
    tmp_path: Path,
) -> None:
    mdata = small_mudata()
    before = list(mdata.uns)
    found = parsed(write_report(mdata, tmp_path / "r.html"))
    assert [one["id"] for one in found.tags["section"]] == SECTIONS
    said = found.said("missing")
    for missing in (
        "no record of the cells lost at each filter: it was not made by `lazymu run`",
        "no times and memory of stages",
        "rna has no quality columns: run lazymu.pp.calculate_qc_metrics",
        "no modality weights: run lazymu.pp.neighbors",
        "run lazymu.tl.rank_genes_groups",
        "rna has no record of PCA or LSI",
    ):
        assert missing in said
    assert found.data["n"] == 60
    assert "barcode" in found.said("cells")  # which is not drawn, as each cell has its own
    assert list(mdata.uns) == before


def test_write_report__cells_that_a_modality_has_not_are_missing(tmp_path: Path) -> None:
    found = parsed(write_report(small_mudata(), tmp_path / "r.html"))
    (depth,) = [c for c in found.data["columns"] if c["name"] == "prot:depth"]
    assert (unpacked(depth["values"]) == MISSING).sum() == 10


def test_write_report__counts_alone(tmp_path: Path) -> None:
    bare = tmp_path / "bare.h5ad"
    ad.AnnData(sp.csr_matrix(np.eye(4, dtype=np.float32))).write_h5ad(bare)
    found = parsed(write_report(bare, tmp_path / "bare.html"))
    assert "cells 4" in found.said("summary")
    assert "no embedding to draw: run lazymu.tl.umap" in found.said("cells")
    assert "one modality" in found.said("weights")
    assert found.data == {}


def test_write_report__annotation_alone(tmp_path: Path) -> None:
    bare = tmp_path / "bare.h5ad"
    obs = pd.DataFrame({"leiden": pd.Categorical(["a", None, "b"])}, index=list("xyz"))
    ad.AnnData(obs=obs, obsm={"X_umap": np.array([[0, 1], [1, 1], [np.nan, 0]])}).write_h5ad(bare)
    found = parsed(write_report(bare, tmp_path / "bare.html"))
    assert found.data["n"] == 2
    assert "Cells without coordinates: 1." in found.said("cells")
    assert "none, as it has no X" in found.said("cells")
    (leiden,) = found.data["columns"]
    assert sorted(unpacked(leiden["values"]).tolist()) == [0, MISSING]


def test_write_report__one_modality_of_a_store(ran: RunSummary, tmp_path: Path) -> None:
    found = parsed(write_report(f"{ran.store}/rna", tmp_path / "rna.html"))
    assert "Cells on the PCA." in found.said("cells")
    assert found.rows["markers-rna"]


@pytest.mark.parametrize(
    "kept",
    [
        {"run": "yesterday"},
        {"run": {"stages": [1, 2], "filters": "none", "quality": {"rna": {"total_counts": 3}}}},
        {"run": {"sizes": pd.DataFrame({"modality": ["rna"]}), "notes": "one", "params": 1}},
        {"run": {"quality": {"rna": {"total_counts": {"edges": [1.0], "counts": [1]}}}}},
    ],
)
def test_write_report__records_of_another_form_are_passed_over(
    kept: dict[str, Any], tmp_path: Path
) -> None:
    mdata = small_mudata()
    mdata.uns["lazymu"] = kept
    foreign = {"pca": "x", "lsi": {"stdev": "y"}, "rank_genes_groups": {"names": 1}}
    mdata.mod["rna"].uns.update(foreign)
    found = parsed(write_report(mdata, tmp_path / "r.html"))
    assert "times and memory of stages" in found.said("missing")


def test_write_report__many_categories_and_columns_are_left_out_by_name(tmp_path: Path) -> None:
    n = 400
    obs = pd.DataFrame({f"q{k}": np.arange(n) + k for k in range(30)})
    obs["many"] = [f"m{i}" for i in range(n)]
    obs["empty"] = np.nan
    obs["flag"] = np.arange(n) % 2 == 0
    mod = Modality(
        sp.csr_matrix(np.eye(n, 3, dtype=np.float32)), obs=obs.set_axis(map(str, obs.index))
    )
    mod.obsm["X_umap"] = np.random.default_rng(0).random((n, 2))
    found = parsed(write_report(mod, tmp_path / "r.html"))
    names = [column["name"] for column in found.data["columns"]]
    assert {"flag", "q0"} <= set(names)
    assert not {"many", "empty"} & set(names)
    said = found.said("cells")
    assert "many" in said
    assert "q29" in said


# --- safety ---------------------------------------------------------------------------------------


def test_write_report__names_of_the_data_stay_text(tmp_path: Path) -> None:
    mdata = small_mudata()
    rna = mdata.mod["rna"]
    rna.obs["leiden"] = mdata.obs["leiden"]
    lazymu.tl.rank_genes_groups(rna, "leiden")
    mdata.uns["leiden_colors"] = ["red;background:url(//x)", "#0072b2"]
    target = tmp_path / "<b>&name.html"
    text = write_report(mdata, target).read_text()
    found = Parsed(text)
    assert len(found.scripts) == 2  # the data and the one script
    assert EVIL not in text
    assert "<!--" not in text
    assert "<img" not in text
    assert "url(//x)" not in text
    assert EVIL in found.said("markers")
    assert EVIL_TOO in found.said("markers")
    assert {EVIL, EVIL_TOO} <= {column["name"] for column in found.data["columns"]}
    assert set(found.tags["option"][0]) <= {"value", "selected"}


def test_write_report__path_in_the_title_is_escaped(tmp_path: Path) -> None:
    source = tmp_path / f"{'<i>x'}.h5ad"
    ad.AnnData(sp.csr_matrix(np.eye(3, dtype=np.float32))).write_h5ad(source)
    text = write_report(source, tmp_path / "r.html").read_text()
    assert "<title>&lt;i&gt;x.h5ad" in text
    assert "<i>x" not in text


# --- size and samples -----------------------------------------------------------------------------


def test_write_report__hundred_thousand_cells_take_less_than_12_mb(tmp_path: Path) -> None:
    n, n_vars = 120_000, 40
    generator = np.random.default_rng(0)
    names = pd.Index([f"c{i}" for i in range(n)])
    mod = {}
    for name in ("rna", "prot"):
        values = sp.random(n, n_vars, 0.2, "csr", np.float32, generator)
        mod[name] = Modality(values, obs=pd.DataFrame(index=names))
    mdata = MuData(mod)
    clusters = generator.integers(0, 20, n)
    clusters[:7] = 20  # a rare cluster
    mdata.obs["leiden"] = pd.Categorical(clusters.astype(str))
    for k in range(30):
        mdata.obs[f"quality{k}"] = generator.random(n)
    mdata.obsm["X_umap"] = generator.normal(size=(n, 2)).astype(np.float32)
    path = write_report(mdata, tmp_path / "large.html")
    assert 8e6 < path.stat().st_size < 12e6
    found = parsed(path)
    assert found.data["n"] == 100_000
    assert "Drawn are 100,000 of 120,000 cells" in found.said("cells")
    leiden = next(c for c in found.data["columns"] if c["name"] == "leiden")
    assert sum(leiden["counts"]) == n
    drawn = np.bincount(unpacked(leiden["values"]))
    assert drawn[leiden["labels"].index("20")] == 7
    again = write_report(mdata, tmp_path / "again.html")
    assert again.read_bytes() == path.read_bytes()


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "target", "error", "message"),
    [
        (
            "nope.zarr",
            "r.html",
            MissingFileError,
            "nope.zarr', but there is no such file or folder",
        ),
        ("x.zarr", "no/r.html", MissingFileError, "there is no such folder; make .*no first"),
        ("x.zarr", "r.pdf", ArgumentError, "a report is an HTML page; name it .*r.html"),
        ("x.zarr", "d.html", ArgumentError, "it is a folder; name a file in it"),
    ],
)
def test_write_report__wrong_paths_raise(
    source: str, target: str, error: type[Exception], message: str, tmp_path: Path
) -> None:
    (tmp_path / "d.html").mkdir()
    with pytest.raises(error, match=message):
        write_report(tmp_path / source, tmp_path / target)
    assert [path.name for path in tmp_path.iterdir()] == ["d.html"]


def test_report_command__writes_and_says_where(ran: RunSummary, tmp_path: Path) -> None:
    target = tmp_path / "r.html"
    target.write_text("before")
    done = CliRunner().invoke(app, ["report", str(ran.store), "-o", str(target)])
    assert (done.exit_code, done.stdout.strip()) == (0, str(target))
    assert target.read_text().startswith("<!DOCTYPE html>")
    failed = CliRunner().invoke(app, ["report", "nope.zarr", "-o", str(target)])
    assert failed.exit_code == 1
    assert failed.stderr.count("\n") == 1
    assert "there is no such file or folder" in failed.stderr


def test_run_workflow__report_that_fails_does_not_lose_the_result(
    folder: Path, ran: RunSummary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> Path:
        raise MissingFileError("no room.")

    monkeypatch.setattr("lazymu.pipeline.execution.write_report", refuse)
    summary = run_workflow(folder / "multi.h5mu", tmp_path / "m.zarr", PARAMS)
    assert summary.report is None
    assert lazymu.read(summary.store).n_obs == ran.n_cells
    assert f"the report was not written (no room.); make it by `lazymu report {summary.store}`" in (
        summary.notes
    )
