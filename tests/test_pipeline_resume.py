"""Runs that are stopped at any point and go on: the same store, to the last byte.

What a killed process leaves is what is on disk at that instant. One undisturbed run is therefore
copied from disk at many moments, in and after every stage, and each copy is gone on with. Real
processes are killed as well: one here, one for each stage among the slow tests.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from typer.testing import CliRunner

import lazymu
from lazymu.cli.main import app
from lazymu.datasets import multiome
from lazymu.errors import (
    DamagedFileError,
    RunningError,
    StoreExistsError,
)
from lazymu.io.checkpoint import Keeper, matrix_sources
from lazymu.io.elements import Deferred
from lazymu.pipeline import RunParams, RunSummary, kept_state, resumable, run_workflow
from lazymu.pipeline.state import RunState
from lazymu.store.lock import locked
from lazymu.store.objects import Objects
from lazymu.store.replace import is_running
from tests.run_results import assert_same, write_figure

N_CELLS = 200
TABLES: dict[str, dict[str, Any]] = {
    "rna": {"min_genes": 20, "n_comps": 10},
    "atac": {"min_features": 20, "n_comps": 10},
    "joint": {"truth": "cell_type", "resolution": [1.0, 0.5]},
}
PARAMS = RunParams().updated(TABLES)
LABELS = (
    *("Open", "Known labels", "RNA quality", "ATAC quality", "Common cells", "RNA embedding"),
    *("ATAC embedding", "Neighbours", "Clusters", "UMAP", "Comparison", "Markers", "Figures"),
    *("Write", "Report"),
)
pytestmark = pytest.mark.filterwarnings("ignore:The 'future.infer_string' option is deprecated")
Moment = tuple[str, str]


@pytest.fixture(scope="module")
def h5mu(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "multi.h5mu"
    return multiome(path, N_CELLS, n_genes=200, n_peaks=300, n_clusters=4, depth=8.0)


@pytest.fixture(scope="module", autouse=True)
def small_pictures() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lazymu.pipeline.run.write_figure", write_figure)
        yield


class Recorder:
    """Copies the folder of a run at moments in it, each once for each stage."""

    def __init__(self, folder: Path, copies: Path) -> None:
        self.folder, self.copies, self.label = folder, copies, ""
        self.taken: dict[Moment, Path] = {}

    def watch(self, label: str, number: int, total: int) -> None:
        self.label = label

    def take(self, moment: str) -> None:
        if (moment, self.label) in self.taken:
            return
        copy = self.copies / f"{len(self.taken):03}"
        self.taken[moment, self.label] = copy
        shutil.copytree(self.folder, copy, copy_function=_link_what_never_changes)

    def before(self, moment: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def recording(*arguments: Any, **options: Any) -> Any:
            self.take(moment)
            return function(*arguments, **options)

        return recording

    def after(self, moment: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def recording(*arguments: Any, **options: Any) -> Any:
            result = function(*arguments, **options)
            self.take(moment)
            return result

        return recording


def _link_what_never_changes(source: str, target: str) -> None:
    if "/objects/" in source or "/counts.zarr/" in source:
        os.link(source, target)
    else:
        shutil.copy2(source, target)


@pytest.fixture(scope="module")
def whole(h5mu: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunSummary, Recorder]:
    """An undisturbed run, and what was on disk in the course of it."""
    folder = tmp_path_factory.mktemp("whole")
    recorder = Recorder(folder, tmp_path_factory.mktemp("copies"))
    with pytest.MonkeyPatch.context() as patch:
        for name, moment, wrap in (
            ("lazymu.stream.passes.enter_pass", "pass", recorder.before),
            ("lazymu.io.group_writer.run_jobs", "matrices written", recorder.after),
            ("lazymu.pipeline.run.Run.save", "picture", recorder.after),
            ("lazymu.pipeline.execution.set_last_entries", "store in place", recorder.before),
            ("lazymu.pipeline.execution.write_report", "report", recorder.before),
            ("lazymu.pipeline.state.RunState.save", "finished", recorder.after),
            ("lazymu.store.objects.write_element", "array", recorder.after),
        ):
            module, _, attribute = name.rpartition(".")
            found = _resolve(module)
            patch.setattr(found, attribute, wrap(moment, getattr(found, attribute)))
        replace = recorder.before("all but visible", os.replace)
        patch.setattr("lazymu.pipeline.state.os", SimpleNamespace(replace=replace))
        summary = run_workflow(h5mu, folder / "out.zarr", PARAMS, watch=recorder.watch)
    return summary, recorder


def _resolve(name: str) -> Any:
    return pytest.importorskip(name) if name[name.rfind(".") + 1].islower() else _class(name)


def _class(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(pytest.importorskip(module), attribute)


@pytest.fixture(scope="module")
def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert not is_running(process.pid)
    return process.pid


@pytest.fixture
def stopped(
    whole: tuple[RunSummary, Recorder], tmp_path: Path, dead_process: int
) -> Callable[[str, str], Path]:
    """Return the store of a run that was killed at a moment."""

    def stop(moment: str, label: str) -> Path:
        folder = tmp_path / "stopped"
        copy = whole[1].taken[moment, label]
        shutil.copytree(copy, folder, copy_function=_link_what_never_changes)
        shared = folder / "out.zarr.lazymu"
        for path in shared.rglob(f"writing-*-{os.getpid()}-*"):
            path.rename(str(path).replace(f"-{os.getpid()}-", f"-{dead_process}-"))
        lock = shared / "run.lock"
        lock.write_text(json.dumps({**json.loads(lock.read_text()), "pid": dead_process}))
        return folder / "out.zarr"

    return stop


def assert_went_on(summary: RunSummary, whole: RunSummary, n_skipped: int) -> None:
    """Compare a resumed run with an undisturbed one."""
    assert_same(summary.store, whole.store)
    assert [stage.label for stage in summary.stages] == [stage.label for stage in whole.stages]
    assert [s.resumed for s in summary.stages] == [n < n_skipped for n in range(len(LABELS))]
    assert [s.n_passes for s in summary.stages] == [s.n_passes for s in whole.stages]
    for name in ("notes", "filters", "modalities", "clusterings", "truth", "n_cells"):
        assert getattr(summary, name) == getattr(whole, name), name
    assert [path.name for path in summary.figures] == [path.name for path in whole.figures]
    assert all(path.is_file() and path.parent == summary.store.with_name("out_figures")
               for path in summary.figures)  # fmt: skip
    assert summary.report is not None
    assert summary.report.is_file()
    left = {path.name for path in summary.store.parent.iterdir()}
    assert left == {"out.zarr", "out_figures", "out_report.html"}


# --- stopped at any moment ------------------------------------------------------------------------


def test_whole__was_copied_in_and_after_every_stage(whole: tuple[RunSummary, Recorder]) -> None:
    summary, recorder = whole
    assert tuple(stage.label for stage in summary.stages) == LABELS
    assert {label for moment, label in recorder.taken if moment == "finished"} == {*LABELS[:-1]}
    assert {moment for moment, _ in recorder.taken} == {
        *("pass", "matrices written", "picture", "store in place", "report", "finished"),
        *("array", "all but visible"),
    }
    assert summary.resumption == []
    left = {path.name for path in summary.store.parent.iterdir()}
    assert left == {"out.zarr", "out_figures", "out_report.html"}


@pytest.mark.parametrize(
    ("moment", "label", "n_skipped"),
    [
        ("finished", "Clusters", 9),
        ("store in place", "Write", 13),
        ("report", "Report", 14),
    ],
)
def test_resume__gives_the_same_store(
    moment: str,
    label: str,
    n_skipped: int,
    h5mu: Path,
    stopped: Callable[[str, str], Path],
    whole: tuple[RunSummary, Recorder],
) -> None:
    summary = run_workflow(h5mu, stopped(moment, label), PARAMS, resume=True)
    assert_went_on(summary, whole[0], n_skipped)
    went_on = f"goes on after the stage {LABELS[n_skipped - 1]!r} of the earlier run"
    assert summary.resumption == [went_on]


@pytest.mark.slow
def test_resume__gives_the_same_store_from_every_moment(
    h5mu: Path,
    stopped: Callable[[str, str], Path],
    whole: tuple[RunSummary, Recorder],
) -> None:
    for moment, label in whole[1].taken:
        store = stopped(moment, label)
        n_skipped = LABELS.index(label) + (moment == "finished")
        summary = run_workflow(h5mu, store, PARAMS, resume=True)
        if n_skipped:
            assert_went_on(summary, whole[0], n_skipped)
        else:
            assert_same(summary.store, whole[0].store)
            assert "there is no earlier run" in summary.resumption[0]
        shutil.rmtree(store.parent)


@pytest.mark.slow
def test_resume__of_a_store_goes_on_from_its_counts(
    h5mu: Path, tmp_path: Path, whole: tuple[RunSummary, Recorder]
) -> None:
    """The source is a store with layers, `raw` and results of its own, which are carried along."""
    source = tmp_path / "source.zarr"
    lazymu.read(h5mu).write(source)
    mdata = lazymu.read(source)
    rna = mdata["rna"]
    rna.layers["log"] = rna.X
    lazymu.pp.log1p(rna)
    rna.raw = rna[:, :50]
    rna.obsm["X_old"] = np.asfortranarray(np.random.default_rng(0).random((N_CELLS, 3)))
    rna.uns["old"] = {"numbers": np.arange(3), "text": "a", "none": None, "tuple": (1, 2.5)}
    mdata.write(source)
    reference = run_workflow(source, tmp_path / "whole.zarr", PARAMS)
    store = tmp_path / "out.zarr"
    stop_in(run_workflow, "ATAC embedding", source, store, PARAMS)
    summary = run_workflow(source, store, PARAMS, resume=True)
    assert_same(store, reference.store)
    assert summary.notes == reference.notes
    assert [stage.resumed for stage in summary.stages].count(True) == 6
    assert not (tmp_path / "out.zarr.lazymu").exists()


class StoppedError(Exception):
    pass


def stop_in(function: Callable[..., Any], label: str, *arguments: Any, **options: Any) -> None:
    """Call a run and raise when it begins a stage."""

    def watch(begun: str, number: int, total: int) -> None:
        if begun == label:
            raise StoppedError

    with pytest.raises(StoppedError):
        function(*arguments, watch=watch, **options)


def begins_with(caplog: pytest.LogCaptureFixture, *arguments: Any, **options: Any) -> Begun:
    """Stop a run in the first stage that it does; return what was said and which stage it is."""
    begun: list[str] = []

    def watch(label: str, number: int, total: int) -> None:
        begun.append(label)
        raise StoppedError

    caplog.clear()
    with caplog.at_level("INFO", "lazymu.pipeline.execution"), pytest.raises(StoppedError):
        run_workflow(*arguments, watch=watch, **options)
    return Begun(caplog.messages, begun[0])


class Begun(NamedTuple):
    said: list[str]
    label: str


SCRIPT = """
    import os, signal, sys
    from lazymu.pipeline import RunParams, run_workflow
    from lazymu.stream import passes

    source, out, label, tables = sys.argv[1:3] + [sys.argv[3], eval(sys.argv[4])]
    begun = []

    def kill(*arguments):
        if begun[-1:] == [label]:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments)

    def watch(stage, number, total):
        begun.append(stage)
        if stage == label and label not in ("RNA embedding", "Open", "Write"):
            os.kill(os.getpid(), signal.SIGKILL)

    real, passes.enter_pass = passes.enter_pass, kill
    run_workflow(source, out, RunParams().updated(tables), resume=True, watch=watch)
"""


def kill_in(label: str, source: Path, out: Path) -> None:
    """Run in a process that is killed in a stage."""
    arguments = [str(source), str(out), label, repr(TABLES)]
    script = textwrap.dedent(SCRIPT)
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, check=False, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


def test_resume__after_a_process_was_killed(
    h5mu: Path, tmp_path: Path, whole: tuple[RunSummary, Recorder]
) -> None:
    store = tmp_path / "out.zarr"
    kill_in("RNA embedding", h5mu, store)
    assert not store.exists()
    assert (tmp_path / "out.zarr.lazymu" / "run.lock").exists()
    summary = run_workflow(h5mu, store, PARAMS, resume=True)
    assert_same(store, whole[0].store)
    assert [stage.resumed for stage in summary.stages].count(True) == 5


@pytest.mark.slow
def test_resume__after_a_process_was_killed_in_each_stage(
    h5mu: Path, tmp_path: Path, whole: tuple[RunSummary, Recorder]
) -> None:
    store = tmp_path / "out.zarr"
    for label in LABELS:  # each goes on from where the one before was killed
        kill_in(label, h5mu, store)
    summary = run_workflow(h5mu, store, PARAMS, resume=True)
    assert_same(store, whole[0].store)
    assert [stage.resumed for stage in summary.stages].count(True) == len(LABELS) - 1


# --- what is said, and what is not taken over -----------------------------------------------------


def test_resume__changed_parameter_does_its_stage_again_and_those_after(
    h5mu: Path, stopped: Callable[[str, str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    params = PARAMS.updated({"joint": {"resolution": [0.7]}})
    begun = begins_with(caplog, h5mu, stopped("finished", "Comparison"), params, resume=True)
    assert begun.said == [
        "joint.resolution is 0.7 instead of 1.0, 0.5: done again from the stage 'Clusters' on",
        "goes on after the stage 'Neighbours' of the earlier run",
    ]
    assert begun.label == "Clusters"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changed", "n_skipped"),
    [
        ({"joint": {"resolution": [0.7]}}, 8),
        ({"rna": {"n_comps": 8}}, 5),
        ({"joint": {"seed": 1}}, 5),
    ],
)
def test_resume__changed_parameter_gives_the_store_of_a_run_with_it(
    changed: dict[str, Any],
    n_skipped: int,
    h5mu: Path,
    tmp_path: Path,
    stopped: Callable[[str, str], Path],
) -> None:
    params = PARAMS.updated(changed)
    reference = run_workflow(h5mu, tmp_path / "out.zarr", params)
    summary = run_workflow(h5mu, stopped("finished", "Write"), params, resume=True, overwrite=True)
    assert_went_on(summary, reference, n_skipped)


def test_resume__parameter_that_no_finished_stage_asked_for_costs_nothing(
    h5mu: Path, stopped: Callable[[str, str], Path]
) -> None:
    found = resumable(
        h5mu,
        stopped("finished", "Neighbours"),
        PARAMS.updated({"joint": {"min_dist": 0.2}, "prot": {"n_comps": 3}}),
    )
    assert found.skipped == list(LABELS[:8])
    assert found.said == []


def test_resume__changed_file_of_labels_is_seen(h5mu: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("cell,kind\n" + "".join(f"c{n},a\n" for n in range(5)))
    params = PARAMS.updated({"joint": {"truth": str(labels)}})
    store = tmp_path / "out.zarr"
    stop_in(run_workflow, "ATAC quality", h5mu, store, params)
    assert resumable(h5mu, store, params).skipped == list(LABELS[:3])
    labels.write_text("cell,kind\nc0,b\n")
    found = resumable(h5mu, store, params)
    assert found.skipped == ["Open"]
    assert found.said == [
        f"the file {labels} (joint.truth) has changed: done again from the stage 'Known labels' on"
    ]


def test_resume__changed_input_starts_anew(
    h5mu: Path, stopped: Callable[[str, str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    store, before = stopped("finished", "Markers"), h5mu.stat()
    try:
        os.utime(h5mu, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
        begun = begins_with(caplog, h5mu, store, PARAMS, resume=True)
    finally:
        os.utime(h5mu, ns=(before.st_atime_ns, before.st_mtime_ns))
    said = f"{h5mu} has changed since the earlier run; the run starts at the beginning"
    assert begun == ([said], "Open")
    assert kept_state(store) is None


def test_resume__other_source_or_version_starts_anew(
    h5mu: Path,
    tmp_path: Path,
    stopped: Callable[[str, str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = stopped("finished", "Markers")
    other = tmp_path / "other.h5mu"
    shutil.copy(h5mu, other)
    found = resumable(other, store, PARAMS)
    assert found.skipped == []
    assert found.said[0].startswith(f"the earlier run was of {h5mu}; the run starts")
    monkeypatch.setattr("lazymu.pipeline.resume.lazymu_version", lambda: "99.0")
    (said,) = resumable(h5mu, store, PARAMS).said[:1]
    assert said.startswith(f"the earlier run was made by lazymu {lazymu.__version__}, this is 99.0")


def test_resume__source_may_be_spelled_in_another_way(
    h5mu: Path, stopped: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = stopped("finished", "Markers")
    monkeypatch.chdir(h5mu.parent)
    assert len(resumable(h5mu.name, store, PARAMS).skipped) == 12


def test_resume__nothing_to_resume_says_so(h5mu: Path, tmp_path: Path) -> None:
    store = tmp_path / "out.zarr"
    assert resumable(h5mu, store).said == [
        f"there is no earlier run of {store} to resume; the run starts at the beginning"
    ]
    assert kept_state(store) is None
    assert list(tmp_path.iterdir()) == []


def test_resume__lost_picture_is_drawn_again(
    h5mu: Path, stopped: Callable[[str, str], Path]
) -> None:
    store = stopped("finished", "Markers")
    store.with_name("out_figures").joinpath("quality_atac.png").unlink()
    found = resumable(h5mu, store, PARAMS)
    assert found.skipped == list(LABELS[:3])
    assert found.said == [
        "quality_atac.png is not there any more: the stage that draws it is done again"
    ]


def test_run_workflow__without_resume_starts_anew(
    h5mu: Path, stopped: Callable[[str, str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    store = stopped("finished", "Figures")
    assert begins_with(caplog, h5mu, store, PARAMS) == ([], "Open")
    assert not (store.parent / "out.zarr.lazymu").exists()


# --- damaged checkpoints --------------------------------------------------------------------------


def damage(path: Path, content: bytes | None) -> None:
    """Replace a file, which may be linked to from elsewhere, or remove it."""
    path.unlink()
    if content is not None:
        path.write_bytes(content)


def checkpoint_files(store: Path) -> list[Path]:
    return sorted(RunState(store).folder.glob("stages/*.json"))


def test_resume__truncated_checkpoint_falls_back_to_the_one_before(
    h5mu: Path, stopped: Callable[[str, str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    store = stopped("finished", "UMAP")
    last = checkpoint_files(store)[-1]
    damage(last, last.read_bytes()[:-100])
    begun = begins_with(caplog, h5mu, store, PARAMS, resume=True)
    assert begun.said == [
        "the checkpoint 09.json of an earlier run is damaged",
        "goes on after the stage 'Clusters' of the earlier run",
    ]
    assert begun.label == "UMAP"


@pytest.mark.parametrize("content", [None, b"0" * 30])
def test_resume__lost_or_changed_array_falls_back_to_a_whole_checkpoint(
    content: bytes | None,
    h5mu: Path,
    stopped: Callable[[str, str], Path],
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = stopped("finished", "UMAP")
    first, last = checkpoint_files(store)[-4], checkpoint_files(store)[-1]
    graph = json.loads(last.read_text())["data"]["obsp"]["wnn_connectivities"]["data"]["object"]
    assert graph not in first.read_text()
    (chunk,) = (path for path in _files_of(store, graph) if "c" in path.parts)
    damage(chunk, content)
    begun = begins_with(caplog, h5mu, store, PARAMS, resume=True)
    assert len(begun.said) == 4
    for said, label in zip(begun.said, ("UMAP", "Clusters", "Neighbours"), strict=False):
        assert said.startswith(f"the checkpoint after the stage {label!r} is damaged (`{graph}`")
    assert begun.said[3] == "goes on after the stage 'ATAC embedding' of the earlier run"
    assert begun.label == "Neighbours"
    # It will be made anew, rather than taken to be there.
    assert not (RunState(store).folder / "objects" / graph).exists()
    assert [path.stem for path in checkpoint_files(store)] == [f"{n:02}" for n in range(7)]


def _files_of(store: Path, name: str) -> list[Path]:
    folder = RunState(store).folder / "objects" / name
    return [path for path in folder.rglob("*") if path.is_file()]


def test_resume__without_a_whole_checkpoint_starts_at_the_beginning(
    h5mu: Path, stopped: Callable[[str, str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    store = stopped("finished", "RNA quality")
    shutil.rmtree(RunState(store).folder / "counts.zarr" / "mod" / "atac" / "X" / "data" / "c")
    begun = begins_with(caplog, h5mu, store, PARAMS, resume=True)
    assert begun.said[-1] == "no checkpoint is whole; the run starts at the beginning"
    assert "the checkpoint after the stage 'Open' is damaged (`mod/atac/X`" in begun.said[-2]
    assert begun.label == "Open"


# --- errors, other runs, the command --------------------------------------------------------------


def test_run_workflow__full_disk_keeps_what_was_finished(
    h5mu: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = tmp_path / "out.zarr"
    add = Objects.add

    def full(self: Objects, values: Any) -> str:
        if len(checkpoint_files(store)) == 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(store))
        return add(self, values)

    monkeypatch.setattr(Objects, "add", full)
    with pytest.raises(OSError, match="No space left"):
        run_workflow(h5mu, store, PARAMS)
    monkeypatch.undo()
    kept = kept_state(store)
    assert kept is not None
    assert (kept.label, kept.n_stages) == ("ATAC quality", 4)
    assert 10_000 < kept.n_bytes < 10_000_000
    assert not (kept.folder.parent / "run.lock").exists()
    assert begins_with(caplog, h5mu, store, PARAMS, resume=True).label == "Common cells"


def test_run_workflow__second_run_of_one_store_raises(h5mu: Path, tmp_path: Path) -> None:
    store = tmp_path / "out.zarr"
    with locked(RunState(store).lock):
        with pytest.raises(
            RunningError, match=rf"`out` is being written by process {os.getpid()} on .*still at"
        ):
            run_workflow(h5mu, store, PARAMS)
        with pytest.raises(RunningError):
            run_workflow(h5mu, store, PARAMS, resume=True)
        assert RunState(store).lock.exists()
    assert not RunState(store).lock.exists()


def test_locked__of_another_machine_by_its_silence(tmp_path: Path) -> None:
    lock = tmp_path / "run.lock"
    lock.write_text(json.dumps({"host": "elsewhere", "pid": 1, "started": None}))
    with pytest.raises(RunningError, match="process 1 on elsewhere"), locked(lock):
        pass
    os.utime(lock, (0, time.time() - 3600))
    with locked(lock):
        assert json.loads(lock.read_text())["pid"] == os.getpid()
    assert not lock.exists()


@pytest.mark.parametrize("content", ["", "{", '{"host": 1}'])
def test_locked__whose_writing_was_cut_short_is_void(content: str, tmp_path: Path) -> None:
    lock = tmp_path / "run.lock"
    lock.write_text(content)
    with locked(lock):
        assert json.loads(lock.read_text())["pid"] == os.getpid()


def test_locked__number_of_a_later_process_is_void(tmp_path: Path) -> None:
    lock = tmp_path / "run.lock"
    with locked(lock):
        mine = json.loads(lock.read_text())
    if mine["started"] is None:
        pytest.skip("the system does not tell when a process started")
    lock.write_text(json.dumps({**mine, "started": "1"}))
    with locked(lock):
        pass


def test_resume__store_that_others_wrote_is_kept(
    h5mu: Path, stopped: Callable[[str, str], Path]
) -> None:
    store = stopped("finished", "Figures")
    lazymu.read(h5mu).write(store)
    with pytest.raises(StoreExistsError):
        run_workflow(h5mu, store, PARAMS, resume=True)
    assert kept_state(store) is not None


def test_resume__of_a_run_that_may_overwrite_need_not_say_so_again(
    h5mu: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = tmp_path / "out.zarr"
    lazymu.read(h5mu).write(store)
    with pytest.raises(StoreExistsError):
        begins_with(caplog, h5mu, store, PARAMS, resume=True)
    stop_in(run_workflow, "RNA quality", h5mu, store, PARAMS, overwrite=True)
    stop_in(run_workflow, "ATAC quality", h5mu, store, PARAMS, resume=True)
    begun = begins_with(caplog, h5mu, store, PARAMS, resume=True)
    assert begun.label == "ATAC quality"


FLAGS = [
    *("--rna-min-genes", "20", "--rna-n-comps", "10", "--atac-n-comps", "10"),
    *("--atac-min-features", "20", "--truth", "cell_type"),
    *("--resolution", "1.0", "--resolution", "0.5"),
]


def test_run_command__says_what_is_kept_and_goes_on(
    h5mu: Path, tmp_path: Path, whole: tuple[RunSummary, Recorder]
) -> None:
    store = tmp_path / "out.zarr"
    command = ["run", str(h5mu), "--out", str(store), *FLAGS]
    failed = CliRunner().invoke(app, [*command, "--rna-max-pct-mt", "0"])
    assert failed.exit_code == 1
    assert "Kept: the results of 2 stages, up to 'Known labels', in" in failed.output
    assert "the same command with --resume goes on from there." in failed.output
    planned = CliRunner().invoke(app, [*command, "--resume", "--dry-run"])
    assert planned.exit_code == 0
    first, *rest = planned.output.splitlines()
    assert first == "Resumed: the earlier run has finished Open, Known labels; they are skipped"
    labels = [line.split("  ")[0] for line in rest]
    assert "RNA quality" in labels
    assert "Open" not in labels
    done = CliRunner().invoke(app, [*command, "--resume"])
    assert done.exit_code == 0
    assert "Open (earlier run)" in done.output
    assert "Resumed: goes on after the stage 'Known labels' of the earlier run" in done.output
    assert_same(store, whole[0].store)


def test_run_command__dry_run_with_resume_needs_the_store(h5mu: Path) -> None:
    failed = CliRunner().invoke(app, ["run", str(h5mu), "--dry-run", "--resume"])
    assert failed.exit_code == 1
    assert "what may be resumed stands beside the store; name it with --out" in failed.output


# --- checkpoints themselves -----------------------------------------------------------------------


def assert_same_record(mine: Any, theirs: Any) -> None:
    lines = [json.dumps(one, indent=0, sort_keys=True).splitlines() for one in (mine, theirs)]
    assert [pair for pair in zip(*lines, strict=False) if pair[0] != pair[1]] == []
    assert len(lines[0]) == len(lines[1])


def test_keeper__what_is_restored_is_kept_the_same(
    whole: tuple[RunSummary, Recorder], stopped: Callable[[str, str], Path]
) -> None:
    """Types, order in memory, order of keys, steps, selections: all that a record says."""
    state = RunState(stopped("finished", "Figures"))
    for checkpoint in state.checkpoints()[0][::3]:
        mdata = state.restore(checkpoint, whole[0].source)
        assert state._keeper is not None
        keeper = Keeper(state.objects, state._keeper.sources)
        assert_same_record(keeper.keep(mdata.to_elements()), checkpoint.record["data"])


def test_keeper__values_of_every_kind_come_back(tmp_path: Path) -> None:
    cells = pd.Index(["a", "b", "c"], name="barcode")
    table = pd.DataFrame(
        {
            "kind": pd.Categorical(["x", None, "y"], categories=["y", "x", "z"], ordered=True),
            "text": ["a", None, "c"],
            "whole": pd.array([1, None, 3], dtype="Int16"),
            "known": pd.array([True, None, False], dtype="boolean"),
            "flag": [True, False, True],
            "narrow": np.array([1, 2, 3], dtype=np.uint8),
        },
        index=cells,
    )
    graph = sp.csc_matrix(np.diag([1.0, 2.0, 3.0]).astype(np.float32))
    records = np.rec.fromarrays([["g1", "g2"], [0.5, np.nan]], names="a,b")
    uns = {
        "none": None,
        "nested": {"n": 3, "f": np.float32(0.1), "b": True, "list": ["a", 1], "nan": np.nan},
        "records": records,
        "texts": np.array(["a", "b"], dtype=object),
        "empty": np.zeros((0, 3), dtype=np.int32),
        "table": pd.DataFrame({"v": [1.5]}),
        "series": pd.Series([1, 2]),
    }
    obsm = {"F": np.asfortranarray(np.arange(6.0).reshape(3, 2)), "big": np.ones((3, 1 << 17))}
    modality = lazymu.Modality(
        np.eye(3),
        obs=table,
        obsm=obsm,
        obsp={"graph": graph},
        uns=uns,
        layers={"l": np.ones((3, 3))},
    )
    other = lazymu.Modality(np.eye(3), obs=table[["flag"]])
    elements = lazymu.MuData({"rna": modality, "atac": other}).to_elements()
    (tmp_path / "objects").mkdir()
    objects = Objects(tmp_path / "objects")
    keeper = Keeper(objects, matrix_sources(elements))
    record = json.loads(json.dumps(keeper.keep(elements)))
    restored = keeper.restore(record).mod
    rna = restored["rna"]
    pd.testing.assert_frame_equal(rna.obs, modality.obs)
    assert rna.obs.index is restored["atac"].obs.index
    assert rna.obsm["F"].flags.f_contiguous
    assert not rna.obsm["F"].flags.c_contiguous
    assert isinstance(rna.obsm["big"], Deferred)
    np.testing.assert_array_equal(rna.obsm["big"].read(), obsm["big"])
    assert rna.obsp["graph"].format == "csc"
    assert rna.obsp["graph"].indices.dtype == graph.indices.dtype
    assert (rna.obsp["graph"] != graph).nnz == 0
    nested, kept = dict(uns["nested"]), dict(rna.uns["nested"])
    assert np.isnan([nested.pop("nan"), kept.pop("nan")]).all()
    assert kept == nested
    assert type(rna.uns["nested"]["f"]) is np.float32
    assert rna.uns["none"] is None
    assert rna.uns["records"].dtype == records.dtype
    assert list(rna.uns["records"]["a"]) == ["g1", "g2"]
    assert rna.uns["empty"].shape == (0, 3)
    pd.testing.assert_frame_equal(rna.uns["table"], uns["table"])
    np.testing.assert_array_equal(rna.layers["l"].toarray(), np.ones((3, 3)))
    # What has not been read since is not read to be kept again.
    assert_same_record(keeper.keep(keeper.restore(record)), record)


def test_objects__are_kept_once_and_checked(tmp_path: Path) -> None:
    objects = Objects(tmp_path)
    name = objects.add(np.arange(5))
    assert objects.add(np.arange(5)) == name
    assert objects.add(np.arange(5, dtype=np.float32)) != name
    assert objects.add(np.arange(5)[:, None]) != name
    assert len(list(tmp_path.iterdir())) == 3
    objects.keep_only({name})
    assert [path.name for path in tmp_path.iterdir()] == [name]
    np.testing.assert_array_equal(objects.read(name), np.arange(5))
    shutil.rmtree(tmp_path / name)
    with pytest.raises(DamagedFileError, match="start anew"):
        objects.read(name)


def test_checkpoints__hold_no_counts_and_share_what_has_not_changed(
    stopped: Callable[[str, str], Path],
) -> None:
    state = RunState(stopped("finished", "Figures"))
    found, damaged = state.checkpoints()
    assert (len(found), damaged) == (13, [])
    for checkpoint in found:
        for name in ("rna", "atac"):
            (matrix,) = checkpoint.record["data"]["mod"][name]["matrices"].values()
            assert set(matrix) == {"source", "rows", "cols", "steps", "sums"}
    last, before = (one.record["data"] for one in found[:2])
    for slot in ("obs", "obsm", "obsp"):
        assert last[slot] == before[slot]
        assert last["mod"]["rna"][slot] == before["mod"]["rna"][slot]


def test_checkpoints__note_the_parameters_that_each_stage_asks_for(
    stopped: Callable[[str, str], Path],
) -> None:
    last = RunState(stopped("finished", "Figures")).checkpoints()[0][0]
    asked = {stage["label"]: set(stage["params"]) for stage in last.record["stages"]}
    assert asked["RNA quality"] == {"rna.min_genes", "rna.max_pct_mt"}
    assert asked["RNA embedding"] == {
        *("rna.min_cells", "rna.flavor", "rna.n_top_genes", "rna.target_sum", "rna.n_comps"),
        "joint.seed",
    }
    assert asked["Clusters"] == {"joint.resolution", "joint.seed"}
    assert asked["Common cells"] == set()
