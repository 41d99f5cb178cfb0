"""What the README shows runs, in its order and in one folder; what it names exists."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

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
