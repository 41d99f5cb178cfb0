"""What the README shows runs, in its order and in one folder; what it names exists."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import muon
import pytest
import scanpy
import yaml

import lazymu
from lazymu.settings import settings
from tests.conftest import REPOSITORY

README = (REPOSITORY / "README.md").read_text()
SNIPPETS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def run_shell(code: str, folder: Path) -> None:
    """Run a snippet with the interpreter's own commands, stopping at the first that fails."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr


# mudata and anndata say that stores without consolidated metadata open more slowly.
@pytest.mark.filterwarnings("ignore::DeprecationWarning:anndata")
@pytest.mark.filterwarnings("ignore::FutureWarning:anndata")
def test_snippets__run_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {}
    with settings.override(memory_limit=settings.memory_limit):  # a snippet sets it
        for language, code in SNIPPETS:
            if language == "bash":
                run_shell(code, tmp_path)
            elif language == "python":
                exec(compile(code, "README.md", "exec"), namespace)
    for name in ("result.zarr", "umap.png", "clustered.zarr", "clusters.png"):
        assert (tmp_path / name).exists()
    assert namespace["mdata"].obs["leiden_wnn"].nunique() > 3


def test_snippets__are_of_known_kinds() -> None:
    languages = [language for language, _ in SNIPPETS]
    assert set(languages) <= {"bash", "python", "text"}
    assert languages.count("bash") >= 1
    assert languages.count("python") >= 3


def test_make_targets__exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z-]+)", README))
    assert {"demo", "test"} <= named <= targets


def test_links__lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README):
        if not target.startswith("http"):
            name, _, anchor = target.partition("#")
            page = REPOSITORY / (name or "README.md")
            assert page.exists(), target
            assert not anchor or anchor in anchors_of(page.read_text()), target


def anchors_of(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


PICTURES = re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", README)
MOST_BYTES = 250_000


def test_pictures__are_there_described_and_small() -> None:
    assert {Path(place).suffix for _, place in PICTURES} == {".png", ".svg"}
    for words, place in PICTURES:
        picture = REPOSITORY / place
        assert len(words) > 40
        assert 0 < picture.stat().st_size < MOST_BYTES
        if picture.suffix == ".png":
            assert picture.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_drawing__stands_alone_in_light_and_dark() -> None:
    (place,) = (place for _, place in PICTURES if place.endswith(".svg"))
    drawing = (REPOSITORY / place).read_text()
    root = ElementTree.fromstring(drawing)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert [child.tag.rpartition("}")[2] for child in root[:2]] == ["title", "desc"]
    assert "prefers-color-scheme: dark" in drawing
    for outside in ("href", "@import", "@font-face", "<script", "url(http"):
        assert outside not in drawing


def test_notebooks__are_all_listed() -> None:
    listed = re.findall(r"\(notebooks/(\w+)\.ipynb\)", README)
    assert sorted(listed) == sorted(p.stem for p in (REPOSITORY / "notebooks").glob("*.ipynb"))


# --- measurements ---------------------------------------------------------------------------------

RESULTS = REPOSITORY / "benchmarks" / "results"
TASKS = {"RNA to PCA": "rna", "TF-IDF and LSI": "atac"}
TOOLS = {
    "rna": ("lazymu", "scanpy", "scanpy+dask", "snapatac2"),
    "atac": ("lazymu", "muon", None, "snapatac2"),
}


def measured(task: str, tool: str, n_cells: int) -> tuple[float, float] | None:
    """Return seconds without importing, and the peak in GB, where the tool came to an end."""
    page = json.loads((RESULTS / f"compare-{n_cells}.json").read_text())
    for run in page["measured"]:
        if (run["task"], run["tool"], run["outcome"]) == (task, tool, "ok"):
            stages = [stage for stage in run["stages"] if stage[0] != "import"]
            return sum(stage[1] for stage in stages), max(stage[3] for stage in stages) / 1e9
    return None


def test_table_of_peers__figures_are_those_measured() -> None:
    rows = re.findall(r"^\| ([\w -]+), ([\d,]+) cells \| (.*) \|$", README, re.MULTILINE)
    assert len(rows) == 4
    for what, n, cells in rows:
        task, n_cells = TASKS[what], int(n.replace(",", ""))
        for tool, told in zip(TOOLS[task], cells.split("|"), strict=True):
            found = None if tool is None else measured(task, tool, n_cells)
            figures = re.match(r" *([\d.]+) s, ([\d.]+) GB", told)
            assert (figures is None) == (found is None), (what, n, tool)
            if figures is not None and found is not None:
                digits = len(figures[1].partition(".")[2])
                assert figures[1] == f"{found[0]:.{digits}f}"
                assert figures[2] == f"{found[1]:.1f}"


def test_table_of_peers__a_million_cells_and_weighted_neighbours() -> None:
    page = (RESULTS / "run-1000000.md").read_text()
    (seconds, peak) = re.findall(r"import to Leiden \| ([\d.]+) \| [\d.]+ \| ([\d.]+)", page)[0]
    assert f"| {float(seconds):,.0f} s, {float(peak):.1f} GB |" in README
    assert f"{float(seconds) / 60:.0f} minutes on two cores, in {float(peak):.1f} GB" in README
    wnn = (RESULTS / "wnn.md").read_text()
    stage = r"^\| {} \| {} \| ([\d.]+) \| [\d.]+ \| ([\d.]+) \|$"
    told = re.search(r"weighted neighbours, .*\| (\d+) s, ([\d.]+) GB \| (\d+) s, ([\d.]+)", README)
    assert told is not None
    ours = re.findall(stage.format("lazymu", "weighted neighbours"), wnn, re.MULTILINE)
    theirs = re.findall(stage.format("muon", "(?:weighted )?neighbours"), wnn, re.MULTILINE)
    for runs, figures in ((ours, told.group(1, 2)), (theirs, told.group(3, 4))):
        assert abs(sum(float(run[0]) for run in runs) - int(figures[0])) <= 0.6
        assert f"{max(float(run[1]) for run in runs):.1f}" == figures[1]


def test_table_of_peers__rank_tests() -> None:
    page = (RESULTS / "markers.md").read_text()
    found = []
    for tool in ("lazymu", "scanpy"):
        row = rf"\| {{}} \| {tool} \| 20,000 \| ([\d.]+) \| [\d.]+ \| (\d+) \|"
        rows = [re.findall(row.format(test), page)[0] for test in ("t-test", "Wilcoxon")]
        seconds = [f"{float(row[0]):.1f} s" for row in rows]
        peak = max(int(row[1]) for row in rows) / 1000
        found.append(f"{', '.join(seconds)}, {peak:.1f} GB")
    assert f"| {found[0]} | {found[1]} | | |" in README


# --- citation -------------------------------------------------------------------------------------


def test_citation__names_this_version_and_the_papers_of_the_readme() -> None:
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert (citation["type"], citation["license"]) == ("software", "BSD-3-Clause")
    assert citation["version"] == lazymu.__version__
    assert citation["authors"] == [{"name": "The lazymu developers"}]
    papers = {paper["doi"] for paper in citation["references"]}
    assert papers == set(re.findall(r"https://doi\.org/([^)]+)", README))
    known = "\n".join(path.read_text() for path in Path(lazymu.__file__).parent.rglob("*.py"))
    assert all(doi in known for doi in papers)


# --- differences from the peers -------------------------------------------------------------------

PEERS: dict[str, tuple[Any, ...]] = {
    "pp": (scanpy.pp, muon.pp),
    "tl": (scanpy.tl, muon.tl),
    "pl": (scanpy.pl, muon.pl),
    "get": (scanpy.get,),
    "atac.pl": (muon.atac.pl,),
    "atac.pp": (muon.atac.pp,),
    "atac.tl": (muon.atac.tl,),
    "prot.pp": (muon.prot.pp,),
}


def documented_differences() -> dict[str, tuple[set[str], set[str]]]:
    """Return, for each function of the README's table, absent parameters and other defaults."""
    rows = re.findall(r"^\| `(\w[\w.]+)` \|([^|]*)\|([^|]*)\|$", README, re.MULTILINE)
    names = re.compile(r"`(\w+)`")
    return {f: (set(names.findall(a)), set(names.findall(b))) for f, a, b in rows if "." in f}


def differences(namespace: str, name: str) -> tuple[set[str], set[str]]:
    """Return parameters of the peers' function that lazymu's has not, and other defaults."""
    module = importlib.import_module(f"lazymu.{namespace}")
    own = inspect.signature(getattr(module, name)).parameters
    takes_all = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in own.values())
    absent, changed = set(), set()
    for peer in PEERS[namespace]:
        theirs = inspect.signature(getattr(peer, name)).parameters if hasattr(peer, name) else {}
        for parameter in list(theirs.values())[1:]:
            if parameter.name in own:
                if repr(parameter.default) != repr(own[parameter.name].default):
                    changed.add(parameter.name)
            elif parameter.kind is not inspect.Parameter.VAR_KEYWORD and not takes_all:
                absent.add(parameter.name)
    return absent, changed


FUNCTIONS = [
    (namespace, name)
    for namespace in PEERS
    for name in importlib.import_module(f"lazymu.{namespace}").__all__
]


@pytest.mark.parametrize(("namespace", "name"), FUNCTIONS)
def test_parameters__differences_from_the_peers_are_in_the_table(namespace: str, name: str) -> None:
    absent, changed = differences(namespace, name)
    known_absent, known_changed = documented_differences().get(
        f"{namespace}.{name}", (set(), set())
    )
    assert absent <= known_absent
    assert changed <= known_changed


def test_parameters__table_names_nothing_that_is_there() -> None:
    for function, (absent, _) in documented_differences().items():
        namespace, _, name = function.rpartition(".")
        module = importlib.import_module(f"lazymu.{namespace}")
        assert not absent & set(inspect.signature(getattr(module, name)).parameters), function
