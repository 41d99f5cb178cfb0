"""What the README shows runs, in its order and in one folder; what it names exists."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import muon
import pytest
import scanpy

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
    headings = re.findall(r"^#+ (.*)$", README, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    for target in re.findall(r"\]\(([^)]+)\)", README):
        if target.startswith("#"):
            assert target[1:] in anchors
        elif not target.startswith("http"):
            assert (REPOSITORY / target).exists(), target


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
