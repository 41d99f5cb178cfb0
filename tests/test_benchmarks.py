"""The benchmarks run, on little data; what they measure time and accuracy with is right."""

from __future__ import annotations

import json
from pathlib import Path
from time import sleep

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks import (
    bench_markers,
    bench_memory,
    bench_passes,
    bench_reading,
    bench_wnn,
    compare,
    data,
    exact,
    machine,
    million,
    plot,
    report,
    roofline,
    wnn_schemes,
)
from benchmarks.accuracy import (
    Accuracy,
    accuracy,
    cell_types,
    components_above_noise,
    leading_error,
    same_type,
    shares,
)
from benchmarks.compare import FAILED, OK, TOO_LONG, Comparison, Measured
from benchmarks.marker_tasks import LAZYMU, WORK
from benchmarks.marker_tasks import TASKS as MARKER_TASKS
from benchmarks.stages import Stage, Stages, read_stages, total
from benchmarks.tasks import TASKS
from lazymu.cli.main import app
from lazymu.settings import settings as lazymu_settings

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="measures by /proc"),
    # The peers warn of their own dependencies.
    pytest.mark.filterwarnings("ignore"),
]
SIZE = (150, 6000, 800)
OWN = [(task, "lazymu") for task in TASKS]
# SnapATAC2 is not among the developers' tools; muon's joint graph compiles for a minute.
PEERS = [("rna", "scanpy"), ("rna", "scanpy+dask"), ("atac", "muon")]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> data.Data:
    def in_this_process(*arguments: object) -> None:
        outcome = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert outcome.exit_code == 0, outcome.output

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "lazymu", in_this_process)
        return data.make(*SIZE, under=tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def results(small: data.Data) -> Path:
    """Return a folder of what lazymu gives, with the exact decomposition of the peaks."""
    folder = small.folder / "results"
    folder.mkdir()
    np.savez(folder / "atac_exact.npz", **exact.exact_atac(small))
    for task, tool in OWN:
        run(small, folder, task, tool)
    return folder


def run(small: data.Data, folder: Path, task: str, tool: str) -> None:
    """Do what a worker does, in this process."""
    stages = Stages(folder / f"{task}_{tool}.jsonl")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "2")
        np.savez(folder / f"{task}_{tool}.npz", **TASKS[task][tool](small, stages, folder))


def test_atac__exact_subspace(small: data.Data, results: Path) -> None:
    types = cell_types(small.file)
    found = accuracy(results / "atac_lazymu.npz", results / "atac_exact.npz", types)
    assert found.share == pytest.approx(1, abs=1e-3)
    assert found.leading_error == pytest.approx(0, abs=1e-3)
    assert 0 < found.same_type <= 1


@pytest.mark.slow
@pytest.mark.parametrize(("task", "tool"), PEERS)
def test_peers__exact_subspace(small: data.Data, results: Path, task: str, tool: str) -> None:
    """lazymu too, beside scanpy: its variable genes are the same."""
    if not (results / f"{task}_exact.npz").exists():
        np.savez(results / f"{task}_exact.npz", **exact.EXACT[task](small))
    run(small, results, task, tool)
    types = cell_types(small.file)
    for name in (tool, "lazymu"):
        found = accuracy(results / f"{task}_{name}.npz", results / f"{task}_exact.npz", types)
        assert found.share == pytest.approx(1, abs=1e-3)
        assert found.leading_error == pytest.approx(0, abs=1e-3)


def test_joint__a_row_and_a_weight_a_cell(results: Path) -> None:
    with np.load(results / "joint_lazymu.npz") as graph:
        assert len(graph["indptr"]) == len(graph["cells"]) + 1 == len(graph["weights"]) + 1
        assert np.all(np.diff(graph["indptr"]) > 0)
        assert np.all((graph["weights"] > 0) & (graph["weights"] < 1))


def test_wnn_schemes__all_near_the_exact_graph() -> None:
    embeddings = bench_wnn.drawn(2500, {"a": 12, "b": 7})
    rows = {row.scheme: row for row in bench_wnn.scheme_rows(embeddings)}
    assert list(rows) == ["exact", *wnn_schemes.SCHEMES]
    for row in (rows["exact"], rows["nearest 199 of each"]):
        assert row[2:5] == pytest.approx((1, 1, 1))
    assert rows["nearest 20 of each"].overlap < rows["nearest 60 of each"].overlap <= 1
    first, again = (
        rows[name].overlap
        for name in ("nearest 40 of each", "nearest 40 of each, then along the joint graph")
    )
    assert first <= again <= 1
    assert all(row.overlap > 0.5 and row.seconds > 0 for row in rows.values())


@pytest.mark.slow
def test_bench_wnn__pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "FOLDER", tmp_path)
    page = bench_wnn.large_table(21_000, 2)
    assert "have the same graph" in page
    assert "| weighted neighbours |" in page


def test_overlap__share_of_the_expected() -> None:
    found, expected = np.array([[1, 2], [3, 4]]), np.array([[2, 1], [4, 9]])
    assert bench_wnn.overlap(found, expected) == 0.75


@pytest.mark.parametrize(("task", "tool"), OWN)
def test_tasks__stages_are_measured(results: Path, task: str, tool: str) -> None:
    stages = read_stages(results / f"{task}_{tool}.jsonl")
    assert stages[0].label == "import"
    assert len(stages) >= 2
    assert all(stage.seconds > 0 and stage.peak_bytes > 0 for stage in stages)


def test_run_worker__result_and_outcomes(small: data.Data, tmp_path: Path) -> None:
    assert compare.run_worker("atac", "lazymu", small, tmp_path, 1, 300) == OK
    assert (tmp_path / "atac_lazymu.npz").exists()
    assert compare.run_worker("rna", "lazymu", small, tmp_path, 1, 0) == TOO_LONG
    assert not (tmp_path / "rna_lazymu.npz").exists()
    assert compare.run_worker("rna", "nobody", small, tmp_path, 1, 300) == FAILED
    assert "nobody" in (tmp_path / "rna_nobody.log").read_text()


def test_stages__peak_of_each_alone(tmp_path: Path) -> None:
    stages = Stages(tmp_path / "stages.jsonl")
    with stages("large"):
        held = np.ones(1 << 26)
    del held
    with stages("small"):
        sleep(0.05)
    large, small = read_stages(tmp_path / "stages.jsonl")
    assert large.peak_bytes - small.peak_bytes > 0.9 * 8 * (1 << 26)
    assert 0.05 <= small.seconds < 5
    assert small.cpu_seconds < large.cpu_seconds


def test_total__leaves_the_import_out_of_times() -> None:
    stages = [Stage("import", 5.0, 4.0, 30), Stage("a", 1.0, 2.0, 10), Stage("b", 2.0, 3.0, 20)]
    assert total(stages) == Stage("total", 3.0, 5.0, 30)


def test_shares__parts_of_known_rotations() -> None:
    rng = np.random.default_rng(0)
    basis = rng.normal(size=(50, 4))
    U, _ = np.linalg.qr(basis - basis.mean(0))
    turned = np.cos(0.3) * U[:, 1] + np.sin(0.3) * U[:, 3]
    found = np.column_stack([U[:, 0], turned])
    np.testing.assert_allclose(shares(U[:, :3], found), [1, np.cos(0.3) ** 2, 0], atol=1e-12)
    assert leading_error(U[:, :2], found, 2) == pytest.approx(np.sin(0.3))
    assert leading_error(U[:, :2], found, 1) == pytest.approx(0, abs=1e-7)


def test_components_above_noise__last_gap() -> None:
    assert components_above_noise(np.array([9, 5, 4.9, 2, 1.99, 1.98])) == 3
    assert components_above_noise(np.array([1, 0.999, 0.998])) == 1


def test_same_type__groups_apart() -> None:
    types = np.repeat([0, 1], 40)
    scores = np.random.default_rng(0).normal(size=(80, 3)) + 100 * types[:, None]
    assert same_type(scores, types) == 1
    assert same_type(scores, np.arange(80)) == 0


@pytest.fixture
def comparison() -> Comparison:
    """Return a comparison in which lazymu takes 2 s, and muon is stopped at 60 s."""
    stages = {"lazymu": 2.0, "scanpy": 6.0, "scanpy+dask": 7.0, "muon": 30.0, "snapatac2": 9.0}
    measured = [
        Measured(
            task,
            tool,
            TOO_LONG if (task, tool) == ("atac", "muon") else OK,
            [Stage("import", 1.0, 1.0, 10**8), Stage("all", stages[tool], 1.0, 3 * 10**8)],
            0.5,
            Accuracy(0.99, 2e-3, 0.8),
        )
        for task in TASKS
        for tool in TASKS[task]
    ]
    return Comparison(100, 10, 20, 2, "1GB", 60.0, "2030-01-01", machine.description(), measured)


def test_report__targets_as_ratios(comparison: Comparison) -> None:
    page = report.report(comparison)
    assert "| rna: scanpy's time / lazymu's | >= 2.5 | 3.0 | yes |" in page
    assert "| rna: scanpy's time / lazymu's, imports counted | >= 2.5 | 2.3 | no |" in page
    assert "| rna: scanpy+dask's time / lazymu's | >= 5 | 3.5 | no |" in page
    assert "| atac: muon's time / lazymu's | >= 15 | > 30.0 | yes |" in page
    assert "| atac: lazymu's peak | < 2 GB | 0.30 GB | yes |" in page
    assert "| atac: lazymu's leading components | <= 1e-3 | 2.0e-03 | no |" in page
    assert "| muon | > 60 | - | - |" in page


def test_comparison__saved_drawn_and_read_back(comparison: Comparison, tmp_path: Path) -> None:
    compare.save(comparison, tmp_path / "results" / "c.json")
    assert compare.load(tmp_path / "results" / "c.json") == comparison
    plot.draw(comparison, tmp_path / "c.png")
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


def test_million__workflow_table_and_what_is_kept(
    small: data.Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(task: str, of: data.Data, cells: int, n_threads: int, stages: Path) -> None:
        assert (task, of) == ("run", small)
        stages.write_text(
            "".join(json.dumps(s) + "\n" for s in [("Open", 1, 1, 7), ("UMAP", 2, 2, 8)])
        )
        (of.folder / "result.json").write_text('["leiden: 3 clusters"]')

    monkeypatch.setattr(million, "work", work)
    monkeypatch.setattr(data, "N_GENES", SIZE[1])
    monkeypatch.setattr(data, "N_PEAKS", SIZE[2])
    monkeypatch.setattr(data, "place", lambda cells, under: small)
    table = million.measure(SIZE[0], 2, results=tmp_path)
    assert "| whole run | 3.00 |" in table.read_text()
    assert "| import to Leiden | 1.00 |" in table.read_text()
    table.write_text("finished")
    assert million.measure(SIZE[0], 2, results=tmp_path).read_text() == "finished"


def test_bench_reading__a_line_for_every_codec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_reading, "BLOCK_VALUES", 3000)
    arrays = {
        "data": np.random.default_rng(0).integers(1, 5, 10_000).astype(np.uint8),
        "indices": np.arange(10_000, dtype=np.int32),
    }
    header, _, *lines = bench_reading.table(arrays, (1024, 4096)).splitlines()
    assert "numcodecs, 2 cores" in header
    assert len(lines) == 2 * len(bench_reading.CODECS)
    cells = [line.strip("| ").split(" | ") for line in lines]
    assert {row[1] for row in cells} == {"2^10", "2^12"}
    assert all(0 < float(row[2]) < 5 for row in cells)


def test_bench_passes__every_pass_and_the_import(small: data.Data) -> None:
    rates = bench_passes.measure(small.store, repeats=1)
    for file in (small.atac_file, small.file):
        rates.append(bench_passes.measure_import(file, small.folder / "imported.zarr"))
    assert {rate.modality for rate in rates} == {"rna", "atac", "rna and atac"}
    assert rates[-1].n_values == sum(r.n_values for r in rates if r.label == bench_passes.READING)
    lines = bench_passes.table(rates).splitlines()[2:]
    assert len(lines) == len(rates)
    assert [line.split(" | ")[-1] for line in lines if "reading" in line] == ["1.00 |"] * 2
    assert not (small.folder / "imported.zarr").exists()


PASSES = {"t-test": 1, "wilcoxon": 1, "copy": 2, "gene": 1, "gene-copy": 1, "aggregate": 1}
PASSES |= {"concat": 0, "concat-t-test": 1, "concat-written": 2, "gene-activity": 1}


@pytest.fixture(scope="module")
def marker_rows(small: data.Data) -> dict[str, bench_markers.Row]:
    """Return what each task of lazymu takes, in this process."""
    folder, found = small.folder / "markers", {}
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch, lazymu_settings.override():
        patch.setenv("OMP_NUM_THREADS", "2")
        for name, task in MARKER_TASKS.items():
            if task.tool == LAZYMU and name != "links":  # which needs more peaks
                stages = folder / f"{name}.jsonl"
                bench_markers.work(name, small, stages)
                (stage,) = (stage for stage in read_stages(stages) if stage.label == WORK)
                read = json.loads(stages.with_suffix(".json").read_text())
                found[name] = bench_markers.Row(task, SIZE[0], stage, *read)
    return found


def test_bench_markers__tasks_and_their_passes(
    small: data.Data, marker_rows: dict[str, bench_markers.Row]
) -> None:
    assert {name: marker_rows[name].n_passes for name in PASSES} == PASSES
    assert all(row.stage and row.stage.peak_bytes > 0 for row in marker_rows.values())
    whole = marker_rows["t-test"].n_values
    assert marker_rows["wilcoxon-copy"].n_values == marker_rows["gene"].n_values == whole
    assert 0 < marker_rows["gene-copy"].n_values < whole / 100
    assert not (small.folder / "markers" / "joined.zarr").exists()
    assert not Path(f"{small.store}.lazymu").exists()  # other tasks must not find a copy
    lines = bench_markers.table(marker_rows.values()).splitlines()[2:]
    assert len(lines) == len(marker_rows)
    assert lines[0].startswith("| t-test | lazymu | 150 | ")


def test_bench_markers__processes_and_what_fails(
    small: data.Data, marker_rows: dict[str, bench_markers.Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = bench_markers.measure("aggregate", small, SIZE[0], 1)
    assert row.stage is not None
    assert row[3:] == marker_rows["aggregate"][3:]
    monkeypatch.setitem(bench_markers.TASKS, "nothing", MARKER_TASKS["t-test"])
    failed = bench_markers.measure("nothing", small, SIZE[0], 1)
    assert bench_markers.line(failed) == ("t-test", LAZYMU, "150", "failed", *["-"] * 4)


def test_bench_markers__what_is_left_out_for_many_cells(
    small: data.Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "make", lambda cells, under: small)
    monkeypatch.setattr(bench_markers, "measure", lambda name, *_: name)
    measured = list(bench_markers.rows(100_000, 1, MARKER_TASKS, small.folder))
    assert set(MARKER_TASKS) - set(measured) == {
        *("logreg", "scanpy-t-test", "scanpy-wilcoxon", "mofa-few", "mofapy2-few")
    }
    assert len(list(bench_markers.rows(20_000, 1, MARKER_TASKS, small.folder))) == len(MARKER_TASKS)


def test_bench_memory__peaks_without_results(
    small: data.Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "place", lambda cells: small)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    with lazymu_settings.override():
        for task in ("rna", "atac"):
            bench_memory.work(task, SIZE[0], tmp_path / f"{task}.jsonl")
            held = json.loads((tmp_path / f"{task}.json").read_text())
            assert SIZE[0] * 50 * 4 < held < 10**7
    peaks = [
        bench_memory.Peak("rna", n, 1.0, peak, held)
        for n, peak, held in ((100, 110, 10), (400, 160, 40))
    ]
    assert [peak.apart for peak in peaks] == [100, 120]
    assert bench_memory.table(peaks).splitlines()[-1].endswith("| 1.20 |")


def test_roofline__slower_of_the_two() -> None:
    limits = roofline.Roofline(bytes_per_second=8e9, flops_per_second=4e9)
    assert limits.rate(roofline.Cost(8, 1)) == pytest.approx(1000)
    assert limits.rate(roofline.Cost(8, 8)) == pytest.approx(500)
    assert min(roofline.measure(1 << 16, 32)) > 0
