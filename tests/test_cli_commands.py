"""Every command in-process, and the entry point once as a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import anndata
import h5py
import pytest
from typer.testing import CliRunner, Result

import lazymu
from lazymu.cli.main import app
from lazymu.datasets import multiome
from lazymu.settings import settings
from lazymu.stream import recorded_passes

pytestmark = [
    # anndata 0.13 uses what pandas 3 has deprecated.
    pytest.mark.filterwarnings("ignore:The 'future.infer_string' option is deprecated"),
]


def cli(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def done(*arguments: object) -> str:
    """Run a command that must succeed and return what it printed."""
    result = cli(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def failed(*arguments: object) -> str:
    """Run a command that must fail with one sentence and return it."""
    result = cli(*arguments)
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.output
    assert result.stderr.startswith("lazymu: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.fixture(scope="module")
def h5mu(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    return multiome(folder / "m.h5mu", 250, 1500, 3000, n_clusters=4, depth=4.0)


@pytest.fixture(scope="module")
def ran(h5mu: Path) -> tuple[Path, str]:
    """A store with results, and what ``run`` printed."""
    toml = h5mu.with_name("params.toml")
    toml.write_text("[rna]\nmin_genes = 20\nn_comps = 20\nn_top_genes = 300\n")
    out = h5mu.with_name("result.zarr")
    text = done(
        *("run", h5mu, "-o", out, "--params", toml, "--rna-n-comps", 12, "--truth", "cell_type"),
        *("--resolution", 1, "--resolution", 0.5, "--no-atac-drop-depth", "--memory", "2GB"),
    )
    return out, text


def test_run__flags_go_before_the_toml_file(ran: tuple[Path, str]) -> None:
    stored = lazymu.read(ran[0])
    assert stored["rna"].obsm["X_pca"].shape[1] == 12
    assert stored["rna"].var["highly_variable"].sum() == 300
    assert stored["atac"].obsm["X_lsi"].shape[1] == stored["atac"].n_obs // 10
    assert {"leiden_wnn", "leiden_wnn_0.5"} <= set(stored.obs)


def test_run__summary_says_sizes_stages_clusters_and_paths(ran: tuple[Path, str]) -> None:
    out, text = ran
    for expected in (
        "rna",
        "peak memory",
        "ATAC embedding",
        "leiden_wnn, resolution 1: ",
        "with cell_type",
        f"Store:    {out}",
        f"Report:   {out.with_name('result_report.html')}",
        f"Picture:  {out.with_name('result_figures')}/umap_clusters.png",
    ):
        assert expected in text


def test_memory__setting_are_as_before(h5mu: Path) -> None:
    with settings.override(memory_limit="3GB"):
        done("info", h5mu, "--memory", "2GB")
        assert settings.memory_limit == 3_000_000_000


def test_run__every_parameter_has_a_flag_with_its_default() -> None:
    text = " ".join(done("run", "--help").split())
    for flag in ("--rna-min-genes", "--atac-n-comps", "--prot-clr-axis", "--n-neighbors"):
        assert flag in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("run", "nope.h5mu", "-o", "o.zarr"), "nope.h5mu', but there is no such file or folder"),
        (("run", "x.h5mu", "-o", "o.h5mu"), "the result is a Zarr store; name it o.zarr"),
        (("run", "x.h5mu", "-o", "o.zarr", "--params", "p.toml"), "`params` is p.toml, but there"),
        (("run", "x.h5mu", "-o", "o.zarr", "--rna-flavor", "z"), "`rna.flavor` is 'z', but known"),
        (("run", "x.h5mu", "-o", "o.zarr", "--threads", "0"), "`n_threads` is 0, but it must be"),
        (("convert", "nope.h5", "x.zarr"), "there is no such file or folder"),
        (("convert", "x.h5mu"), "`DST` is missing, but a conversion writes a store; name it, or"),
        (("convert", "nope.zarr", "--by-feature", "all"), "there is no such file or folder"),
        (("info", "nope.zarr"), "there is no such file or folder"),
        (("report", "nope.zarr"), "there is no such file or folder"),
        (("report", "x.zarr", "-o", "no/r.html"), "there is no such folder; make no first"),
        (("report", "x.zarr", "-o", "r.pdf"), "a report is an HTML page; name it r.html"),
        (("plot", "nope.zarr", "--color", "a"), "there is no such file or folder"),
        (("export", "nope.zarr", "x.h5mu"), "there is no such file or folder"),
        (("simulate", "x.h5", "--cells", "0"), "`n_cells` is 0, but it must be 1"),
        (("simulate", "x.h5", "--peaks", "500"), "`n_peaks` is 500, but a 10x .h5 file is written"),
        (("simulate", "x.zarr", "--genes", "9"), "`n_genes` is 9, but the simulation needs"),
        (("simulate", "x.h5ad"), "what can be simulated is .zarr, .h5mu, .h5"),
        (("demo", "nope.h5mu"), "there is no such file or folder"),
    ],
)
def test_commands__wrong_arguments_are_one_sentence(
    arguments: tuple[str, ...], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sentence in failed(*arguments)


def test_commands__files_that_are_no_data_are_one_sentence(tmp_path: Path, h5mu: Path) -> None:
    text, cut = tmp_path / "text.h5", tmp_path / "cut.h5mu"
    text.write_text("barcode,gene\n")
    cut.write_bytes(h5mu.read_bytes()[: h5mu.stat().st_size // 2])
    folder, store = tmp_path / "folder", tmp_path / "not.zarr"
    folder.mkdir()
    store.mkdir()
    (store / "notes.txt").write_text("kept")
    for path, sentence in (
        (text, "cannot be opened as HDF5"),
        (cut, "cannot be opened as HDF5"),
        (folder, "known are .h5mu"),
        (store, "cannot be opened as a Zarr group"),
    ):
        assert sentence in failed("info", path)
        assert sentence in failed("convert", path, tmp_path / "out.zarr")
        assert sentence in failed("run", path, "-o", tmp_path / "out.zarr")
    said = failed("run", h5mu, "-o", tmp_path / "o.zarr", "--params", h5mu)
    assert "is longer than 1,048,576 bytes" in said
    assert "holds no store" in failed("convert", h5mu, store, "--overwrite")
    assert (store / "notes.txt").read_text() == "kept"


def test_commands__file_without_permission_is_one_sentence(
    h5mu: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Unable to open file (errno = 13, flags = 0, o_flags = 0)")

    monkeypatch.setattr(h5py, "File", refuse)  # root may read any file
    assert failed("info", h5mu) == f"lazymu: The system refuses {h5mu}: Permission denied.\n"


def test_commands__say_flags_rather_than_python(h5mu: Path, tmp_path: Path) -> None:
    there = tmp_path / "there.zarr"
    there.mkdir()
    assert "it exists; pass --overwrite." in failed("convert", h5mu, there)
    result = cli("run", h5mu, "-o", tmp_path / "o.zarr", "--rna-min-genes", 20, "--memory", "1MB")
    assert result.exit_code == 1
    assert "pass --memory with at least" in result.stderr


def test_convert__and_export_give_the_counts_back(h5mu: Path, tmp_path: Path) -> None:
    store, back = tmp_path / "m.zarr", tmp_path / "rna.h5ad"
    assert done("convert", h5mu, store).strip() == str(store)
    done("export", store, back, "--modality", "rna", "--x", "counts")
    expected = lazymu.read(h5mu)["rna"].X.to_memory()
    assert (expected != anndata.read_h5ad(back).X).nnz == 0
    assert "exists" in failed("convert", h5mu, store)
    assert "a shard holds whole" in failed("convert", h5mu, tmp_path / "s.zarr", "--shards", "0")
    done("convert", h5mu, store, "--overwrite", "--zarr-format", "2")
    assert (store / ".zgroup").is_file()


def copies(store: Path) -> list[str]:
    """Return the modalities that `info` says have a copy by feature."""
    found, part = [], ""
    for line in done("info", store).splitlines():
        part = line.split(":")[0] if line and line[0] != " " else part
        if line.startswith("  by feature: X ("):
            found.append(part)
    return found


def test_convert__by_feature(h5mu: Path, tmp_path: Path) -> None:
    store, some = tmp_path / "m.zarr", tmp_path / "some.zarr"
    done("convert", h5mu, some, "--by-feature", "atac")
    assert copies(some) == ["atac"]
    done("convert", h5mu, store, "--by-feature", "rna", "--by-feature", "all")
    assert copies(store) == ["rna", "atac"]
    rna, expected = lazymu.read(store)["rna"], lazymu.read(h5mu)["rna"].X[:, [4]].toarray()
    with recorded_passes() as passes:
        assert (rna.X[:, [4]].toarray() == expected).all()
    assert passes[0].n_values == (expected != 0).sum()


def test_convert__by_feature_of_a_store_that_is_there(h5mu: Path, tmp_path: Path) -> None:
    store = tmp_path / "m.zarr"
    done("convert", h5mu, store)
    assert copies(store) == []
    assert done("convert", store, "--by-feature", "rna").strip() == str(store)
    assert copies(store) == ["rna"]
    assert copies(Path(f"{store}/mod/rna")) == ["all cells"]
    single = tmp_path / "rna.h5ad"
    done("export", store, single, "--modality", "rna", "--x", "counts")
    done("convert", single, tmp_path / "rna.zarr", "--by-feature", "all")
    assert copies(tmp_path / "rna.zarr") == ["all cells"]


@pytest.mark.parametrize("target", [True, False])
def test_convert__by_feature_of_unknown_modalities(
    target: bool, h5mu: Path, tmp_path: Path
) -> None:
    store = tmp_path / "m.zarr"
    arguments = (h5mu, store) if target else (h5mu,)
    sentence = "`by_feature` is 'prot', but modalities are rna, atac; name one of them, or all."
    assert sentence in failed("convert", *arguments, "--by-feature", "prot")
    assert not store.exists()
    if not target:
        assert "beside the local store" in failed("convert", h5mu, "--by-feature", "all")


def test_convert__by_feature_of_one_modality_by_name(h5mu: Path, tmp_path: Path) -> None:
    sentence = "`by_feature` is 'rna', but the one there is has no name; name all."
    assert sentence in failed("convert", f"{h5mu}/rna", tmp_path / "a.zarr", "--by-feature", "rna")


def test_concat__joins_files_of_any_formats(h5mu: Path, tmp_path: Path) -> None:
    """One pass for each modality, over as many values as the files have."""
    store, out = tmp_path / "m.zarr", tmp_path / "all.zarr"
    done("convert", h5mu, store)
    arguments = ("--index-unique=-", "--key", "a", "--key", "b")
    with recorded_passes() as passes:
        assert done("concat", h5mu, store, out, *arguments).strip() == str(out)
    found = lazymu.read(out)
    expected = lazymu.concat({"a": h5mu, "b": store}, index_unique="-")
    assert [entry.label for entry in passes] == ["write rna", "write atac"]
    for entry, name in zip(passes, expected.mod, strict=True):
        assert entry.n_values == 2 * lazymu.read(store)[name].X.source.indptr[-1]
        assert (found[name].X.to_memory() != expected[name].X.to_memory()).nnz == 0
        assert found[name].obs_names.equals(expected[name].obs_names)
    assert found.obs["sample"].tolist() == expected.obs["sample"].tolist()
    assert set(found.obs["sample"]) == {"a", "b"}
    assert "pass --overwrite" in failed("concat", h5mu, store, out, *arguments)


def test_concat__features_of_all_samples_or_of_any(h5mu: Path, tmp_path: Path) -> None:
    genes, out = tmp_path / "genes.zarr", tmp_path / "all.zarr"
    rna = lazymu.read(h5mu)["rna"]
    rna[:, 5:].write(genes)
    sources = (f"{h5mu}/rna", genes)
    done("concat", *sources, out, "--index-unique=-", "--label", "run")
    assert lazymu.read(out).shape == (2 * rna.n_obs, rna.n_vars - 5)
    assert set(lazymu.read(out).obs["run"]) == {"0", "1"}
    done("concat", *sources, out, "--index-unique=-", "--join", "outer", "--overwrite")
    assert lazymu.read(out).shape == (2 * rna.n_obs, rna.n_vars)


def test_concat__errors_name_options(h5mu: Path, tmp_path: Path) -> None:
    out = tmp_path / "all.zarr"
    assert "pass --index-unique=- to append" in failed("concat", h5mu, h5mu, out)
    assert "pass --key once for each" in failed("concat", h5mu, h5mu, out, "--key", "a")
    mixed = failed("concat", h5mu, f"{h5mu}/rna", out)
    assert "name the modality of each, as in a.zarr/mod/rna" in mixed
    labelled = tmp_path / "labelled.zarr"
    done("concat", h5mu, labelled)
    assert "pass another --label" in failed("concat", labelled, out)
    assert "no such file" in failed("concat", h5mu, tmp_path / "absent.zarr", out)
    assert not out.exists()


def test_info__axes_chunks_sizes_and_blocks(ran: tuple[Path, str]) -> None:
    stored = lazymu.read(ran[0])
    text = done("info", ran[0], "--memory", "500MB", "--threads", "1")
    assert f"rna: {stored['rna'].n_obs} cells x {stored['rna'].n_vars} features" in text
    assert "obsm: X_pca" in text
    assert "memory limit of 500.0 MB" in text
    lines = {line.split()[0]: line.split() for line in text.splitlines() if line.strip()}
    values = stored["rna"].X.row_values.sum()
    assert lines["rna/X"][1] == f"{values:,}"
    assert lines["mod/rna/X/data"][2] == f"{values:,}"
    assert lines["mod/rna/X/indptr"][1].startswith("int")


def test_info__hdf5_files_too(h5mu: Path) -> None:
    text = done("info", h5mu)
    assert "gzip" in text
    with h5py.File(h5mu) as file:
        assert f"{file['mod/rna/X/data'].chunks[0]:,}" in text


def test_info__one_modality_and_one_without_a_matrix(ran: tuple[Path, str], tmp_path: Path) -> None:
    text = done("info", f"{ran[0]}/rna")
    assert "X/data" in text
    assert "atac" not in text
    bare = tmp_path / "bare.h5ad"
    anndata.AnnData(obs=lazymu.read(ran[0])["rna"].obs[["total_counts"]]).write_h5ad(bare)
    text = done("info", bare)
    assert "cells x 0 features" in text
    assert "obs: total_counts" in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--color", "leiden_wnm"), "near it are leiden_wnn"),
        (("--color", "leiden_wnn", "-o", "umap"), "its suffix must be that of a picture"),
        (("--color", "leiden_wnn", "-o", "umap.xyz"), "name it umap.png"),
        (("--color", "rna:total_counts", "--cmap", "viridos"), "pass e.g. 'viridis'"),
        (("--basis", "tsne"), "`basis` is 'tsne', but obsm has X_umap"),
    ],
)
def test_plot__wrong_arguments_are_one_sentence(
    ran: tuple[Path, str],
    arguments: tuple[str, ...],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sentence in failed("plot", ran[0], *arguments)
    assert not list(tmp_path.iterdir())


def test_plot__several_names_after_one_flag(ran: tuple[Path, str], tmp_path: Path) -> None:
    picture = tmp_path / "umap.png"
    text = done("plot", ran[0], "--color", "leiden_wnn", "rna:CD3E", "-o", picture)
    assert text.strip() == str(picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "rna:CD3F" in failed("plot", ran[0], "--color", "rna:CD3F", "-o", picture)


def test_plot__other_embeddings_and_formats(ran: tuple[Path, str], tmp_path: Path) -> None:
    picture = tmp_path / "pca.svg"
    done("plot", ran[0], "--color", "cell_type", "--basis", "rna:X_pca", "-o", picture)
    assert b"<svg" in picture.read_bytes()


@pytest.mark.parametrize(
    ("name", "widths", "modalities"),
    [
        ("a.zarr", ("--genes", 300, "--peaks", 500), {"rna": 300, "atac": 500}),
        ("a.h5mu", ("--peaks", 0, "--proteins", 8), {"rna": 36_601, "prot": 8}),
        ("a.h5", ("--genes", 300), {"rna": 300, "prot": 20}),
    ],
)
def test_simulate__writes_what_read_opens(
    name: str, widths: tuple[object, ...], modalities: dict[str, int], tmp_path: Path
) -> None:
    path = tmp_path / name
    arguments = ("simulate", path, "--cells", 40, *widths)
    assert done(*arguments, "--clusters", 3, "--batches", 4).strip() == str(path)
    found = lazymu.read(path)
    assert {name: modality.shape for name, modality in found.mod.items()} == {
        name: (40, width) for name, width in modalities.items()
    }
    if name != "a.h5":  # a 10x file has no room for the truth
        assert found.obs["cell_type"].nunique() == 3
        assert found.obs["batch"].nunique() == 4
    assert "exists" in failed(*arguments)
    before = found["rna"].X.to_memory()
    done(*arguments, "--overwrite", "--seed", 1)
    assert (lazymu.read(path)["rna"].X.to_memory() != before).nnz > 100


@pytest.mark.slow
def test_demo__ends_with_agreement_store_and_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lazymu.datasets.multiome", small(lazymu.datasets.multiome))
    monkeypatch.setattr("lazymu.datasets.citeseq_10x", small(lazymu.datasets.citeseq_10x))
    text = done("demo", "--out", tmp_path, "--cells", 200)
    for name, title in (("multiome", "Multiome"), ("citeseq", "CITE-seq")):
        last = text[text.rindex(f"Simulated {title}, 200 cells") :]
        assert "ARI" in last
        assert f"Store:    {tmp_path / name}.zarr" in last
        assert f"Picture:  {tmp_path / name}_figures/umap_clusters.png" in last


def small(write):  # type: ignore[no-untyped-def]
    """Return a simulation with fewer, deeper features."""

    def write_small(path, n_cells, *, overwrite):  # type: ignore[no-untyped-def]
        return write(path, n_cells, 2000, n_clusters=3, depth=15.0, overwrite=overwrite)

    return write_small


def test_demo__on_a_file_of_the_users(h5mu: Path, tmp_path: Path) -> None:
    text = done("demo", h5mu, "--out", tmp_path)
    assert f"Your data: {h5mu}" in text
    assert f"Store:    {tmp_path / 'm.zarr'}" in text
    assert "ARI" not in text


def test_version__is_the_packages() -> None:
    assert done("--version").strip() == f"lazymu {lazymu.__version__}"


def test_process__errors_leave_with_1_and_usage_too() -> None:
    command = [sys.executable, "-m", "lazymu"]
    run = subprocess.run([*command, "info", "nope.zarr"], capture_output=True, text=True)
    assert run.returncode == 1
    assert run.stderr.count("\n") == 1
    assert "there is no such file or folder" in run.stderr
    usage = subprocess.run([*command, "run", "x.h5mu"], capture_output=True, text=True)
    assert usage.returncode == 1
    assert usage.stderr.startswith("lazymu: ")
    assert "--out" in usage.stderr
